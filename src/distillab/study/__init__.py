"""What to run, what has run, where it runs: study files, plans, the ledger, the store, executors."""
