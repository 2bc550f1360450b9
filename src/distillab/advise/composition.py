"""From findings to an advice: sentences, tables, sliders, costs, and the next experiment."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import yaml
from pydantic import JsonValue

from distillab.advise.answer import Advice, NextStep, RungRow
from distillab.advise.budget import format_budget
from distillab.advise.decision import ADVICE_CONFIDENCE, Decision
from distillab.advise.findings import Findings
from distillab.advise.posterior import GainEstimate
from distillab.advise.race_plan import FIRST_PAIRS, FIRST_SHARE, Rung
from distillab.advise.sentences import evidence_of, headline
from distillab.advise.what_if import NOTHING_KNOWN, WhatIf, WhatIfPoint, from_prior, from_sizes
from distillab.artefacts import write_atomically
from distillab.study.spec.study import parse_study

NEXT_STUDY = "next.yaml"
CONFIRMING_SEEDS = 10
LEAST_NEXT_BUDGET = 300.0  # seconds
MOST_NEXT_BUDGET = 86_400.0


def compose(found: Findings, folder: Path, seconds: float) -> Advice:
    """Return the advice that findings give, and write the study that would confirm it.

    Args:
        found: What the stages have found.
        folder: The folder of the advice.
        seconds: Wall time so far.
    """
    case, decision = found.case, found.decision()
    label = case.study.student_entries[0].label
    risk = found.harm_risk(decision.method)
    metric = case.task.metrics[case.task.primary].label
    return Advice(
        verdict=decision.verdict,
        headline=headline(decision, metric, label),
        gain=decision.gain,
        low=decision.low,
        high=decision.high,
        method=decision.method,
        harm_risk=math.nan if risk is None else risk,
        evidence=evidence_of(found, decision),
        reasons=decision.reasons,
        seconds=seconds,
        dataset=case.pilot.dataset.name,
        metric=case.task.primary,
        region=decision.region,
        margin=found.margin,
        student=label,
        teacher=case.study.teacher.label,
        provenance=case.provenance,
        initialisation=str(case.facts()["initialisation"]),
        settings=_settings(found, decision),
        cost=_cost(found),
        rungs=_rungs(found),
        alarms=case.alarms,
        what_if=_what_if(found, decision),
        next_step=_next_step(found, decision, folder),
        folder=folder,
        base={} if found.calibration is None else found.calibration.counts,
    )


def _settings(found: Findings, decision: Decision) -> dict[str, JsonValue]:
    recipe = found.case.recipe
    settings: dict[str, JsonValue] = {
        "steps": recipe.steps,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "tuned": found.tuned,
    }
    if found.results and found.results[-1].settings:
        rates = found.results[-1].settings
        settings["lr"] = rates.get(decision.method, recipe.lr)
        settings["lr_plain"] = rates.get("ce", recipe.lr)
    return settings


def _cost(found: Findings) -> dict[str, float]:
    """Return seconds on one worker: of a plain run, a distilled one, and the teachers."""
    if found.costs is None:
        return {}
    steps, costs = found.case.recipe.steps, found.costs
    return {
        "plain_seconds": steps * costs.student,
        "distilled_seconds": steps * (costs.student + costs.batch),
        "teacher_seconds": steps * costs.teacher if costs.teachers else 0.0,
    }


def _rungs(found: Findings) -> tuple[RungRow, ...]:
    rows = []
    for result in found.results:
        steps = max(1, round(result.rung.share * found.case.recipe.steps))
        for name, arm in result.arms.items():
            low, high = GainEstimate(arm.mean, arm.variance).interval(ADVICE_CONFIDENCE)
            rows.append(RungRow(name, arm.pairs, steps, arm.mean, low, high, str(result.folder)))
    return tuple(rows)


def _what_if(found: Findings, decision: Decision) -> WhatIf:
    if not decision.method or not math.isfinite(decision.low + decision.high):
        return NOTHING_KNOWN
    here = WhatIfPoint(decision.gain, decision.low, decision.high)
    if found.calibration is not None and decision.method in found.priors:
        prior = found.calibration.replay.prior
        method = prior.methods[decision.method]
        return from_prior(
            found.case.facts(), here, method.estimate, lambda facts: prior.distance(facts).outside
        )
    if found.half is not None and found.half.half.method == decision.method:
        half, whole = found.half.half, found.half.whole
        gains = {0.5: GainEstimate(half.mean, half.variance), 1.0: GainEstimate(whole.mean, whole.variance)}
        return from_sizes(gains, here)
    return NOTHING_KNOWN


def _next_step(found: Findings, decision: Decision, folder: Path) -> NextStep:
    """Return the cheapest experiment that would make the answer more certain."""
    request = found.case.request
    if found.failed_checks:
        return NextStep("Correct what the failed check names, then run the same command again.")
    if decision.verdict == "undecided":
        budget = format_budget(_needed_seconds(found, decision))
        command = f"distillab advise {shlex.quote(request.data_text)}{request.options} --budget {budget}"
        text = f"A race on your data, of about {budget}."
        if found.results:
            text = (
                f"A longer race, which continues this one: about {budget} should narrow the interval enough."
            )
        return NextStep(text, command if request.data_text else "")
    study = _confirming_study(found, decision, folder)
    where = f"{shlex.quote(str(study))} --out {shlex.quote(str(folder / 'confirm'))}"
    text = (
        f"Confirm it on the test set, which was not used here, with {CONFIRMING_SEEDS} pairs of full length."
    )
    return NextStep(text, f"distillab run {where}" if request.data_text else "")


def _needed_seconds(found: Findings, decision: Decision) -> float:
    """Return the budget of a race whose interval would be clear of the margin, were the gain as expected.

    The half width falls with the square root of the time. It is at least twice the budget so far.
    """
    budget = max(LEAST_NEXT_BUDGET, 2 * found.case.request.budget)
    if not found.results and found.costs is not None:  # what a first rung of a quarter's length takes
        steps, workers = found.case.recipe.steps, found.case.request.workers
        first = Rung(FIRST_PAIRS, FIRST_SHARE).cost(found.costs.run(steps), 3)
        teachers = found.costs.teachers * found.costs.teacher * steps / 2
        budget = max(budget, found.case.request.budget + 1.3 * (first + teachers) / workers)
    lead = abs(decision.gain - found.margin)
    half = (decision.high - decision.low) / 2
    if found.results and math.isfinite(half) and lead > 0:
        budget = max(budget, found.case.request.budget * min((half / lead) ** 2, 100.0))
    return 60.0 * math.ceil(min(budget, MOST_NEXT_BUDGET) / 60)


def _confirming_study(found: Findings, decision: Decision, folder: Path) -> Path:
    """Write the study that compares the method with the plain student on the test set of the data."""
    case = found.case
    recipe = {key: value for key, value in case.request.recipe.items() if key != "epochs"}
    recipe = recipe | {"steps": case.recipe.steps}
    values = {
        "study": f"{case.pilot.dataset.name}: {decision.method} confirmed",
        **case.request.keys(case.pilot.dataset),
        "methods": ["ce", decision.method],
        "seeds": CONFIRMING_SEEDS,
        "recipe": recipe,
        "evidence": {"margin": found.margin},
    }
    if found.results and found.results[-1].settings:
        rates = sorted({float(f"{case.recipe.lr * each:.3g}") for each in (0.4, 1.0, 2.5)})
        values["tune"] = {"lr": rates, "budget": len(rates), "seeds": 2, "default_runs": False}
    study = parse_study(values, Path.cwd(), NEXT_STUDY)
    path = folder / NEXT_STUDY
    with write_atomically(path) as draft:
        draft.write_text(yaml.safe_dump(study.written(), sort_keys=False, allow_unicode=True))
    return path
