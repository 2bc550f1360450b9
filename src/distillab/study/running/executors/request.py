"""Checks of what was requested of an executor, before anything is read or planned."""

from __future__ import annotations

from distillab.errors import RequestError, unknown_name
from distillab.study.running.executors.executor import executors
from distillab.study.running.executors.ray_cluster import require_ray
from distillab.study.running.executors.slurm import require_slurm


def check_executor(name: str, workers: int | None) -> None:
    """Check that an executor can run, and that a number of workers means something to it.

    Args:
        name: The executor.
        workers: The number of workers that was requested; None if it was left to the executor.

    Raises:
        RequestError: There is no such executor, what it needs is not installed, it takes its workers from a
            cluster, or it has to be given a number of them.

    Example:
        >>> check_executor("processes", 2)
        >>> check_executor("ray", 2)
        Traceback (most recent call last):
        distillab.errors.RequestError: --workers: does not apply to the executor ray, ...
    """
    if name not in executors:
        raise unknown_name("executor", name, executors, where="--executor")
    if name == "ray":
        if workers is not None:
            raise RequestError(
                "does not apply to the executor ray, which uses the cores of its cluster",
                where="--workers",
                allowed="a cluster of another size (`ray start --num-cpus`)",
            )
        require_ray()
    if name == "slurm":
        if workers is None:
            raise RequestError(
                "the executor slurm has to know how many allocations to submit",
                where="--workers",
                allowed="a number, such as --workers 8",
            )
        require_slurm()
