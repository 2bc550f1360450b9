"""A study that runs in about a second, its plan, and its results."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from distillab.data.dataset import Dataset
from distillab.evidence.results import write_tables
from distillab.evidence.schema import read_rows
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.planning import Plan, make_plan
from distillab.study.running.run import run_jobs
from distillab.study.spec.study import StudySpec, parse_study

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "study": "small",
    "data": {"source": "digits", "classes": 4},
    "teacher": {"model": "resnet8", "provenance": ["same", "full"]},
    "students": ["resnet8"],
    "methods": ["ce", "kd"],
    "factors": {"size": [5, 10]},
    "seeds": 2,
    "recipe": {"steps": 3, "batch_size": 8},
}
# The defaults of the versions before ``draws``: one ``full`` teacher, views and split shared by all seeds.
EARLIER: dict[str, Any] = {
    "teacher": {"replicates": 1},
    "draws": {"views": "shared", "split": "shared"},
}


@dataclass(frozen=True)
class Undisturbed:
    """A finished study and its results."""

    folder: StudyFolder
    rows: list[dict[str, Any]]


def study(**changes: Any) -> dict[str, Any]:
    """Return the small study with other values; ``teacher``, ``data`` and ``recipe`` are merged by key."""
    values = copy.deepcopy(SMALL)
    for key, value in changes.items():
        if isinstance(values.get(key), dict) and key != "factors":
            values[key] |= value
        else:
            values[key] = value
    return values


def spec(base: Path | None = None, **changes: Any) -> StudySpec:
    return parse_study(study(**changes), base or Path.cwd(), "study.yaml")


@cache
def _dataset_of(keys: tuple[tuple[str, Any], ...]) -> Dataset:
    return load_dataset(spec(data=dict(keys)).source())


def dataset(**data: Any) -> Dataset:
    """Return the data of the small study, with other keys of the source; read once."""
    return _dataset_of(tuple(data.items()))


def plan(base: Path | None = None, **changes: Any) -> Plan:
    """Return the plan of the small study with other values."""
    return make_plan(spec(base, **changes), dataset(**changes.get("data", {})), CPU)


def write_study(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(study(**changes)))
    return path


def begin(path: Path, **changes: Any) -> StudyFolder:
    """Start the small study, with other values, in a folder below ``path``."""
    return StudyFolder.begin(path / "dir", spec(path, **changes), CPU)


def states_of(folder: StudyFolder) -> dict[str, str]:
    """Return the state of every job by id, in planned order."""
    with folder.ledger() as ledger:
        return {name: status.state for name, status in ledger.states().items()}


def check_share(share: float) -> None:
    """Check the progress that an executor reports."""
    assert 0 <= share <= 1


def run_here(folder: StudyFolder, executor: str = "inline", workers: int = 1) -> list[dict[str, Any]]:
    """Run all open jobs, write the tables and return the rows of results."""
    run_jobs(folder, executor=executor, workers=workers, device="cpu", on_progress=check_share)
    write_tables(folder)
    return rows_of(folder)


def rows_of(folder: StudyFolder) -> list[dict[str, Any]]:
    return read_rows(folder.results_file)


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without the column of measured seconds."""
    return [{name: value for name, value in row.items() if name != "train_seconds"} for row in rows]


def artefacts(folder: StudyFolder) -> dict[str, tuple[int, ...]]:
    """Return every finished artifact, with the times at which it and its files were last written."""
    return {
        f"{path.parent.name}/{path.name}": (
            path.stat().st_mtime_ns,
            *(file.stat().st_mtime_ns for file in sorted(path.iterdir())),
        )
        for path in folder.store.root.glob("*/*")
        if path.parent.name not in ("drafts", "teacher_outputs")  # caches grow
    }
