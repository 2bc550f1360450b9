"""The adviser: stages from cheap to dear, each of which may end it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distillab.advise.answer import Advice
from distillab.advise.calibration import Calibration
from distillab.advise.case import Case
from distillab.advise.composition import compose
from distillab.advise.findings import Findings, with_race
from distillab.advise.half_data import run_half_data
from distillab.advise.race import Costs, Race, RacePlan, chosen_plan, plan_race, read_plan, write_plan
from distillab.advise.race_study import RaceSetting, RungResult, refusal_of_chance
from distillab.advise.request import AdviceRequest
from distillab.advise.speed import StepSeconds, time_given, time_steps
from distillab.advise.watch import BudgetWatch, OnBudget
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.models.black_box import BlackBox, is_black_box
from distillab.study.planning.external_teacher import open_given_teachers
from distillab.study.planning.teacher_trial import try_given_teacher
from distillab.study.running.deadline import SecondsClock
from distillab.study.spec.seeds import LEAST_PAIRS
from distillab.training.numerics.device import pick_device

CLOSING_SECONDS = 3.0  # of the budget, for the answer and its page
USUAL_METHODS = ("kd", "dkd")  # methods, without a prior that ranks them
OF_LABEL_SETS = ("kd",)
RATES = (0.4, 1.0, 2.5)  # multiples of the recipe's learning rate that tuning tries
HALF_COST = 1.0  # of the cost of its runs, that must be left of the budget for half of the data


@dataclass(eq=False)
class Adviser:
    """One advice in the making.

    Args:
        request: What advice is wanted on.
        on_progress: Called while it is computed.
        clock: Returns seconds.
        started: When the budget began, on the clock; by default now.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from distillab.advise.request import teacher_keys
        >>> from distillab.sources.digits import Digits
        >>> folder = Path(tempfile.mkdtemp())
        >>> request = AdviceRequest(Digits(), ["convnet3"], teacher_keys("convnet3", None), 0.0, folder)
        >>> Adviser(request, on_progress=lambda stage, share, left: None).request.budget
        0.0
    """

    request: AdviceRequest
    on_progress: OnBudget
    clock: SecondsClock = time.monotonic
    started: float | None = None

    def __post_init__(self) -> None:
        started = self.clock() if self.started is None else self.started
        self._watch = BudgetWatch(self.request.budget, CLOSING_SECONDS, started, self.clock, self.on_progress)

    def advise(self) -> Advice:
        """Go through the stages and return the advice.

        Raises:
            RequestError: The data, the student or the teacher cannot be used as they are.
            DiskFullError: There is no space left; what was finished is kept.
        """
        case = Case.read(self.request, self._watch.counted)
        folder = self._folder(case)
        case = case.profiled(self.request.budget, self._watch.counted, self.clock)
        found = self._given_teacher(Findings(case, self._calibration()))
        if self.request.budget > 0 and not found.failed_checks and not (found.priors and found.is_clear):
            found = self._raced(found, folder)
        return compose(found, folder, self._watch.spent)

    # -- stages ----------------------------------------------------------------------------------------------

    def _calibration(self) -> Calibration | None:
        if self.request.base is None:
            return None
        self._watch.show("fitting the prior", 0.0)
        return Calibration.of(self.request.base, self.request.margin)

    def _folder(self, case: Case) -> Path:
        """Return the folder of this advice, which later ones on the same data, networks and margin share.

        Raises:
            RequestError: It cannot be written, or belongs to another advice.
        """
        folder = self.request.folder
        identity = self.request.identity(case.pilot.dataset)
        mark = folder / "request.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if mark.is_file() and mark.read_text() != identity:
                raise RequestError(
                    "this folder belongs to another advice", where=f"--out {folder}", allowed="a new folder"
                )
            mark.write_text(identity)
        except OSError as error:
            raise RequestError(
                f"cannot write there ({error.strerror})",
                where=f"--out {folder}",
                allowed="a folder you can write",
            ) from error
        return folder

    def _given_teacher(self, found: Findings) -> Findings:
        """Try a given teacher, and compute predictors from its outputs."""
        if self.request.is_trained_here:
            return found
        self._watch.show("trying the teacher", 0.0)
        case = found.case
        try:
            for given in open_given_teachers(case.study, case.pilot.dataset):
                try_given_teacher(given, case.task, pick_device(self.request.device))
        except RequestError as error:
            if not refusal_of_chance(error):
                raise
            check = f"The teacher is no better than chance: {error.what}. Check {error.allowed}."
            return replace(found, failed_checks=(check,))
        case = case.with_predictors(case.study.teacher.last_model, case.study.weights_path())
        return replace(found, case=case)

    def _raced(self, found: Findings, folder: Path) -> Findings:
        """Race the plain student against the most promising methods within what is left of the budget."""
        self._watch.show("timing the networks", 0.0)
        case, methods = found.case, _methods(found)
        costs = self._costs(case)
        seconds = self._watch.deadline - self.clock()
        rates = tuple(float(f"{case.recipe.lr * each:.3g}") for each in RATES)
        fresh = plan_race(
            seconds, costs, case.recipe.steps, 1 + len(methods), self.request.workers, len(rates)
        )
        plan = chosen_plan(read_plan(folder), fresh)
        found = replace(found, costs=costs)
        if plan is None:
            one = costs.run(case.recipe.steps)
            note = (
                f"The budget is too short for a race: {max(0.0, seconds):.0f} s of it were left, and one "
                f"full training of the student takes about {one:.0f} s here."
            )
            return replace(found, notes=(*found.notes, note))
        write_plan(folder, plan)
        setting = self._setting(case, plan, folder, rates)
        race = Race(setting, plan, methods, costs, self.clock)

        def decided(results: Sequence[RungResult]) -> bool:
            now = with_race(found, results, race.dropped)
            arms = now.arms.values()
            enough = bool(arms) and max(arms, key=lambda arm: arm.mean).pairs >= LEAST_PAIRS
            return enough and now.decision().verdict != "undecided"

        race.run(self._watch.deadline, decided, self._watch.show)
        found = with_race(found, race.results, race.dropped)
        if not race.results:
            found = replace(found, notes=(*found.notes, "The race finished no pair within the budget."))
        found = replace(found, costs=race.costs, teacher_steps=plan.teacher_steps, tuned=plan.tuned)
        if self.request.is_trained_here and found.arms:  # a pair has finished, and so has its teacher
            found = replace(found, case=found.case.with_predictors(str(race.results[-1].folder)))
        return self._with_half_data(found, setting)

    def _with_half_data(self, found: Findings, setting: RaceSetting) -> Findings:
        """Race the best method on half of the data, if the budget has room and no prior can tell."""
        arms = found.arms
        if not arms or found.is_studied:
            return found
        best = max(arms.values(), key=lambda arm: arm.mean)
        costs = found.costs
        assert costs is not None
        runs = 2 * best.pairs * best.share * costs.run(found.case.recipe.steps) * (2 if found.tuned else 1)
        teachers = costs.teachers * costs.teacher * found.teacher_steps
        if self.clock() + HALF_COST * (runs + teachers) / self.request.workers + 10.0 > self._watch.deadline:
            return found
        half = run_half_data(
            setting,
            best,
            found.case.recipe.steps,
            deadline=self._watch.deadline,
            on_share=lambda share: self._watch.show("race on half of the data", share),
            clock=self.clock,
        )
        return replace(found, half=half)

    def _costs(self, case: Case) -> Costs:
        device = pick_device(self.request.device)
        batch = case.recipe.batch_size
        student = time_steps(case.student_model, case.head_width, case.inputs, batch, device)
        teacher = self._teacher_seconds(case, batch, device)
        trained = self.request.teacher.get("replicates", 1) if self.request.is_trained_here else 0
        return Costs.of(student, teacher, trained if isinstance(trained, int) else LEAST_PAIRS)

    def _teacher_seconds(self, case: Case, batch: int, device: torch.device) -> StepSeconds:
        """Return how long the steps of the teacher take; stored predictions take none."""
        model = case.study.teacher.last_model
        if not is_black_box(model):
            return time_steps(model, case.head_width, case.inputs, batch, device)
        given = open_given_teachers(case.study, case.pilot.dataset)[0].network
        if isinstance(given, BlackBox) and given.sees_originals:
            return StepSeconds(0.0, 0.0)
        return time_given(given, case.inputs, batch, device)

    def _setting(self, case: Case, plan: RacePlan, folder: Path, rates: tuple[float, ...]) -> RaceSetting:
        keys = self.request.keys(case.pilot.dataset)
        recipe: Row = {key: value for key, value in keys["recipe"].items() if key != "epochs"}
        recipe["precision"], recipe["memory_format"] = case.recipe.precision, case.recipe.memory_format
        recipe["compile"] = False
        keys["data"] = {**keys["data"], "val": case.pilot.val_share}
        keys["recipe"] = recipe
        if plan.teacher_steps:
            keys["teacher"] = {**keys["teacher"], "recipe": {"steps": plan.teacher_steps}}
        return RaceSetting(
            dataset=case.pilot.dataset,
            keys=keys,
            folder=folder / "race",
            full_steps=case.recipe.steps,
            margin=self.request.margin,
            device=self.request.device,
            workers=self.request.workers,
            executor=self.request.executor,
            rates=rates if plan.tuned else (),
        )


def _methods(found: Findings) -> tuple[str, ...]:
    """Return the methods to race: kd, and the best by the prior, or the usual ones without a prior."""
    if found.case.task.primary != "accuracy":
        return OF_LABEL_SETS
    ranked = sorted(found.priors.items(), key=lambda each: -each[1].mean)
    return tuple(dict.fromkeys([USUAL_METHODS[0], *(name for name, _ in ranked), *USUAL_METHODS[1:]]))[:2]
