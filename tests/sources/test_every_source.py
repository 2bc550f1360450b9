"""What every registered source guarantees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distillab.data import storage
from distillab.data.storage import FileItems
from distillab.sources import load_dataset, parse_source, sources
from support.source_files import SMALL_SOURCES, refuse


def test_every_source_has_a_small_example() -> None:
    assert set(SMALL_SOURCES) == set(sources)


@pytest.mark.parametrize("name", sorted(SMALL_SOURCES))
def test_examples_on_disk_equal_examples_in_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = parse_source({"source": name, **SMALL_SOURCES[name](tmp_path)}, tmp_path, "study.yaml: data")
    usual = load_dataset(source)
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "LARGE", 0)
    large = load_dataset(source)
    assert isinstance(large.train.pool.items, FileItems)
    assert large.digest == usual.digest
    assert large.report == usual.report


@pytest.mark.parametrize("name", sorted(SMALL_SOURCES))
def test_source_gives_train_val_and_test(name: str, tmp_path: Path) -> None:
    source = parse_source({"source": name, **SMALL_SOURCES[name](tmp_path)}, tmp_path, "study.yaml: data")
    dataset = load_dataset(source)
    splits = [dataset.train, dataset.val, dataset.eval["test"]]
    assert all(split.pool is dataset.train.pool for split in splits)
    assert all((split.counts > 0).all() for split in splits)
    ids = np.concatenate([split.ids for split in splits])
    assert len(np.unique(ids)) == len(ids)
    assert load_dataset(source).digest == dataset.digest


@pytest.mark.parametrize("name", sorted(SMALL_SOURCES))
def test_entry_is_parsed_back_into_the_same_source(name: str, tmp_path: Path) -> None:
    entry = {"source": name, **SMALL_SOURCES[name](tmp_path), "split_seed": 5, "classes": ["1", "0"]}
    source = parse_source(entry, tmp_path, "data")
    json.dumps(source.entry())
    assert parse_source(source.entry(), Path(), "data") == source


@pytest.mark.parametrize("name", sorted(sources))
def test_every_source_has_a_one_line_description(name: str) -> None:
    assert sources[name].__doc__
    assert len(str(sources[name].__doc__).split("\n")[0]) > 20


@pytest.mark.parametrize("name", sorted(sources))
def test_misspelled_key_is_named_with_the_nearest(name: str, tmp_path: Path) -> None:
    line = refuse(tmp_path, source=name, split_sed=32)
    assert "study.yaml: data: " in line
    assert "unknown key 'split_sed', did you mean 'split_seed'?" in line
    assert "on_broken" in line
