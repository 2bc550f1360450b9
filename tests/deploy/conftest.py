"""Exported models that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillab.deploy import Exported, export_run
from distillab.study.folder import StudyFolder
from support.exported import describe, written
from support.studies import begin, run_here


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of a small network for gray images, with every kind of file."""
    out = tmp_path_factory.mktemp("exported") / "model"
    made = written(out, describe(), ["safetensors", "onnx", "int8", "pt2"], max_drop=100.0)
    assert {"model.safetensors", "model.onnx", "model.pt2"} <= set(made.files)
    return out


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished study of one condition: two plain students and two distilled ones."""
    alone = {"provenance": "full", "replicates": 1}
    folder = begin(
        tmp_path_factory.mktemp("study"),
        teacher=alone,
        factors={},
        draws={"split": "shared"},
        evidence={"probes": 0},
        recipe={"steps": 30, "batch_size": 16, "lr": 0.05},
    )
    run_here(folder)
    return folder


@pytest.fixture(scope="session")
def exported_run(study_folder: StudyFolder) -> Exported:
    """The student of that study with the best score on val, as weights and as ONNX."""
    return export_run(study_folder, None, study_folder.path / "model", formats=["safetensors", "onnx"])
