"""Entries of a study file and arguments of the command line become sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.errors import RequestError
from distillab.sources import parse_source, source_from_argument
from support.source_files import EACH, write_folder, write_npz, write_parquet


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
def test_invalid_entries_are_refused_in_one_line(entry: Any, expected: str, tmp_path: Path) -> None:
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


def test_command_line_arguments_become_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "pets")
    write_folder(tmp_path / "digits")
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    write_npz(tmp_path / "arrays.npz")
    write_parquet(tmp_path / "one.parquet")
    kinds = {
        "digits:": "digits",
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


@pytest.mark.parametrize("name", ["digits", "noise"])
def test_name_of_a_source_and_of_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_from_argument(name).kind == name
    write_folder(tmp_path / name)
    expected = f"'{name}' is the name of a source and of a path here (allowed: ./{name} for the path"
    with pytest.raises(RequestError) as caught:
        source_from_argument(name)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("torchvison:MNIST", "unknown source 'torchvison', did you mean 'torchvision'?"),
        ("nowhere", "there is no file, folder or source 'nowhere'"),
        ("torchvision", "key 'dataset' is missing"),
        ("digits:3", "source 'digits' takes no argument"),
        (__file__, "this file is not a dataset (allowed: a folder, .parquet, .csv, .tsv, .tab, .npz, .tar)"),
    ],
)
def test_invalid_arguments_are_refused(argument: str, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        source_from_argument(argument)
    assert expected in str(caught.value)
