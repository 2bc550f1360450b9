"""The distillation statement in words and tables, for the model card."""

from __future__ import annotations

from distillab.deploy.robustness import Robustness
from distillab.deploy.statement import AgainstTeacher, ClassShare, ShownGain, Statement
from distillab.printable import counted, printable
from distillab.tasks import Metric, Task

_TITLE = "## Distillation statement"
_NEVER_TESTED = (
    "images of another origin (camera, place, time) than the test set",
    "images of none of the classes",
    "deliberately misleading images",
)


def statement_sections(statement: Statement, task: Task) -> list[str]:
    """Return the sections of the card that state what distillation gained and lost, in Markdown.

    Args:
        statement: What was measured.
        task: The task.

    Example:
        >>> from distillab.tasks import Classification
        >>> statement = Statement("leaves", "corn", "8f0c", "ce", 0, "full", {}, 100, 50, {"accuracy": 0.9})
        >>> statement_sections(statement, Classification())[1].splitlines()[0]
        'Accuracy of this student on 50 test images of corn: 90.0 %.'
    """
    parts = [_TITLE, _own_score(statement, task), *_gains(statement, task)]
    if statement.worst is not None:
        worst = statement.worst
        interval = "" if worst.ci_low is None else f" (95 % interval {_range(worst.ci_low, worst.ci_high)})"
        plain = "" if worst.plain is None else f"; plain student of the same seed {100 * worst.plain:.1f} %"
        parts.append(
            printable(f"**Worst class**: {worst.name}, {_worst_value(worst, task)}{interval}{plain}.")
        )
    if statement.teacher is not None:
        noun = "Detections of at least 0.3 in confidence" if task.dense else "Predictions"
        parts.append(_teacher(statement.teacher, noun))
    if statement.robustness is not None and not statement.robustness.untested:
        parts.append(_robustness(statement.robustness))
    if statement.tests:
        listed = ", ".join(f"{name} {100 * value:.1f} %" for name, value in statement.tests.items())
        parts.append(printable(f"**Further test sets of the study**: {listed}."))
    parts.append(_untested(statement))
    return parts


def _worst_value(worst: ClassShare, task: Task) -> str:
    value = f"{100 * worst.value:.1f} %"
    if task.dense:
        return f"{task.class_metric.title} {value}, with objects in {worst.examples} test images"
    return f"{value} of {worst.examples} test images"


def _own_score(statement: Statement, task: Task) -> str:
    score = statement.scores.get(task.primary)
    if score is None:
        return f"The study has no score of this student on the {statement.n_test} test images."
    title = task.metrics[task.primary].title
    tested = f"{statement.n_test:,} test images of {statement.dataset}"
    return printable(f"{title} of this student on {tested}: {100 * score:.1f} %.")


def _gains(statement: Statement, task: Task) -> list[str]:
    if not statement.gains:
        what = "methods of distillation" if statement.is_plain else "plain students"
        return [f"There is no gain to state: the study has no finished pairs with {what}."]
    if statement.is_plain:
        text = "This student was trained without a teacher. Distilled students of the same study:"
    else:
        text = (
            f"Distilled by `{statement.method}` against trained plainly on the same images, over all seeds:"
        )
    head = [
        "| metric | plain | distilled | gain | 95 % interval | pairs | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [
        _row(gain, task.metrics[gain.metric], statement)
        for gain in statement.gains
        if gain.metric in task.metrics
    ]
    end = (
        f"{statement.covered} They hold for {statement.dataset} as it was split here, this recipe and this "
        "pair of networks, and for nothing else. A verdict needs at least 5 pairs."
    )
    return [text, "\n".join([*head, *rows]), printable(end.strip())]


def _row(gain: ShownGain, metric: Metric, statement: Statement) -> str:
    digits = 1 if metric.unit == "points" else 3
    plain, distilled = (f"{metric.scale * value:.{digits}f}" for value in (gain.plain, gain.distilled))
    interval = (
        "none"
        if gain.ci_low is None or gain.ci_high is None
        else f"{metric.scale * gain.ci_low:+.{digits}f} to {metric.scale * gain.ci_high:+.{digits}f}"
    )
    title = f"{metric.title}, `{gain.method}`" if statement.is_plain else metric.title
    better = "" if metric.higher_is_better else " (lower is better)"
    change = f"{metric.scale * gain.gain:+.{digits}f}"
    return (
        f"| {title}{better} | {plain} | {distilled} | {change} | {interval} | {gain.pairs} | {gain.verdict} |"
    )


def _teacher(found: AgainstTeacher, noun: str) -> str:
    difference = f"{100 * (found.student - found.score):+.1f} points"
    text = (
        f"**Against the teacher** (`{found.teacher}`): this student {100 * found.student:.1f} %, teacher "
        f"{100 * found.score:.1f} %, difference {difference} (95 % interval over test images "
        f"{100 * found.ci_low:+.1f} to {100 * found.ci_high:+.1f}). "
        f"{noun} agree on {100 * found.agreement:.1f} %."
    )
    if found.errors:
        text += (
            f" Of {found.errors} test images that the teacher gets wrong, the student gets {found.corrected} "
            f"right and repeats the mistake on {found.repeated}"
        )
        if found.plain_repeated is not None:
            text += f"; the plain student of the same seed makes the same mistake on {found.plain_repeated}"
        text += "."
    return printable(text)


def _robustness(found: Robustness) -> str:
    has_plain = found.scores[0].plain is not None
    columns = [
        "corruption",
        "this student",
        *(["plain student", "difference", "95 % interval"] if has_plain else []),
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for each in found.scores:
        cells = [each.corruption.replace("_", " "), f"{100 * each.student:.1f} %"]
        if each.plain is not None and each.difference is not None:
            cells += [
                f"{100 * each.plain:.1f} %",
                f"{100 * each.difference:+.1f}",
                _range(each.ci_low, each.ci_high),
            ]
        lines.append(f"| {' | '.join(cells)} |")
    seed = ", beside the plain student of the same seed" if has_plain else ""
    text = (
        f"**Robustness**: {found.metric} on {counted(found.examples, 'test image')} under corruptions of "
        f"severity {found.severity} of 5{seed} (one pair of networks; intervals are over images):"
    )
    return f"{text}\n\n" + "\n".join(lines)


def _untested(statement: Statement) -> str:
    missing = list(_NEVER_TESTED)
    if statement.tests:
        missing[0] += " and the further ones above"
    if statement.robustness is None or statement.robustness.untested:
        reason = statement.robustness.untested if statement.robustness else "not measured"
        missing.append(f"corruptions ({reason})")
    if not any(name.startswith("worst_group_") for name in statement.scores):
        missing.append("groups of images: the data name none")
    if statement.teacher is None:
        missing.append("agreement with a teacher")
    return "**Not tested**: " + "; ".join(missing) + "."


def _range(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
