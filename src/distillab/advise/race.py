"""The paired race: plain and distilled students under shared seeds, in rungs, as far as the budget goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distillab.advise.pilot import PilotArm
from distillab.advise.race_plan import FIRST_PAIRS, LEAST_STEPS, Rung, first_rung, next_rung
from distillab.advise.race_study import RaceSetting, RungResult, run_rung
from distillab.advise.speed import OVERHEAD_SECONDS, StepSeconds
from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.study.running.deadline import SecondsClock

RACE_FILE = "race.json"
START_SECONDS = 8.0  # planning a study and starting its workers
SAFETY = 1.25  # by which trainings take longer than was measured on a quiet machine
TEACHER_SHARE = 0.35  # of the budget, the most that training teachers may take
MUCH_LONGER = 4.0  # times the teachers' or students' steps, for which a race begins anew
TUNED_SHARE = 0.25  # tuning is part of the race if its first rung is still as long as this

OnRung = Callable[[str, float], None]
"""Called with what is done, and the share of it that is finished."""
Decided = Callable[[Sequence[RungResult]], bool]


@dataclass(frozen=True)
class Costs:
    """Seconds on one worker.

    Attributes:
        student: Of a step of a student.
        teacher: Of a step of a teacher.
        batch: Of the teacher's forward pass on a batch.
        teachers: Number of teachers that are trained.

    Example:
        >>> Costs(0.01, 0.03, 0.01, 2).run(full_steps=100)
        2.625
    """

    student: float
    teacher: float
    batch: float
    teachers: int

    @classmethod
    def of(cls, student: StepSeconds, teacher: StepSeconds, teachers: int) -> Costs:
        """Return the costs of two networks."""
        return cls(student.training, teacher.training, teacher.forward, teachers)

    def run(self, full_steps: int) -> float:
        """Return the seconds of one full run, with its share of the teacher's outputs."""
        return SAFETY * (full_steps * (self.student + self.batch / 2) + OVERHEAD_SECONDS)


@dataclass(frozen=True)
class RacePlan:
    """What was fixed when a race began; a race that is continued keeps it.

    Attributes:
        teacher_steps: Steps of the teachers that are trained; 0 for a given one.
        first: The first rung.
        tuned: Whether learning rates are tuned for every method, the plain student included.

    Example:
        >>> RacePlan.from_dict(RacePlan(100, Rung(3, 0.25), False).as_dict())
        RacePlan(teacher_steps=100, first=Rung(pairs=3, share=0.25), tuned=False)
    """

    teacher_steps: int
    first: Rung
    tuned: bool

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        first = {"pairs": self.first.pairs, "share": self.first.share}
        return {"teacher_steps": self.teacher_steps, "first": first, "tuned": self.tuned}

    @classmethod
    def from_dict(cls, values: JsonObject) -> RacePlan:
        """Return the plan of a JSON form."""
        return cls(values["teacher_steps"], Rung(**values["first"]), values["tuned"])


def plan_race(
    seconds: float, costs: Costs, full_steps: int, arms: int, workers: int, rates: int
) -> RacePlan | None:
    """Return how a race of some seconds begins; None if the time is too short for one.

    Args:
        seconds: Wall time.
        costs: What runs cost.
        full_steps: Steps of a full training.
        arms: Number of methods, the plain student included.
        workers: Number of workers.
        rates: Number of learning rates that tuning would try.

    Example:
        >>> plan_race(600.0, Costs(0.01, 0.03, 0.01, 2), full_steps=800, arms=3, workers=2, rates=3)
        RacePlan(teacher_steps=800, first=Rung(pairs=3, share=0.25), tuned=True)
        >>> plan_race(10.0, Costs(0.01, 0.03, 0.01, 2), full_steps=800, arms=3, workers=2, rates=3) is None
        True
    """
    whole = (seconds - START_SECONDS) * workers
    if whole <= 0:
        return None
    teacher_steps, spent = 0, 0.0
    if costs.teachers:
        one = SAFETY * costs.teacher * costs.teachers
        teacher_steps = full_steps
        while teacher_steps * one > TEACHER_SHARE * whole and teacher_steps > LEAST_STEPS:
            teacher_steps = max(LEAST_STEPS, teacher_steps // 2)
        spent = teacher_steps * one
    run_seconds = costs.run(full_steps)
    left = (whole - spent) * 0.8
    tuned = first_rung(left * FIRST_PAIRS / (FIRST_PAIRS + rates), run_seconds, arms)
    if rates and tuned is not None and tuned.share >= TUNED_SHARE:
        return RacePlan(teacher_steps, tuned, True)
    plain = first_rung(left, run_seconds, arms)
    if plain is None or plain.share * full_steps < LEAST_STEPS:
        return None
    return RacePlan(teacher_steps, plain, False)


def chosen_plan(begun: RacePlan | None, fresh: RacePlan | None) -> RacePlan | None:
    """Return the plan of a race that was begun, unless the time now allows one that is much longer.

    Args:
        begun: The plan of the race in the folder; None if there is none.
        fresh: What would be planned for the time that is left now; None if it is too short for a race.

    Example:
        >>> short, long = RacePlan(50, Rung(3, 0.0625), False), RacePlan(800, Rung(3, 0.25), False)
        >>> chosen_plan(short, long) == long, chosen_plan(long, short) == long
        (True, True)
    """
    if begun is None or fresh is None:
        return begun or fresh
    longer = fresh.teacher_steps >= MUCH_LONGER * begun.teacher_steps > 0
    return fresh if longer or fresh.first.share >= MUCH_LONGER * begun.first.share else begun


@dataclass(eq=False)
class Race:
    """A race that can be interrupted and continued.

    Args:
        setting: What all rungs share.
        plan: How it begins.
        methods: The methods, without the plain student, in the order of their promise.
        costs: What runs cost; replaced by what finished runs have cost.
        clock: Returns seconds.

    Attributes:
        results: What each rung has found, in order.
        dropped: The methods that were left out, each with the method that overtook it.
    """

    setting: RaceSetting
    plan: RacePlan
    methods: tuple[str, ...]
    costs: Costs
    clock: SecondsClock = time.monotonic
    results: list[RungResult] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)

    def run(self, deadline: float, decided: Decided, on_stage: OnRung) -> list[RungResult]:
        """Run rung after rung until the deadline, or until the results decide.

        Args:
            deadline: When to stop, on the clock.
            decided: Called after each rung with all results; True ends the race.
            on_stage: Called with what is done and its share.
        """
        left = list(self.methods)
        rung: Rung | None = self.plan.first
        while rung is not None and left and self.clock() < deadline:
            steps = max(1, round(rung.share * self.setting.full_steps))
            stage = f"race: {', '.join(['ce', *left])}, {rung.pairs} pairs of {steps} steps"
            on_stage(stage, 0.0)
            result = run_rung(
                self.setting,
                rung,
                left,
                deadline=deadline,
                on_share=lambda share, stage=stage: on_stage(stage, share),  # type: ignore[misc]
                clock=self.clock,
            )
            if result.arms:
                self.results.append(result)
            for method, better in result.behind.items():
                if len(left) > 1 and method in left:
                    left.remove(method)
                    self.dropped[method] = better
            if not result.complete or not result.arms or decided(self.results):
                break
            self._learn(result)
            rung = self._next(rung, deadline, 1 + len(left))
        return self.results

    def _learn(self, result: RungResult) -> None:
        """Replace the cost of a student's step by that of finished runs."""
        if result.seconds > 0:
            self.costs = replace(self.costs, student=result.seconds / SAFETY, batch=0.0)

    def _next(self, rung: Rung, deadline: float, arms: int) -> Rung | None:
        seconds = (deadline - self.clock() - START_SECONDS) * self.setting.workers
        run_seconds = self.costs.run(self.setting.full_steps)
        if self.plan.tuned and rung.share < 1.0:  # a longer training is tuned anew
            tuned = seconds * FIRST_PAIRS / (FIRST_PAIRS + len(self.setting.rates))
            return next_rung(rung, tuned, run_seconds, arms)
        return next_rung(rung, seconds, run_seconds, arms)


def read_plan(folder: Path) -> RacePlan | None:
    """Return the plan of a race that was begun in a folder; None if there is none.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> read_plan(folder) is None
        True
        >>> write_plan(folder, RacePlan(100, Rung(3, 0.25), False))
        >>> read_plan(folder).first
        Rung(pairs=3, share=0.25)
    """
    file = folder / RACE_FILE
    return RacePlan.from_dict(json.loads(file.read_text())) if file.is_file() else None


def write_plan(folder: Path, plan: RacePlan) -> None:
    """Write the plan of a race, completely or not at all."""
    with write_atomically(folder / RACE_FILE) as draft:
        draft.write_text(json.dumps(plan.as_dict()))


def gains_by_length(results: Sequence[RungResult], method: str) -> Mapping[float, PilotArm]:
    """Return the gain of a method at each share of the steps that was tried, from most pairs."""
    found: dict[float, PilotArm] = {}
    for result in results:
        arm = result.arms.get(method)
        if arm is not None and (arm.share not in found or arm.pairs >= found[arm.share].pairs):
            found[arm.share] = arm
    return dict(sorted(found.items()))
