"""How the time of a budget is spent: length of training, settings that are tried, and pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from distillab.advise.budget import format_budget
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.study.spec.seeds import LEAST_PAIRS

_START_SECONDS = 12.0  # planning the study and starting its workers
CLOSING_SHARE, LEAST_CLOSING = 0.1, 20.0  # of the budget, for exporting and testing the student
_SAFETY = 1.35  # by which trainings may take longer than steps timed alone; time that is left goes into pairs
RUN_SECONDS = 0.8  # of a run besides its steps
_TEACHER_SHARE = 0.3  # of the training time, the most that a teacher may take
_LEAST_STEPS = 50
MOST_SHIPPING_PAIRS = 10
_LEAST_BATCH = 16
TRIED_LENGTHS = (0.5, 1.0)  # multiples of the steps that are tried
MEAN_LENGTH = sum(TRIED_LENGTHS) / len(TRIED_LENGTHS)
FINE_TUNING_RATE = 0.1  # multiple that is tried as well if a student starts from pretrained weights
TRIED_RATES = (0.4, 1.0, 2.5)  # multiples of the recipe's learning rate that are tried


@dataclass(frozen=True)
class StepCosts:
    """Seconds on one worker, on a machine as busy as it is now.

    Attributes:
        student: Of a training step of a student.
        teacher: Of a training step of the teacher; 0 for a given one.
        batch: Of the teacher's forward pass on a batch.
        stored: Whether students of all seeds learn from the same stored outputs, so that the teacher sees
            each view once per length of training; otherwise it sees it once per distilled student.

    Example:
        >>> round(StepCosts(0.01, 0.03, 0.008).run(100), 2)
        2.15
    """

    student: float
    teacher: float
    batch: float
    stored: bool = True

    def of_batch(self, share: float) -> StepCosts:
        """Return the costs of steps with a share of the images.

        Example:
            >>> StepCosts(0.01, 0.03, 0.008).of_batch(0.5)
            StepCosts(student=0.005, teacher=0.015, batch=0.004, stored=True)
        """
        own = {name: share * getattr(self, name) for name in ("student", "teacher", "batch")}
        return replace(self, **own)

    def run(self, steps: int) -> float:
        """Return the seconds of the training of one student, without the teacher's outputs."""
        return _SAFETY * steps * self.student + RUN_SECONDS

    def outputs(self, steps: int, distilled: float) -> float:
        """Return the seconds of the teacher's outputs.

        Args:
            steps: Steps of a training of full length.
            distilled: Number of distilled students, in trainings of full length.

        Example:
            >>> round(StepCosts(0.01, 0.03, 0.008).outputs(100, 10.0), 2)
            1.62
        """
        passes = sum(TRIED_LENGTHS) if self.stored else distilled
        return _SAFETY * steps * self.batch * passes


@dataclass(frozen=True)
class ShippingDesign:
    """What is trained.

    Attributes:
        steps: Steps of a student.
        teacher_steps: Steps of the teacher; 0 for a given one.
        settings: Number of settings that are tried for every method, the plain student included.
        pairs: Number of seeds of the comparison; more, up to ten, where time is left.
        share: ``steps`` as a share of a full training.
        batch_size: Images per step; half of the usual number where time is short.

    Example:
        >>> ShippingDesign.from_dict(ShippingDesign(800, 800, 6, 5, 1.0, 64).as_dict()).pairs
        5
    """

    steps: int
    teacher_steps: int
    settings: int
    pairs: int
    share: float
    batch_size: int

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: JsonObject) -> ShippingDesign:
        """Return the design of a JSON form."""
        return cls(**values)

    def seconds(self, costs: StepCosts, arms: int, workers: int = 1) -> float:
        """Return the wall time of training.

        Distilled students wait for the teacher, which one worker trains.

        Args:
            costs: What steps cost.
            arms: Number of students and methods that are tuned, plain students included.
            workers: Number of workers.
        """
        trials = arms * self.settings * costs.run(round(MEAN_LENGTH * self.steps))
        runs = trials + 2 * self.pairs * costs.run(self.steps)
        distilled = (arms - 1) * self.settings * MEAN_LENGTH + self.pairs
        runs += costs.outputs(self.steps, distilled)
        return _SAFETY * self.teacher_steps * costs.teacher + runs / workers


# (share of a full training, pairs, settings), the best first.
_PREFERENCES = (
    (1.0, 10, 8),
    (1.0, 10, 6),
    (1.0, 7, 6),
    (1.0, 5, 6),
    (1.0, 5, 4),
    *((share, 5, 4) for share in (0.7, 0.5, 0.35, 0.25, 0.18)),
    (0.125, 5, 3),
)


def training_seconds(budget: float, spent: float) -> float:
    """Return the seconds of training that a budget leaves.

    Args:
        budget: Seconds of the whole budget.
        spent: Seconds of it that are over.

    Example:
        >>> training_seconds(1200.0, 88.0)
        980.0
    """
    return max(0.0, budget - closing_seconds(budget) - spent - _START_SECONDS)


def can_be_taught(seconds: float, step: float, steps: int) -> bool:
    """Return True if a teacher can be trained for some steps in its share of the time.

    Args:
        seconds: Wall time of training.
        step: Seconds of a step of the teacher.
        steps: The steps.

    Example:
        >>> can_be_taught(1000.0, 1.0, 150), can_be_taught(1000.0, 5.0, 150)
        (True, False)
    """
    return _SAFETY * step * steps <= _TEACHER_SHARE * seconds


def closing_seconds(budget: float) -> float:
    """Return the seconds of a budget that are kept for exporting and testing the student."""
    return max(LEAST_CLOSING, CLOSING_SHARE * budget)


def fitting_design(
    seconds: float,
    costs: StepCosts,
    full_steps: int,
    arms: int,
    *,
    workers: int = 1,
    pairs: int | None = None,
    batch_size: int = 64,
) -> ShippingDesign | None:
    """Return the best design that fits into some seconds of training; None if none does.

    Where trainings of at least half the usual length do not fit, batches have half as many images.

    Args:
        seconds: Wall time of training.
        costs: What steps cost.
        full_steps: Steps of a full training.
        arms: Number of students and methods that are tuned, plain students included.
        workers: Number of workers.
        pairs: Number of pairs, if it is fixed.
        batch_size: The usual number of images per step.

    Example:
        >>> fitting_design(900.0, StepCosts(0.01, 0.03, 0.01), 800, arms=3)
        ShippingDesign(steps=800, teacher_steps=800, settings=8, pairs=10, share=1.0, batch_size=64)
        >>> fitting_design(90.0, StepCosts(0.01, 0.03, 0.01), 800, arms=3)
        ShippingDesign(steps=280, teacher_steps=800, settings=4, pairs=5, share=0.35, batch_size=32)
        >>> fitting_design(10.0, StepCosts(0.01, 0.03, 0.01), 800, arms=3) is None
        True
    """
    for design in _designs(costs, full_steps, seconds, pairs, batch_size):
        own = costs.of_batch(design.batch_size / batch_size)
        fits = design.seconds(own, arms, workers) <= seconds
        if fits and design.steps >= min(_LEAST_STEPS, full_steps):
            return design
    return None


def _designs(
    costs: StepCosts, full_steps: int, seconds: float, pairs: int | None, batch_size: int
) -> Iterator[ShippingDesign]:
    """Go through the designs, the best first."""
    for share, wanted, settings in _PREFERENCES:
        sizes = (batch_size,) if share >= 0.5 else (batch_size, max(_LEAST_BATCH, batch_size // 2))
        for size in dict.fromkeys(sizes):
            steps = max(1, round(share * full_steps))
            taught = 0
            if costs.teacher:
                all_of_them = _SAFETY * costs.teacher * size / batch_size * full_steps
                affordable = full_steps * min(1.0, _TEACHER_SHARE * seconds / max(all_of_them, 1e-9))
                taught = max(steps, int(affordable))
            yield ShippingDesign(steps, taught, settings, pairs or wanted, share, size)


def full_length_budget(
    spent: float, costs: StepCosts, full_steps: int, arms: int, *, workers: int, pairs: int | None
) -> float:
    """Return the seconds of a budget that allows trainings of full length.

    Example:
        >>> costs = StepCosts(0.01, 0.03, 0.01)
        >>> format_budget(full_length_budget(10.0, costs, 800, 3, workers=2, pairs=None))
        '4m'
    """
    share, wanted, settings = next(each for each in reversed(_PREFERENCES) if each[0] == 1.0)
    taught = full_steps if costs.teacher else 0
    design = ShippingDesign(full_steps, taught, settings, pairs or wanted, share, 0)
    return _budget_of(design.seconds(costs, arms, workers) + spent + _START_SECONDS)


def _budget_of(wall: float) -> float:
    """Return the budget, in whole minutes, of which some wall time is left for training."""
    return 60.0 * -(-max(wall + LEAST_CLOSING, wall / (1 - CLOSING_SHARE)) // 60)


def too_short(
    budget: float,
    spent: float,
    costs: StepCosts,
    full_steps: int,
    arms: int,
    *,
    workers: int,
    pairs: int | None,
) -> RequestError:
    """Return the error of a budget that is too short for an answer, which states what would do.

    Example:
        >>> costs = StepCosts(0.01, 0.03, 0.01)
        >>> print(too_short(30.0, 2.0, costs, 800, 3, workers=2, pairs=None))
        --budget 30s: too short: ... (allowed: about 1m or more, a smaller --size, or a smaller network)
    """
    share, _, settings = _PREFERENCES[-1]
    steps = max(min(_LEAST_STEPS, full_steps), round(share * full_steps))
    taught = steps if costs.teacher else 0
    least = ShippingDesign(steps, taught, settings, pairs or LEAST_PAIRS, share, 0)
    costs = costs.of_batch(0.5)
    wall = least.seconds(costs, arms, workers) + spent + _START_SECONDS
    minutes = _budget_of(wall)
    return RequestError(
        f"too short: {least.pairs} pairs of a plain and a distilled student of {steps} steps, their tuning "
        f"and the teacher take about {format_budget(minutes)} here",
        where=f"--budget {format_budget(budget)}",
        allowed=f"about {format_budget(minutes)} or more, a smaller --size, or a smaller network",
    )
