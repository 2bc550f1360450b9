"""Pretrained weights of small students: trained on one base set, for contexts of the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from distillab.artefacts import WEIGHTS
from distillab.base.contexts import DrawnContext
from distillab.base.sets import PRETRAINED_ON, OnSet
from distillab.study.folder import StudyFolder
from distillab.study.running.worker import work
from distillab.study.spec.study import parse_study

_STEPS, _BATCH = 1500, 64


def prepare_weights(contexts: Iterable[DrawnContext], folder: Path, on_set: OnSet | None = None) -> None:
    """Train the weights that students of some contexts start from, as far as they are missing.

    Args:
        contexts: The contexts.
        folder: The folder of the base sets; weights are written to ``pretrained/`` in it.
        on_set: Called before each training.
    """
    needed = {
        (str(student["model"]), int(context.levels["channels"] or 1))
        for context in contexts
        for student in context.study["students"]
        if isinstance(student, Mapping)
    }
    missing = [each for each in sorted(needed) if not _weights_file(folder, *each).is_file()]
    for number, (model, channels) in enumerate(missing):
        if on_set:
            on_set(f"pretrained {model}, {channels} channels", number, len(missing))
        _train(model, channels, folder)


def _weights_file(folder: Path, model: str, channels: int) -> Path:
    return folder / "pretrained" / f"{model}-{channels}.safetensors"


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
    place = _weights_file(folder, model, channels).with_suffix("")
    study_folder = StudyFolder.begin(place, parse_study(study, Path(), "pretrained"), torch.device("cpu"))
    with study_folder.ledger() as ledger:
        ledger.reclaim()
    work(study_folder, "cpu", stop=lambda: False)
    with study_folder.ledger() as ledger:
        [cell] = ledger.cells()
    weights = study_folder.store.folder("student", cell.run_id) / WEIGHTS
    draft = place.with_suffix(".draft")
    shutil.copyfile(weights, draft)
    draft.rename(_weights_file(folder, model, channels))
    shutil.rmtree(place)
