"""Where the jobs of a study run. An executor is one file here, entered in the registry ``executors``."""

from distillab.study.running.executors import inline, processes, ray_cluster, slurm
from distillab.study.running.executors.executor import Executor, OnProgress, executors
from distillab.study.running.executors.request import check_executor

__all__ = [
    "Executor",
    "OnProgress",
    "check_executor",
    "executors",
    "inline",
    "processes",
    "ray_cluster",
    "slurm",
]
