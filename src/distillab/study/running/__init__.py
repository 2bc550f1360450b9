"""Workers and executors: jobs claimed from the ledger, done, and recorded."""
