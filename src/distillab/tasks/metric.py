"""Metrics: the columns that a task measures, and how each number is to be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A column of the results and how to read it.

    Attributes:
        name: The column, such as ``worst_class_accuracy``.
        label: Lower-case prose, such as "accuracy of the worst class".
        title: A heading, such as "Worst class".
        unit: ``points`` (100 times the number, written with one decimal) or ``nats``.
        higher_is_better: Whether larger numbers are better.
        margin: The largest gain that still makes no practical difference, in the unit of the column itself
            (0.005 is half a point).
        uses_study_margin: Whether the margin that a study sets replaces ``margin``.
        counts_examples: Whether the metric moves in steps of about one test example, 1 / n_test.
        kind: ``quality`` of the predictions, ``calibration`` of the probabilities, or ``fidelity`` to the
            teacher.
        brief: Whether it is shown where there is room for a few metrics only.

    Example:
        >>> f1 = Metric("macro_f1", "macro F1", "Macro F1", uses_study_margin=True)
        >>> f1.margin_for(0.02), f1.scale
        (0.02, 100.0)
    """

    name: str
    label: str
    title: str
    unit: Literal["points", "nats"] = "points"
    higher_is_better: bool = True
    margin: float = 0.005
    uses_study_margin: bool = False
    counts_examples: bool = False
    kind: Literal["quality", "calibration", "fidelity"] = "quality"
    brief: bool = False

    @property
    def scale(self) -> float:
        """The factor between a number of the column and its unit: 100 for points."""
        return 100.0 if self.unit == "points" else 1.0

    def with_selected(self) -> tuple[Metric, Metric]:
        """Return the metric, and the same of the epoch that is chosen on val.

        Example:
            >>> Metric("ap50", "average precision", "AP50").with_selected()[1].title
            'AP50 (epoch chosen on val)'
        """
        return self, replace(
            self,
            name=f"{self.name}_selected",
            label=f"{self.label} at the epoch chosen on val",
            title=f"{self.title} (epoch chosen on val)",
            brief=False,
        )

    def margin_for(self, study_margin: float) -> float:
        """Return the margin to use in a study that sets ``study_margin``."""
        return study_margin if self.uses_study_margin else self.margin


class MetricTable(Mapping[str, Metric]):
    """Metrics of a task by column, in order.

    ``COLUMN.TEST`` is a column measured on the further test set TEST; it reads as COLUMN does. So is
    ``PRIMARY_gap.TEST``, the primary metric there less that on the primary test set: negative where a network
    is worse there, and better the larger it is.

    Args:
        metrics: The metrics of the primary test set.
        per_test: The columns that are also measured on every further test set, the primary metric first.

    Raises:
        KeyError: When indexed, for a column that the task does not measure.

    Example:
        >>> table = MetricTable([Metric("accuracy", "accuracy", "Accuracy")], per_test=["accuracy"])
        >>> table["accuracy.low_light"].title
        'Accuracy, low light test set'
        >>> table.measured([{"seed": 1, "accuracy": 0.9, "accuracy.low_light": 0.5}])
        ['accuracy', 'accuracy.low_light']
    """

    def __init__(self, metrics: Iterable[Metric], per_test: Iterable[str] = ()) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self.per_test = tuple(per_test)

    def __getitem__(self, column: str) -> Metric:
        if column in self._metrics:
            return self._metrics[column]
        name, dot, test = column.partition(".")
        if not dot or name not in (*self.per_test, self.gap):
            raise KeyError(column)
        place = f"{test.replace('_', ' ')} test set"
        metric = self._metrics[self.per_test[0] if name == self.gap else name]
        if name == self.gap:
            metric = replace(metric, label=f"{metric.label} gap", title=f"{metric.title} gap")
        return replace(
            metric, name=column, label=f"{metric.label}, {place}", title=f"{metric.title}, {place}"
        )

    @property
    def gap(self) -> str:
        """The column, before the name of a further test set, of the primary metric there less that on the
        primary test set; empty if nothing is measured on further test sets."""
        return f"{self.per_test[0]}_gap" if self.per_test else ""

    def __contains__(self, column: object) -> bool:
        if not isinstance(column, str):
            return False
        name, dot, _ = column.partition(".")
        return column in self._metrics or (bool(dot) and name in (*self.per_test, self.gap))

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def measured(self, rows: Iterable[Mapping[str, object]]) -> list[str]:
        """Return the columns of result rows that hold a number: those of the primary test set in the order of
        the table, then those of further test sets in order of appearance."""
        found = {
            key: None for row in rows for key, value in row.items() if value is not None and value == value
        }
        return [name for name in self if name in found] + self.of_further_tests([found])

    def of_further_tests(self, rows: Iterable[Mapping[str, object]]) -> list[str]:
        """Return the columns of result rows measured on further test sets, in order of appearance."""
        found = dict.fromkeys(key for row in rows for key in row if "." in key)
        return [key for key in found if key.partition(".")[0] in (*self.per_test, self.gap)]
