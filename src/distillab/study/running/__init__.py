"""Running the jobs of a study: executors start workers, which claim jobs, run them and record the results."""

from distillab.study.running.executors import Executor, OnProgress, check_executor, executors
from distillab.study.running.reproduce import Comparison, reproduce
from distillab.study.running.reuse import reuse_artifacts
from distillab.study.running.run import Outcome, outcome, run_jobs

__all__ = [
    "Comparison",
    "Executor",
    "OnProgress",
    "Outcome",
    "check_executor",
    "executors",
    "outcome",
    "reproduce",
    "reuse_artifacts",
    "run_jobs",
]
