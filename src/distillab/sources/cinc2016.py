"""The ``cinc2016`` source: heart sounds of the PhysioNet/CinC Challenge 2016, with the site of each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.sources.audio import AudioSource
from distillab.sources.delimited import read_lines
from distillab.sources.grouping import encode_groups
from distillab.sources.source import RawSplit, RawSplits, SourcePath, source

_CLASSES = ("normal", "abnormal")
_CODES = {"-1": 0, "1": 1}
_TABLE = "REFERENCE.csv"
_SUFFIXES = (".wav", ".flac")
_VALIDATION = "validation"


@dataclass(frozen=True)
class _Record:
    """A line of a table.

    Attributes:
        name: Name of the record, such as ``a0001``.
        label: 0 (normal) or 1 (abnormal).
        place: The table and the line.
    """

    name: str
    label: int
    place: str


@source("cinc2016")
class Cinc2016(AudioSource):
    """PhysioNet/CinC Challenge 2016: heart sounds, normal and abnormal (needs distillab[audio]).

    ``path`` holds the folders ``training-a`` to ``training-f`` of the challenge, or some of them. Each has
    its recordings (``a0001.wav``, or FLAC) and a table ``REFERENCE.csv`` without a header, whose lines are
    ``a0001,1`` (abnormal) or ``a0001,-1`` (normal). The folder is the group of its records: databases come
    from different sites and instruments. The folder ``validation``, whose records are also in training, is
    left out and counted, and so are recordings that no table lists.

    The data set is described in Liu et al., Physiological Measurement 37, 2016. The keys of audio are those
    of :class:`~distillab.sources.audio.AudioSource`.

    Attributes:
        path: The folder that holds the folders ``training-*``.

    Example:
        >>> heart = Cinc2016(path="heart", segments=2, seconds=2.5, vote=True, features="mfcc")
        >>> heart.modality, heart.joins_parts, heart.default_name()
        ('audio', True, 'cinc2016')
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath

    def read(self) -> RawSplits:
        records = {folder: _records(folder / _TABLE) for folder in self._folders()}
        listed = _listed_once(records)
        folders = [folder for folder, of in records.items() for _ in of]
        files = [_file(each, folder) for folder, of in records.items() for each in of]
        labels = np.array([each.label for of in records.values() for each in of], dtype=np.int64)
        if len(set(labels.tolist())) < len(_CLASSES):
            raise RequestError(
                f"all records are {_CLASSES[int(labels[0])]}", where=str(self.path), allowed="records of both"
            )
        sites = {"train": [folder.name for folder in folders]}
        group_names, groups = encode_groups(sites, str(self.path))
        names = [path.relative_to(self.path).as_posix() for path in files]
        split = RawSplit(files, Labels(labels, len(_CLASSES)), names, groups["train"])
        notes = self._validation_notes(listed) + _unlisted_notes(records)
        return self.prepared(RawSplits(_CLASSES, split, group_names=group_names, notes=notes))

    def _folders(self) -> list[Path]:
        """Return the folders of training, sorted."""
        if not self.path.is_dir():
            raise RequestError("there is no such folder", where=str(self.path))
        folders = sorted(each for each in self.path.glob("training-*") if each.is_dir())
        if not folders:
            raise RequestError(
                "no folder of training", where=str(self.path), allowed="training-a to training-f, or some"
            )
        return folders

    def _validation_notes(self, listed: Mapping[str, str]) -> tuple[str, ...]:
        """Return the sentence on the folder of validation; none if there is none."""
        folder = self.path / _VALIDATION
        if not folder.is_dir():
            return ()
        names = _recordings(folder)
        repeated = sum(name in listed for name in names)
        return (
            f"Recordings of the folder {_VALIDATION}, left out: {len(names):,}, of which {repeated:,} have "
            "the name of a record of training.",
        )


def _records(table: Path) -> list[_Record]:
    """Return the records that a table lists. Raises RequestError for a line that is none."""
    records = []
    for number, cells in enumerate(csv.reader(read_lines(table)), start=1):
        if not any(cells):
            continue
        place = f"{table}, line {number}"
        name, code = [cell.strip() for cell in cells] if len(cells) == 2 else ("", "")
        if not name:
            raise RequestError(
                f"{','.join(cells)!r} is not a record and its label", where=place, allowed="such as a0001,-1"
            )
        if code not in _CODES:
            raise RequestError(
                f"the label of {name!r} is {code!r}", where=place, allowed="1 (abnormal) or -1 (normal)"
            )
        records.append(_Record(name, _CODES[code], place))
    if not records:
        raise RequestError("no record is listed", where=str(table), allowed="lines such as a0001,-1")
    return records


def _listed_once(records: Mapping[Path, Sequence[_Record]]) -> dict[str, str]:
    """Return where each record is listed. Raises RequestError for one that is listed twice."""
    places: dict[str, str] = {}
    for each in (record for of in records.values() for record in of):
        if each.name in places:
            raise RequestError(
                f"record {each.name!r} is listed twice, first in {places[each.name]}", where=each.place
            )
        places[each.name] = each.place
    return places


def _file(record: _Record, folder: Path) -> Path:
    """Return the file of a record. Raises RequestError if there is none."""
    for suffix in _SUFFIXES:
        path = folder / f"{record.name}{suffix}"
        if path.is_file():
            return path
    raise RequestError(
        f"there is no file of record {record.name!r}",
        where=record.place,
        allowed=" or ".join(f"{record.name}{suffix}" for suffix in _SUFFIXES),
    )


def _recordings(folder: Path) -> set[str]:
    """Return the names of the recordings in a folder, without their endings."""
    return {
        each.stem
        for each in folder.iterdir()
        if each.suffix.lower() in _SUFFIXES and not each.name.startswith(".")
    }


def _unlisted_notes(records: Mapping[Path, Sequence[_Record]]) -> tuple[str, ...]:
    """Return the sentence on recordings of training that no table lists; none if there are none."""
    count = sum(len(_recordings(folder) - {each.name for each in of}) for folder, of in records.items())
    return (f"Recordings that no {_TABLE} lists, left out: {count:,}.",) if count else ()
