"""Where the jobs of a study run. An executor is one file here, entered in the registry ``executors``."""

from distillab.study.running.executors import inline, processes
from distillab.study.running.executors.executor import Executor, OnProgress, executors

__all__ = ["Executor", "OnProgress", "executors", "inline", "processes"]
