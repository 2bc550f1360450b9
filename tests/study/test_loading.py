"""Several datasets in a study: no example leaks between training and testing through another dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab.data.dataset import Dataset
from distillab.data.duplicates import found_in, hashes_of
from distillab.errors import RequestError
from distillab.study.loading import load_study_data
from support.studies import spec

RNG = np.random.default_rng(0)


def noise(count: int) -> Any:
    return RNG.integers(0, 256, (count, 8, 8), np.uint8)


def write(path: Path, train: Any, test: Any) -> None:
    np.savez(
        path,
        x_train=train,
        y_train=np.arange(len(train)) % 2,
        x_test=test,
        y_test=np.arange(len(test)) % 2,
    )


def loaded(folder: Path, **data: Any) -> Dataset:
    study = spec(
        folder,
        data={"source": "npz", "path": "data.npz", "val": 0.25, "classes": 2, **data},
        others={"more": {"source": "npz", "path": "more.npz"}},
    )
    return load_study_data(study)


def test_held_out_examples_do_not_leak_through_other_datasets(tmp_path: Path) -> None:
    mine, test = noise(40), noise(20)
    write(tmp_path / "data.npz", mine, test)
    write(tmp_path / "more.npz", np.concatenate([noise(30), test[:6]]), np.concatenate([noise(10), mine[:8]]))
    dataset = loaded(tmp_path)
    more = dataset.others["more"]
    assert not found_in(more.train, hashes_of([dataset.val, *dataset.eval.values()])).any()
    assert not found_in(more.val, hashes_of(dataset.eval.values())).any()
    assert not found_in(more.eval["test"], hashes_of([dataset.train, dataset.val])).any()
    assert len(more.eval["test"]) == 10
    assert dataset.report.notes[-1] == "14 examples of others.more are also in data and were left out."
    kept = loaded(tmp_path, duplicates="keep").others["more"]
    assert len(kept.eval["test"]) == 18


def test_copy_of_the_dataset_is_refused(tmp_path: Path) -> None:
    mine = noise(40)
    write(tmp_path / "data.npz", mine, noise(20))
    write(tmp_path / "more.npz", noise(30), mine[:8])
    with pytest.raises(RequestError, match="all of its examples are also in data"):
        loaded(tmp_path)
