"""The trials of a study's tuning as rows of ``tuning.parquet``, and what was chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence

from distillab.evidence.pairs import Row, level_columns
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.running.tuning import trial_scores
from distillab.study.trial import TUNED, Setting, groups_of

TUNED_COLUMNS = ("tuned_lr", "tuned_steps", "tuned_length", "tuned_weight_decay", "tuned_keys")


def tuning_rows(folder: StudyFolder) -> list[Row]:
    """Return one row per trial, in planned order; empty for a study without tuning.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> tuning_rows(folder)
        []
    """
    record, tune = folder.tuning, folder.spec.tune if folder.tuning else None
    if record is None or tune is None:
        return []
    scores = trial_scores(folder, record)
    with folder.ledger() as ledger:
        states = ledger.states()
    rows = []
    for key, trials in groups_of(record.trials, per_condition=tune.per_condition).items():
        choice = record.chosen.get(key)
        for trial in trials:
            setting = trial.setting
            rows.append(
                {
                    "study": folder.spec.study,
                    "dataset": folder.dataset.name,
                    **level_columns(trial.levels),
                    "provenance": trial.provenance,
                    "teacher": trial.teacher,
                    "student": trial.student,
                    "method": trial.method,
                    "trial": trial.number,
                    "is_default": trial.number == 0,
                    "chosen": choice.number == trial.number if choice else None,
                    "seed": trial.seed,
                    "run_id": trial.run or "",
                    "status": str(states[trial.run].state) if trial.run else "excluded",
                    "val_score": scores.get(trial.run) if trial.run else None,
                    "lr": setting.lr,
                    "length": setting.length,
                    "steps": trial.steps,
                    "weight_decay": setting.weight_decay,
                    "keys": json.dumps(dict(setting.keys), sort_keys=True),
                }
            )
    return rows


def setting_columns(cell: Cell) -> Row:
    """Return the columns of a result row that state its setting; empty for a study without tuning.

    Example:
        >>> setting_columns(Cell({}, "full", "resnet20", "resnet8", "kd", 0, 100, setting="default"))
        {'setting': 'default'}
    """
    if not cell.setting:
        return {}
    if cell.tuned is None:
        return {"setting": cell.setting}
    chosen = Setting.from_dict(cell.tuned["setting"])
    values = (
        chosen.lr,
        cell.tuned["steps"],
        chosen.length,
        chosen.weight_decay,
        json.dumps(dict(chosen.keys), sort_keys=True),
    )
    return {"setting": cell.setting, **dict(zip(TUNED_COLUMNS, values, strict=True))}


def headline_rows(rows: list[Row]) -> list[Row]:
    """Return the rows that conclusions rest on: those at tuned settings, if any, else all.

    Example:
        >>> headline_rows([{"setting": "default", "gain": 0.1}, {"setting": "tuned", "gain": 0.0}])
        [{'setting': 'tuned', 'gain': 0.0}]
    """
    return [row for row in rows if row.get("setting") == TUNED] or rows


def headline_cells(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Return the cells that conclusions rest on: those at tuned settings, if any, else all.

    Example:
        >>> default = Cell({}, "full", "resnet20", "resnet8", "kd", 0, 100, setting="default")
        >>> headline_cells([default]) == [default]
        True
    """
    return [cell for cell in cells if cell.setting == TUNED] or cells
