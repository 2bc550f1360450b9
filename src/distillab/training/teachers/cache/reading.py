"""Reading cached teacher outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from distillab.data.examples import Examples, Indices
from distillab.modalities.views import Views
from distillab.models.outputs import Outputs
from distillab.training.teachers.cache.format import Arrays, CacheFormat
from distillab.training.teachers.cache.records import Keys, RecordFiles
from distillab.training.teachers.cache.views import find_keys, view_keys


class CacheMissError(LookupError):
    """The outputs for a view are not stored.

    Example:
        >>> raise CacheMissError("4 of 8 views are not stored")
        Traceback (most recent call last):
        distillab.training.teachers.cache.reading.CacheMissError: 4 of 8 views are not stored
    """


class CachedOutputs:
    """The stored outputs for a training set, looked up by position and epoch. Rows are memory-mapped.

    Args:
        shards: The files of the cache.
        stored: Which outputs they hold.
        images: The training set.
        views: The augmentation.
        view_seed: Seed of the augmentation.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from distillab.models import OutputShapes
        >>> from distillab.training.recipe import Recipe
        >>> from distillab.training.teachers.cache import CacheFormat, TeacherCache
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> views, cpu = Recipe(views="flip").resolve(images).view_spec, torch.device("cpu")
        >>> stored = CacheFormat.of({"logits"}, OutputShapes(2))
        >>> cache = TeacherCache(Path(tempfile.mkdtemp()), {"weights": "8f0c"}, stored, rows=8)
        >>> def compute(pixels: torch.Tensor) -> Outputs:
        ...     return Outputs(torch.ones(len(pixels), 2))
        >>> filled = cache.fill(images, views, 0, 3, compute, batch=4, device=cpu)
        >>> outputs = cache.read(images, views, view_seed=0)
        >>> outputs(np.array([3, 5]), 1, cpu).logits
        tensor([[1., 1.],
                [1., 1.]])
    """

    def __init__(
        self,
        shards: Sequence[RecordFiles],
        stored: CacheFormat,
        images: Examples,
        views: Views,
        view_seed: int,
    ) -> None:
        self._stored, self._images = stored, images
        self._views, self._seed = views, view_seed
        keys = [shard.keys() for shard in shards]
        together = np.concatenate(keys)
        order = np.argsort(together, kind="stable")
        self._keys = together[order]
        self._shard = np.repeat(np.arange(len(keys)), [len(each) for each in keys])[order]
        self._record = np.concatenate([np.arange(len(each)) for each in keys])[order]
        held = {number: len(each) for number, each in enumerate(keys) if len(each)}
        self._shards = shards
        self._digests = {number: shards[number].digests(count) for number, count in held.items()}
        self._rows = {
            name: {number: shards[number].rows(name, count) for number, count in held.items()}
            for name in stored.arrays
        }

    def __call__(self, positions: Indices, epoch: int, device: torch.device) -> Outputs:
        """Return the outputs for some examples in an epoch, float32, in order.

        Args:
            positions: int64 ``[N]``, the places of the examples in the training set.
            epoch: The epoch, from 0.
            device: Where the outputs are put.

        Raises:
            CacheMissError: The outputs for a view are not stored.
            DamagedFileError: Stored outputs are not what was written.
        """
        wanted, _ = view_keys(self._views, self._images, positions, epoch, self._seed)
        places = find_keys(self._keys, wanted)
        if (places < 0).any():
            raise CacheMissError(f"{int((places < 0).sum())} of {len(wanted)} views are not stored")
        shards, records = self._shard[places], self._record[places]
        arrays = {}
        for name, array in self._stored.arrays.items():
            rows = np.empty((len(wanted), array.width), array.dtype)
            for number in np.unique(shards):
                here = shards == number
                rows[here] = self._rows[name][number][records[here]]
            arrays[name] = rows
        self._check(wanted, shards, records, arrays)
        return self._stored.decode(arrays, device)

    def _check(self, keys: Keys, shards: Indices, records: Indices, arrays: Arrays) -> None:
        for number in np.unique(shards):
            held, here = self._digests[number], shards == number
            if held is not None:
                rows = {name: array[here] for name, array in arrays.items()}
                self._shards[number].check(records[here], keys[here], rows, held[records[here]])
