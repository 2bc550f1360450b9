"""Write docs/answer.md: how properties of a dataset move the gain of distillation, from docs/results/.

python docs/answer_table.py [--check]
python docs/answer_table.py --add NAME DIR

The rows stand in ``QUESTIONS``. Each is answered from ``docs/results/answer/NAME-effects.parquet`` and
``NAME-level-effects.parquet`` of its studies, which ``--add`` copies from the folder of a study, with its
``study.yaml``; where they are missing or not converged, also from the small studies of early training. Writes
the page and an SVG per row. With ``--check`` nothing is written, and 1 is returned if something would change.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from answer_figure import figure
from answer_rows import ANSWERS, Difference, Point, Question, Series, level_text
from generated import DOCS, gain_with_interval, replace_block, table, write_or_check

from distillab.printable import counted

PAGE = DOCS / "answer.md"
FIGURES = DOCS / "images" / "answer"
HEAD = (
    *("question", "gain by level", "direction", "strength, points", "base sets", "teacher"),
    *("length, tuning", "corrected over", "literature"),
)
GROUPS = {
    "size": "Size",
    "domain": "Domain",
    "bias": "Inherent bias",
    "teacher": "The teacher",
    "guidance": "Guidance",
}
SAME = {"provenance": "same"}
BETWEEN = {frozenset({"larger"}): "largest in between", frozenset({"smaller"}): "smallest in between"}
MONOTONIC = ("grows", "shrinks", "stays the same")
DIRECTIONS = (*MONOTONIC, *BETWEEN.values())
SIZES = ("size-length", "size-length-mnist", "size-length-usps")
QUESTIONS = (
    Question(
        *("size-full", "size", "More examples per class, a teacher of all data", "size"),
        studies=(*SIZES, "cifar100-size"),
        early="size",
        literature="the gain shrinks as data grow",
        claim="C1",
        expected=-1,
    ),
    Question(
        *("size-same", "size", "More examples per class, a teacher of the same examples", "size", SAME),
        studies=(*SIZES, "cifar100-size"),
        early="size",
    ),
    Question(
        *("steps", "size", "Longer training, at the same data", "steps"),
        studies=SIZES,
    ),
    Question(
        *("size-hard", "size", "The same, plain training on the labels that the teacher predicts", "size"),
        {"method": "hard_labels"},
        studies=SIZES,
    ),
    Question(
        *("classes", "domain", "More classes, at the same number of examples", "classes"),
        early="classes",
        literature="distillation transfers more with many classes",
        claim="C9",
        expected=1,
    ),
    Question(*("similarity", "domain", "Classes that look more alike", "similarity"), early="similarity"),
    Question(
        *("granularity", "domain", "Fine labels instead of coarse ones", "granularity"),
        early="granularity",
    ),
    Question(
        *("shift", "domain", "Students of another domain than the teacher's, tested on theirs", "shift"),
        {"metric": "accuracy.shifted"},
        studies=("domain-mnist", "domain-usps"),
        early="shift",
        literature="under distribution shift, complex methods gain little (not about plain distillation)",
        claim="C27",
    ),
    Question(
        *("shift-home", "domain", "The same, tested on the teacher's domain", "shift"),
        studies=("domain-mnist", "domain-usps"),
    ),
    Question(
        *("corruption", "domain", "More corrupted test images", "shift"),
        early="shift-corruption",
        literature="under distribution shift, complex methods gain little (not about plain distillation)",
        claim="C27",
    ),
    Question(
        *("imbalance", "bias", "More unequal classes: average accuracy", "imbalance"),
        early="imbalance",
        literature="distillation can raise the average and lower rare classes",
        claim="C18",
    ),
    Question(
        *("imbalance-tail", "bias", "More unequal classes: accuracy of rare classes", "imbalance"),
        {"metric": "tail_accuracy"},
        early="imbalance",
        literature="distillation can raise the average and lower rare classes",
        claim="C18",
    ),
    Question(
        *("imbalance-balanced", "bias", "The same, with `balanced_kd`", "imbalance"),
        {"metric": "tail_accuracy", "method": "balanced_kd"},
        early="imbalance",
        literature="methods for long-tailed data help rare classes",
        claim="C19",
    ),
    Question(
        *(
            "noise-full",
            "bias",
            "More wrong labels, a teacher of the correct ones (relabelling)",
            "label_noise",
        ),
        studies=("label-noise", "label-noise-mnist", "corn-leaf-noise"),
        early="label_noise",
        literature="the noisier the labels, the more weight the teacher deserves (not about the gain)",
        claim="C21",
    ),
    Question(
        *("noise-same", "bias", "More wrong labels, a teacher of the same wrong ones", "label_noise", SAME),
        studies=("label-noise", "label-noise-mnist", "corn-leaf-noise"),
        literature="the noisier the labels, the more weight the teacher deserves (not about the gain)",
        claim="C21",
    ),
    Question(
        *("noise-hard", "bias", "The control: plain training on the labels that a clean teacher predicts"),
        "label_noise",
        {"method": "hard_labels"},
        studies=("label-noise", "label-noise-mnist"),
    ),
    Question(
        *("cue-full", "bias", "A stronger shortcut, where it misleads, a teacher without it", "spurious"),
        {"metric": "accuracy.conflicting"},
        studies=("bias", "bias-mnist"),
        early="spurious",
        literature="the stronger the shortcut, the worse plain distillation (its accuracy, not the gain)",
        claim="C26",
    ),
    Question(
        *("cue-same", "bias", "A stronger shortcut, where it misleads, a teacher with it", "spurious"),
        SAME | {"metric": "accuracy.conflicting"},
        studies=("bias", "bias-mnist"),
        early="spurious",
        literature="the stronger the shortcut, the worse plain distillation (its accuracy, not the gain)",
        claim="C26",
    ),
    Question(
        *("cue-groups", "bias", "The same, with `worst_group_kd` and the teacher without it", "spurious"),
        {"method": "worst_group_kd", "metric": "accuracy.conflicting"},
        studies=("bias", "bias-mnist"),
    ),
    Question(
        *(
            "cue-gap",
            "bias",
            "A stronger shortcut: accuracy where it misleads less that without it",
            "spurious",
        ),
        {"metric": "accuracy_gap.conflicting"},
        studies=("bias", "bias-mnist"),
    ),
    Question(
        *("groups", "bias", "More of the rare group in the data: accuracy of the worst group", "groups"),
        {"metric": "worst_group_accuracy"},
        early="groups",
    ),
    Question(
        *("teacher", "teacher", "A teacher that was trained longer", "steps"),
        studies=("teacher-quality", "teacher-quality-mnist"),
        literature="the best teacher depends on the amount of data",
        claim="C5",
        declared_late=("teacher-quality-mnist",),
    ),
)


def page(text: str) -> str:
    """Return the page with a new table and a new summary."""
    answered = [(question, question.series()) for question in QUESTIONS]
    text = replace_block(text, "summary", summary([series for _, series in answered if series]), PAGE)
    parts = []
    for group, title in GROUPS.items():
        rows = [
            _cells(question, series) for question, series in answered if question.group == group and series
        ]
        missing = [question for question, series in answered if question.group == group and not series]
        parts.append(f"## {title}")
        parts += [table(HEAD, rows)] if rows else []
        parts += [f"Not measured yet: {'; '.join(question.text for question in missing)}."] if missing else []
        parts += ["Not measured yet."] if not rows and not missing else []
    return replace_block(text, "rows", "\n\n".join(parts), PAGE)


def summary(answered: Sequence[Sequence[Series]]) -> str:
    """Return how many rows have an answer that holds, in one paragraph."""
    tested = [series for series in answered if any(each.difference for each in series)]
    decided = [series for series in tested if direction(series) in DIRECTIONS]
    converged = [series for series in answered if any(each.converged for each in series)]
    tuned = [series for series in answered if any(each.tuned for each in series)]
    return (
        f"Of {len(answered)} rows with measurements, {len(tested)} have a test of the difference between "
        f"levels, and {len(decided)} a direction that holds after correction. {len(converged)} rest on "
        f"training that was shown to have converged, {len(tuned)} on methods tuned alike; the others show "
        "early training."
    )


def direction(series: Sequence[Series]) -> str:
    """Return where the gain goes with the level, by the corrected differences of all base sets."""
    found = {each.difference.corrected for each in series if each.difference}
    if not found:
        return "not tested"
    if found == {"larger"}:
        return "grows"
    if found == {"smaller"}:
        return "shrinks"
    if found == {"equivalent"}:
        return "stays the same"
    if {"larger", "smaller"} <= found:
        return "differs between base sets"
    between = {change.corrected for each in series for change in each.between}
    return BETWEEN.get(frozenset(between), "undecided")


def literature(question: Question, found: str) -> str:
    """Return the published statement, and whether the direction agrees with it."""
    if not question.claim:
        return "no statement known"
    link = f"[{question.claim}](claims.md): {question.literature}"
    if not question.expected:
        return link
    expected = "grows" if question.expected > 0 else "shrinks"
    if found == expected:
        return f"{link}; agrees"
    if found in MONOTONIC:
        return f"{link}; disagrees"
    if found in BETWEEN.values():
        return f"{link}; not monotonic here"
    return f"{link}; not decided here"


def _cells(question: Question, series: Sequence[Series]) -> list[str]:
    found = direction(series)
    sets = list(dict.fromkeys(each.data for each in series))
    return [
        question.text,
        f"![{question.text}](images/answer/{question.name}.svg)",
        found,
        "<br>".join(map(_strength, series)),
        f"{len(sets)}: {', '.join(sets)}",
        "<br>".join(dict.fromkeys(_teacher(each) for each in series)),
        "<br>".join(dict.fromkeys(_length(each) for each in series)),
        "<br>".join(dict.fromkeys(_tests(each, question) for each in series)),
        literature(question, found),
    ]


def _strength(series: Series) -> str:
    if series.difference:
        change = series.difference
        changes = "; ".join(map(_change, (*series.between, change)))
        return f"{series.data}: {changes}"
    ends = [series.points[0], series.points[-1]]
    return f"{series.data}: {'; '.join(map(_at, ends))}"


def _change(change: Difference) -> str:
    interval = gain_with_interval(change.value, change.low, change.high)
    return f"{interval} from {change.reference} to {change.level}"


def _at(point: Point) -> str:
    alone = "" if point.corrected in ("helps", "harms", "equivalent") else ", undecided"
    return f"{gain_with_interval(point.gain, point.low, point.high)} at {level_text(point.level)}{alone}"


def _teacher(series: Series) -> str:
    pairs = min(point.pairs for point in series.points)
    several = "one teacher" if series.teachers == 1 else f"{series.teachers} teachers"
    return f"`{series.provenance}`, {several}, {pairs} pairs"


def _length(series: Series) -> str:
    length = "converged" if series.converged else "early training"
    return f"{series.steps} steps, {length}, {_tuning(series)}"


def _tuning(series: Series) -> str:
    """Return whether methods were tuned, and how often the chosen learning rate is an end of its grid."""
    if not series.tuned:
        return "not tuned"
    if not series.at_end:
        return "tuned"
    return f"tuned ({series.at_end} of {series.chosen} learning rates at an end of the grid)"


def _tests(series: Series, question: Question) -> str:
    """Return over how many tests verdicts are corrected: gains and differences on one metric are a family."""
    change: Difference | None = series.difference
    count = change.tests if change else max(point.tests for point in series.points)
    if not count:
        return "not declared, not corrected"
    late = ", differences declared after the study had run" if series.study in question.declared_late else ""
    return f"{counted(count, 'test')} per metric{late}"


def files() -> dict[Path, str]:
    """Return the page and its figures."""
    figures = {
        FIGURES / f"{question.name}.svg": figure(question.text, series)
        for question in QUESTIONS
        if (series := question.series())
    }
    return {PAGE: page(PAGE.read_text()), **figures}


def add(name: str, folder: Path) -> None:
    """Copy the tables and the study file of a finished study into ``docs/results/answer/``."""
    ANSWERS.mkdir(parents=True, exist_ok=True)
    for kind in ("effects", "level_effects", "results"):
        shutil.copy(folder / f"{kind}.parquet", ANSWERS / f"{name}-{kind.replace('_', '-')}.parquet")
    text = (folder / "study.yaml").read_text()
    if root := os.environ.get("DISTILLAB_DATA"):
        text = text.replace(root.rstrip("/"), "${DISTILLAB_DATA}")
    (ANSWERS / f"{name}.yaml").write_text(text)


def main(arguments: Sequence[str]) -> int:
    """Add the tables of a study, or write the page."""
    match arguments:
        case ["--add", name, folder]:
            add(name, Path(folder))
            return 0
        case _:
            return write_or_check(__doc__, files, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
