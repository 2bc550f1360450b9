"""The cache of one teacher's outputs, addressed by everything that can change them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.artefacts import CACHE, write_atomically
from distillab.canonical import JsonObject, canonical_json, spec_id
from distillab.data.examples import Examples
from distillab.integrity import DamagedFileError, read_regular, reading
from distillab.modalities.views import Views
from distillab.models.outputs import Outputs
from distillab.training.teachers.cache.format import CacheFormat
from distillab.training.teachers.cache.reading import CachedOutputs, CacheMissError
from distillab.training.teachers.cache.records import RecordFiles
from distillab.training.teachers.cache.views import KeyedViews, TrainingViews, find_keys

__all__ = ["CacheMissError", "FillResult", "TeacherCache"]

ComputeOutputs = Callable[[Tensor], Outputs]

ROWS_PER_SHARD = 8192  # pool rows that share a lock: workers that fill one cache work on different shards
MOST_SHARDS = 16
# Records are written in portions: seldom enough to cost nothing, often enough to lose little.
RECORDS_PER_WRITE = 1024


@dataclass(frozen=True)
class FillResult:
    """What filling a cache did.

    Attributes:
        queries: Views that were wanted, each counted once.
        forwards: Views that went through the teacher.
        bytes: Bytes of the cache on disk.

    Example:
        >>> FillResult(queries=160, forwards=100, bytes=4480).forwards
        100
    """

    queries: int
    forwards: int
    bytes: int


def check_cache(folder: Path) -> bool:
    """Check all records of a cache. Return False if some were written without digests.

    Raises:
        DamagedFileError: A file is missing or damaged.

    Example:
        >>> check_cache(Path("nowhere"))
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: nowhere/cache.json: is missing ...
    """
    verified = [shard.check_all() for shard in _stored_shards(folder)]
    return all(verified)


def remove_damage(folder: Path) -> None:
    """Remove what is damaged in a cache, for it to be computed again: the shards with damaged records.

    If its ``cache.json`` is, the cache cannot be read at all and is removed as a whole.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "8f0c"
        >>> folder.mkdir()
        >>> remove_damage(folder)
        >>> folder.exists()
        False
    """
    try:
        shards = _stored_shards(folder)
    except DamagedFileError:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for shard in shards:
        with shard.locked(wait=True):
            try:
                shard.check_all()
            except DamagedFileError:
                shard.remove()


def _stored_shards(folder: Path) -> list[RecordFiles]:
    """Return the shards in the folder of a cache."""
    file = folder / CACHE
    with reading(file):
        identity = json.loads(read_regular(file))
        stored = CacheFormat.from_dict(identity["kept"])
        if spec_id(identity) != folder.name:
            raise DamagedFileError(file, "holds other facts than those of this teacher")
    return [RecordFiles(folder, _shard_name(number), stored.arrays) for number in range(MOST_SHARDS)]


def _shard_name(number: int) -> str:
    return f"{number:02d}"


class TeacherCache:
    """The outputs of one teacher by example and view, in a folder named by the content address of ``facts``.

    An example is identified by its row in the pool, so every subset of a dataset reads the same records. A
    view is identified by its number where the views are finite (162 for crops by 4 pixels and flips: exact,
    whatever epoch or seed draws it). Where they are not, it is identified by what it is drawn from: the id of
    the example, which a copy of it does not share, and the epoch (the seed is in ``facts``).

    Args:
        root: The folder of all caches of a study.
        facts: All that decides the outputs (hash of the weights, model, pixels, normalization, views,
            numerics); plain JSON values.
        stored: Which outputs are stored.
        rows: Items in the pool.

    Raises:
        DamagedFileError: The folder holds other facts than its name stands for.

    Example:
        >>> import tempfile
        >>> from distillab.models import OutputShapes
        >>> from distillab.training.recipe import Recipe
        >>> from distillab.training.teachers.cache import CacheFormat
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> views, cpu = Recipe(views="flip").resolve(images).view_spec, torch.device("cpu")
        >>> stored = CacheFormat.of({"logits"}, OutputShapes(2))
        >>> cache = TeacherCache(Path(tempfile.mkdtemp()), {"weights": "8f0c"}, stored, rows=8)
        >>> def compute(pixels: torch.Tensor) -> Outputs:
        ...     return Outputs(torch.ones(len(pixels), 2))
        >>> filled = cache.fill(images, views, 0, 3, compute, batch=4, device=cpu)
        >>> filled.queries == filled.forwards <= 16
        True
        >>> cache.fill(images, views, 0, 3, compute, batch=4, device=cpu).forwards
        0
    """

    def __init__(self, root: Path, facts: JsonObject, stored: CacheFormat, rows: int) -> None:
        identity = {**facts, "kept": stored.as_dict()}
        self.stored = stored
        self.folder = root / self.name_of(facts, stored)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_identity(canonical_json(identity))
        shards = min(MOST_SHARDS, max(1, rows // ROWS_PER_SHARD))
        self._shards = [
            RecordFiles(self.folder, _shard_name(number), stored.arrays) for number in range(shards)
        ]

    @staticmethod
    def name_of(facts: JsonObject, stored: CacheFormat) -> str:
        """Return the name of the folder of a cache: the content address of its facts."""
        return spec_id({**facts, "kept": stored.as_dict()})

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(shard.bytes for shard in self._shards)

    def fill(
        self,
        images: Examples,
        views: Views,
        view_seed: int,
        epochs: int,
        compute: ComputeOutputs,
        *,
        batch: int,
        device: torch.device,
    ) -> FillResult:
        """Compute and store the outputs that are missing.

        No view is computed twice, even if several workers fill the cache at the same time: a shard that
        another worker is filling is left for the end, and waited for.

        Args:
            images: The training set.
            views: The augmentation.
            view_seed: Seed of the augmentation.
            epochs: Number of epochs of training.
            compute: Returns the outputs for a batch of rendered views (in the dtype of the pool, on
                ``device``). It always gets exactly ``batch`` of them, the last batch being filled up, so that
                the numbers do not depend on what is missing.
            batch: Views per batch.
            device: Where views are rendered.

        Raises:
            OSError: The disk is full. What was stored stays.
        """
        wanted = TrainingViews(images, views, view_seed, epochs)
        numbers = range(len(self._shards))
        done = {n: self._fill_shard(n, wanted, compute, batch, device, wait=False) for n in numbers}
        for busy in [number for number, counts in done.items() if counts is None]:
            done[busy] = self._fill_shard(busy, wanted, compute, batch, device, wait=True)
        queries, forwards = np.sum([counts for counts in done.values() if counts], axis=0)
        return FillResult(int(queries), int(forwards), self.bytes)

    def read(self, images: Examples, views: Views, view_seed: int) -> CachedOutputs:
        """Return what is stored now for a training set, under views drawn with ``view_seed``."""
        return CachedOutputs(self._shards, self.stored, images, views, view_seed)

    def _check_identity(self, identity: str) -> None:
        file = self.folder / CACHE
        if not file.exists():
            with write_atomically(file) as draft:
                draft.write_text(identity)
        with reading(file):
            held = json.loads(read_regular(file))
        if held != json.loads(identity):
            raise DamagedFileError(file, "holds other facts than those of this teacher")

    def _fill_shard(
        self,
        number: int,
        wanted: TrainingViews,
        compute: ComputeOutputs,
        batch: int,
        device: torch.device,
        *,
        wait: bool,
    ) -> tuple[int, int] | None:
        """Queries and forward passes of a shard, or None if another worker holds it."""
        shard = self._shards[number]
        with shard.locked(wait=wait) as acquired:
            if not acquired:
                return None
            known = np.sort(shard.keys())
            before, queries = len(known), np.empty(0, np.int64)
            for views in wanted.of_shard(number, len(self._shards)):
                queries = np.union1d(queries, views.keys)
                missing = views.at(find_keys(known, views.keys) < 0)
                for start in range(0, len(missing), RECORDS_PER_WRITE):
                    portion = missing.at(slice(start, start + RECORDS_PER_WRITE))
                    shard.append(portion.keys, self._arrays(portion, wanted, compute, batch, device))
                known = np.union1d(known, missing.keys)
            return len(queries), len(known) - before

    def _arrays(
        self,
        views: KeyedViews,
        wanted: TrainingViews,
        compute: ComputeOutputs,
        batch: int,
        device: torch.device,
    ) -> dict[str, npt.NDArray[Any]]:
        """The encoded outputs for some views."""
        parts: list[dict[str, npt.NDArray[Any]]] = []
        for start in range(0, len(views), batch):
            some = np.arange(start, min(start + batch, len(views)))
            filled_up = np.concatenate([some, np.repeat(some[:1], batch - len(some))])
            arrays = self.stored.encode(compute(wanted.render(views.at(filled_up), device)))
            parts.append({name: array[: len(some)] for name, array in arrays.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.stored.arrays}
