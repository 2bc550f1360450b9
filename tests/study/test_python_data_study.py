"""Studies and profiles of data given as Python objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distillab.api import Study, profile
from distillab.errors import RequestError
from support.planted import gratings
from support.studies import rows_of

IMAGES, LABELS = gratings(80, side=16, classes=2)
STUDY: dict[str, Any] = {
    "study": "arrays",
    "teacher": {"model": "resnet8"},
    "students": "resnet8",
    "methods": ["kd"],
    "seeds": 1,
    "recipe": {"steps": 2, "batch_size": 8, "precision": "fp32"},
}


def test_workers_read_arrays_from_the_folder_of_the_study(tmp_path: Path) -> None:
    study = Study(data=(IMAGES, LABELS), **STUDY)
    finished = study.run(tmp_path / "run", workers=2, device="cpu")
    assert finished.outcome.complete and finished.outcome.done == 2
    again = Study(data=(IMAGES / 255, LABELS.tolist()), **STUDY).run(tmp_path / "run", device="cpu")
    assert again.outcome.done == 2  # the same data under the same name: resumed


def test_other_data_are_another_study(tmp_path: Path) -> None:
    Study(data=(IMAGES, LABELS), **STUDY).run(tmp_path, executor="inline", device="cpu")
    with pytest.raises(RequestError, match="this folder belongs to another study"):
        Study(data=(IMAGES, 1 - LABELS), **STUDY).run(tmp_path, executor="inline", device="cpu")


def test_runs_on_equal_pixels_have_equal_ids(tmp_path: Path) -> None:
    order = np.argsort(LABELS, kind="stable")  # the order in which a folder of classes is read
    names = [f"{row:03}" for row in range(len(order))]
    for name, row in zip(names, order, strict=True):
        folder = tmp_path / "photos" / str(LABELS[row])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[row].transpose(1, 2, 0)).save(folder / f"{name}.png")
    sources: dict[str, Any] = {
        "files": {"source": "folder", "path": str(tmp_path / "photos")},
        "arrays": (IMAGES[order], LABELS[order]),
    }
    ids = {}
    for kind, data in sources.items():
        finished = Study(data=data, **STUDY).run(tmp_path / kind, executor="inline", device="cpu")
        ids[kind] = [row["run_id"] for row in rows_of(finished.folder)]
    assert ids["files"] == ids["arrays"]


def test_others_are_given_as_arrays() -> None:
    study = Study(data=(IMAGES, LABELS), others={"inverted": (255 - IMAGES, LABELS)}, **STUDY)
    dataset, _ = study.plan(device="cpu")
    assert dataset.others["inverted"].train.shape == (3, 16, 16)


def test_a_path_is_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "pets.npz", images=IMAGES, labels=LABELS)
    assert Study(data=tmp_path / "pets.npz", **STUDY).spec.source().dataset_name == "pets"
    assert Study(data="digits", **STUDY).spec.source().dataset_name == "digits"


def test_wrong_data_name_the_key() -> None:
    with pytest.raises(RequestError, match=r"^study: data: train: 80 images but 79 labels$"):
        Study(data=(IMAGES, LABELS[1:]), **STUDY)
    with pytest.raises(RequestError, match=r"^study: others.pets: int is no form of data"):
        Study(data=(IMAGES, LABELS), others={"pets": 3}, **STUDY)


def test_arrays_are_profiled() -> None:
    found = profile((IMAGES, LABELS), against=(255 - IMAGES, LABELS), keys={"resolution": 8})
    assert found.images == len(IMAGES) and found.shape == (3, 8, 8)
    assert found.against == "memory"
