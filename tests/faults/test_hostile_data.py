"""Data that are made to hang, to fill the memory, to read other files or to break parsers end in one line."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distillab.errors import RequestError
from distillab.printable import printable_json
from distillab.sources import load_dataset, npz
from distillab.sources.csv import Csv
from distillab.sources.folder import Folder
from distillab.sources.npz import Npz
from distillab.sources.parquet import Parquet
from distillab.sources.webdataset import WebDataset
from support.source_files import noise, png, write_folder


def image(seed: int = 0) -> bytes:
    return png(noise(1, seed)[0])


def test_pipes_in_class_folders_are_never_opened(tmp_path: Path) -> None:
    write_folder(tmp_path / "images")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "images" / "cat" / "link.png").symlink_to(tmp_path / "pipe")
    (tmp_path / "images" / "dog" / "zero.png").symlink_to("/dev/zero")
    dataset = load_dataset(Folder(path=tmp_path / "images"))
    assert dataset.report.left_out == {"neither a file nor a folder": 2}


@pytest.mark.parametrize("named", ["pipe", "/dev/zero", "../outside.png", "/etc/hostname"])
def test_paths_in_parquet_stay_below_the_folder_and_are_files(tmp_path: Path, named: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (tmp_path / "outside.png").write_bytes(image())
    images = [{"bytes": image(seed), "path": None} for seed in range(20)]
    images.append({"bytes": None, "path": named})
    pq.write_table(pa.table({"image": images, "label": [0, 1] * 10 + [0]}), folder / "train.parquet")
    with pytest.raises(RequestError, match=r"leads out of this folder|is no regular file"):
        load_dataset(Parquet(path=folder / "train.parquet"))


def test_a_pipe_for_a_table_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(RequestError, match=r"table\.csv"):
        load_dataset(Csv(path=tmp_path / "table.csv"))


def header(shape: tuple[int, ...]) -> bytes:
    """Return the header of an .npy file of uint8 with a shape."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return written.getvalue()


def write_npz(path: Path, images: bytes, labels: int = 20) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", images)
        stored = io.BytesIO()
        np.save(stored, np.arange(labels) % 2)
        archive.writestr("labels.npy", stored.getvalue())


def test_npz_is_refused_before_it_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images.npz"
    write_npz(path, header((2**40, 8, 8)))
    with pytest.raises(RequestError, match=r"images: has shape .* and fewer bytes"):
        Npz(path=path).read()
    write_npz(path, header((2**20, 8, 8)) + bytes(2**26))
    with pytest.raises(RequestError, match="1048576 images but 20 labels"):
        Npz(path=path).read()
    monkeypatch.setattr(npz, "free_memory", lambda: 2**25)
    with pytest.raises(RequestError, match=r"its arrays have 0\.1 GB, and 0\.0 GB of memory are free"):
        Npz(path=path).read()


def test_parsers_of_npz_may_raise_anything(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    deep = b"\x93NUMPY\x01\x00\xff\x7f" + b"(" * 0x7FFF
    write_npz(path, deep)
    with pytest.raises(RequestError, match=r"images\.npz: cannot be read"):
        Npz(path=path).read()
    write_npz(path, header((20, 8, 8)) + bytes(20 * 64))
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\x01\x02") + 8, 6):
        content[start] |= 1  # encrypted
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"images\.npz: cannot be read"):
        Npz(path=path).read()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("0.cls", b"7" * 100_000, "has 100,000 bytes"),
        ("0.json", b"[" * 50_000, "cannot be read"),
    ],
)
def test_labels_in_shards_are_bounded(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        for member, stored in {"0.png": image(), name: content}.items():
            info = tarfile.TarInfo(member)
            info.size = len(stored)
            archive.addfile(info, io.BytesIO(stored))
    label = "label" if name.endswith("json") else None
    with pytest.raises(RequestError, match=what):
        load_dataset(WebDataset(path=tmp_path / "train.tar", label=label))


def test_json_shows_names_and_does_not_obey_them() -> None:
    name = "a\x1b]0;T\x07\x9b31m\u202eb"
    shown = printable_json({name: [name]})
    assert shown.isascii()
    assert json.loads(shown) == {name: [name]}
