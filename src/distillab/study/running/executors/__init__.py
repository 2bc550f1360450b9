"""Where the jobs of a study run. An executor returns when no job is open, or raises."""

from distillab.study.running.executors import inline, processes
from distillab.study.running.executors.executor import Executor, Watch, executors

__all__ = ["Executor", "Watch", "executors", "inline", "processes"]
