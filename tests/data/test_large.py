"""Sets that are too large for memory equal those in memory; only their items are elsewhere."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import pickle
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
from distillab.data.examples import Examples, Pool
from distillab.data.storage import FileItems, ItemFile, open_items, write_items
from distillab.errors import RequestError
from distillab.machine import cache_folder
from distillab.modalities.image.decoding import decode_images
from distillab.modalities.ordered_map import ordered_map
from distillab.sources import parse_source
from distillab.sources.cells import KEPT_GROUPS, KEPT_ROWS, ImageColumn
from distillab.sources.ingest import load_dataset

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


def png(image: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def small_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every set count as large."""
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "LARGE", 0)


def left_behind() -> list[Path]:
    gc.collect()
    return list((cache_folder() / storage.DECODING).glob("*"))


def on_disk(tmp_path: Path, pixels: Any) -> FileItems:
    np.save(tmp_path / "pixels.npy", pixels)
    return FileItems(tmp_path / "pixels.npy")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> FileItems:
    return on_disk(tmp_path_factory.mktemp("stored"), COLOR.transpose(0, 3, 1, 2))


@given(rows=st.lists(st.integers(-40, 39), max_size=60))
def test_rows_of_a_file_are_those_of_the_array(stored: FileItems, rows: list[int]) -> None:
    chosen = np.array(rows, dtype=np.int64)
    np.testing.assert_array_equal(stored[chosen], COLOR.transpose(0, 3, 1, 2)[chosen])


def test_items_in_a_file_behave_like_an_array(stored: FileItems) -> None:
    array = np.ascontiguousarray(COLOR.transpose(0, 3, 1, 2))
    assert (stored.shape, stored.dtype, stored.ndim, len(stored)) == (array.shape, array.dtype, 4, 40)
    np.testing.assert_array_equal(stored[3:9], array[3:9])
    np.testing.assert_array_equal(stored[7], array[7])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored))[5:], array[5:])
    assert Pool.of(stored).digest == Pool.of(array).digest
    with pytest.raises(IndexError):
        stored[np.array([40])]


def test_truncated_file_is_reported(tmp_path: Path) -> None:
    pixels = on_disk(tmp_path, np.zeros((4, 3, 8, 8), np.uint8))
    os.truncate(tmp_path / "pixels.npy", (tmp_path / "pixels.npy").stat().st_size - 1)
    with pytest.raises(OSError, match="cut short: item 3"):
        pixels[np.array([0, 3])]
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(ValueError, match="does not hold items"):
        FileItems(tmp_path / "other.npy")


@pytest.mark.parametrize("gray_until", [0, 25, 40])
@pytest.mark.parametrize("broken", [(), (0, 7, 39)])
def test_decoding_to_a_file_equals_decoding_to_memory(
    small_memory: None, monkeypatch: pytest.MonkeyPatch, gray_until: int, broken: tuple[int, ...]
) -> None:
    images: list[Any] = [
        png(image[:, :, 0] if row < gray_until else image) for row, image in enumerate(COLOR)
    ]
    for row in broken:
        images[row] = b"damaged"
    names = [str(row) for row in range(len(images))]
    filed = decode_images(images, names, resolution=None, channels=None)
    monkeypatch.setattr(storage, "LARGE", 2**30)
    kept = decode_images(images, names, resolution=None, channels=None)
    assert isinstance(filed.items, FileItems) and isinstance(kept.items, np.ndarray)
    np.testing.assert_array_equal(filed.items[:], kept.items)
    np.testing.assert_array_equal(filed.intact, kept.intact)
    assert filed.broken == kept.broken


def test_large_dataset_equals_the_same_one_in_memory(
    small_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read, saved, opened and normalized alike, and leaves nothing in the cache."""
    for row, image in enumerate(COLOR):
        (tmp_path / "pets" / str(row % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / str(row % 2) / f"{row}.png").write_bytes(png(image))
    source = parse_source({"source": "folder", "path": "pets"}, tmp_path, "data")
    large = load_dataset(source)
    assert isinstance(large.train.pool.items, FileItems)
    (tmp_path / "saved").mkdir()
    large.save(tmp_path / "saved")
    opened = Dataset.open(tmp_path / "saved")
    assert isinstance(opened.train.pool.items, FileItems)
    monkeypatch.setattr(storage, "LARGE", 2**30)
    usual = load_dataset(source)
    assert usual.digest == large.digest == opened.digest
    np.testing.assert_array_equal(opened.train.images, usual.train.images)
    for mine, reference in zip(opened.normalization(), usual.normalization(), strict=True):
        np.testing.assert_array_equal(mine, reference)
    assert left_behind()
    del large
    assert left_behind() == []
    np.testing.assert_array_equal(opened.val.images, usual.val.images)


def test_channel_statistics_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a pass over all images, which workers need not repeat."""
    source = parse_source({"source": "digits", "classes": 2}, tmp_path, "data")
    dataset = load_dataset(source)
    (tmp_path / "saved").mkdir()
    dataset.save(tmp_path / "saved")
    expected = dataset.normalization()
    facts = json.loads((tmp_path / "saved" / "dataset.json").read_text())
    del facts["normalisation"]  # as earlier versions wrote it
    (tmp_path / "older").mkdir()
    dataset.save(tmp_path / "older")
    (tmp_path / "older" / "dataset.json").write_text(json.dumps(facts))
    for mine, reference in zip(Dataset.open(tmp_path / "older").normalization(), expected, strict=True):
        np.testing.assert_array_equal(mine, reference)

    def refuse(*_: object) -> None:
        raise AssertionError("pixels were read")

    opened = Dataset.open(tmp_path / "saved")
    monkeypatch.setattr(Examples, "pixels", refuse)
    for mine, reference in zip(opened.normalization(), expected, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_array_equal(mine, reference)


HOLDER = """
import sys
from distillab.data.storage import ItemFile
file = ItemFile(1, (1, 4, 4))
print(file.path, flush=True)
sys.stdin.read()
"""


def test_files_of_killed_processes_are_removed(small_memory: None) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    held = Path(holder.stdout.readline().strip())
    mine = ItemFile(1, (1, 4, 4))
    assert held.exists(), "it is in use"
    holder.kill()
    holder.communicate()
    assert held.exists(), "nobody could tidy up"
    elsewhere = held.with_name("elsewhere-0123.npy")
    elsewhere.touch()
    another = ItemFile(1, (1, 4, 4))
    assert not held.exists()
    assert mine.path.exists() and another.path.exists()
    del mine, another
    assert left_behind() == [elsewhere], "a machine that shares the folder may be using it"


def test_forked_process_leaves_the_file_of_its_parent(
    small_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ItemFile(1, (1, 4, 4))
    path, owner = file.path, os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: owner + 1)
    del file
    gc.collect()
    assert path.exists()


def test_too_small_disk_is_reported_before_decoding(small_memory: None) -> None:
    with pytest.raises(RequestError) as caught:
        ItemFile(2**33, (3, 224, 224))
    message = str(caught.value)
    assert "decoded, these items need 1,293,025.7 GB, and the disk has no room" in message
    assert "DISTILLAB_CACHE" in message and "\n" not in message
    assert left_behind() == []


@pytest.mark.parametrize("after", [0, 1, 39, 40])  # of 40 images, then the header
def test_full_disk_is_reported(small_memory: None, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Where space cannot be reserved at once, or a quota is reached."""
    written = []
    write = os.pwrite

    def fill(file: int, data: Any, place: int) -> int:
        written.append(place)
        if len(written) > after:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return write(file, data, place)

    monkeypatch.setattr(os, "pwrite", fill)
    with pytest.raises(RequestError, match="the disk has no room for them"):
        decode_images([png(image) for image in COLOR], [""] * 40, resolution=None, channels=3)
    assert left_behind() == []


def test_unwritable_cache_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(RequestError, match="which cannot be written"):
        ItemFile(1, (1, 4, 4))


def test_interrupted_decoding_leaves_no_file(small_memory: None) -> None:
    images = [png(image) for image in COLOR] * 4

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_images(images, [""] * len(images), resolution=None, channels=None, progress=interrupt)
    assert left_behind() == []


def test_decoding_does_not_run_ahead_of_the_consumer() -> None:
    tasks = iter(range(1000))
    results = ordered_map(lambda task: task * 2, tasks)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    assert next(tasks) < 40, "three are taken, and a few made for each of at most eight threads"
    results.close()


def test_items_are_linked_if_possible_and_else_copied(
    tmp_path: Path, stored: FileItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_items(stored, tmp_path / "linked.npy")
    assert (tmp_path / "linked.npy").stat().st_ino == stored.path.stat().st_ino

    def refuse(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    write_items(stored, tmp_path / "copied.npy")
    assert (tmp_path / "copied.npy").stat().st_ino != stored.path.stat().st_ino
    np.testing.assert_array_equal(open_items(tmp_path / "copied.npy"), open_items(tmp_path / "linked.npy"))


@pytest.mark.parametrize("layout", ["bytes", "struct", "paths"])
def test_large_parquet_file_is_read_by_row_group(
    small_memory: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    images = [png(image) for image in COLOR]
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


@pytest.mark.parametrize("rows", [10, 700, 5000])
def test_old_row_groups_are_dropped(tmp_path: Path, rows: int) -> None:
    """For any number of files and any size of row groups."""
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for number, path in enumerate(paths):
        images = [f"{number}:{row}".encode() for row in range(5000)]
        pq.write_table(pa.table({"image": images}), path, row_group_size=rows)
    column = ImageColumn(paths, "image")
    cells = column.cells()
    kept = []
    for cell in cells[:: rows // 2]:
        assert cell.read() == f"{cell.file}:{cell.group * rows + cell.row}".encode()
        kept.append([len(group) for group in column._kept.values()])
    assert len(cells) == 15000
    assert max(len(groups) for groups in kept) > 1
    assert all(len(groups) <= KEPT_GROUPS or sum(groups[1:]) <= KEPT_ROWS + rows for groups in kept)
