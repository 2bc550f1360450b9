"""Sets that are too large for memory are the same sets: only where their pixels lie differs."""

from __future__ import annotations

import gc
import io
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from distillab.data import storage
from distillab.data.dataset import Dataset
from distillab.data.decode import decode_images
from distillab.data.imageset import Pool
from distillab.data.ingest import load_dataset
from distillab.data.sources import parse_source
from distillab.data.storage import FilePixels, PixelFile, cache_folder, open_pixels, write_pixels

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


def png(image: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def small_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which every set is large."""
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "LARGE", 0)


def left_behind() -> list[Path]:
    gc.collect()
    return list((cache_folder() / storage.DECODING).glob("*"))


def on_disk(tmp_path: Path, pixels: Any) -> FilePixels:
    np.save(tmp_path / "pixels.npy", pixels)
    return FilePixels(tmp_path / "pixels.npy")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> FilePixels:
    return on_disk(tmp_path_factory.mktemp("stored"), COLOUR.transpose(0, 3, 1, 2))


@given(rows=st.lists(st.integers(-40, 39), max_size=60))
def test_any_choice_of_images_is_read_as_from_an_array(stored: FilePixels, rows: list[int]) -> None:
    chosen = np.array(rows, dtype=np.int64)
    np.testing.assert_array_equal(stored[chosen], COLOUR.transpose(0, 3, 1, 2)[chosen])


def test_it_is_cut_copied_and_addressed_as_an_array(stored: FilePixels) -> None:
    array = np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2))
    assert (stored.shape, stored.dtype, stored.ndim, len(stored)) == (array.shape, array.dtype, 4, 40)
    np.testing.assert_array_equal(stored[3:9], array[3:9])
    np.testing.assert_array_equal(stored[7], array[7])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored))[5:], array[5:])
    assert Pool.of(stored).digest == Pool.of(array).digest
    with pytest.raises(IndexError):
        stored[np.array([40])]


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    pixels = on_disk(tmp_path, np.zeros((4, 3, 8, 8), np.uint8))
    os.truncate(tmp_path / "pixels.npy", (tmp_path / "pixels.npy").stat().st_size - 1)
    with pytest.raises(OSError, match="cut short: image 3"):
        pixels[np.array([0, 3])]
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(ValueError, match="does not hold pixels"):
        FilePixels(tmp_path / "other.npy")


@pytest.mark.parametrize("grey_until", [0, 25, 40])
@pytest.mark.parametrize("broken", [(), (0, 7, 39)])
def test_decoding_to_a_file_is_decoding_to_memory(
    small_memory: None, monkeypatch: pytest.MonkeyPatch, grey_until: int, broken: tuple[int, ...]
) -> None:
    images: list[Any] = [
        png(image[:, :, 0] if row < grey_until else image) for row, image in enumerate(COLOUR)
    ]
    for row in broken:
        images[row] = b"damaged"
    names = [str(row) for row in range(len(images))]
    filed = decode_images(images, names, resolution=None, channels=None)
    monkeypatch.setattr(storage, "LARGE", 2**30)
    kept = decode_images(images, names, resolution=None, channels=None)
    assert isinstance(filed.pixels, FilePixels) and isinstance(kept.pixels, np.ndarray)
    np.testing.assert_array_equal(filed.pixels[:], kept.pixels)
    np.testing.assert_array_equal(filed.intact, kept.intact)
    assert filed.broken == kept.broken


def test_a_large_dataset_is_the_same_dataset(
    small_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done with it: read, written, opened, normalised; and nothing stays in the cache."""
    for row, image in enumerate(COLOUR):
        (tmp_path / "pets" / str(row % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / str(row % 2) / f"{row}.png").write_bytes(png(image))
    source = parse_source({"source": "folder", "path": "pets"}, tmp_path, "data")
    large = load_dataset(source)
    assert isinstance(large.train.pool.pixels, FilePixels)
    (tmp_path / "saved").mkdir()
    large.save(tmp_path / "saved")
    opened = Dataset.open(tmp_path / "saved")
    assert isinstance(opened.train.pool.pixels, FilePixels)
    monkeypatch.setattr(storage, "LARGE", 2**30)
    usual = load_dataset(source)
    assert usual.digest == large.digest == opened.digest
    np.testing.assert_array_equal(opened.train.images, usual.train.images)
    for ours, theirs in zip(opened.normalisation(), usual.normalisation(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert left_behind()
    del large
    assert left_behind() == []
    np.testing.assert_array_equal(opened.val.images, usual.val.images)


def test_what_killed_processes_left_is_swept(small_memory: None) -> None:
    folder = cache_folder() / storage.DECODING
    folder.mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive, elsewhere = (
        folder / f"{host}-{pid}-abc.npy"
        for host, pid in (
            (socket.gethostname(), ended.pid),
            (socket.gethostname(), 1),
            ("another", ended.pid),
        )
    )
    for path in (dead, alive, elsewhere):
        path.touch()
    PixelFile((1, 1, 4, 4))
    assert not dead.exists()
    assert alive.exists() and elsewhere.exists()


def test_pixels_are_linked_where_the_disk_can_and_copied_where_not(
    tmp_path: Path, stored: FilePixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pixels(stored, tmp_path / "linked.npy")
    assert (tmp_path / "linked.npy").stat().st_ino == stored.path.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    write_pixels(stored, tmp_path / "copied.npy")
    assert (tmp_path / "copied.npy").stat().st_ino != stored.path.stat().st_ino
    np.testing.assert_array_equal(open_pixels(tmp_path / "copied.npy"), open_pixels(tmp_path / "linked.npy"))


@pytest.mark.parametrize("layout", ["bytes", "struct", "paths"])
def test_a_large_parquet_file_is_read_by_the_row_group(
    small_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    images = [png(image) for image in COLOUR]
    column: list[Any] = [*images]
    if layout == "struct":
        column = [{"bytes": image, "path": None} for image in images]
    if layout == "paths":
        for row, image in enumerate(images):
            (tmp_path / f"{row}.png").write_bytes(image)
        column = [{"bytes": None, "path": f"{row}.png"} for row in range(len(images))]
    kind = pa.binary() if layout == "bytes" else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(column, kind), "label": [row % 2 for row in range(len(images))]})
    pq.write_table(table, tmp_path / "pets.parquet", row_group_size=7)
    source = parse_source({"source": "parquet", "path": "pets.parquet"}, tmp_path, "data")
    groups = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, i, **keys: groups.append(i) or read(self, i, **keys)
    )
    large = load_dataset(source)
    assert groups == sorted(set(groups)) and len(groups) == 6, "each group once, in order"
    monkeypatch.setattr(storage, "LARGE", 2**30)
    assert load_dataset(source).digest == large.digest
