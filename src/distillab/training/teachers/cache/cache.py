"""The cache of one teacher's outputs, addressed by everything that can change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.artefacts import CACHE, write_atomically
from distillab.canonical import canonical_json, spec_id
from distillab.data.examples import Examples, Indices
from distillab.data.randomness import random_bits
from distillab.modalities.views import Views
from distillab.models.outputs import Outputs
from distillab.training.teachers.cache.parts import Kept
from distillab.training.teachers.cache.records import Keys, Records

Ask = Callable[[Tensor], Outputs]

# Pool rows that share a lock: workers that fill the same cache work on different shards of it.
ROWS_A_SHARD = 8192
MOST_SHARDS = 16
# Records are written when so many are there: seldom enough to cost nothing, often enough to lose little.
RECORDS_A_WRITE = 1024
# Views looked for at a time.
KEYS_AT_ONCE = 2**18
ROW_BITS = 40
# Far from ids, rows and epochs: a draw of a number by the same number says nothing of it.
OF_IDS, OF_ROWS = (0x7669657773206F66,), (0x726F777320686572,)


class CacheMissError(LookupError):
    """A view that was to be stored is not."""


@dataclass(frozen=True)
class Filled:
    """What a filling did: views asked for (each once), those computed now, and the bytes of the cache."""

    asked: int
    computed: int
    bytes: int


class TeacherCache:
    """Outputs of one teacher by (image, view), in a folder named after the content address of ``facts``.

    An image is known by its row in the pool of pixels, so every subset of a dataset reads the same records.
    A view is known by its number where the views are finite (162 for crops by 4 pixels and flips: exact,
    whatever epoch or seed draws it), and where they are not by what it is drawn from: the image's id, which a
    copy of it does not share, and the epoch (the seed is in ``facts``).

    Args:
        root: folder of all caches of a study.
        facts: what decides the outputs (hash of the weights, model, pixels, normalisation, views,
            arithmetic); plain JSON values.
        kept: which outputs.
        rows: images in the pool.

    Raises:
        RuntimeError: the folder states other facts than its name stands for.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any], kept: Kept, rows: int) -> None:
        stated = {**facts, "kept": kept.as_dict()}
        self.kept = kept
        self.folder = root / spec_id(stated)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state(canonical_json(stated))
        shards = min(MOST_SHARDS, max(1, rows // ROWS_A_SHARD))
        self.shards = [Records(self.folder, f"{number:02d}", kept.parts) for number in range(shards)]

    def _state(self, stated: str) -> None:
        file = self.folder / CACHE
        if not file.exists():
            with write_atomically(file) as draft:
                draft.write_text(stated)
        if json.loads(file.read_text()) != json.loads(stated):
            raise RuntimeError(f"{file} states other facts than those of the teacher that is asked")

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(shard.bytes for shard in self.shards)

    # -- filling --------------------------------------------------------------------------------------------

    def fill(
        self,
        images: Examples,
        views: Views,
        view_seed: int,
        epochs: int,
        ask: Ask,
        *,
        batch: int,
        device: torch.device,
    ) -> Filled:
        """See to it that the views of ``epochs`` epochs of ``images`` are stored, asking the teacher for
        those that are missing. No view is computed twice, whoever fills at the same time: a shard that
        another worker is filling is left for the end, and waited for.

        ``ask`` gives outputs for a batch of rendered views (uint8, on ``device``). It always gets exactly
        ``batch`` of them, the last ones filled up, so that the numbers do not depend on what is missing.

        Raises:
            OSError: the disk is full. What was stored is kept.
        """
        wanted = _Wanted(images, views, view_seed, epochs)
        numbers = range(len(self.shards))
        done = {n: self._fill_shard(n, wanted, ask, batch, device, wait=False) for n in numbers}
        for busy in [number for number, counts in done.items() if counts is None]:
            done[busy] = self._fill_shard(busy, wanted, ask, batch, device, wait=True)
        asked, computed = np.sum([counts for counts in done.values() if counts], axis=0)
        return Filled(int(asked), int(computed), self.bytes)

    def _fill_shard(
        self, number: int, wanted: _Wanted, ask: Ask, batch: int, device: torch.device, *, wait: bool
    ) -> tuple[int, int] | None:
        """Views asked for and computed in a shard, or None if another worker holds it."""
        shard = self.shards[number]
        with shard.locked(wait=wait) as mine:
            if not mine:
                return None
            known = np.sort(shard.keys())
            before, asked = len(known), np.empty(0, np.int64)
            for views in wanted.views(number, len(self.shards)):
                asked = np.union1d(asked, views.keys)
                missing = views.at(_places(known, views.keys) < 0)
                for start in range(0, len(missing), RECORDS_A_WRITE):
                    chunk = missing.at(slice(start, start + RECORDS_A_WRITE))
                    shard.append(chunk.keys, self._computed(chunk, wanted, ask, batch, device))
                known = np.union1d(known, missing.keys)
            return len(asked), len(known) - before

    def _computed(
        self, views: _Met, wanted: _Wanted, ask: Ask, batch: int, device: torch.device
    ) -> dict[str, npt.NDArray[Any]]:
        parts: list[dict[str, npt.NDArray[Any]]] = []
        for start in range(0, len(views), batch):
            some = np.arange(start, min(start + batch, len(views)))
            filled_up = np.concatenate([some, np.repeat(some[:1], batch - len(some))])
            arrays = self.kept.encode(ask(wanted.rendered(views.at(filled_up), device)))
            parts.append({name: array[: len(some)] for name, array in arrays.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.kept.parts}

    # -- reading --------------------------------------------------------------------------------------------

    def read(self, images: Examples, views: Views, view_seed: int) -> Stored:
        """What is stored now, for ``images`` under views drawn with ``view_seed``."""
        return Stored(self, images, views, view_seed)


class Stored:
    """Stored outputs, looked up by the positions of an image set and the epoch. Rows are memory-mapped."""

    def __init__(self, cache: TeacherCache, images: Examples, views: Views, view_seed: int) -> None:
        self.kept, self.images = cache.kept, images
        self._views, self._seed = views, view_seed
        keys = [shard.keys() for shard in cache.shards]
        together = np.concatenate(keys)
        order = np.argsort(together, kind="stable")
        self._keys = together[order]
        self._shard = np.repeat(np.arange(len(keys)), [len(each) for each in keys])[order]
        self._record = np.concatenate([np.arange(len(each)) for each in keys])[order]
        held = {number: len(each) for number, each in enumerate(keys) if len(each)}
        self._rows = {
            name: {number: cache.shards[number].rows(name, count) for number, count in held.items()}
            for name in cache.kept.parts
        }

    def __call__(self, positions: Indices, epoch: int, device: torch.device) -> Outputs:
        """Outputs for the images at ``positions``, float32, in that order. Raises CacheMissError."""
        wanted, _ = _known_by(self._views, self.images, positions, epoch, self._seed)
        places = _places(self._keys, wanted)
        if (places < 0).any():
            raise CacheMissError(f"{int((places < 0).sum())} of {len(wanted)} views are not stored")
        shards, records = self._shard[places], self._record[places]
        arrays = {}
        for name, part in self.kept.parts.items():
            rows = np.empty((len(wanted), part.width), part.dtype)
            for number in np.unique(shards):
                here = shards == number
                rows[here] = self._rows[name][number][records[here]]
            arrays[name] = rows
        return self.kept.decode(arrays, device)


@dataclass(frozen=True)
class _Met:
    """Views that students will meet, a ``key`` once: int64 ``[N]`` each. ``numbers`` are those of the views,
    or else their epochs."""

    keys: Keys
    positions: Indices
    numbers: Indices

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, which: slice | npt.NDArray[Any]) -> _Met:
        """Some of them."""
        return _Met(self.keys[which], self.positions[which], self.numbers[which])


class _Wanted:
    """The views of some epochs of a training set, and how to render them."""

    def __init__(self, images: Examples, views: Views, seed: int, epochs: int) -> None:
        self.images, self._views, self.seed, self.epochs = images, views, seed, epochs

    def views(self, shard: int, shards: int) -> Iterator[_Met]:
        """Those of a shard by their keys, some epochs at a time."""
        positions = np.flatnonzero(self.images.rows % shards == shard)
        if not len(positions):
            return
        at_once = max(1, KEYS_AT_ONCE // len(positions))
        for first in range(0, self.epochs, at_once):
            epochs = range(first, min(first + at_once, self.epochs))
            known = [_known_by(self._views, self.images, positions, epoch, self.seed) for epoch in epochs]
            numbers = np.concatenate([number for _, number in known])
            keys, places = np.unique(np.concatenate([key for key, _ in known]), return_index=True)
            yield _Met(keys, positions[places % len(positions)], numbers[places])

    def rendered(self, met: _Met, device: torch.device) -> Tensor:
        """Views, uint8 ``[N, C, H, W]``."""
        if self._views.count is not None:
            pixels = torch.from_numpy(self.images.items(met.positions)).to(device)
            return self._views.render(pixels, self._views.at(met.numbers))
        epochs, of_epoch = np.unique(met.numbers, return_inverse=True)
        parts = [
            self._views.batch(self.images, met.positions[of_epoch == place], int(epoch), self.seed, device)
            for place, epoch in enumerate(epochs)
        ]
        in_order = np.argsort(np.argsort(of_epoch, kind="stable"), kind="stable")
        return torch.cat([part.items for part in parts])[torch.from_numpy(in_order).to(device)]


def _known_by(
    views: Views, images: Examples, positions: Indices, epoch: int, seed: int
) -> tuple[Keys, Indices]:
    """What the views that images have in an epoch are known by, and their numbers, or else the epoch: int64
    ``[N]`` each."""
    ids, rows = images.ids[positions], images.rows[positions]
    if views.count is not None:
        numbers = views.index(views.draw(ids, epoch, seed))
        return (numbers << ROW_BITS) | rows, numbers
    # 63 bits of a hash: among ten million views, two would meet once in some two hundred thousand studies.
    scattered = (random_bits(ids, *OF_IDS, epoch) ^ random_bits(rows, *OF_ROWS, epoch)) >> np.uint64(1)
    return scattered.astype(np.int64), np.full(len(ids), epoch, np.int64)


def _places(ordered: Keys, keys: Keys) -> Indices:
    """Where each key stands among ordered ones, int64 ``[n]``; -1 for those that do not."""
    places = np.searchsorted(ordered, keys)
    found = places < len(ordered)
    found[found] = ordered[places[found]] == keys[found]
    return np.where(found, places, -1)
