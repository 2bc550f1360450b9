"""Jobs that a process of a cluster runs for the driver of a study, which alone has the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from distillab.data.dataset import Dataset
from distillab.errors import DiskFullError
from distillab.forkserver import MainModule, main_module
from distillab.integrity import DamagedFileError
from distillab.machine import tune_allocator
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StoredJob
from distillab.study.running.job_runner import JobRunner, count_networks
from distillab.study.running.worker import format_error
from distillab.study.store import raising_disk_full
from distillab.training.loop.results import DivergenceError
from distillab.training.numerics.device import empty_device_cache, pick_device
from distillab.training.teachers.cache import CacheMissError
from distillab.user_code import CodeRule, code_rule, set_code_rule


@dataclass(frozen=True)
class RemoteStudy:
    """What a process of a cluster has to know of a study.

    Attributes:
        path: The study's folder, on a disk that all nodes share.
        device: Where to compute.
        data: The digest of the data, under which the store has them.
        networks: The number of teachers and students in the plan.
        rule: What happens to code that the study names.
        main: What to import first, for what it defines.
    """

    path: str
    device: str
    data: str
    networks: int
    rule: CodeRule
    main: MainModule | None

    @classmethod
    def of(cls, folder: StudyFolder, device: str) -> RemoteStudy:
        """Return what other processes have to know of a study that this process drives."""
        with folder.ledger() as ledger:
            data = str(ledger.meta("dataset"))
        path = str(folder.path.resolve())
        return cls(path, device, data, count_networks(folder), code_rule(), main_module())


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        job: Its id.
        seconds: How long it took; None if it failed.
        error: Its error, formatted for the ledger.
        damage: The error itself if it read something that was damaged or missing.
    """

    job: str
    seconds: float | None
    error: str = ""
    damage: Exception | None = None


def run_remote(study: RemoteStudy, jobs: Sequence[StoredJob]) -> list[JobEnd]:
    """Run a job, or a cohort of students, and publish the artifacts in the store.

    The ledger is not opened, so that no database is used over a network. If a cohort raises an error, each
    student is run alone.

    Args:
        study: The study.
        jobs: The jobs, as the ledger stores them.

    Returns:
        How each job ended.

    Raises:
        DiskFullError: There is no space left.
    """
    runner = _runner(study)
    torch.set_num_threads(runner.folder.spec.worker_threads)
    with raising_disk_full(runner.folder.path):
        together = [stored.job() for stored in jobs]
        ends = list(_run(runner, together))
        if len(together) > 1 and all(end.seconds is None for end in ends):
            empty_device_cache(runner.device)
            ends = [end for job in together for end in _run(runner, [job])]
        return ends


@lru_cache(maxsize=1)
def _runner(study: RemoteStudy) -> JobRunner:
    """Return the runner of this process, which keeps the data of the study and its last conditions."""
    set_code_rule(study.rule)
    if study.main is not None:
        study.main.load()
    tune_allocator()
    folder = StudyFolder.open(Path(study.path))
    folder.dataset = Dataset.open(folder.store.folder("data", study.data))  # its digest is in the ledger
    return JobRunner(folder, pick_device(study.device), networks=study.networks)


def _run(runner: JobRunner, jobs: list[Job]) -> Iterator[JobEnd]:
    try:
        results = runner.run(jobs)
    except DiskFullError:
        raise
    except (DamagedFileError, CacheMissError) as damage:
        yield from (JobEnd(job.id, None, format_error(damage), damage) for job in jobs)
    except Exception as error:  # noqa: BLE001 - the driver enters it in the ledger
        yield from (JobEnd(job.id, None, format_error(error)) for job in jobs)
    else:
        for name, result in results.items():
            if isinstance(result, DivergenceError):
                yield JobEnd(name, None, format_error(result))
            else:
                yield JobEnd(name, result)
