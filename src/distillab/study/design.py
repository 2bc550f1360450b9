"""The design of a study: its cells, and its conditions with their manipulation checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from distillab.canonical import JsonObject
from distillab.study.job_parts import ConditionSpec

Levels = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the design: a student run under a condition, and what it is compared with.

    Attributes:
        levels: The level by factor name.
        provenance: What the teacher learned from.
        teacher: The teacher by name.
        student: The student by name.
        method: The label of the method.
        seed: The seed of the replicate.
        n_train: Transfer examples with labels.
        n_unlabelled: Transfer examples without.
        run: The student's job; None if the condition is excluded.
        outputs: The job of the study teacher's outputs, if a method learns from it.
        teacher_run: The job of the study's teacher, if a method learns from it.
        excluded: Why no conclusion may be drawn from the condition, or None.
        setting: In a study with tuning, ``default`` or ``tuned``; otherwise empty.
        tuned: The chosen setting and its number of steps (``tuned`` cells).
        doubled: The job of the same student over twice the steps, if it is a probe.
    """

    levels: Levels
    provenance: str
    teacher: str
    student: str
    method: str
    seed: int
    n_train: int
    n_unlabelled: int = 0
    run: str | None = None
    outputs: str | None = None
    teacher_run: str | None = None
    excluded: str | None = None
    setting: str = ""
    tuned: JsonObject | None = None
    doubled: str | None = None

    @property
    def run_id(self) -> str:
        """The student's job. Raises ValueError if the condition is excluded."""
        if self.run is None:
            raise ValueError(f"no run is planned under an excluded condition ({self.excluded})")
        return self.run

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        values = {name: getattr(self, name) for name in self.__slots__}
        if self.doubled is None:
            del values["doubled"]
        return values if self.setting else {k: v for k, v in values.items() if k not in ("setting", "tuned")}

    @classmethod
    def from_dict(cls, values: JsonObject) -> Cell:
        """Return the cell that :meth:`as_dict` described, also in a ledger of an older version."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """A manipulation check: the strength that a level stands for, and the strength that was measured.

    Attributes:
        factor: The registered name of the factor.
        measure: What was measured, such as ``"examples per class"``.
        requested: The value of that measure that the level stands for.
        measured: Its value in the data.
        tolerance: The largest accepted absolute difference.
        passed: Whether the difference is accepted.
        note: What else was measured, for the reader.
    """

    factor: str
    measure: str
    requested: float
    measured: float
    tolerance: float
    passed: bool
    note: str = ""

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        values = asdict(self)
        values["asked"] = values.pop("requested")
        return values

    @classmethod
    def from_dict(cls, values: JsonObject) -> CheckRecord:
        """Return the check that :meth:`as_dict` described."""
        renamed = {("requested" if key == "asked" else key): value for key, value in values.items()}
        return cls(**renamed)


@dataclass(frozen=True, slots=True)
class ConditionRecord:
    """A condition of the design with what was measured of it, which conclusions need to know.

    Attributes:
        condition: The factors at their levels, and the seed.
        levels: The level by factor name.
        n_train: Transfer examples with labels.
        own_tests: Whether the test sets differ from those that were read.
        counts: Transfer examples per class, where a factor made them unequal; otherwise None.
        checks: The manipulation checks.
    """

    condition: ConditionSpec
    levels: Levels
    n_train: int
    own_tests: bool = False
    counts: tuple[int, ...] | None = None
    checks: tuple[CheckRecord, ...] = ()

    @property
    def seed(self) -> int:
        """The seed of the condition's draws."""
        return self.condition.seed

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {
            **self.condition.as_dict(),
            "levels": self.levels,
            "n_train": self.n_train,
            "own_tests": self.own_tests,
            "counts": None if self.counts is None else list(self.counts),
            "checks": [check.as_dict() for check in self.checks],
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> ConditionRecord:
        """Return the record that :meth:`as_dict` described, also in a ledger of an older version."""
        counts = values.get("counts")
        return cls(
            ConditionSpec.from_dict(values),
            values["levels"],
            values["n_train"],
            values.get("own_tests", False),
            None if counts is None else tuple(counts),
            tuple(CheckRecord.from_dict(check) for check in values["checks"]),
        )


def runs_of_first(cells: Iterable[Cell], seeds: float) -> set[str]:
    """Return the student runs of cells that have one of the first seeds, probes included."""
    return {run for cell in cells if cell.seed < seeds for run in (cell.run, cell.doubled) if run}


def needed_for(runs: Iterable[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return some jobs and all that they need, directly or not.

    Args:
        runs: Ids of jobs.
        needs: By job, the ids of the jobs that it needs.

    Example:
        >>> sorted(needed_for(["student"], {"student": ["outputs"], "outputs": ["teacher"], "other": []}))
        ['outputs', 'student', 'teacher']
    """
    found: set[str] = set()
    fresh = set(runs)
    while fresh:
        found |= fresh
        fresh = {need for job in fresh for need in needs.get(job, ())} - found
    return found
