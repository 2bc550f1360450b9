"""The content addresses of the images that a model was trained on, to keep them out of its evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from distillab.data.duplicates import hashes_of
from distillab.data.examples import Examples
from distillab.errors import RequestError

TRAINING_IMAGES = "training_images.npy"
_BYTES = 16


def write_training_images(sets: Iterable[Examples], folder: Path) -> None:
    """Write the hashes of the items of some sets, uint8 ``[N, 16]``, sorted: no pixel follows from them.

    Args:
        sets: What the model was trained, selected and calibrated on.
        folder: The folder of the exported model.
    """
    found = sorted(hashes_of(sets))
    np.save(folder / TRAINING_IMAGES, np.frombuffer(b"".join(found), np.uint8).reshape(-1, _BYTES))


def read_training_images(folder: Path) -> frozenset[bytes]:
    """Return the hashes that :func:`write_training_images` wrote; empty if there are none.

    Raises:
        RequestError: The file is damaged.

    Example:
        >>> read_training_images(Path("missing"))
        frozenset()
    """
    path = folder / TRAINING_IMAGES
    if not path.is_file():
        return frozenset()
    try:
        rows = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(f"cannot be read ({error})", where=str(path)) from error
    return frozenset(row.tobytes() for row in rows)
