"""What has run: the state of every job of a study, in an SQLite database that many workers share."""

from distillab.study.ledger.ledger import Ledger
from distillab.study.ledger.reader import JobFailure, JobStatus, WorkProgress
from distillab.study.ledger.state import JobState

__all__ = ["JobFailure", "JobState", "JobStatus", "Ledger", "WorkProgress"]
