"""Trials: settings that tuning tries, and the runs that try them. Light to import."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from distillab.canonical import JsonObject, canonical_json
from distillab.study.design import Levels

DEFAULT, TUNED = "default", "tuned"
"""The values of the column ``setting``."""

GroupKey = tuple[str, str, str, str]
"""What is tuned together: condition, provenance, student and method."""


@dataclass(frozen=True)
class Setting:
    """Values of the keys that a study tunes.

    Attributes:
        lr: Learning rate.
        length: Number of steps, in multiples of the recipe's.
        weight_decay: Weight decay.
        keys: Values of the method's own keys that are tuned; those of a sum have the name of their part
            before a dot.

    Example:
        >>> Setting(0.05, 2.0, 5e-4, {"temperature": 2.0}).text
        'lr 0.05, length x2, weight_decay 0.0005, temperature 2'
    """

    lr: float
    length: float
    weight_decay: float
    keys: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {
            "lr": self.lr,
            "length": self.length,
            "weight_decay": self.weight_decay,
            "keys": dict(self.keys),
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> Setting:
        """Return the setting that :meth:`as_dict` described; JSON may hold whole numbers as integers."""
        lr, length, weight_decay = (float(values[key]) for key in ("lr", "length", "weight_decay"))
        return cls(lr, length, weight_decay, values["keys"])

    @property
    def text(self) -> str:
        """The values in words."""
        values = {"lr": self.lr, "length": f"x{self.length:g}", "weight_decay": self.weight_decay}
        return ", ".join(f"{key} {_short(value)}" for key, value in {**values, **self.keys}.items())


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Trial:
    """One run of tuning.

    Attributes:
        levels: The level of each factor.
        provenance: What the teacher learned from.
        teacher: The teacher by name.
        student: The student by name.
        method: The label of the method.
        number: The place of the setting among those of its group; 0 is the default setting.
        setting: What is tried.
        steps: The steps that this makes.
        seed: The seed, which no run of the comparison has.
        run: The student's job; None if a manipulation check of its condition failed under this seed.
    """

    levels: Levels
    provenance: str
    teacher: str
    student: str
    method: str
    number: int
    setting: Setting
    steps: int
    seed: int
    run: str | None

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "levels": dict(self.levels), "setting": self.setting.as_dict()}

    @classmethod
    def from_dict(cls, values: JsonObject) -> Trial:
        """Return the trial that :meth:`as_dict` described."""
        return cls(**{**values, "setting": Setting.from_dict(values["setting"])})

    def group(self, *, per_condition: bool) -> GroupKey:
        """Return the group that its setting is chosen in."""
        return group_key(self.levels, self.provenance, self.student, self.method, per_condition=per_condition)


def group_key(levels: Levels, provenance: str, student: str, method: str, *, per_condition: bool) -> GroupKey:
    """Return the group of a cell: one setting is chosen for each.

    Args:
        levels: The levels of the condition.
        provenance: What the teacher learned from.
        student: The student by name.
        method: The label of the method.
        per_condition: Whether each condition has a setting of its own.

    Example:
        >>> group_key({"size": 25.0}, "full", "resnet8", "kd", per_condition=False)
        ('', 'full', 'resnet8', 'kd')
    """
    return canonical_json(dict(levels)) if per_condition else "", provenance, student, method


@dataclass(frozen=True)
class Choice:
    """The setting that tuning chose in a group.

    Attributes:
        number: Its place among the settings of the group; 0 is the default setting.
        setting: Its values.
        score: Mean score on the validation set over the tuning seeds; None if every run diverged, or none
            could be made.
        trials: The number of settings that were tried.
    """

    number: int
    setting: Setting
    score: float | None
    trials: int

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {
            "number": self.number,
            "setting": self.setting.as_dict(),
            "score": self.score,
            "trials": self.trials,
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> Choice:
        """Return the choice that :meth:`as_dict` described."""
        return cls(**{**values, "setting": Setting.from_dict(values["setting"])})


def groups_of(trials: Iterable[Trial], *, per_condition: bool) -> dict[GroupKey, list[Trial]]:
    """Return the trials of each group, in planned order."""
    groups: dict[GroupKey, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.group(per_condition=per_condition), []).append(trial)
    return groups


def choose(trials: Sequence[Trial], scores: Mapping[str, float | None]) -> Choice | None:
    """Return the setting of a group with the best mean score on the validation set.

    A setting of which a run diverged is not chosen. Of equal ones the first is, and the default setting is
    the first of all. Nothing but the scores decides.

    Args:
        trials: The trials of a group.
        scores: By run, the score of the last epoch on the validation set; None for a run that diverged. Runs
            that have not ended, or failed for another reason than divergence, are missing.

    Returns:
        The choice, or None as long as a score is missing: settings are compared at equal numbers of runs.

    Example:
        >>> slow, fast = (
        ...     Trial({}, "full", "resnet20", "resnet8", "ce", place, Setting(lr, 1.0, 0.0), 9, 10**6, run)
        ...     for place, (lr, run) in enumerate([(0.01, "a"), (0.1, "b")])
        ... )
        >>> choose([slow, fast], {"a": 0.5, "b": 0.7}).setting.lr
        0.1
        >>> choose([slow, fast], {"a": 0.7, "b": 0.7}).setting.lr
        0.01
    """
    runs: dict[int, list[float | None]] = {}
    settings: dict[int, Setting] = {}
    for trial in trials:
        settings.setdefault(trial.number, trial.setting)
        found = runs.setdefault(trial.number, [])
        if trial.run is not None:
            if trial.run not in scores:
                return None
            found.append(scores[trial.run])
    means = {number: _mean(values) for number, values in runs.items()}
    best = max(sorted(means), key=lambda number: means[number])
    score = means[best] if math.isfinite(means[best]) else None
    return Choice(best, settings[best], score, len(settings))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known and len(known) == len(values) else -math.inf


def trial_runs(trials: Iterable[Trial]) -> Iterator[str]:
    """Go through the distinct runs of trials: what does not depend on a teacher is tried once for all."""
    return iter(dict.fromkeys(trial.run for trial in trials if trial.run is not None))
