"""Pretrained weights of small students: trained on one base set, for contexts of the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from distillab.artefacts import WEIGHTS
from distillab.base.design import Design
from distillab.base.sets import OnSet
from distillab.study.folder import StudyFolder
from distillab.study.running.worker import work
from distillab.study.spec.study import parse_study

PRETRAINED_ON = "cifar100"
"""The base set that pretrained students were trained on; contexts of it start from scratch."""
_STEPS, _BATCH = 3000, 64


def prepare_weights(design: Design, folder: Path, on_set: OnSet | None = None) -> None:
    """Train the weights that students of a design start from, as far as they are missing.

    Args:
        design: The design.
        folder: The folder of the base sets; weights are written to ``pretrained/`` in it.
        on_set: Called before each training.
    """
    needed = list(weights_of(design))
    missing = [
        each for each in needed if not (folder / f"pretrained/{each[0]}-{each[1]}.safetensors").is_file()
    ]
    for number, (model, channels) in enumerate(missing):
        if on_set:
            on_set(f"pretrained {model}, {channels} channels", number, len(missing))
        _train(model, channels, folder)


def weights_of(design: Design) -> Iterator[tuple[str, int]]:
    """Yield network and channels of the weights that contexts of a design may start from."""
    ranges = (design.other if design.file.of else design).file.ranges
    if ranges is None or PRETRAINED_ON not in design.base_sets:
        return
    if not ranges.initialisation.weights.get("pretrained"):
        return
    for model in ranges.student.weights:
        for channels in (1, 3):
            yield str(model), channels


def _train(model: str, channels: int, folder: Path) -> None:
    data = {"source": "npz", "path": str(folder / f"{PRETRAINED_ON}.npz"), "resolution": 16}
    study = {
        "study": f"pretrained {model}",
        "data": {**data, "channels": channels},
        "teacher": {"model": "convnet3", "provenance": "same"},
        "students": [model],
        "methods": ["ce"],
        "seeds": [0],
        "recipe": {"steps": _STEPS, "batch_size": _BATCH, "lr": 0.1, "precision": "fp32"},
    }
    place = folder / "pretrained" / f"{model}-{channels}"
    study_folder = StudyFolder.begin(place, parse_study(study, Path(), "pretrained"), torch.device("cpu"))
    with study_folder.ledger() as ledger:
        ledger.reclaim()
    work(study_folder, "cpu", stop=lambda: False)
    with study_folder.ledger() as ledger:
        [cell] = ledger.cells()
    weights = study_folder.store.folder("student", cell.run_id) / WEIGHTS
    draft = place.with_suffix(".draft")
    shutil.copyfile(weights, draft)
    draft.rename(place.with_suffix(".safetensors"))
    shutil.rmtree(place)
