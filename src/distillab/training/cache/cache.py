"""The cache of one teacher's outputs, addressed by everything that can change them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.canonical import canonical_json, spec_id
from distillab.data.imageset import ImageSet, Indices
from distillab.data.views import Views
from distillab.models.outputs import Outputs
from distillab.training.cache.parts import Kept
from distillab.training.cache.records import Keys, Records

Ask = Callable[[Tensor], Outputs]

# Pool rows that share a lock: workers that fill the same cache work on different shards of it.
ROWS_A_SHARD = 8192
MOST_SHARDS = 16
# Records are written when so many are there: seldom enough to cost nothing, often enough to lose little.
RECORDS_A_WRITE = 1024
# Views looked for at a time.
KEYS_AT_ONCE = 2**18
ROW_BITS = 40


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
    whatever epoch or seed draws it), and by its epoch where they are not (then the seed is in ``facts``).

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
        file = self.folder / "cache.json"
        if not file.exists():
            draft = self.folder / f".{os.getpid()}.json"
            draft.write_text(stated)
            draft.replace(file)
        if json.loads(file.read_text()) != json.loads(stated):
            raise RuntimeError(f"{file} states other facts than those of the teacher that is asked")

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(shard.bytes for shard in self.shards)

    # -- filling --------------------------------------------------------------------------------------------

    def fill(
        self,
        images: ImageSet,
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
            for keys in wanted.keys(number, len(self.shards)):
                asked = np.union1d(asked, keys)
                missing = keys[_places(known, keys) < 0]
                for start in range(0, len(missing), RECORDS_A_WRITE):
                    chunk = missing[start : start + RECORDS_A_WRITE]
                    shard.append(chunk, self._computed(chunk, wanted, ask, batch, device))
                known = np.union1d(known, missing)
            return len(asked), len(known) - before

    def _computed(
        self, keys: Keys, wanted: _Wanted, ask: Ask, batch: int, device: torch.device
    ) -> dict[str, npt.NDArray[Any]]:
        parts: list[dict[str, npt.NDArray[Any]]] = []
        for start in range(0, len(keys), batch):
            some = keys[start : start + batch]
            filled_up = np.concatenate([some, np.repeat(some[:1], batch - len(some))])
            arrays = self.kept.encode(ask(wanted.rendered(filled_up, device)))
            parts.append({name: array[: len(some)] for name, array in arrays.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in self.kept.parts}

    # -- reading --------------------------------------------------------------------------------------------

    def read(self, images: ImageSet, views: Views, view_seed: int) -> Stored:
        """What is stored now, for ``images`` under views drawn with ``view_seed``."""
        return Stored(self, images, views, view_seed)


class Stored:
    """Stored outputs, looked up by the positions of an image set and the epoch. Rows are memory-mapped."""

    def __init__(self, cache: TeacherCache, images: ImageSet, views: Views, view_seed: int) -> None:
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
        slots = slots_of(self._views, self.images.ids[positions], epoch, self._seed)
        wanted = _key(slots, self.images.rows[positions])
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


def slots_of(views: Views, ids: Indices, epoch: int, seed: int) -> Indices:
    """What tells the views of an image apart, int64 ``[N]``: the number of the view, or else the epoch."""
    if views.count is None:
        return np.full(len(ids), epoch, np.int64)
    return views.index(views.draw(ids, epoch, seed))


class _Wanted:
    """The views that students will meet: keys of (slot, row), and how to render them."""

    def __init__(self, images: ImageSet, views: Views, seed: int, epochs: int) -> None:
        self.images, self.views, self.seed, self.epochs = images, views, seed, epochs
        self._by_row = np.argsort(images.rows, kind="stable")
        self._sorted_rows = images.rows[self._by_row]

    def keys(self, shard: int, shards: int) -> Iterator[Keys]:
        """Sorted keys of a shard, a few epochs at a time."""
        positions = np.flatnonzero(self.images.rows % shards == shard)
        if not len(positions):
            return
        ids, rows = self.images.ids[positions], self.images.rows[positions]
        # Where views have numbers a batch may mix epochs; where not, each epoch is rendered by itself.
        at_once = max(1, KEYS_AT_ONCE // len(positions)) if self.views.count is not None else 1
        for first in range(0, self.epochs, at_once):
            epochs = range(first, min(first + at_once, self.epochs))
            yield np.unique([_key(slots_of(self.views, ids, epoch, self.seed), rows) for epoch in epochs])

    def rendered(self, keys: Keys, device: torch.device) -> Tensor:
        """The views of keys, uint8 ``[N, C, H, W]``."""
        rows, slots = keys & ((1 << ROW_BITS) - 1), keys >> ROW_BITS
        positions = self._by_row[np.searchsorted(self._sorted_rows, rows)]
        if self.views.count is None:
            return self.views.batch(self.images, positions, int(slots[0]), self.seed, device).pixels
        pixels = torch.from_numpy(self.images.pixels(positions)).to(device)
        return self.views.render(pixels, self.views.at(slots))


def _key(slots: Indices, rows: Indices) -> Keys:
    return (slots << ROW_BITS) | rows


def _places(ordered: Keys, keys: Keys) -> Indices:
    """Where each key stands among ordered ones, int64 ``[n]``; -1 for those that do not."""
    places = np.searchsorted(ordered, keys)
    found = places < len(ordered)
    found[found] = ordered[places[found]] == keys[found]
    return np.where(found, places, -1)
