"""Facts of the files that examples come from, which are lost once they are decoded, resized or cut."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.data.raw import RawImage, StoredBytes
from distillab.machine import usable_cores
from distillab.modalities.audio.waveforms import RawAudio, RecordingPart, soundfile_module
from distillab.modalities.image.opening import DAMAGE, displayed_size, permissive_pillow
from distillab.modalities.text.decoding import cleaned_text

UNKNOWN = -1
TASK_IMAGES = 256


@dataclass(frozen=True, eq=False)
class FileFacts:
    """One entry per example, in the order of ids; ``-1`` where a value is not known.

    Attributes:
        ids: int64 ``[N]``, sorted.
        names: N paths or row names.
        sizes: int64 ``[N]``, encoded bytes; not known for arrays and loaders.
        widths: int64 ``[N]``, pixels before any resizing, after EXIF rotation; not known for loaders.
        heights: int64 ``[N]``, likewise.
        lengths: float64 ``[N]``, seconds of recordings and characters of texts, before they are cut or
            padded; None for images.
    """

    ids: Indices
    names: tuple[str, ...]
    sizes: Indices
    widths: Indices
    heights: Indices
    lengths: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, images: Sequence[RawImage], names: Sequence[str], ids: Indices) -> FileFacts:
        """Return the facts of images, of which only headers are read, in threads."""
        order = np.argsort(ids)
        with permissive_pillow(), ThreadPoolExecutor(min(8, usable_cores())) as threads:
            tasks = (order[start : start + TASK_IMAGES] for start in range(0, len(order), TASK_IMAGES))
            rows = threads.map(lambda some: [_facts(images[i]) for i in some], tasks)
            table = np.array([row for some in rows for row in some], dtype=np.int64).reshape(-1, 3)
        return cls(ids[order], tuple(names[i] for i in order), table[:, 0], table[:, 1], table[:, 2])

    @classmethod
    def of_sequences(cls, items: Sequence[Any], names: Sequence[str], ids: Indices) -> FileFacts:
        """Return the facts of recordings or texts. Parts of a recording have the length of all of it.

        Args:
            items: Recordings, of which headers are read, or texts.
            names: N paths or row names.
            ids: int64 ``[N]``.
        """
        order = np.argsort(ids)
        with ThreadPoolExecutor(min(8, usable_cores())) as threads:
            table = list(threads.map(_facts_of_sequence, (items[row] for row in order.tolist())))
        sizes, lengths = (np.array([each[place] for each in table]) for place in (0, 1))
        unknown = np.full(len(order), UNKNOWN, np.int64)
        known = tuple(names[row] for row in order.tolist())
        return cls(ids[order], known, sizes.astype(np.int64), unknown, unknown, lengths.astype(np.float64))

    def rows(self, ids: Indices) -> Indices:
        """Return the row of each id, int64 ``[len(ids)]``. Raises KeyError for an unknown id."""
        places = np.searchsorted(self.ids, ids)
        if len(ids) and not np.array_equal(self.ids[np.minimum(places, len(self.ids) - 1)], ids):
            raise KeyError("an image of this set did not come from these files")
        return places.astype(np.int64)


def _facts_of_sequence(item: RawAudio | str) -> tuple[int, float]:
    """Return bytes, and seconds or characters."""
    if isinstance(item, str):
        return UNKNOWN, len(cleaned_text(item))
    recording = item.recording if isinstance(item, RecordingPart) else item
    soundfile = soundfile_module()
    try:
        if isinstance(recording, Path):
            return recording.stat().st_size, soundfile.info(recording).duration
        content = recording.read() if isinstance(recording, StoredBytes) else recording
        return len(content), soundfile.info(BytesIO(content)).duration
    except Exception:  # noqa: BLE001 - the decoding decides whether that matters
        return UNKNOWN, UNKNOWN


def _facts(image: RawImage) -> tuple[int, int, int]:
    """Return bytes, width and height."""
    if isinstance(image, np.ndarray):
        return UNKNOWN, image.shape[1], image.shape[0]
    try:
        if isinstance(image, StoredBytes):
            image = image.read()
        if isinstance(image, Path):
            return image.stat().st_size, *displayed_size(image)
        if isinstance(image, bytes):
            return len(image), *displayed_size(image)
    except DAMAGE:  # the decoding decides whether that matters
        return UNKNOWN, UNKNOWN, UNKNOWN
    return UNKNOWN, UNKNOWN, UNKNOWN
