"""The questions of docs/answer.md, and the measurements in docs/results/ that answer each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from generated import RESULTS, read_csv

from distillab.canonical import JsonObject
from distillab.evidence import Row

ANSWERS = RESULTS / "answer"
Level = float | str
Contrast = Mapping[str, Level]
"""What a row must be about: values of its columns, such as its method, provenance and levels of factors."""


@dataclass(frozen=True)
class Point:
    """The gain at one level, in points.

    Attributes:
        level: The level.
        gain: Mean gain.
        low: Lower end of its 95 % interval.
        high: Upper end.
        pairs: Number of pairs.
        corrected: The verdict that holds together with the others of its study.
        tests: Over how many tests it is corrected; 0 if the study did not declare it.
    """

    level: Level
    gain: float
    low: float
    high: float
    pairs: int
    corrected: str
    tests: int


@dataclass(frozen=True)
class Difference:
    """How much the gain at one level differs from that at another, in points.

    Attributes:
        level: The level.
        reference: The level that it is compared with.
        value: Gain at the level minus gain at the reference.
        low: Lower end of the 95 % interval.
        high: Upper end.
        corrected: ``larger``, ``smaller``, ``equivalent`` or ``undecided``, corrected.
        tests: Over how many tests it is corrected; 0 if the study did not declare it.
    """

    level: str
    reference: str
    value: float
    low: float
    high: float
    corrected: str
    tests: int


@dataclass(frozen=True)
class Series:
    """The gains on one base set, by level.

    Attributes:
        study: The study.
        data: The base set.
        points: The gains, by increasing level.
        difference: That of the last level from the first; None if no table has it.
        between: Those of the levels between from the first, as far as they have a corrected verdict.
        provenance: Provenance of the teacher.
        teachers: Number of teachers per level.
        steps: Steps of a student.
        converged: Whether longer training is known not to change the gains.
        tuned: Whether all methods were tuned alike.
        margin: The margin of its verdicts, in points.
        chosen: How many learning rates were chosen in tuning: one per level, for the method and its baseline.
        at_end: How many of them are the smallest or the largest that was tried.
    """

    study: str
    data: str
    points: tuple[Point, ...]
    difference: Difference | None
    between: tuple[Difference, ...]
    provenance: str
    teachers: int
    steps: str
    converged: bool
    tuned: bool
    margin: float = 0.5
    chosen: int = 0
    at_end: int = 0


@dataclass(frozen=True)
class Question:
    """A row of the page.

    Attributes:
        name: Name of its figure.
        group: What it is about: size, domain, bias, teacher or guidance.
        text: The question.
        factor: The factor whose levels are compared.
        where: The contrast: method, provenance, metric.
        studies: Tables in ``docs/results/answer/`` or ``docs/results/``, by NAME.
        early: Study of ``docs/results/factors.csv`` that answers until a study of the page does.
        literature: The published statement.
        claim: Its id on the page of claims; empty if there is none.
        expected: The sign of the change that the statement implies; 0 if it implies none.
        declared_late: Studies whose differences between levels were declared after they had run.
    """

    name: str
    group: str
    text: str
    factor: str
    where: Contrast = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    early: str = ""
    literature: str = ""
    claim: str = ""
    expected: int = 0
    declared_late: tuple[str, ...] = ()

    def series(self) -> list[Series]:
        """Return what was measured: studies that have converged, or else all, with early training."""
        found = [each for name in self.studies if (each := of_study(name, self.factor, self.where))]
        if converged := [each for each in found if each.converged]:
            return converged
        return found + (of_factors(self.early, self.factor, self.where) if self.early else [])


DEFAULTS = {"method": "kd", "baseline": "ce", "metric": "accuracy", "provenance": "full"}


def of_study(name: str, factor: str, where: Contrast) -> Series | None:
    """Return the gains of a study by the levels of a factor; None if its tables are not there.

    Other factors that the study varies stand at their largest level that all levels of this one have. Of a
    study that tunes its methods, gains at tuned settings are returned.
    """
    path = _table(name, "effects")
    if path is None:
        return None
    everything = pq.read_table(path).to_pylist()
    spec = _spec(name)
    contrast = DEFAULTS | dict(where) | ({"setting": "tuned"} if spec.get("tune") else {})
    contrast["method"] = _label(str(contrast["method"]), everything)
    rows = [row for row in everything if _fits(row, contrast)]
    column = f"factor.{factor}"
    fixed = _largest_common(rows, column)
    rows = [row for row in rows if _fits(row, fixed)]
    if not rows:
        return None
    points = sorted(
        (_point(row, column) for row in rows if row["n_pairs"]), key=lambda each: _order(each.level)
    )
    evidence = spec.get("evidence") or {}
    return Series(
        name,
        rows[0]["dataset"],
        tuple(points),
        _difference(name, factor, contrast | fixed, points[0], points[-1]),
        _between(name, factor, contrast | fixed, points),
        rows[0]["provenance"],
        rows[0].get("n_teachers") or _teachers(rows[0]),
        _student_steps(spec, fixed, factor, points),
        all(row.get("converged") for row in rows if row["n_pairs"]),
        bool(spec.get("tune")),
        100 * evidence.get("margin", 0.005),
        *_learning_rates(name, spec, contrast | fixed),
    )


def _learning_rates(name: str, spec: JsonObject, contrast: Contrast) -> tuple[int, int]:
    """Return how many learning rates were chosen for the runs of a contrast, and how many of them are ends of
    the grid."""
    path, grid = _table(name, "results"), (spec.get("tune") or {}).get("lr") or []
    if path is None or len(grid) < 2:
        return 0, 0
    columns = {key: value for key, value in contrast.items() if key not in ("method", "baseline", "metric")}
    methods = (contrast["method"], contrast["baseline"])
    chosen = {
        (row["method"], *(value for key, value in row.items() if key.startswith("factor."))): row["tuned_lr"]
        for row in pq.read_table(path).to_pylist()
        if row["method"] in methods and _fits(row, columns)
    }
    return len(chosen), sum(rate in (min(grid), max(grid)) for rate in chosen.values())


def _label(method: str, rows: Sequence[Row]) -> str:
    """Return the label of a method in a table: its name, or its name with settings if it occurs so alone."""
    labels = {row["method"] for row in rows}
    with_settings = [label for label in labels if label.startswith(f"{method}(")]
    return with_settings[0] if method not in labels and len(with_settings) == 1 else method


def _student_steps(spec: JsonObject, fixed: Contrast, factor: str, points: Sequence[Point]) -> str:
    """Return for how many steps students were trained, where the length may be a factor itself."""
    varied = (spec.get("factors") or {}).get("steps")
    of_teacher = isinstance(varied, Mapping) and varied.get("roles") == ["teacher"]
    if factor == "steps" and not of_teacher:
        return f"{level_text(points[0].level)} to {level_text(points[-1].level)}"
    if "factor.steps" in fixed and not of_teacher:
        return level_text(fixed["factor.steps"])
    return str((spec.get("recipe") or {}).get("steps", "an unknown number of"))


def _teachers(row: Row) -> int:
    """Return the number of teachers of a table without that column: one per pair, or one for all."""
    return int(row["n_pairs"]) if row["provenance"] == "same" else 1


def _table(name: str, kind: str) -> Path | None:
    for folder in (ANSWERS, RESULTS):
        path = folder / f"{name}-{kind}.parquet"
        if path.is_file():
            return path
    return None


def _spec(name: str) -> JsonObject:
    """Return the study file beside the tables, or that of the same name in ``studies/``."""
    for path in (ANSWERS / f"{name}.yaml", RESULTS.parents[1] / "studies" / f"{name}.yaml"):
        if path.is_file():
            return dict(yaml.safe_load(path.read_text()))
    return {}


def _fits(row: Row, where: Contrast) -> bool:
    return all(row.get(name) == value for name, value in where.items())


def _largest_common(rows: Sequence[Row], column: str) -> dict[str, Level]:
    """Return for each other factor the largest level that occurs with every level of this one."""
    fixed: dict[str, Level] = {}
    others = [name for name in (rows[0] if rows else {}) if name.startswith("factor.") and name != column]
    for other in others:
        by_level: dict[Level, set[Level]] = {}
        for row in rows:
            by_level.setdefault(row[column], set()).update([] if row[other] is None else [row[other]])
        if common := set.intersection(*by_level.values()):
            fixed[other] = max(common, key=_order)
    return fixed


def _point(row: Row, column: str) -> Point:
    gain, low, high = (100 * row[name] for name in ("gain", "ci_low", "ci_high"))
    return Point(
        row[column], gain, low, high, row["n_pairs"], row.get("verdict_family") or "", row["n_tests"] or 0
    )


def _order(level: Level) -> tuple[bool, float | str]:
    return isinstance(level, str), level


def _between(name: str, factor: str, where: Contrast, points: Sequence[Point]) -> tuple[Difference, ...]:
    """Return how much gains at levels between the ends differ from the first, those that are decided."""
    found = (_difference(name, factor, where, points[0], each) for each in points[1:-1])
    return tuple(each for each in found if each and each.corrected in ("larger", "smaller"))


def _difference(name: str, factor: str, where: Contrast, low: Point, high: Point) -> Difference | None:
    """Return the difference of a point from one at a lower level."""
    path = _table(name, "level-effects")
    if path is None or low is high:
        return None
    first, last = level_text(low.level), level_text(high.level)
    for row in pq.read_table(path).to_pylist():
        if row["factor"] != factor or not _fits(row, where) or row["difference"] is None:
            continue
        if (row["reference"], row["level"]) == (first, last):
            return _of_row(row, first, last, 1.0)
        if (row["reference"], row["level"]) == (last, first):
            return _of_row(row, first, last, -1.0)
    return None


def _of_row(row: Row, first: str, last: str, sign: float) -> Difference:
    low, high = sorted(100 * sign * float(row[name]) for name in ("ci_low", "ci_high"))
    turned = {"larger": "smaller", "smaller": "larger"}
    verdict = str(row["verdict_family"])
    verdict = verdict if sign > 0 else turned.get(verdict, verdict)
    return Difference(last, first, 100 * sign * row["difference"], low, high, verdict, row["n_tests"] or 0)


def of_factors(study: str, factor: str, where: Contrast) -> list[Series]:
    """Return the gains of a small study of factors.csv, by the levels of a factor."""
    contrast = {name: value for name, value in (DEFAULTS | dict(where)).items() if name != "baseline"}
    rows = [row for row in read_csv(RESULTS / "factors.csv") if row["study"] == study]
    rows = [row for row in rows if row["gain"] and _fits(row, contrast)]
    if not rows:
        return []
    points = [
        Point(
            _level(row["level"], factor),
            float(row["gain"]),
            float(row["ci_low"]),
            float(row["ci_high"]),
            int(row["n_pairs"]),
            row["verdict_family"],
            int(row["n_tests"]),
        )
        for row in rows
    ]
    first = rows[0]
    return [
        Series(
            f"factors/{study}",
            first["dataset"],
            tuple(sorted(points, key=lambda each: _order(each.level))),
            None,
            (),
            first["provenance"],
            int(first["n_teachers"]),
            first["steps"],
            first["converged"] == "yes",
            False,
        )
    ]


def _level(text: str, factor: str) -> Level:
    """Return the level of a factor in a text such as ``imbalance 10.0; size 100.0``."""
    for part in text.split("; "):
        name, _, level = part.partition(" ")
        if name == factor:
            try:
                return float(level)
            except ValueError:
                return level
    raise ValueError(f"no level of {factor} in {text!r}")


def level_text(level: Level) -> str:
    """Return a level as tables of levels write it.

    Example:
        >>> level_text(25.0), level_text(0.4), level_text("fine")
        ('25', '0.4', 'fine')
    """
    return level if isinstance(level, str) else f"{level:g}"
