"""The ``webdataset`` source: tar shards whose files belong together by name."""

from __future__ import annotations

import json
import os
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from distillab.data.sources.folder import SPLIT_NAMES, image_extensions
from distillab.data.sources.labels import encode_labels
from distillab.data.sources.source import (
    RawImage,
    RawSplit,
    RawSplits,
    Source,
    SourcePath,
    StoredBytes,
    source,
)
from distillab.errors import RequestError, unknown_name

_SHARD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:[-_.].*)?", re.IGNORECASE)
LABELS = (".cls", ".txt")
Label = str | int


@dataclass(frozen=True)
class TarMember(StoredBytes):
    """A file in an uncompressed tar archive: where it begins, and its length in bytes."""

    archive: Path
    start: int
    length: int

    def read(self) -> bytes:
        with self.archive.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), self.length, self.start)
        if len(data) < self.length:
            raise OSError(f"{self.archive} is cut short")
        return data


@dataclass
class _Sample:
    """The files of one name: an image, and a label."""

    image: TarMember | None = None
    label: Label | None = None
    facts: dict[str, object] = field(default_factory=dict)


@source("webdataset")
class WebDataset(Source):
    """Tar shards of images and labels, ``0001.jpg`` beside ``0001.cls``, as WebDataset has them.

    ``path`` is one .tar file, or a folder of them; those called train-*.tar, val-*.tar and test-*.tar are
    splits, and without such names all are train. The label of an image is what its .cls (or .txt) file
    holds, or ``label``, a key of its .json file. Images are left where they are and read when they are
    decoded; shards must not be compressed.
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath
    label: str | None = None

    def default_name(self) -> str:
        return self.path.resolve().stem

    def read(self) -> RawSplits:
        splits = {split: self._samples(shards) for split, shards in self._shards().items()}
        labels = {split: np.array([label for _, _, label in samples]) for split, samples in splits.items()}
        classes, encoded = encode_labels(labels, None, f"{self.path}: labels")
        raw = {
            split: RawSplit([image for _, image, _ in samples], encoded[split], [n for n, _, _ in samples])
            for split, samples in splits.items()
        }
        return RawSplits(classes, raw["train"], raw.get("val"), raw.get("test"))

    def _shards(self) -> dict[str, list[Path]]:
        """The shards of each split, train first, sorted by name."""
        found = sorted(self.path.rglob("*.tar")) if self.path.is_dir() else [self.path]
        if not found or not all(path.is_file() for path in found):
            raise RequestError(
                "there is no .tar file here", where=str(self.path), allowed="a .tar file or a folder of them"
            )
        shards: dict[str, list[Path]] = {}
        for path in found:
            match = _SHARD.fullmatch(path.stem) if len(found) > 1 else None
            shards.setdefault(SPLIT_NAMES[match[1].lower()] if match else "train", []).append(path)
        if "train" not in shards:
            raise RequestError("there is no shard of a train split here", where=str(self.path))
        return {split: shards[split] for split in ("train", "val", "test") if split in shards}

    def _samples(self, shards: list[Path]) -> list[tuple[str, RawImage, Label]]:
        """Name, image and label of every sample, in the order of the shards."""
        samples: list[tuple[str, RawImage, Label]] = []
        for shard in shards:
            for name, sample in self._read_shard(shard).items():
                where = f"{shard.name}/{name}"
                if sample.image is None:
                    continue
                label = self._label(sample, where)
                samples.append((where, sample.image, label))
        if not samples:
            raise RequestError("there is no image in these shards", where=str(shards[0]))
        return samples

    def _label(self, sample: _Sample, where: str) -> Label:
        if self.label is not None:
            if self.label not in sample.facts:
                raise unknown_name("label key", self.label, sorted(sample.facts), where=where)
            found = sample.facts[self.label]
            if isinstance(found, str | int):
                return found
            raise RequestError(f"the label {found!r} is neither a name nor a number", where=where)
        if sample.label is None:
            raise RequestError(
                "this image has no label", where=where, allowed="a .cls file beside it, or `label: key`"
            )
        return sample.label

    def _read_shard(self, shard: Path) -> dict[str, _Sample]:
        samples: dict[str, _Sample] = {}
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    self._enter(samples, archive, member, shard)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise RequestError(
                f"cannot be read: {error}", where=str(shard), allowed="an uncompressed .tar file"
            ) from None
        return samples

    def _enter(
        self, samples: dict[str, _Sample], archive: tarfile.TarFile, member: tarfile.TarInfo, shard: Path
    ) -> None:
        folder, _, file = member.name.rpartition("/")
        stem, dot, ending = file.partition(".")
        if not member.isfile() or not stem or not dot:
            return
        sample = samples.setdefault(f"{folder}/{stem}" if folder else stem, _Sample())
        ending = f".{ending.lower()}"
        if ending in _IMAGES:
            sample.image = TarMember(shard, member.offset_data, member.size)
        elif ending in LABELS and self.label is None:
            text = _content(archive, member).decode().strip()
            sample.label = int(text) if text.isdigit() else text
        elif ending == ".json" and self.label is not None:
            facts = json.loads(_content(archive, member))
            sample.facts = facts if isinstance(facts, dict) else {}


_IMAGES = image_extensions()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
