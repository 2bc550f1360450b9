"""Checking everything that the folder of a study holds; nothing is loaded, run or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from distillab.artefacts import weights_digest
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.integrity import DamagedFileError, check_folder
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.spec.study_yaml import read_study_yaml
from distillab.training.teachers.cache import check_cache

DRAFTS = "drafts"


class FileState(StrEnum):
    """What a check of stored files found."""

    SOUND = "sound"
    """They are what was written."""
    UNVERIFIED = "unverified"
    """They are there, and were written by a version without digests."""
    DAMAGED = "damaged"
    """A file is missing, or is not what was written."""


@dataclass(frozen=True)
class Finding:
    """What a check found of one artifact or file.

    Attributes:
        place: Its path below the folder of the study.
        state: Whether it is what was written.
        what: What is wrong, and the way out, in one sentence; "" if nothing is.

    Example:
        >>> Finding("store/student/8f0c", FileState.SOUND).as_dict()
        {'place': 'store/student/8f0c', 'state': 'sound', 'what': ''}
    """

    place: str
    state: FileState
    what: str = ""

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {"place": self.place, "state": str(self.state), "what": self.what}


@dataclass(frozen=True)
class FolderCheck:
    """What a check of a study found.

    Attributes:
        findings: One per artifact, cache, table or other file.

    Example:
        >>> found = FolderCheck((Finding("ledger.sqlite", FileState.SOUND),))
        >>> found.is_sound, found.count(FileState.DAMAGED)
        (True, 0)
    """

    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """True if nothing is damaged."""
        return not self.count(FileState.DAMAGED)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings have each state."""
        return {str(state): self.count(state) for state in FileState}

    def count(self, state: FileState) -> int:
        """Return how many findings have a state."""
        return sum(each.state == state for each in self.findings)

    def as_dict(self) -> JsonObject:
        """Return the JSON form, which ``distillab verify --json`` prints. Keys are added, never renamed."""
        return {**self.counts, "findings": [each.as_dict() for each in self.findings]}


def verify_study(folder: StudyFolder) -> FolderCheck:
    """Check the study file, the ledger, the store, the caches and the given networks of a study.

    Args:
        folder: The study.

    Raises:
        RequestError: The folder holds no study.

    Example:
        >>> verify_study(StudyFolder(Path("nowhere")))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here ...
    """
    if not folder.study_file.is_file() and not folder.store.root.is_dir():
        raise RequestError(
            "no study here", where=str(folder.path), allowed="a folder made by `distillab run`"
        )
    return FolderCheck(tuple(_findings(folder)))


def check(place: Path, folder: Path, verified: Callable[[], bool]) -> Finding:
    """Return the finding of one check.

    Args:
        place: What is checked.
        folder: The folder of the study.
        verified: Makes the check: returns False if there was nothing to check against, and raises
            RequestError if something is wrong.
    """
    name = place.relative_to(folder).as_posix()
    try:
        return Finding(name, FileState.SOUND if verified() else FileState.UNVERIFIED)
    except RequestError as error:
        return Finding(name, FileState.DAMAGED, str(error))


def _findings(folder: StudyFolder) -> Iterator[Finding]:
    path, store = folder.path, folder.store
    yield check(folder.study_file, path, lambda: _is_study(folder.study_file))
    done: list[tuple[str, str]] = []
    yield check(folder.ledger_file, path, lambda: _checked_ledger(folder, done))
    stored = [place for place in sorted(store.root.glob("*/*")) if _is_artifact(place, folder)]
    for place in dict.fromkeys([*(store.folder(kind, name) for name, kind in done), *stored]):
        yield check(place, path, lambda place=place: check_folder(place))  # type: ignore[misc]
    for place in sorted(store.caches.glob("*")):
        yield check(place, path, lambda place=place: check_cache(place))  # type: ignore[misc]
    for place in _given(folder.objects):
        yield check(place, path, lambda place=place: _is_named_by_content(place))  # type: ignore[misc]


def _is_artifact(place: Path, folder: StudyFolder) -> bool:
    kind = place.parent.name
    return place.is_dir() and kind not in (DRAFTS, folder.store.caches.name)


def _given(objects: Path) -> Iterable[Path]:
    return sorted(objects.glob("*.safetensors")) if objects.is_dir() else ()


def _is_study(file: Path) -> bool:
    if not isinstance(read_study_yaml(file), dict):
        raise RequestError("this is no study", where=str(file), allowed="the file that `distillab run` wrote")
    return True


def _checked_ledger(folder: StudyFolder, done: list[tuple[str, str]]) -> bool:
    """Check the ledger, and add the jobs that it says are done."""
    if not folder.ledger_file.is_file():
        raise RequestError(
            "is missing", where=str(folder.ledger_file), allowed=f"`distillab repair {folder.path}`"
        )
    with folder.ledger() as ledger:
        verified = ledger.check()
        done += ledger.of_state(JobState.DONE)
        data = ledger.meta("dataset")
    if data is not None:
        done.append((data, "data"))
    return verified


def _is_named_by_content(file: Path) -> bool:
    if weights_digest(file) != file.stem:
        raise DamagedFileError(file, "is damaged: its name is not the digest of its content")
    return True
