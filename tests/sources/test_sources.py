"""What every source promises, and what each layout, column and array name means."""

from __future__ import annotations

import builtins
import io
import json
import struct
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from distillab.data import storage
from distillab.data.raw import StoredBytes
from distillab.data.storage import FileItems
from distillab.errors import RequestError
from distillab.sources import parse_source, source_from_argument, sources
from distillab.sources.ingest import load_dataset

SIDE, EACH = 8, 6  # pixels, and images a class and split
Array = npt.NDArray[np.uint8]


def png(image: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def noise(count: int, seed: int, *, side: int = SIDE) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), *, seed: int = 0) -> None:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for row, image in enumerate(noise(EACH, seed + number)):
            (root / name / f"{row}.png").write_bytes(png(image))


def write_parquet(
    path: Path,
    *,
    seed: int = 0,
    names: bool = True,
    classes: tuple[str, ...] = ("cat", "dog"),
    **columns: Any,
) -> None:
    labels = [0, 1] * EACH
    images = [{"bytes": png(image), "path": f"{row}.png"} for row, image in enumerate(noise(2 * EACH, seed))]
    metadata = None
    if names:
        features = {"label": {"names": list(classes), "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": images, "label": labels, **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


def write_shards(root: Path, *, labels: str = "cls", splits: tuple[str, ...] = ("train", "test")) -> None:
    """Two shards a split, an image and its label under one name."""
    root.mkdir(parents=True)
    for number, split in enumerate(splits):
        images = noise(2 * EACH, number)
        for shard in range(2):
            with tarfile.open(root / f"{split}-{shard}.tar", "w") as archive:
                for row in range(shard, 2 * EACH, 2):
                    label = (
                        str(row // 2 % 2) if labels == "cls" else json.dumps({"pet": ["cat", "dog"][row % 2]})
                    )
                    for ending, data in (("png", png(images[row])), (labels, label.encode())):
                        member = tarfile.TarInfo(f"{split}/{row:03}.{ending}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))


def write_npz(path: Path, **changes: Any) -> None:
    arrays: dict[str, Any] = {
        "x_train": noise(2 * EACH, 0),
        "y_train": [0, 1] * EACH,
        "x_test": noise(2 * EACH, 1),
        "y_test": [0, 1] * EACH,
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def write_mnist(root: Path) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, seed in (("train", 0), ("t10k", 1)):
        images = noise(10 * EACH, seed, side=28)[..., 0]
        labels = np.repeat(np.arange(10, dtype=np.uint8), EACH)
        header = struct.pack(">IIII", 2051, len(images), 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, len(labels)) + labels.tobytes()
        )


def no_files(folder: Path) -> dict[str, Any]:
    return {}


def make_folder(folder: Path) -> dict[str, Any]:
    write_folder(folder / "pets")
    return {"path": "pets"}


def make_parquet(folder: Path) -> dict[str, Any]:
    write_parquet(folder / "pets" / "train.parquet")
    return {"path": "pets"}


def make_npz(folder: Path) -> dict[str, Any]:
    write_npz(folder / "pets.npz")
    return {"path": "pets.npz"}


def make_torchvision(folder: Path) -> dict[str, Any]:
    write_mnist(folder)
    return {"dataset": "MNIST", "root": "."}


def make_huggingface(folder: Path) -> dict[str, Any]:
    datasets = pytest.importorskip("datasets", reason="the extra distillab[huggingface] is not installed")
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    splits = {}
    for name, seed in (("train", 0), ("test", 1)):
        pictures = [Image.fromarray(image) for image in noise(2 * EACH, seed)]
        rows = {"picture": pictures, "kind": [0, 1] * EACH}
        splits[name] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(splits).save_to_disk(str(folder / "pets"))
    return {"path": "pets"}


def make_shapes(folder: Path) -> dict[str, Any]:
    return {"images": EACH, "test_images": EACH, "seed": 1}


def make_webdataset(folder: Path) -> dict[str, Any]:
    write_shards(folder / "pets")
    return {"path": "pets"}


SMALL: dict[str, Callable[[Path], dict[str, Any]]] = {
    "digits": no_files,
    "mnist5k": no_files,
    "folder": make_folder,
    "parquet": make_parquet,
    "npz": make_npz,
    "torchvision": make_torchvision,
    "huggingface": make_huggingface,
    "webdataset": make_webdataset,
    "shapes": make_shapes,
}


def read(folder: Path, **entry: Any) -> Any:
    return parse_source(entry, folder, "study.yaml: data").read()


def refuse(folder: Path, **entry: Any) -> str:
    """The one line that refuses a source, or what it reads."""
    with pytest.raises(RequestError) as caught:
        load_dataset(parse_source(entry, folder, "study.yaml: data"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------- every source


def test_every_source_is_tested_here() -> None:
    assert set(SMALL) == set(sources)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_source_that_is_too_large_for_memory_gives_the_same_images(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = parse_source({"source": name, **SMALL[name](tmp_path)}, tmp_path, "study.yaml: data")
    usual = load_dataset(source)
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "LARGE", 0)
    large = load_dataset(source)
    assert isinstance(large.train.pool.items, FileItems)
    assert large.digest == usual.digest
    assert large.report == usual.report


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_source_fills_every_role(name: str, tmp_path: Path) -> None:
    source = parse_source({"source": name, **SMALL[name](tmp_path)}, tmp_path, "study.yaml: data")
    dataset = load_dataset(source)
    splits = [dataset.train, dataset.val, dataset.eval["test"]]
    assert all(split.pool is dataset.train.pool for split in splits)
    assert all((split.counts > 0).all() for split in splits)
    ids = np.concatenate([split.ids for split in splits])
    assert len(np.unique(ids)) == len(ids)
    assert load_dataset(source).digest == dataset.digest


@pytest.mark.parametrize("name", sorted(SMALL))
def test_an_entry_is_read_back_into_the_same_source(name: str, tmp_path: Path) -> None:
    entry = {"source": name, **SMALL[name](tmp_path), "resolution": 16, "classes": ["1", "0"]}
    source = parse_source(entry, tmp_path, "data")
    json.dumps(source.entry())
    assert parse_source(source.entry(), Path(), "data") == source


@pytest.mark.parametrize("name", sorted(sources))
def test_every_source_says_what_it_is_in_one_line(name: str) -> None:
    assert sources[name].__doc__
    assert len(str(sources[name].__doc__).split("\n")[0]) > 20


@pytest.mark.parametrize("name", sorted(sources))
def test_a_misspelt_key_is_named_with_the_nearest(name: str, tmp_path: Path) -> None:
    line = refuse(tmp_path, source=name, resolutoin=32)
    assert "study.yaml: data: " in line
    assert "unknown key 'resolutoin', did you mean 'resolution'?" in line
    assert "split_seed" in line


# ---------------------------------------------------------------------------------------- entries


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "study.yaml: data: key 'source' is missing"),
        ("digits", "'digits' is not a source"),
        ({"source": "digitz"}, "study.yaml: data.source: unknown source 'digitz', did you mean 'digits'?"),
        ({"source": "folder"}, "study.yaml: data: key 'path' is missing"),
        (
            {"source": "digits", "resolution": 2},
            "study.yaml: data.resolution: 2 is not accepted (allowed: at least 4)",
        ),
        (
            {"source": "digits", "resolution": "big"},
            "data.resolution: 'big' is not accepted (allowed: a whole number)",
        ),
        (
            {"source": "digits", "channels": 4},
            "study.yaml: data.channels: 4 is not accepted (allowed: 1 or 3)",
        ),
        ({"source": "digits", "val": 0}, "data.val: 0 is not accepted (allowed: greater than 0)"),
        ({"source": "digits", "test": 1}, "data.test: 1 is not accepted (allowed: less than 1)"),
        ({"source": "digits", "on_broken": "ignore"}, "(allowed: 'stop' or 'skip')"),
        ({"source": "digits", "classes": ["1"]}, "data.classes: ['1'] is not a choice of classes"),
        ({"source": "digits", "classes": 1}, "data.classes: 1 is not accepted"),
        ({"source": "parquet"}, "study.yaml: data: give one of 'path' and 'train'"),
        (
            {"source": "torchvision", "dataset": ["MNIST"]},
            "data.dataset: ['MNIST'] is not accepted (allowed: text)",
        ),
    ],
)
def test_a_wrong_entry_is_refused_in_one_line(entry: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        parse_source(entry, tmp_path, "study.yaml: data")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_relative_paths_are_relative_to_the_study_file(tmp_path: Path) -> None:
    entry = {"source": "parquet", "train": "a.parquet", "test": str(tmp_path / "b.parquet")}
    source = parse_source(entry, tmp_path / "studies", "data")
    assert source.entry() == {
        "source": "parquet",
        "train": str(tmp_path / "studies" / "a.parquet"),
        "test": str(tmp_path / "b.parquet"),
    }
    assert parse_source({"source": "torchvision", "dataset": "MNIST"}, tmp_path, "").entry() == {
        "source": "torchvision",
        "dataset": "MNIST",
        "root": str(tmp_path / "data"),
    }


def test_arguments_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "pets")
    write_folder(tmp_path / "digits")
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    write_npz(tmp_path / "arrays.npz")
    write_parquet(tmp_path / "one.parquet")
    kinds = {
        "digits": "digits",
        "./digits": "folder",
        "mnist5k": "mnist5k",
        "torchvision:FashionMNIST": "torchvision",
        "folder:pets": "folder",
        "pets": "folder",
        "hub": "parquet",
        "one.parquet": "parquet",
        str(tmp_path / "arrays.npz"): "npz",
        "huggingface:uoft-cs/cifar10": "huggingface",
    }
    assert {argument: source_from_argument(argument).kind for argument in kinds} == kinds
    assert len(source_from_argument("pets").read().train.items) == 2 * EACH


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("torchvison:MNIST", "unknown source 'torchvison', did you mean 'torchvision'?"),
        ("nowhere", "there is no file, folder or source 'nowhere'"),
        ("torchvision", "key 'dataset' is missing"),
        ("digits:3", "source 'digits' takes no argument"),
        (__file__, "this file is not a dataset (allowed: a folder, .parquet, .npz, .tar)"),
    ],
)
def test_a_wrong_argument_is_refused(argument: str, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        source_from_argument(argument)
    assert expected in str(caught.value)


# ---------------------------------------------------------------------------------------- folder


@pytest.mark.parametrize("val", ["val", "validation", "valid", "dev", "Val"])
def test_folders_with_splits(val: str, tmp_path: Path) -> None:
    for seed, split in enumerate(("train", val, "test")):
        write_folder(tmp_path / split, seed=10 * seed)
    raw = read(tmp_path, source="folder", path=".")
    assert list(raw.given()) == ["train", "val", "test"]
    assert raw.classes == ("cat", "dog")
    assert raw.val.names[0] == f"{val}/cat/0.png"


def test_only_images_in_class_folders_count(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"not an image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "more" / "deeper").mkdir(parents=True)
    (tmp_path / "cat" / "more" / "deeper" / "x.PNG").write_bytes(png(noise(1, 9)[0]))
    (tmp_path / "loose.png").write_bytes(png(noise(1, 8)[0]))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == ("cat", "dog")
    assert raw.train.names[EACH] == "cat/more/deeper/x.PNG"
    assert raw.train.labels.tolist() == [0] * (EACH + 1) + [1] * EACH
    assert raw.notes == ("1 images outside of class folders were ignored.",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_folder(tmp_path, ("bus", "car", "train"))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == ("bus", "car", "train")
    assert list(raw.given()) == ["train"]


def test_folders_that_hold_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: there is no image in a class folder here" in refuse(
        tmp_path, source="folder", path="empty"
    )
    assert "there is no such folder" in refuse(tmp_path, source="folder", path="absent")
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in refuse(tmp_path, source="folder", path="file")
    write_folder(tmp_path / "one", ("cat",))
    assert "there is one class only, 'cat'" in refuse(tmp_path, source="folder", path="one")
    write_folder(tmp_path / "testless" / "test")
    assert "there is no train folder" in refuse(tmp_path, source="folder", path="testless")
    write_folder(tmp_path / "twice" / "train")
    write_folder(tmp_path / "twice" / "val")
    write_folder(tmp_path / "twice" / "dev")
    assert "two folders hold the val split" in refuse(tmp_path, source="folder", path="twice")


@pytest.mark.parametrize("layout", ["group/class", "class/group"])
@pytest.mark.parametrize("splits", [(), ("train", "test")])
def test_a_folder_level_is_the_group(layout: str, splits: tuple[str, ...], tmp_path: Path) -> None:
    for split in splits or ("",):
        for outer in ("a", "b"):
            write_folder(tmp_path / split / outer, ("x", "y"), seed=ord(outer))
    raw = read(tmp_path, source="folder", path=".", layout=layout)
    names, groups = (("x", "y"), ("a", "b")) if layout == "group/class" else (("a", "b"), ("x", "y"))
    assert (raw.classes, raw.group_names) == (names, groups)
    assert list(raw.given()) == (list(splits) or ["train"])
    for split in raw.given().values():
        for label, group, name in zip(split.labels, split.groups, split.names, strict=True):
            level = (groups[group], names[label])
            assert "/".join(level if layout == "group/class" else level[::-1]) in name
    write_folder(tmp_path / splits[0] if splits else tmp_path, ("shallow",))
    assert f"this image is in no folder of a {layout[6:]}" in refuse(
        tmp_path, source="folder", path=".", layout=layout
    )


def test_groups_of_files_from_a_table_or_a_pattern(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets")
    rows = [f"{pet}/{row}.png,{row % 2},site {row % 3}" for pet in ("cat", "dog") for row in range(EACH)]
    (tmp_path / "sites.csv").write_text("\n".join(["file,camera,site", *rows]))
    entry = {"source": "folder", "path": "pets"}
    raw = read(tmp_path, **entry, groups="sites.csv", group="site")
    assert raw.group_names == ("site 0", "site 1", "site 2")
    assert raw.train.groups.tolist() == [row % 3 for row in range(EACH)] * 2
    raw = read(tmp_path, **entry, group_pattern=r"(\d)\.png")
    assert raw.group_names == tuple("012345")
    assert raw.train.groups.tolist() == list(range(EACH)) * 2

    (tmp_path / "pets" / "dog" / "rex.png").write_bytes(png(noise(1, 7)[0]))
    assert "'dog/rex.png' is not listed" in refuse(tmp_path, **entry, groups="sites.csv", group="site")
    assert "is not found in 'dog/rex.png'" in refuse(tmp_path, **entry, group_pattern=r"(\d)\.png")
    (tmp_path / "one.csv").write_text("file,site\nrex.png,a\n0.png,b\n")
    assert "several files are called '0.png'" in refuse(tmp_path, **entry, groups="one.csv")
    (tmp_path / "one.csv").write_text("file,site\nrex.png,a\nrex.png,b\n")
    assert "'rex.png' stands in two groups" in refuse(tmp_path, **entry, groups="one.csv")
    (tmp_path / "one.csv").write_text("file,site\ncat/0.png,a\ndog/rex.png,b\n")
    raw = read(tmp_path, **entry, groups="one.csv", unlisted="b")
    assert raw.group_names == ("a", "b") and raw.train.groups.tolist() == [0] + [1] * 2 * EACH
    (tmp_path / "one.csv").write_text("file,site\ncat/0.png,a\ncat/00.png,b\n")
    assert "there is no image 'cat/00.png'" in refuse(tmp_path, **entry, groups="one.csv", unlisted="b")
    assert "there are 3 columns" in refuse(tmp_path, **entry, groups="sites.csv")
    line = refuse(tmp_path, **entry, groups="sites.csv", group="sight")
    assert "unknown group column 'sight', did you mean 'site'?" in line
    assert "absent.csv: cannot be read" in refuse(tmp_path, **entry, groups="absent.csv")
    assert "'group' speaks of a table that is not given" in refuse(tmp_path, **entry, group="site")
    assert "in several ways" in refuse(tmp_path, **entry, groups="sites.csv", layout="class/group")
    assert "has 0 brackets" in refuse(tmp_path, **entry, group_pattern="cat")
    assert "is no regular expression" in refuse(tmp_path, **entry, group_pattern="(")


def test_file_names_alone_will_do_in_a_table_of_groups(tmp_path: Path) -> None:
    for number, pet in enumerate(("cat", "dog")):
        (tmp_path / "pets" / pet).mkdir(parents=True)
        for row, image in enumerate(noise(EACH, number)):
            (tmp_path / "pets" / pet / f"{pet}{row}.png").write_bytes(png(image))
    rows = [
        f"{pet}{row}.png,{'even' if row % 2 == 0 else 'odd'}" for pet in ("dog", "cat") for row in range(EACH)
    ]
    (tmp_path / "groups.csv").write_text("\n".join(["file,parity", *rows]))
    raw = read(tmp_path, source="folder", path="pets", groups="groups.csv")
    assert raw.group_names == ("even", "odd")
    assert raw.train.groups.tolist() == [0, 1] * EACH


def test_links_are_followed_and_those_that_lead_nowhere_are_broken_images(tmp_path: Path) -> None:
    """As git-annex and DVC leave them where the content was not fetched."""
    write_folder(tmp_path / "pets")
    write_folder(tmp_path / "elsewhere", seed=9)
    (tmp_path / "pets" / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "pets" / "cat" / "round").symlink_to(tmp_path / "pets" / "cat")
    (tmp_path / "pets" / "dog" / "gone.png").symlink_to(tmp_path / "never-fetched.png")
    raw = read(tmp_path, source="folder", path="pets")
    assert sorted(name for name in raw.train.names if "more" in name) == [
        f"cat/more/{n}.png" for n in range(EACH)
    ]
    assert len(raw.train.items) == 3 * EACH + 1
    assert "dog/gone.png (" in refuse(tmp_path, source="folder", path="pets")
    dataset = load_dataset(
        parse_source({"source": "folder", "path": "pets", "on_broken": "skip"}, tmp_path, "data")
    )
    assert dataset.report.broken == ("dog/gone.png",)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "pets")

    def forbidden(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert "pets: cannot be read: Permission denied" in refuse(tmp_path, source="folder", path="pets")


# ---------------------------------------------------------------------------------------- parquet


def test_a_hub_folder_with_shards(tmp_path: Path) -> None:
    for seed, name in enumerate(
        ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")
    ):
        write_parquet(tmp_path / "data" / f"{name}.parquet", seed=seed)
    raw = read(tmp_path, source="parquet", path=".")
    assert {split: len(part.items) for split, part in raw.given().items()} == {
        "train": 4 * EACH,
        "val": 2 * EACH,
    }
    assert raw.classes == ("cat", "dog")
    assert raw.train.names[13] == "train[13] 1.png"
    assert raw.train.items[2 * EACH] == png(noise(1, 1)[0])


@pytest.mark.parametrize("place", ["test", "train-00001-of-00002"])
def test_numbers_mean_the_same_classes_in_all_files(place: str, tmp_path: Path) -> None:
    """Files whose labels were numbered apart from each other would be read with wrong labels."""
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet")
    write_parquet(tmp_path / "data" / f"{place}.parquet", seed=1, classes=("dog", "cat"))
    told = refuse(tmp_path, source="parquet", path="data")
    assert f"{place}.parquet: classes of 'label' are 'dog', 'cat' ... here and 'cat', 'dog' ... in" in told


def test_two_configurations_are_not_read_as_one(tmp_path: Path) -> None:
    write_parquet(tmp_path / "large" / "train.parquet")
    write_parquet(tmp_path / "small" / "train.parquet")
    assert "several folders hold a train split" in refuse(tmp_path, source="parquet", path=".")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["dog", "ant"] * EACH, ("ant", "dog")),
        ([7, 3] * EACH, ("3", "7")),
        ([10, 9] * EACH, ("9", "10")),
        ([1.0, 0.0] * EACH, ("0", "1")),
        (pa.array(["dog", "ant"] * EACH).dictionary_encode(), ("ant", "dog")),
    ],
)
def test_labels_without_names_are_their_sorted_values(
    labels: Any, classes: tuple[str, ...], tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", names=False, label=labels)
    raw = read(tmp_path, source="parquet", path="a.parquet")
    assert raw.classes == classes
    assert raw.train.labels.tolist() == [1, 0] * EACH


def test_images_are_bytes_or_files_beside_the_table(tmp_path: Path) -> None:
    images = noise(2 * EACH, 0)
    (tmp_path / "0.png").write_bytes(png(images[0]))
    cells = [
        {"bytes": None if row == 0 else png(image), "path": f"{row}.png"} for row, image in enumerate(images)
    ]
    pq.write_table(pa.table({"img": cells, "label": [0, 1] * EACH}), tmp_path / "struct.parquet")
    pq.write_table(pa.table({"x": [png(i) for i in images], "y": [0, 1] * EACH}), tmp_path / "binary.parquet")
    for name in ("struct.parquet", "binary.parquet"):
        dataset = load_dataset(source_from_argument(str(tmp_path / name)))
        pool = dataset.train.pool.items
        np.testing.assert_array_equal(pool, images.transpose(0, 3, 1, 2))


def test_tables_are_named_after_their_folder_or_file(tmp_path: Path) -> None:
    for path in ("pets/train-00000-of-00001.parquet", "pets/flowers.parquet"):
        write_parquet(tmp_path / path)
    names = {"pets": "pets", "pets/flowers.parquet": "flowers", "pets/train-00000-of-00001.parquet": "pets"}
    for path, name in names.items():
        assert source_from_argument(str(tmp_path / path)).dataset_name == name
    entry = {"source": "parquet", "train": "pets/flowers.parquet", "name": "tulips"}
    assert parse_source(entry, tmp_path, "data").dataset_name == "tulips"


def test_a_group_column_follows_its_images(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", hospital=["north", "south", "west"] * (2 * EACH // 3))
    dataset = load_dataset(
        parse_source(
            {"source": "parquet", "path": "a.parquet", "label": "label", "group": "hospital"}, tmp_path, ""
        )
    )
    for split in (dataset.train, dataset.val, dataset.eval["test"]):
        assert split.group_names == ("north", "south", "west")
        assert split.groups is not None
        assert (split.groups == split.ids % 3).all()


def test_a_column_of_coarser_classes_gives_every_class_its_parent(tmp_path: Path) -> None:
    coarse = ["felid", "canid"] * EACH
    write_parquet(tmp_path / "a.parquet", family=coarse, order=["carnivora"] * 2 * EACH)
    entry = {"source": "parquet", "path": "a.parquet", "label": "label"}
    raw = read(tmp_path, **entry, coarse="family", group="family")
    assert (raw.classes, raw.parents) == (("cat", "dog"), ("felid", "canid"))
    dataset = load_dataset(parse_source({**entry, "coarse": "family"}, tmp_path, ""))
    assert dataset.eval["test"].with_parents_as_classes().classes == ("felid", "canid")
    assert read(tmp_path, **entry, coarse="order").parents == ("carnivora",) * 2
    line = refuse(tmp_path, **entry, coarse="famly")
    assert "unknown coarse column 'famly', did you mean 'family'?" in line
    write_parquet(tmp_path / "a.parquet", family=[*coarse[:-1], "felid"])
    line = refuse(tmp_path, **entry, coarse="family")
    assert "class 'dog' lies in 'canid' and in 'felid'" in line


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", fine_label=[0, 1] * EACH)
    line = refuse(tmp_path, source="parquet", path="a.parquet", label="fine_lable")
    assert "unknown label column 'fine_lable', did you mean 'fine_label'?" in line
    assert "no such file" in refuse(tmp_path, source="parquet", train="absent.parquet")
    assert "no Parquet file of a train split" in refuse(tmp_path, source="parquet", path=".")
    assert "unknown image column 'img'" in refuse(tmp_path, source="parquet", path="a.parquet", image="img")
    line = refuse(tmp_path, source="parquet", path="a.parquet", image="fine_label")
    assert "column 'fine_label' of type int64 holds no images" in line
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    assert "broken.parquet: cannot be read" in refuse(tmp_path, source="parquet", path="broken.parquet")
    write_parquet(tmp_path / "two.parquet", thumbnail=[b""] * (2 * EACH))
    assert "image: image | thumbnail" in refuse(tmp_path, source="parquet", path="two.parquet")


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (2, "train: label 2 in row 0 is out of range (allowed: 0 to 1)"),
        (-1, "train: label -1 in row 0 is out of range (allowed: 0 to 1)"),
        (None, "train: 1 labels are missing (NaN), the first in row 0"),
        (0.5, "train: label 0.5 in row 0 is not a whole number"),
    ],
)
def test_labels_that_mean_no_class(first: Any, expected: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", label=pa.array([first, 1, *([0, 1] * (EACH - 1))]))
    assert expected in refuse(tmp_path, source="parquet", path="a.parquet")


# ---------------------------------------------------------------------------------------- npz


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((12, 8, 8), 1), ((12, 8, 8, 1), 1), ((12, 1, 8, 8), 1), ((12, 8, 8, 3), 3), ((12, 3, 8, 8), 3)],
)
def test_arrays_in_every_layout(shape: tuple[int, ...], channels: int, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=array, labels=np.arange(12)[:, None] % 2)
    pool = load_dataset(source_from_argument(str(tmp_path / "a.npz"))).train.pool.items
    assert pool.shape == (12, channels, 8, 8)
    expected = array.transpose(0, 3, 1, 2) if array.shape[-1] in (1, 3) else array
    np.testing.assert_array_equal(pool, expected.reshape(pool.shape))


def test_medmnist_names(tmp_path: Path) -> None:
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
        ({"x_train": np.zeros((12, 8, 8))}, "images are float64 (allowed: uint8)"),
        ({"x_train": np.zeros((11, 8, 8), np.uint8)}, "11 images but 12 labels"),
        (
            {"x_train": np.zeros((12, 1, 1), np.uint8)},
            "train[0]: the image is 1x1 pixels (allowed: at least 4x4)",
        ),
        ({"y_train": [0, np.nan] * EACH}, "6 labels are missing (NaN), the first in row 1"),
        ({"y_train": [0, -1] * EACH}, "train: label -1 in row 1 is out of range (allowed: 0 and above)"),
        ({"y_train": np.eye(12, 2)}, "labels have shape [12, 2]"),
        ({"y_train": ["a", "b"] * EACH}, "labels are numbers in one split and names in another"),
        ({"y_train": np.array([{}] * 12)}, "cannot be read"),
        (
            {"y_test": [0, 2] * EACH},
            "train and test hold different classes: test lacks '1' and train lacks '2'",
        ),
        ({"y_test": None}, "array 'y_test' is missing"),
        ({"x_train": None}, "holds x_test, y_test, y_train"),
        (
            {"x_test": np.zeros((0, 8, 8), np.uint8), "y_test": np.zeros(0, np.int64)},
            "the test split holds no image",
        ),
    ],
)
def test_arrays_that_cannot_be_used(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", **changes)
    assert expected in refuse(tmp_path, source="npz", path="a.npz")


def test_files_that_are_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz: cannot be read" in refuse(tmp_path, source="npz", path="text.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "this is a single array" in refuse(tmp_path, source="npz", path="one.npz")
    assert "there is no such file" in refuse(tmp_path, source="npz", path="absent.npz")


# ---------------------------------------------------------------------------------------- torchvision


def test_torchvision_keeps_its_splits_and_class_names(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    raw = read(tmp_path, source="torchvision", dataset="MNIST", root=".")
    assert list(raw.given()) == ["train", "test"]
    assert raw.classes[3] == "3 - three"
    np.testing.assert_array_equal(np.stack(raw.train.items), noise(10 * EACH, 0, side=28)[..., 0])
    assert raw.test.labels.tolist() == np.repeat(np.arange(10), EACH).tolist()


def test_torchvision_classes_that_load_image_by_image(tmp_path: Path) -> None:
    """Imagenette has ``split=`` instead of ``train=``, a val but no test split, and files, not arrays."""
    wnids = ["n01440764", "n02102040", "n02979186", "n03000684", "n03028079"]
    wnids += ["n03394916", "n03417042", "n03425413", "n03445777", "n03888257"]
    for split in ("train", "val"):
        write_folder(tmp_path / "imagenette2" / split, tuple(wnids), seed=0 if split == "train" else 50)
        for path in sorted((tmp_path / "imagenette2" / split).rglob("*.png")):
            path.rename(path.with_suffix(".JPEG"))  # Pillow goes by the content
    raw = read(tmp_path, source="torchvision", dataset="Imagenette", root=".")
    assert list(raw.given()) == ["train", "val"]
    image = raw.train.items[0]
    assert callable(image)
    np.testing.assert_array_equal(np.asarray(image()), noise(1, 0)[0])


def test_torchvision_says_what_is_missing(tmp_path: Path) -> None:
    line = refuse(tmp_path, source="torchvision", dataset="MNIST", root="nowhere")
    assert "the files of torchvision's MNIST are not there" in line
    assert "nowhere" in line
    assert "`download: true`" in line
    line = refuse(tmp_path, source="torchvision", dataset="FashionMINST", root=".")
    assert "unknown torchvision dataset 'FashionMINST', did you mean 'FashionMNIST'?" in line
    line = refuse(tmp_path, source="torchvision", dataset="EMNIST", root=".", options={"splits": "letters"})
    assert "unknown argument of EMNIST 'splits', did you mean 'split'?" in line
    line = refuse(tmp_path, source="torchvision", dataset="MNIST", root=".", options={"train": True})
    assert "'train' is not an option (allowed: nothing: both splits are read)" in line


# ---------------------------------------------------------------------------------------- huggingface


def test_a_huggingface_folder_keeps_splits_and_names(tmp_path: Path) -> None:
    raw = read(tmp_path, source="huggingface", **make_huggingface(tmp_path))
    assert list(raw.given()) == ["train", "test"]
    assert raw.classes == ("cat", "dog")
    assert raw.train.labels.tolist() == [0, 1] * EACH
    entry = {"source": "huggingface", "path": "pets", "label": "kind"}
    raw = read(tmp_path, **entry, group="kind", coarse="kind")
    assert raw.parents == ("cat", "dog") and raw.train.groups.tolist() == [0, 1] * EACH
    assert "unknown coarse column 'kin'" in refuse(tmp_path, **entry, coarse="kin")


def test_huggingface_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install distillab[huggingface]" in refuse(tmp_path, source="huggingface", path="cifar10")


def test_huggingface_datasets_that_cannot_be_loaded(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra distillab[huggingface] is not installed")
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded" in refuse(tmp_path, source="huggingface", path="empty")


# ---------------------------------------------------------------------------------------- webdataset


def test_shards_hold_what_their_names_say(tmp_path: Path) -> None:
    write_shards(tmp_path / "pets", labels="json")
    dataset = load_dataset(
        parse_source({"source": "webdataset", "path": "pets", "label": "pet"}, tmp_path, "data")
    )
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.eval["test"]) == 2 * EACH
    where = {name: row for row, name in enumerate(range(0, 2 * EACH, 2))}
    test = dataset.eval["test"]
    np.testing.assert_array_equal(test.images[where[0]].transpose(1, 2, 0), noise(2 * EACH, 1)[0])
    assert source_from_argument(str(tmp_path / "pets")).kind == "webdataset"
    assert source_from_argument(str(tmp_path / "pets" / "train-0.tar")).kind == "webdataset"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "nothing"}, "there is no .tar file here"),
        ({"path": "pets", "label": "pets"}, "unknown label key 'pets', did you mean 'pet'?"),
        ({"path": "pets"}, "this image has no label (allowed: a .cls file beside it, or `label: key`)"),
        ({"path": "broken.tar"}, "cannot be read"),
    ],
)
def test_shards_that_do_not_serve_are_told(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    write_shards(tmp_path / "pets", labels="json")
    (tmp_path / "broken.tar").write_bytes(b"no archive at all" * 100)
    assert message in refuse(tmp_path, source="webdataset", **entry)


def write_shard(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("endings", [("cls", "txt"), ("txt", "cls")])
def test_a_cls_file_goes_before_a_txt_file(tmp_path: Path, endings: tuple[str, str]) -> None:
    """Whichever comes first in the shard: a .txt file often holds a caption."""
    written = {"cls": "cat", "txt": "a picture of a dog"}
    image = {"0.png": png(noise(1, 0)[0])}
    write_shard(tmp_path / "pets.tar", image | {f"0.{end}": written[end].encode() for end in endings})
    assert read(tmp_path, source="webdataset", path="pets.tar").classes == ("cat",)


def test_a_pattern_means_its_shards_in_order(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_shard(
            tmp_path / "pets" / f"train-{number:03}.tar",
            {f"{number}.png": png(noise(1, number)[0]), f"{number}.cls": b"0"},
        )
    source = parse_source(
        {"source": "webdataset", "path": "pets/train-{008..010}.tar"}, tmp_path, "study.yaml: data"
    )
    assert source.read().train.names == [f"train-{n:03}.tar/{n}" for n in (8, 9, 10)]
    assert source.dataset_name == "pets"
    told = refuse(tmp_path, source="webdataset", path="pets/train-{010..012}.tar")
    assert told.startswith(f"{tmp_path / 'pets' / 'train-012.tar'}: there is no .tar file here")


def test_shards_of_one_name_in_different_folders_are_different_shards(tmp_path: Path) -> None:
    for folder in ("north", "south"):
        write_shard(
            tmp_path / "pets" / folder / "0.tar", {"0.png": png(noise(1, 0)[0]), "0.cls": folder.encode()}
        )
    assert read(tmp_path, source="webdataset", path="pets").classes == ("north", "south")


def test_folders_of_shards_are_splits_too(tmp_path: Path) -> None:
    """A test set must not end in train because its name stands a folder higher."""
    for place, folder in enumerate(("train", "validation", "test", "extra")):
        write_shard(
            tmp_path / "pets" / folder / "00000.tar",
            {"0.png": png(noise(1, place)[0]), "0.cls": b"0", "1.png": png(noise(1, 9)[0]), "1.cls": b"1"},
        )
    found = read(tmp_path, source="webdataset", path="pets")
    assert found.val is not None and found.test is not None
    assert [len(split.items) for split in (found.train, found.val, found.test)] == [2, 2, 2]
    assert found.notes == ("shards that belong to no split were left out: extra/00000.tar.",)


def test_a_sample_has_one_image(tmp_path: Path) -> None:
    """A mask beside a photograph must not take its place."""
    photo, mask = png(noise(1, 0)[0]), png(noise(1, 1)[0])
    write_shard(tmp_path / "pets.tar", {"0.jpeg": photo, "0.png": mask, "0.cls": b"0"})
    told = refuse(tmp_path, source="webdataset", path="pets.tar")
    assert "0.png is the second image of its sample" in told and "`image`" in told
    found = read(tmp_path, source="webdataset", path="pets.tar", image="jpeg")
    assert isinstance(found.train.items[0], StoredBytes) and found.train.items[0].read() == photo


@pytest.mark.parametrize("end", ["a header", "a member", "a zeroed page", "a second archive"])
def test_a_shard_that_ends_early_is_told(end: str, tmp_path: Path) -> None:
    """tarfile takes what it cannot read for the end, without a word."""
    files = {
        f"{n}.{kind}": png(noise(1, n)[0]) if kind == "png" else b"0"
        for n in range(6)
        for kind in ("png", "cls")
    }
    write_shard(tmp_path / "pets.tar", files)
    whole = (tmp_path / "pets.tar").read_bytes()
    with tarfile.open(tmp_path / "pets.tar") as archive:
        third = archive.getmembers()[2].offset
    cut = {
        "a header": whole[: third + 100],
        "a member": whole[:third],
        "a zeroed page": whole[:third] + bytes(512) + whole[third + 512 :],
        "a second archive": whole + whole,
    }[end]
    (tmp_path / "pets.tar").write_bytes(cut)
    told = refuse(tmp_path, source="webdataset", path="pets.tar")
    assert "cut short or damaged behind byte" in told and "pets.tar" in told


def test_samples_without_an_image_are_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "pets.tar", {"0.png": png(noise(1, 0)[0]), "0.cls": b"0", "1.cls": b"1"})
    found = read(tmp_path, source="webdataset", path="pets.tar")
    assert len(found.train.items) == 1
    assert found.notes == ("1 samples of the shards have no image and were left out.",)
    write_shard(tmp_path / "empty.tar", {"1.cls": b"1"})
    assert "there is no image in the train shards" in refuse(tmp_path, source="webdataset", path="empty.tar")


def test_a_shard_that_is_cut_short_is_told(tmp_path: Path) -> None:
    write_shards(tmp_path / "pets")
    shard = tmp_path / "pets" / "train-1.tar"
    shard.write_bytes(shard.read_bytes()[: 3 * 512 + 40])
    assert "cannot be read" in refuse(tmp_path, source="webdataset", path="pets")
