"""What is left to make, and how long it takes on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from distillab.base.contexts import DrawnContext, draw_context
from distillab.base.design import Design
from distillab.base.evidence_base import CONTEXTS
from distillab.base.making import OutFolder
from distillab.base.schema import read_part
from distillab.models import InputSpec, build_model
from distillab.training.numerics.device import compute_clock

_STEPS = 10  # timed per network
_BESIDE_STEPS = 1.35  # views, teacher outputs, evaluation and files, as a multiple of the steps alone


@dataclass(frozen=True)
class Estimate:
    """What is left of a tier.

    Attributes:
        tier: The tier.
        contexts: Contexts that are not made.
        of: Contexts of the design.
        runs: Runs that are compared, of the contexts left.
        others: Trials, probes and teachers of these.
        hours: Processor hours of the contexts left.
        workers: Processes that share them.
        measured: Contexts that are made, from whose time the hours follow; 0 if networks were timed.

    Example:
        >>> print(Estimate("S", 490, 500, 14_700, 9_000, 20.0, 2, 10))
        tier S: 490 of 500 contexts left, 14,700 runs and 9,000 other trainings, 20.0 processor hours, ...
    """

    tier: str
    contexts: int
    of: int
    runs: int
    others: int
    hours: float
    workers: int
    measured: int

    def __str__(self) -> str:
        source = f"from {self.measured} contexts made" if self.measured else "from steps timed now"
        return (
            f"tier {self.tier}: {self.contexts} of {self.of} contexts left, {self.runs:,} runs and "
            f"{self.others:,} other trainings, {self.hours:.1f} processor hours, "
            f"{self.hours / self.workers:.1f} h with {self.workers} workers on idle cores ({source})"
        )


@dataclass(frozen=True)
class Trainings:
    """The trainings of a context, by number and in steps.

    Attributes:
        runs: Runs that are compared.
        trials: Trials of tuning.
        probes: Students over twice the steps.
        teachers: Teachers that are trained.

    Example:
        >>> Trainings(runs=30, trials=12, probes=2, teachers=2).student_lengths
        46
    """

    runs: int
    trials: int
    probes: int
    teachers: int

    @property
    def student_lengths(self) -> int:
        """Trainings of students, in lengths of one run."""
        return self.runs + self.trials + 2 * self.probes

    @classmethod
    def of(cls, context: DrawnContext) -> Trainings:
        """Return the trainings of a context."""
        study = context.study
        methods, seeds = len(study["methods"]), len(study["seeds"])
        tune, evidence = study.get("tune", {}), study.get("evidence", {})
        tuned = tune.get("seeds", 2) if tune else 0
        probed = len(evidence.get("probed_methods", ())) or methods
        own = study["teacher"]["provenance"] == "same"
        return cls(
            runs=methods * seeds,
            trials=methods * tune.get("budget", 0) * tuned,
            probes=probed * evidence.get("probes", 1),
            teachers=seeds + tuned if own else study["teacher"]["replicates"],
        )


def estimate(design: Design, out: OutFolder, workers: int) -> Estimate:
    """Return what is left of a design.

    Args:
        design: The design.
        out: Where it is made; base sets are prepared there.
        workers: Processes that will share the work.
    """
    sets = out.prepare(design)
    contexts = [draw_context(design, index, sets) for index in range(design.file.contexts)]
    left = [each for each in contexts if not out.is_made(each.name)]
    made = [each for each in contexts if out.is_made(each.name)]
    trainings = [Trainings.of(each) for each in left]
    expected = sum(modelled_seconds(each) for each in left)
    if made:
        took = sum(_seconds(out, each.name) for each in made)
        expected *= took / sum(modelled_seconds(each) for each in made)
    return Estimate(
        tier=design.file.tier,
        contexts=len(left),
        of=len(contexts),
        runs=sum(each.runs for each in trainings),
        others=sum(each.trials + each.probes + each.teachers for each in trainings),
        hours=expected / 3600,
        workers=workers,
        measured=len(made),
    )


def modelled_seconds(context: DrawnContext) -> float:
    """Return the processor seconds of a context by the time of a step of its networks on this machine."""
    study, counts = context.study, Trainings.of(context)
    student = study["students"][0]
    name = student["model"] if isinstance(student, Mapping) else student
    side, channels, batch = (
        context.levels["resolution"],
        context.levels["channels"],
        study["recipe"]["batch_size"],
    )
    of_student = step_seconds(name, int(side or 0), int(channels or 1), batch)
    of_teacher = step_seconds(study["teacher"]["model"], int(side or 0), int(channels or 1), batch)
    steps = counts.student_lengths * study["recipe"]["steps"] * of_student
    return _BESIDE_STEPS * float(steps + counts.teachers * study["teacher"]["recipe"]["steps"] * of_teacher)


@cache
def step_seconds(model: str, side: int, channels: int, batch: int) -> float:
    """Return the processor seconds of a training step of a network, timed now on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = build_model(model, classes=10, inputs=InputSpec(channels, side, side)).train()
        network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        inputs = torch.zeros(batch, channels, side, side).to(memory_format=torch.channels_last)
        clock = compute_clock(torch.device("cpu"))
        started = clock()
        for step in range(_STEPS + 2):
            if step == 2:  # the first ones allocate
                started = clock()
            optimizer.zero_grad()
            network(inputs).logsumexp(dim=1).sum().backward()
            optimizer.step()
        return (clock() - started) / _STEPS
    finally:
        torch.set_num_threads(before)


def _seconds(out: OutFolder, name: str) -> float:
    seconds = read_part(out.part(name) / CONTEXTS, "contexts").column("seconds")
    return float(sum(seconds.to_pylist()))
