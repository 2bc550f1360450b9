"""The sentences of an advice, each with the runs and contexts that it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from distillab.advise.answer import EvidenceItem, interval_text, points
from distillab.advise.decision import ADVICE_CONFIDENCE, Decision
from distillab.advise.findings import Findings
from distillab.advise.pilot import ASSUMED_DEVIATION
from distillab.advise.prior import HARM_MARGIN
from distillab.evidence.wording import listed

NO_BASE = "There is no measured evidence base to compare these data with"


def headline(decision: Decision, metric: str, student: str) -> str:
    """Return the answer in one sentence.

    Example:
        >>> from distillab.advise.decision import decide
        >>> headline(decide({}, margin=0.005), "accuracy", "resnet8")
        'Undecided: there is no estimate of what distillation would gain.'
    """
    if not decision.method:
        reason = decision.reasons[0] if len(decision.reasons) > 1 else ""
        return (reason and f"Undecided: {reason[0].lower()}{reason[1:]}") or (
            "Undecided: there is no estimate of what distillation would gain."
        )
    gain = f"{points(decision.gain)} points of {metric} ({interval_text(decision.low, decision.high)})"
    if decision.verdict == "distil":
        return (
            f"Distil: {decision.method} is expected to gain {gain} over training {student} on labels alone."
        )
    if decision.verdict == "plain":
        why = {
            "harms": "distillation is expected to cost",
            "equivalent": "distillation is expected to make no practical difference:",
        }.get(decision.region, "distillation is expected to gain too little:")
        return f"Train plainly: {why} {gain} with its best method, {decision.method}."
    why = decision.reasons[0]
    return f"Undecided: {decision.method} is expected to gain {gain}, but {why[0].lower()}{why[1:]}"


def evidence_of(found: Findings, decision: Decision) -> tuple[EvidenceItem, ...]:
    """Return all sentences behind an answer, the most important first."""
    return (
        *_checks(found),
        *_pilot(found, decision),
        *_lengths(found, decision),
        *_prior(found, decision),
        *_harm(found, decision),
        *_teacher(found),
        *_data(found),
        *_notes(found),
    )


def _checks(found: Findings) -> Iterator[EvidenceItem]:
    for check in found.checks:
        yield EvidenceItem("check", check)


def _pilot(found: Findings, decision: Decision) -> Iterator[EvidenceItem]:
    full = found.case.recipe.steps
    for name, arm in found.arms.items():
        low, high = found.pilots[name].interval(ADVICE_CONFIDENCE)
        steps = max(1, round(arm.share * full))
        own = f"{points(arm.mean)} points (standard error {100 * arm.deviation:.1f})"
        judged = found.case.pilot.judged
        yield EvidenceItem(
            "pilot",
            f"In a paired race on your data, {name} gained {own} over the plain student in {arm.pairs} pairs "
            f"of {steps} steps, judged on {judged:,} examples that no student learned from; for a full "
            f"training of {full} steps that gives {interval_text(low, high)}.",
            runs=arm.runs,
        )
    for name, better in found.dropped.items():
        yield EvidenceItem(
            "pilot", f"{name} was dropped from the race: its paired interval lies below {better}."
        )
    if found.results:
        source = found.case.pilot.judged_on
        whose = "the val split" if source == "val" else "examples held out of train"
        how = "at the same settings, which were not tuned"
        if found.tuned:
            how = "with learning rates tuned alike for every method, the plain student included"
        yield EvidenceItem(
            "pilot",
            f"Students were compared {how}, and judged on {whose}; the {found.case.pilot.unread:,} test "
            "examples were not used.",
        )
        if found.failed_runs:
            yield EvidenceItem("pilot", f"{found.failed_runs} runs of the race failed and are not counted.")
    if found.half is not None:
        half, whole = found.half.half, found.half.whole
        yield EvidenceItem(
            "pilot",
            f"With half of the data {half.method} gained {points(half.mean)} points (standard error "
            f"{100 * half.deviation:.1f}), with all of them {points(whole.mean)}, over the same steps.",
            runs=half.runs,
        )


def _lengths(found: Findings, decision: Decision) -> Iterator[EvidenceItem]:
    arm = found.arms.get(decision.method)
    if arm is None or arm.share >= 1.0:
        return
    share = f"{100 * arm.share:.0f} % of a full training"
    length = found.length
    if length.is_measured:
        _, variance = length.at(arm.share)
        yield EvidenceItem(
            "length",
            f"The pilot stopped at {share}; in the evidence base gains at that point were off by "
            f"{100 * variance**0.5:.1f} points from those at the end ({length.base_sets} base sets).",
        )
    else:
        yield EvidenceItem(
            "assumption",
            f"The pilot stopped at {share}; its interval assumes a standard deviation of "
            f"{100 * ASSUMED_DEVIATION:g} point per doubling that is left, which nothing has measured.",
        )
    forms = found.forms(decision.method)
    if len(forms.forms) > 1:
        each = listed([f"{form} {points(gain)}" for form, gain in forms.forms.items()])
        yield EvidenceItem("length", f"The gain at full length by several forms: {each}; their mean is used.")
    if not forms.monotone:
        yield EvidenceItem(
            "length",
            "The gain rises and falls with the steps by more than its errors; no form was fitted to it.",
        )


def _prior(found: Findings, decision: Decision) -> Iterator[EvidenceItem]:
    if found.calibration is None:
        rest = (
            f"the answer rests on the race alone, and its {100 * ADVICE_CONFIDENCE:.0f} % interval on "
            "Student's t."
            if found.arms
            else "without a race there is nothing that an estimate could rest on."
        )
        yield EvidenceItem("assumption", f"{NO_BASE}: {rest}")
        return
    counts, prior, distance = found.calibration.counts, found.calibration.replay.prior, found.distance
    if distance is None:
        yield EvidenceItem(
            "assumption", "The evidence base has no data of this task; the prior was not used."
        )
        return
    near = prior.nearest(distance)
    names = tuple(str(facts["context"]) for facts in near)
    described = listed(list(dict.fromkeys(f"{f['base_set']} ({f['n_classes']} classes)" for f in near[:3])))
    if distance.outside:
        yield EvidenceItem(
            "prior",
            f"The data lie outside of what the evidence base has studied (distance {distance.value:.2f}, "
            f"limit {distance.limit:.2f}, most in {distance.farthest_feature}); it was not used. "
            f"Nearest: {described}.",
            contexts=names,
        )
        return
    method = decision.method or next(iter(found.priors))
    estimate = found.priors.get(method)
    if estimate is not None:
        studied = prior.methods[method]
        yield EvidenceItem(
            "prior",
            f"From {len(studied.contexts)} studied contexts of {len(set(studied.base_sets))} base sets, "
            f"{_expecting(studied.model.name)} {points(estimate.mean)} points of {method}, with a standard "
            f"error of {100 * estimate.deviation:.1f} on base sets it was not fitted on. Nearest "
            f"contexts: {described}.",
            contexts=names,
        )
    weight = decision.posterior.pilot_weight if decision.posterior else 0.0
    yield EvidenceItem(
        "prior",
        f"The answer weighs the pilot by {100 * weight:.0f} % and the prior by {100 - 100 * weight:.0f} %; "
        f"its interval is conformal over {counts['calibrating_base_sets']} base sets.",
    )


def _harm(found: Findings, decision: Decision) -> Iterator[EvidenceItem]:
    risk = found.harm_risk(decision.method)
    if risk is None:
        yield EvidenceItem("harm", "The risk for tail, worst group and worst class is not known.")
        return
    arm = found.arms.get(decision.method)
    where = "the pilot" if arm is not None and arm.harm is not None else ""
    base = "the evidence base" if found.harm_prior(decision.method) is not None else ""
    yield EvidenceItem(
        "harm",
        f"The probability that {decision.method} costs tail, worst group or worst class more than "
        f"{100 * HARM_MARGIN:g} point is {100 * risk:.0f} %, from {listed([w for w in (where, base) if w])}.",
        runs=arm.runs if arm is not None else (),
    )


def _teacher(found: Findings) -> Iterator[EvidenceItem]:
    values = found.case.predictors
    if values:
        yield EvidenceItem(
            "teacher",
            f"The teacher is right on {100 * values['teacher_accuracy']:.1f} % of val, "
            f"{points(values['teacher_minus_probe'])} points beside a linear probe; calibration error "
            f"{100 * values['ece']:.1f} points, spread between views {values['view_spread']:.3f}, first to "
            f"second probability {values['top_ratio']:.1f}, entropy {values['entropy']:.2f} nats.",
        )
    full = found.case.recipe.steps
    if 0 < found.teacher_steps < full and found.results:
        yield EvidenceItem(
            "teacher",
            f"To keep to the budget the teacher was trained for {found.teacher_steps} steps of {full}; a "
            "longer training can make it, and the gain, better.",
        )
    if not found.case.request.is_trained_here and found.case.pilot.judged_on == "train":
        yield EvidenceItem(
            "teacher",
            "The teacher was given: if it was trained on these examples, it knows those that students are "
            "judged on, and the gain is overstated. A val split that it has not seen would settle that.",
        )


def _data(found: Findings) -> Iterator[EvidenceItem]:
    for alarm in found.case.alarms:
        yield EvidenceItem("data", alarm)


def _notes(found: Findings) -> Iterator[EvidenceItem]:
    for note in (*found.notes, *found.case.notes):
        yield EvidenceItem("data", note)


def _expecting(model: str) -> str:
    return "their mean is" if model == "mean" else f"{model} {'expect' if model.endswith('s') else 'expects'}"
