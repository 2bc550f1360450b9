"""The tuning of a study, from its trials and its tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from distillab.evidence.families import family_verdict
from distillab.evidence.pairs import Row
from distillab.evidence.results import Tables
from distillab.evidence.tuning import tuning_rows
from distillab.evidence.wording import Phrases
from distillab.report.collect.rows import place_of
from distillab.report.contents.place import Place
from distillab.report.contents.tuning import TunedGain, TunedMethod, TuningView
from distillab.study.folder import StudyFolder
from distillab.study.trial import DEFAULT, TUNED, Setting

NONE = (None, None, None, "")


def tuning_view(folder: StudyFolder, tables: Tables, phrases: Phrases) -> TuningView | None:
    """Return the tuning of a study; None for a study without it.

    Args:
        folder: The study.
        tables: All rows of its tables.
        phrases: How the levels of each factor are written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = StudyFolder(Path(tempfile.mkdtemp()))
        >>> with folder.ledger() as ledger:
        ...     ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
        >>> tuning_view(folder, Tables([], []), {}) is None
        True
    """
    rows, tune = tuning_rows(folder), folder.spec.tune if folder.tuning else None
    if tune is None:
        return None
    groups: dict[tuple[Place, str], list[Row]] = {}
    for row in rows:
        place = place_of(row, phrases)
        if not tune.per_condition:
            place = Place(place.dataset, place.teacher, place.student, place.provenance)
        groups.setdefault((place, row["method"]), []).append(row)
    runs = {row["run_id"]: row["status"] for row in rows if row["run_id"]}
    return TuningView(
        trials=max((len({row["trial"] for row in group}) for group in groups.values()), default=0),
        seeds=tuple(dict.fromkeys(row["seed"] for row in rows)),
        runs=len(runs),
        ended=sum(status in ("done", "failed") for status in runs.values()),
        methods=tuple(_method(place, method, group) for (place, method), group in groups.items()),
        gains=_gains(folder, tables.effects, phrases),
    )


def _method(place: Place, method: str, rows: Sequence[Row]) -> TunedMethod:
    settings = {row["trial"]: row for row in rows}
    means = {number: _mean([row for row in rows if row["trial"] == number]) for number in settings}
    chosen = next((number for number, row in settings.items() if row["chosen"]), None)
    rates = sorted({row["lr"] for row in rows})
    best = settings[chosen] if chosen is not None else None
    return TunedMethod(
        place=place,
        method=method,
        default=_setting(settings[0]).text,
        chosen=_setting(best).text if best else "",
        default_score=means[0],
        chosen_score=means[chosen] if chosen is not None else None,
        by_lr=tuple((lr, _best(means[n] for n, row in settings.items() if row["lr"] == lr)) for lr in rates),
        edges=_edges(best, rows) if best else (),
        steps=best["steps"] if best else None,
    )


def _setting(row: Row) -> Setting:
    return Setting(row["lr"], row["length"], row["weight_decay"], json.loads(row["keys"]))


def _mean(rows: Sequence[Row]) -> float | None:
    scores = [row["val_score"] for row in rows if row["run_id"]]
    return None if not scores or any(score is None for score in scores) else fmean(scores)


def _best(scores: Iterable[float | None]) -> float | None:
    return max((score for score in scores if score is not None and math.isfinite(score)), default=None)


def _edges(chosen: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys whose chosen value is the smallest or the largest of several that were tried."""
    found = []
    own = {key: [json.loads(row["keys"])[key] for row in rows] for key in json.loads(chosen["keys"])}
    tried = {key: [row[key] for row in rows] for key in ("lr", "length", "weight_decay")} | own
    for key, values in tried.items():
        value = chosen[key] if key in chosen else json.loads(chosen["keys"])[key]
        numbers = {each for each in values if isinstance(each, int | float) and not isinstance(each, bool)}
        if len(numbers) > 1 and value in (min(numbers), max(numbers)):
            found.append(key)
    return tuple(found)


def _gains(folder: StudyFolder, effects: Sequence[Row], phrases: Phrases) -> tuple[TunedGain, ...]:
    primary, baseline = folder.spec.task_config().primary, folder.spec.evidence.baselines[0]
    found: dict[tuple[Place, str], dict[str, tuple[float | None, float | None, float | None, str]]] = {}
    for row in effects:
        if row["metric"] == primary and row["baseline"] == baseline:
            values = row["gain"], row["ci_low"], row["ci_high"], family_verdict(row)
            found.setdefault((place_of(row, phrases), row["method"]), {})[row["setting"]] = values
    return tuple(
        TunedGain(place, method, each.get(DEFAULT, NONE), each.get(TUNED, NONE))
        for (place, method), each in found.items()
    )
