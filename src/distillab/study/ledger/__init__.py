"""What has run: the state of every job, in a SQLite database that many workers share."""
