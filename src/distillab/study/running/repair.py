"""A ledger made anew from the store, when the one of a study is damaged, gone or of an unknown version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from distillab.artefacts import OutputsRecord, RunRecord
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.integrity import DamagedFileError, check_folder, read_checked_json
from distillab.printable import counted
from distillab.study.folder import FACTS, PLAN, StudyFolder
from distillab.study.job import Kind
from distillab.study.ledger import JobState
from distillab.study.loading import LoadProgress
from distillab.study.planning.facts import PlanFacts
from distillab.study.store import Store


@dataclass(frozen=True)
class Repaired:
    """What a repair did.

    Attributes:
        kept: The file that was the ledger, under its new name; None if there was none.
        jobs: Number of jobs of the study.
        done: How many of them the store holds.
        damaged: What was damaged in the store and removed, one sentence each.

    Example:
        >>> Repaired(None, jobs=8, done=7, damaged=()).done
        7
    """

    kept: Path | None
    jobs: int
    done: int
    damaged: tuple[str, ...]


def repair_study(folder: StudyFolder, device: torch.device, on_load: LoadProgress | None = None) -> Repaired:
    """Plan a study again from its ``study.yaml``, and enter the artifacts of its store as done.

    The plan is the same as before: the numerics that were chosen for it are in the store. The data are those
    of the store as well, if they are sound. What is damaged is removed; `run` makes it again.

    Args:
        folder: The study.
        device: Where networks will be trained, for folders of versions that did not store their numerics.
        on_load: Called with (stage, done, total) while data are read.

    Raises:
        RequestError: There is no study file, workers are running, or the data are damaged and gone.

    Example:
        >>> repair_study(StudyFolder(Path("nowhere")), torch.device("cpu"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere/study.yaml: cannot read the study file ...
    """
    spec = folder.spec
    _require_idle(folder)
    facts = _stored_facts(folder.store, spec.identity)
    data = _stored_data(folder.store, facts.dataset if facts else None)
    kept = _set_aside(folder.ledger_file)
    StudyFolder.begin(folder.path, spec, device, on_load, dataset=data, facts=facts)
    damaged = []
    with folder.ledger() as ledger:
        jobs = ledger.of_state(JobState.QUEUED) + ledger.of_state(JobState.HELD)
        for name, kind in jobs:
            if not folder.store.has(kind, name):
                continue
            try:
                check_folder(folder.store.folder(kind, name))
                ledger.done(name, _seconds(folder.store, kind, name))
            except DamagedFileError as error:
                damaged.append(f"{kind} {name}: {error.path.name} {error.what}")
                folder.store.discard(kind, name)
        return Repaired(kept, len(jobs), len(ledger.of_state(JobState.DONE)), tuple(damaged))


def _require_idle(folder: StudyFolder) -> None:
    """Raise RequestError if workers are running the study, as far as its ledger can be read."""
    if not folder.ledger_file.is_file():
        return
    try:
        with folder.ledger() as ledger:
            workers = ledger.workers()
    except RequestError:
        return  # the reason for the repair
    if workers:
        raise RequestError(
            f"{counted(workers, 'worker')} of this study are running",
            where=str(folder.path),
            allowed="wait until they have ended",
        )


def _stored_facts(store: Store, identity: str) -> PlanFacts | None:
    """Return what the store keeps of the plan; None in folders of earlier versions, or if it is damaged."""
    try:
        return PlanFacts.from_dict(read_checked_json(store.folder(PLAN, identity) / FACTS))
    except DamagedFileError:
        return None


def _stored_data(store: Store, digest: str | None) -> Dataset | None:
    """Return the data in the store; None if they are not sound, so that they have to be read again."""
    for place in sorted((store.root / "data").glob("*")):
        try:
            check_folder(place)
            dataset = Dataset.open(place)
        except DamagedFileError:
            continue
        if dataset.digest == place.name and digest in (None, place.name):
            return dataset
    return None


def _set_aside(ledger: Path) -> Path | None:
    """Rename a ledger and its log; return the new name of the ledger, or None if there is none."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("-wal", "-shm"):
        log = ledger.with_name(ledger.name + suffix)
        if log.exists():
            log.rename(log.with_name(f"{log.name}.damaged-{stamp}"))
    if not ledger.exists():
        return None
    return ledger.rename(ledger.with_name(f"{ledger.name}.damaged-{stamp}"))


def _seconds(store: Store, kind: Kind, name: str) -> float:
    place = store.folder(kind, name)
    record = OutputsRecord.read(place) if kind == "outputs" else RunRecord.read(place)
    return record.seconds
