"""The npz source: array names, layouts and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.sources import load_dataset, source_from_argument
from support.source_files import EACH, noise, read, refuse, write_npz


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((12, 8, 8), 1), ((12, 8, 8, 1), 1), ((12, 1, 8, 8), 1), ((12, 8, 8, 3), 3), ((12, 3, 8, 8), 3)],
)
def test_arrays_of_every_layout_are_read(shape: tuple[int, ...], channels: int, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=array, labels=np.arange(12)[:, None] % 2)
    pool = load_dataset(source_from_argument(str(tmp_path / "a.npz"))).train.pool.items
    assert pool.shape == (12, channels, 8, 8)
    expected = array.transpose(0, 3, 1, 2) if array.shape[-1] in (1, 3) else array
    np.testing.assert_array_equal(pool, expected.reshape(pool.shape))


def test_medmnist_names_are_known(tmp_path: Path) -> None:
    arrays = {f"{split}_images": noise(12, seed) for seed, split in enumerate(("train", "val", "test"))}
    arrays |= {f"{split}_labels": np.arange(12)[:, None] % 3 for split in ("train", "val", "test")}
    np.savez(tmp_path / "a.npz", class_names=["a", "b", "c"], **arrays)  # type: ignore[arg-type]
    raw = read(tmp_path, source="npz", path="a.npz")
    assert list(raw.given()) == ["train", "val", "test"]
    assert raw.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"x_train": np.zeros((12, 8, 8, 4), np.uint8)},
            "x_train: images have 4 channels: shape [12, 8, 8, 4]",
        ),
        ({"x_train": np.zeros((12, 4, 8, 8), np.uint8)}, "images have 4 channels"),
        ({"x_train": np.zeros((12, 8, 8, 2), np.uint8)}, "images have shape [12, 8, 8, 2]"),
        ({"x_train": np.zeros((12, 64), np.uint8)}, "images have shape [12, 64]"),
        (
            {"x_train": np.zeros((12, 8, 8), complex)},
            "images are complex128 (allowed: uint8, or other real numbers)",
        ),
        ({"x_train": np.zeros((11, 8, 8), np.uint8)}, "11 images but 12 labels"),
        (
            {"x_train": np.zeros((12, 1, 1), np.uint8)},
            "12 of 24 examples cannot be decoded: train[0] (it has 1x1 pixels, and 4x4 are needed)",
        ),
        ({"y_train": [0, np.nan] * EACH}, "missing labels (NaN): 6, the first in row 1"),
        ({"y_train": [0, -1] * EACH}, "train: label -1 in row 1 is out of range (allowed: 0 and above)"),
        ({"y_train": np.eye(12, 2)}, "labels and class names differ in number"),
        ({"y_train": ["a", "b"] * EACH}, "labels are numbers in one split and names in another"),
        ({"y_train": np.array([{}] * 12)}, "cannot be read"),
        (
            {"y_test": [0, 2] * EACH},
            "train and test have different classes: test lacks '1' and train lacks '2'",
        ),
        ({"y_test": None}, "array 'y_test' is missing"),
        ({"x_train": None}, "holds x_test, y_test, y_train"),
        (
            {"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0, np.int64)},
            "the test split has no examples",
        ),
    ],
)
def test_unusable_arrays_are_refused(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", **changes)
    assert expected in refuse(tmp_path, source="npz", path="a.npz")


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz: cannot be read" in refuse(tmp_path, source="npz", path="text.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "this is a single array" in refuse(tmp_path, source="npz", path="one.npz")
    assert "there is no such file" in refuse(tmp_path, source="npz", path="absent.npz")
