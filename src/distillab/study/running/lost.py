"""Artifacts that are missing or damaged: their jobs go back into the queue, and make them again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from distillab.artefacts import CACHE
from distillab.errors import RequestError
from distillab.integrity import DamagedFileError, check_folder, was_written
from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.ledger import JobState, Ledger
from distillab.study.ledger.ledger import MAX_DEATHS
from distillab.study.store import Store
from distillab.training.stages.outputs import STRONG_CACHE, CacheReference
from distillab.training.teachers.cache import CacheMissError, remove_damage


def put_back_lost(folder: StudyFolder) -> tuple[str, ...]:
    """Put every done job whose artifact is missing or damaged back into the queue.

    Failed jobs that had read something damaged, and those that hang on them, are queued again as well. Cached
    teacher outputs are not checked here: students check the records that they read (:func:`put_back_needed`).

    Args:
        folder: The study.

    Returns:
        What was found, one sentence per artifact.

    Raises:
        RequestError: The ledger is damaged.

    Example:
        >>> import tempfile
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> put_back_lost(folder)
        ()
    """
    with folder.ledger() as ledger:
        ledger.check()
        lost = damage_of(folder.store, ledger.of_state(JobState.DONE))
        for name, kind in ledger.of_state(JobState.DONE):
            if name in lost:
                folder.store.discard(kind, name)
        ledger.put_back(lost)
    return tuple(lost.values())


def made_again(folder: StudyFolder) -> tuple[str, ...]:
    """Return what was ever found damaged in a study and put back, one sentence each."""
    with folder.ledger() as ledger:
        return tuple(ledger.made_again())


def damage_of(store: Store, jobs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what is wrong with the artifacts of jobs, one sentence by id; sound ones are left out.

    Args:
        store: The store.
        jobs: Id and kind of each job.
    """
    found = {}
    for name, kind in jobs:
        try:
            check_folder(store.folder(kind, name))
        except DamagedFileError as error:
            found[name] = _sentence(kind, name, error)
    return found


def put_back_needed(folder: StudyFolder, ledger: Ledger, jobs: list[Job], error: Exception) -> bool:
    """Put back what running jobs read and found missing or damaged, and have these wait for it.

    Args:
        folder: The study.
        ledger: Its ledger.
        jobs: The running jobs.
        error: What they raised.

    Returns:
        False if nothing that they need can be made again, so that they fail.
    """
    if not isinstance(error, DamagedFileError | CacheMissError) or ledger.most_deaths(jobs) >= MAX_DEATHS:
        return False
    store = folder.store
    needed = ledger.needs_of(job.id for job in jobs)
    done = [(name, kind) for name, kind, state in needed if state == JobState.DONE]
    lost = damage_of(store, done)
    if _is_of_cache(error, store):
        outputs = [name for name, kind in done if kind == "outputs" and name not in lost]
        for name in outputs:
            _remove_damaged_records(store, name)
            lost[name] = _sentence("the cached outputs", name, error)
    for name, kind in done:
        if name in lost:
            store.discard(kind, name)
    if not lost and len(done) == len(needed):
        return False
    ledger.put_back(lost, waiting=[job.id for job in jobs])
    return True


def _is_of_cache(error: Exception, store: Store) -> bool:
    """Return True if cached teacher outputs are missing or damaged."""
    return isinstance(error, CacheMissError) or (
        isinstance(error, DamagedFileError) and store.caches in error.path.parents
    )


def _remove_damaged_records(store: Store, outputs: str) -> None:
    place = store.folder("outputs", outputs)
    for name in (CACHE, STRONG_CACHE):
        if was_written(place / name):
            remove_damage(CacheReference.read(place, name).place(store.caches))


def _sentence(kind: str, name: str, error: Exception) -> str:
    if isinstance(error, RequestError) and error.where:
        return f"{kind} {name}: {Path(error.where).name} {error.what}"
    return f"{kind} {name}: {error}"
