"""The ``webdataset`` source: tar shards whose files belong together by name."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from distillab.data.raw import RawImage, StoredBytes, regular_file
from distillab.errors import RequestError, unknown_name
from distillab.modalities.image.formats import image_extensions
from distillab.sources.labels import encode_labels
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath, source
from distillab.sources.split_names import shard_names, splits_by_name, visible_files

LABEL_ENDINGS = (".cls", ".txt")
Label = str | int


@dataclass(frozen=True)
class TarMember(StoredBytes):
    """A file in an uncompressed tar archive: its offset and length in bytes."""

    archive: Path
    start: int
    length: int

    def read(self) -> bytes:
        with self.archive.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), self.length, self.start)
        if len(data) < self.length:
            raise OSError(f"{self.archive} is truncated")
        return data


@dataclass
class _Sample:
    """The files of one name: an image, a label by file ending, and the content of its .json file."""

    image: TarMember | None = None
    labels: dict[str, Label] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


@source("webdataset")
class WebDataset(ImageSource):
    """Tar shards of images and labels, ``0001.jpg`` beside ``0001.cls``, in the layout of WebDataset.

    Shards called train-*.tar, val-*.tar and test-*.tar, or in folders of these names, are splits; without
    such names all are train. The label of an image is the content of its .cls file (else its .txt file), or a
    key of its .json file. Images stay in the shards until they are decoded; shards must not be compressed.

    A name ends at its first dot, unless an image and a label share a longer one: ``a.1.jpg`` and ``a.1.cls``.

    Attributes:
        path: One .tar file, a folder of them, or a pattern such as ``train-{000..041}.tar``.
        label: The key of the .json file that holds the label.
        image: The file ending of the image, if a sample has several.

    Example:
        >>> WebDataset(path="shards/train-{000..041}.tar", label="species").entry()["label"]
        'species'
    """

    argument: ClassVar[str | None] = "path"
    names_splits: ClassVar[bool] = True

    path: SourcePath
    label: str | None = None
    image: str | None = None

    @property
    def _image_ending(self) -> str:
        return "" if self.image is None else f".{self.image.lower().removeprefix('.')}"

    def default_name(self) -> str:
        path = self.path.resolve()
        is_split = path.suffix == ".tar" and splits_by_name(shard_names(path.stem))
        return path.parent.name if is_split else path.stem

    def read(self) -> RawSplits:
        shards, notes = self._shards()
        found = {split: self._read_shards(files) for split, files in shards.items()}
        splits = {split: self._labelled(samples, split) for split, samples in found.items()}
        labels = _as_numbers({split: [label for *_, label in samples] for split, samples in splits.items()})
        classes, encoded = encode_labels(labels, None, f"{self.path}: labels")
        raw = {
            split: RawSplit([image for _, image, _ in samples], encoded[split], [n for n, _, _ in samples])
            for split, samples in splits.items()
        }
        alone = sum(map(len, found.values())) - sum(map(len, splits.values()))
        if alone:
            notes += (f"Samples without an image, left out: {alone}.",)
        return RawSplits(classes, raw["train"], raw.get("val"), raw.get("test"), notes=notes)

    def check_paths(self) -> None:
        """Raise RequestError if there is no shard: ``path`` may be a pattern. Reads nothing."""
        self._shards()

    def _shards(self) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
        """Return the shards of each split, train first, sorted by name, and notes on those left out."""
        found = visible_files(self.path, "*.tar") if self.path.is_dir() else _expanded(self.path)
        missing = [path for path in found if not path.is_file()]
        if missing or not found:
            raise RequestError(
                "there is no .tar file here",
                where=str(missing[0] if missing else self.path),
                allowed="a .tar file, a folder of them, or a pattern such as train-{000..041}.tar",
            )
        named = self._splits_of(found)
        if len(found) == 1 or not any(named.values()):
            return {"train": found}, ()
        shards: dict[str, list[Path]] = {}
        for path, split in named.items():
            shards.setdefault(split, []).append(path)
        if "train" not in shards:
            raise RequestError(
                "there is no shard of a train split here",
                where=str(self.path),
                allowed="train-*.tar, or `splits: {train: NAME}`",
            )
        strange = ", ".join(str(path.relative_to(self.path)) for path in shards.get("", []))
        notes = (f"Shards that belong to no split, left out: {strange}.",) if strange else ()
        return {split: shards[split] for split in ("train", "val", "test") if split in shards}, notes

    def _splits_of(self, shards: list[Path]) -> dict[Path, str]:
        """Return the split that each shard belongs to by its name or its folder's; empty for none."""
        names: dict[Path, list[str]] = {path: [] for path in shards}
        if self.path.is_dir():
            for path, own in names.items():
                parts = (path.stem, *reversed(path.relative_to(self.path).parent.parts))
                own += [name for part in parts for name in shard_names(part)]
        every = list(dict.fromkeys(name for own in names.values() for name in own))
        chosen = self.split_choice.of(every, str(self.path))
        return {
            path: next((chosen[name] for name in own if name in chosen), "") for path, own in names.items()
        }

    def _read_shards(self, shards: list[Path]) -> list[tuple[str, _Sample]]:
        """Return name and files of all samples, in the order of the shards."""
        return [(f"{s.name}/{name}", sample) for s in shards for name, sample in self._read_shard(s).items()]

    def _labelled(self, samples: list[tuple[str, _Sample]], split: str) -> list[tuple[str, RawImage, Label]]:
        """Return name, image and label of every sample that has an image."""
        found: list[tuple[str, RawImage, Label]] = [
            (name, s.image, self._label(s, name)) for name, s in samples if s.image is not None
        ]
        if not found:
            raise RequestError(f"there is no image in the {split} shards", where=str(self.path))
        return found

    def _label(self, sample: _Sample, where: str) -> Label:
        if self.label is not None:
            if self.label not in sample.facts:
                raise unknown_name("label key", self.label, sorted(sample.facts), where=where)
            found = sample.facts[self.label]
            if isinstance(found, bool):
                return "true" if found else "false"  # as JSON spells them
            if isinstance(found, str | int):
                return found
            raise RequestError(f"the label {found!r} is neither a name nor a number", where=where)
        for ending in LABEL_ENDINGS:
            if ending in sample.labels:
                return sample.labels[ending]
        raise RequestError(
            "this image has no label", where=where, allowed="a .cls file beside it, or `label: key`"
        )

    def _read_shard(self, shard: Path) -> dict[str, _Sample]:
        samples: dict[str, _Sample] = {}
        try:
            with tarfile.open(regular_file(shard), "r:") as archive:
                members = [member for member in archive if member.isfile()]
                _check_end(shard, archive.offset)
                names = _sample_names([member.name for member in members])
                for member in members:
                    if member.name in names:
                        self._enter(samples, archive, member, names[member.name], shard)
        except RequestError:
            raise
        except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
            raise RequestError(
                f"cannot be read: {error}", where=str(shard), allowed="an uncompressed .tar file"
            ) from None
        return samples

    def _enter(
        self,
        samples: dict[str, _Sample],
        archive: tarfile.TarFile,
        member: tarfile.TarInfo,
        name: str,
        shard: Path,
    ) -> None:
        sample = samples.setdefault(name, _Sample())
        ending = member.name[len(name) :].lower()
        if ending == self._image_ending if self._image_ending else ending in _IMAGES:
            if sample.image is not None:
                raise RequestError(
                    f"{member.name} is the second image of its sample",
                    where=str(shard),
                    allowed="one image a sample, or `image`, the ending of the one that counts",
                )
            sample.image = TarMember(shard, member.offset_data, member.size)
        elif ending in LABEL_ENDINGS and self.label is None:
            sample.labels[ending] = _content(archive, member, shard).decode().strip()
        elif ending == ".json" and self.label is not None:
            facts = json.loads(_content(archive, member, shard))
            sample.facts = facts if isinstance(facts, dict) else {}


_IMAGES = image_extensions()
_BLOCK_BYTES = 2**20
LARGEST_LABEL = 2**16
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def _sample_names(files: list[str]) -> dict[str, str]:
    """Return the name of the sample that each file belongs to, without files that belong to none."""
    names: dict[str, str] = {}
    longer: defaultdict[str, set[str]] = defaultdict(set)  # endings by the name up to the last dot
    for path in files:
        file = path.rpartition("/")[2]
        if file.startswith(".") or "." not in file:
            continue
        names[path] = path[: len(path) - len(file)] + file.partition(".")[0]
        stem, _, ending = path.rpartition(".")
        longer[stem].add(f".{ending.lower()}")
    for path, name in names.items():
        stem = path.rpartition(".")[0]
        endings = longer[stem]
        paired = not endings.isdisjoint(_IMAGES) and not endings.isdisjoint((*LABEL_ENDINGS, ".json"))
        if stem != name and paired and longer[name].isdisjoint(_IMAGES):
            names[path] = stem
    return names


def _as_numbers(labels: dict[str, list[Label]]) -> dict[str, npt.NDArray[np.generic]]:
    """Return labels as numbers if all are whole numbers without leading zeros, else as texts."""
    every = [str(label) for some in labels.values() for label in some]
    numbers = all(_WHOLE.fullmatch(label) for label in every)
    return {
        split: np.array([int(label) if numbers else str(label) for label in some])
        for split, some in labels.items()
    }


def _expanded(path: Path) -> list[Path]:
    """Return the files of a pattern such as ``train-{000..041}.tar``, in order; without one, the file."""
    match = _RANGE.search(str(path))
    if match is None:
        return [path]
    first, last = match.groups()
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    before, after = str(path)[: match.start()], str(path)[match.end() :]
    return [each for number in numbers for each in _expanded(Path(before + number + after))]


def _check_end(shard: Path, end: int) -> None:
    """Raise tarfile.ReadError unless only zeros follow the last file of a shard.

    A truncated or damaged header silently ends the iteration over an archive.
    """
    with shard.open("rb") as file:
        file.seek(end)
        rest = file.read(_BLOCK_BYTES)
        if not rest or any(rest) or any(file.read(_BLOCK_BYTES)):
            raise tarfile.ReadError(f"truncated or damaged after byte {end:,}")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, shard: Path) -> bytes:
    """Return a label or the facts of a sample. Raises RequestError if it is far too large to be that."""
    if member.size > LARGEST_LABEL:
        raise RequestError(
            f"{member.name} has {member.size:,} bytes",
            where=str(shard),
            allowed=f"labels and facts of at most {LARGEST_LABEL:,} bytes",
        )
    file = archive.extractfile(member)
    return file.read() if file else b""
