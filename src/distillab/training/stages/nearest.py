"""The examples of the training set that are nearest to each test example, beside the logits of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from distillab.artefacts import write_atomically

NEAREST = "nearest.safetensors"


def save_nearest(folder: Path, nearest: Mapping[str, npt.NDArray[np.int32]]) -> None:
    """Write positions in the training set, int32 ``[N, n]`` by test set, into the folder of an artifact."""
    with write_atomically(folder / NEAREST) as draft:
        draft.write_bytes(save({name: np.ascontiguousarray(each) for name, each in nearest.items()}))


def load_nearest(folder: Path) -> dict[str, npt.NDArray[np.int32]]:
    """Return the positions by test set; empty if the task of the network retrieves nothing.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> load_nearest(folder)
        {}
        >>> save_nearest(folder, {"test": np.zeros((5, 10), np.int32)})
        >>> load_nearest(folder)["test"].shape
        (5, 10)
    """
    path = folder / NEAREST
    return dict(load(path.read_bytes())) if path.is_file() else {}
