"""The folder source: splits, groups, links and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.sources import load_dataset, parse_source
from support.source_files import EACH, noise, png, read, refuse, write_folder


@pytest.mark.parametrize("val", ["val", "validation", "valid", "dev", "Val"])
def test_split_folders_become_splits(val: str, tmp_path: Path) -> None:
    for seed, split in enumerate(("train", val, "test")):
        write_folder(tmp_path / split, seed=10 * seed)
    raw = read(tmp_path, source="folder", path=".")
    assert list(raw.given()) == ["train", "val", "test"]
    assert raw.classes == ("cat", "dog")
    assert raw.val.names[0] == f"{val}/cat/0.png"


def test_only_images_in_class_folders_are_read(tmp_path: Path) -> None:
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
    assert raw.train.targets.values.tolist() == [0] * (EACH + 1) + [1] * EACH
    assert raw.left_out == {".txt": 1, "hidden": 1, "outside class folders": 1}


def test_class_may_be_called_train(tmp_path: Path) -> None:
    write_folder(tmp_path, ("bus", "car", "train"))
    raw = read(tmp_path, source="folder", path=".")
    assert raw.classes == ("bus", "car", "train")
    assert list(raw.given()) == ["train"]


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: there is no image in a class folder here" in refuse(
        tmp_path, source="folder", path="empty"
    )
    assert "there is no such folder" in refuse(tmp_path, source="folder", path="absent")
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in refuse(tmp_path, source="folder", path="file")
    write_folder(tmp_path / "one", ("cat",))
    assert "there is only one class, 'cat'" in refuse(tmp_path, source="folder", path="one")
    write_folder(tmp_path / "testless" / "test")
    assert "there is no train folder" in refuse(tmp_path, source="folder", path="testless")
    write_folder(tmp_path / "twice" / "train")
    write_folder(tmp_path / "twice" / "val")
    write_folder(tmp_path / "twice" / "dev")
    assert "two folders hold the val split" in refuse(tmp_path, source="folder", path="twice")


@pytest.mark.parametrize("layout", ["group/class", "class/group"])
@pytest.mark.parametrize("splits", [(), ("train", "test")])
def test_layout_makes_a_folder_level_the_group(layout: str, splits: tuple[str, ...], tmp_path: Path) -> None:
    for split in splits or ("",):
        for outer in ("a", "b"):
            write_folder(tmp_path / split / outer, ("x", "y"), seed=ord(outer))
    raw = read(tmp_path, source="folder", path=".", layout=layout)
    names, groups = (("x", "y"), ("a", "b")) if layout == "group/class" else (("a", "b"), ("x", "y"))
    assert (raw.classes, raw.group_names) == (names, groups)
    assert list(raw.given()) == (list(splits) or ["train"])
    for split in raw.given().values():
        for label, group, name in zip(split.targets.values, split.groups, split.names, strict=True):
            level = (groups[group], names[label])
            assert "/".join(level if layout == "group/class" else level[::-1]) in name
    write_folder(tmp_path / splits[0] if splits else tmp_path, ("shallow",))
    assert f"this image is in no folder of a {layout[6:]}" in refuse(
        tmp_path, source="folder", path=".", layout=layout
    )


def test_groups_are_read_from_a_table_or_a_pattern(tmp_path: Path) -> None:
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
    assert "'rex.png' is in two groups" in refuse(tmp_path, **entry, groups="one.csv")
    (tmp_path / "one.csv").write_text("file,site\ncat/0.png,a\ndog/rex.png,b\n")
    raw = read(tmp_path, **entry, groups="one.csv", unlisted="b")
    assert raw.group_names == ("a", "b") and raw.train.groups.tolist() == [0] + [1] * 2 * EACH
    (tmp_path / "one.csv").write_text("file,site\ncat/0.png,a\ncat/00.png,b\n")
    assert "there is no file 'cat/00.png'" in refuse(tmp_path, **entry, groups="one.csv", unlisted="b")
    assert "there are 3 columns" in refuse(tmp_path, **entry, groups="sites.csv")
    line = refuse(tmp_path, **entry, groups="sites.csv", group="sight")
    assert "unknown group column 'sight', did you mean 'site'?" in line
    assert "absent.csv: cannot be read" in refuse(tmp_path, **entry, groups="absent.csv")
    assert "'group' needs a table of groups" in refuse(tmp_path, **entry, group="site")
    assert "in several ways" in refuse(tmp_path, **entry, groups="sites.csv", layout="class/group")
    assert "has 0 capturing brackets" in refuse(tmp_path, **entry, group_pattern="cat")
    assert "is no regular expression" in refuse(tmp_path, **entry, group_pattern="(")


def test_table_of_groups_may_list_file_names_alone(tmp_path: Path) -> None:
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


def test_links_are_followed_and_dangling_ones_are_broken_images(tmp_path: Path) -> None:
    """git-annex and DVC leave dangling links where the content was not fetched."""
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


def test_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "pets")

    def forbidden(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", forbidden)
    assert "pets: cannot be read: Permission denied" in refuse(tmp_path, source="folder", path="pets")
