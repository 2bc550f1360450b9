"""The tables of the section on explanations."""

from __future__ import annotations

from collections.abc import Sequence

from distillab.evidence.pairs import FACTOR, Row, factor_columns
from distillab.printable import counted
from distillab.report.contents.explanations import ExplanationsView
from distillab.report.page import wording
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell
from distillab.tasks import Task

MEASURES = {
    "iou": ("agreement: IoU of the top 20 %", "overlap with the teacher's map; 1 is full agreement"),
    "pearson": ("agreement: Pearson", "correlation with the teacher's map over pixels"),
    "ssim": ("agreement: SSIM", "structural similarity to the teacher's map"),
    "deletion": ("deletion (lower is better)", "area below the probability while pixels are removed"),
    "insertion": ("insertion (higher is better)", "area below the probability while pixels are added"),
    "border_share": ("attribution on the border", "share in a frame of one eighth of each side"),
    "pointing": ("pointing game (higher is better)", "maps whose maximum lies in a box"),
    "box_share": ("attribution in boxes", "share within the boxes of the explained class"),
}
"""Names of measures with what they are."""
_MOST_CLASSES = 40  # rows; explanation_classes.parquet has all of them
_BOXED = ("pointing", "box")  # how names of measures begin that need boxes


def explanation_tables(view: ExplanationsView | None, task: Task) -> list[Table]:
    """Return the tables of gains, of means by method and by class; none without explanations.

    Example:
        >>> from distillab.tasks import Classification
        >>> explanation_tables(None, Classification())
        []
    """
    if view is None:
        return []
    tables = [_gains_table(view, task), _means_table(view), _classes_table(view)]
    return [table for table in tables if table.rows]


def _gains_table(view: ExplanationsView, task: Task) -> Table:
    primary = task.metrics[task.primary]
    places = _places(view.gains)
    columns = (
        *(Column(wording.spaced(name.removeprefix(FACTOR)).capitalize()) for name in places),
        Column("Attribution"),
        Column("Measure"),
        Column("Plain", True),
        Column("Distilled", True),
        Column("Gain", True, "distilled less plain, paired by seed"),
        Column("Interval", hint="over new seeds, teachers and test images; not corrected for their number"),
        Column("Pairs", True),
    )

    def cells(row: Row) -> tuple[TableCell, ...]:
        is_primary = row["measure"] == task.primary
        scale, decimals = (primary.scale, 1) if is_primary else (1.0, 3)
        label = f"{primary.label}, {primary.unit}" if is_primary else MEASURES[row["measure"]][0]

        def shown(value: float | None, *, sign: bool = False) -> str:
            if value is None:
                return wording.DASH
            return f"{scale * value:{'+' if sign else ''}.{decimals}f}".replace("-", "−")

        low, high = row["ci_low"], row["ci_high"]
        both = f"{shown(low, sign=True)} to {shown(high, sign=True)}"
        return (
            *(TableCell(str(row.get(name))) for name in places),
            TableCell(wording.spaced(row["attribution"]) if row["attribution"] else wording.DASH),
            TableCell(label),
            number_cell(shown(row["plain"]), row["plain"]),
            number_cell(shown(row["distilled"]), row["distilled"]),
            number_cell(shown(row["gain"], sign=True), row["gain"]),
            TableCell(wording.DASH if low is None or high is None else both),
            count_cell(row["n_pairs"]),
        )

    tests = sum(bool(row["attribution"]) for row in view.gains)
    caption = f"Gains in explanation beside {primary.label}; {counted(tests, 'comparison')}, uncorrected"
    return Table("explanation-gains-table", caption, columns, tuple(map(cells, view.gains)))


def _means_table(view: ExplanationsView) -> Table:
    """Return means over runs by place, method and attribution, with what a map should be better than."""
    places = _places(view.runs)
    keys = (*places, "attribution")
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in view.runs:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    listed = (
        ("iou", "IoU with teacher", "of the top 20 % of pixels"),
        ("iou_untrained", "IoU with untrained", "with the map of the same network with random weights"),
        ("deletion", "Deletion", "lower is better"),
        ("deletion_random", "of a random map", "deletion in a random order"),
        ("deletion_untrained", "of an untrained map", "deletion in the order of the untrained network"),
        ("insertion", "Insertion", "higher is better"),
        ("insertion_random", "of a random map", "insertion in a random order"),
        ("insertion_untrained", "of an untrained map", "insertion in the order of the untrained network"),
        ("border_share", "Border", "share of the attribution on the border"),
        ("teacher_border_share", "Border, teacher", "the same of the teacher"),
        ("border_area", "Border, area", "share of the image that is border"),
        ("same_class", "Same class", "images of which the student predicts the explained class"),
        ("pointing", "Pointing", "maps whose maximum lies in a box, within 15 pixels of 224"),
        ("pointing_untrained", "of an untrained map", "the same of the untrained network"),
        ("teacher_pointing", "Pointing, teacher", "the same of the teacher"),
        ("pointing_random", "of a random place", "chance of a random pixel"),
        ("pointing_center", "of the center", "if the center of the image is the maximum"),
        ("box_share", "In boxes", "share of the attribution within boxes"),
        ("box_share_untrained", "of an untrained map", "the same of the untrained network"),
        ("box_area", "Boxes, area", "share of the image that is box"),
    )
    known = {name for row in view.runs for name, value in row.items() if value is not None}
    numbers = [each for each in listed if each[0] in known or not _needs_boxes(each[0])]
    columns = (
        *(Column(wording.spaced(name.removeprefix(FACTOR)).capitalize()) for name in places),
        Column("Attribution"),
        *(Column(title, True, hint) for _, title, hint in numbers),
        Column("Runs", True),
    )
    rows = []
    for place, mine in groups.items():
        means = [_mean([row[name] for row in mine]) for name, _, _ in numbers]
        rows.append(
            (
                *(TableCell(wording.spaced(str(value))) for value in place),
                *(number_cell(wording.number(value, 3), value) for value in means),
                count_cell(len(mine)),
            )
        )
    return Table("explanations-table", "Maps by method: means over runs and images", columns, tuple(rows))


def _classes_table(view: ExplanationsView) -> Table:
    """Return the share of the attribution on the border by explained class and method, the largest first."""
    places = [name for name in _places(view.classes) if name != "method"]
    methods = list(dict.fromkeys(row["method"] for row in view.classes))
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in view.classes:
        groups.setdefault(tuple(row.get(key) for key in (*places, "attribution", "class")), []).append(row)

    def share(rows: Sequence[Row], method: str) -> float | None:
        return _mean([row["border_share"] for row in rows if row["method"] == method])

    def most(rows: Sequence[Row]) -> float:
        return max((row["border_share"] or 0.0 for row in rows), default=0.0)

    shown = sorted(groups.items(), key=lambda each: -most(each[1]))[:_MOST_CLASSES]
    columns = (
        *(Column(wording.spaced(name.removeprefix(FACTOR)).capitalize()) for name in places),
        Column("Attribution"),
        Column("Explained class"),
        Column("Images", True),
        *(Column(method, True, f"students of {method}") for method in methods),
        Column("Teacher", True),
        Column("Area", True, "share of the image that is border"),
    )
    rows = []
    for key, mine in shown:
        *place, attribution, name = key
        means = [*(share(mine, method) for method in methods)]
        means += [_mean([row[column] for row in mine]) for column in ("teacher_border_share", "border_area")]
        rows.append(
            (
                *(TableCell(wording.spaced(str(value))) for value in (*place, attribution)),
                TableCell(str(name)),
                count_cell(max(row["n_images"] for row in mine)),
                *(number_cell(wording.number(value, 3), value) for value in means),
            )
        )
    first = f"; the first {len(shown)} of {len(groups)}" if len(shown) < len(groups) else ""
    caption = f"Share of the attribution on the border by class: means over runs and images{first}"
    return Table("explanation-classes-table", caption, columns, tuple(rows))


def _places(rows: Sequence[Row]) -> list[str]:
    """Return the columns that name the place of a row: the method, and those with more than one value."""
    names = ("dataset", "student", "teacher", "provenance", *factor_columns(rows))
    return ["method", *(name for name in names if len({row.get(name) for row in rows}) > 1)]


def _needs_boxes(name: str) -> bool:
    return name.removeprefix("teacher_").startswith(_BOXED)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
