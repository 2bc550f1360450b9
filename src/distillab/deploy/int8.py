"""Whether int8 pays: candidates that keep the accuracy, timed against the graph in float."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.deploy.changed import ChangedPredictions, changed_predictions
from distillab.deploy.description import ModelDescription
from distillab.deploy.drop import Drop, paired_drop
from distillab.deploy.gates import BATCHES
from distillab.deploy.graph import logits_from
from distillab.deploy.latency import Latency, time_in_turn
from distillab.deploy.loaded import OnnxEngine
from distillab.deploy.quantization import (
    CalibrationRanges,
    Form,
    QuantizationChoice,
    QuantizedGraph,
    prepare_quantization,
    quantize,
)
from distillab.deploy.sessions import open_session
from distillab.errors import RequestError

QUANTIZATION_FORMS: tuple[Form, ...] = ("QDQ", "QOperator")
# More careful ways, tried in turn while no form keeps the accuracy.
WAYS: tuple[tuple[CalibrationRanges, bool], ...] = (
    ("MinMax", False),
    ("Percentile", False),
    ("MinMax", True),
)
FASTER = 0.95
"""Largest share of the time of the float graph at which int8 counts as faster."""
SMALLER = 0.9
"""Largest share of its bytes at which int8 counts as smaller."""
TIMED_BATCH = 32


@dataclass(frozen=True)
class Int8Trial:
    """A quantized graph and what it is worth.

    Attributes:
        graph: The graph.
        drop: What it loses at the larger batch.
        drop_at_one: Points that it loses at batch 1.
        latency: Its times, by batch size; empty if it was not timed.
        float_latency: Those of the float graph, measured in turn with it.
        ratio: Its bytes over those of the float graph.
        changed: Its predictions for val that are not those of the float graph, by batch size.
    """

    graph: QuantizedGraph
    drop: Drop
    drop_at_one: float
    ratio: float
    latency: tuple[Latency, ...] = ()
    float_latency: tuple[Latency, ...] = ()
    changed: Mapping[int, ChangedPredictions] = field(default_factory=dict)

    def keeps(self, max_drop: float) -> bool:
        """Return True if it loses at most so many points, at every batch size, and is quantized at all."""
        return (
            max(self.drop.points, self.drop_at_one) <= max_drop + 1e-9
            and sum(self.graph.quantized.values()) > 0
        )

    @property
    def speedups(self) -> dict[int, float]:
        """Time of the float graph over its own, by batch size."""
        return {
            own.batch: other.p50 / own.p50
            for own, other in zip(self.latency, self.float_latency, strict=True)
        }

    @property
    def advantages(self) -> tuple[str, ...]:
        """In what way it is better than the float graph, in words; empty if in none."""
        found = [
            f"{speed:.2f} times as fast at batch {batch}"
            for batch, speed in self.speedups.items()
            if 1 / speed <= FASTER
        ]
        return (*found, *([f"{1 / self.ratio:.1f} times smaller"] if self.ratio <= SMALLER else []))

    @property
    def drawbacks(self) -> tuple[str, ...]:
        """In what way it is slower than the float graph, in words."""
        return tuple(
            f"slower at batch {batch} ({speed:.2f} times as fast)"
            for batch, speed in self.speedups.items()
            if speed < FASTER
        )

    @property
    def changes(self) -> list[JsonObject]:
        """The predictions that changed, one entry per batch size."""
        return [{"batch": batch, **each.as_dict()} for batch, each in self.changed.items()]

    @property
    def findings(self) -> str:
        """What it loses and which predictions it changes, at the batch size that changes the most."""
        most = max(self.changed.values(), key=lambda each: each.differing, default=None)
        return f"{self.drop.text}; {most.text}" if most else self.drop.text

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "way": self.graph.choice.text,
            "quantized": dict(self.graph.quantized),
            "of": dict(self.graph.total),
            "batch_normalizations_left": self.graph.normalizations,
            "weight_bits": 7 if self.graph.reduced_range else 8,
            "bytes_ratio": self.ratio,
            "drop": self.drop.as_dict(),
            "drop_at_batch_1": self.drop_at_one,
            "changed_predictions": self.changes,
            "latency": [each.as_dict() for each in self.latency],
            "float_latency": [each.as_dict() for each in self.float_latency],
            "advantages": list(self.advantages),
        }


@dataclass(frozen=True)
class Int8Outcome:
    """What became of quantization.

    Attributes:
        chosen: The quantized graph to ship; None if there is none.
        answer: Why, in one sentence.
        trials: Everything that was tried.
        failures: Ways in which the tools failed, with the reason.
    """

    chosen: Int8Trial | None
    answer: str
    trials: tuple[Int8Trial, ...]
    failures: tuple[str, ...] = ()

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "written": self.chosen is not None,
            "answer": self.answer,
            "way": self.chosen.graph.choice.text if self.chosen else None,
            "changed_predictions": self.chosen.changes if self.chosen else [],
            "trials": [trial.as_dict() for trial in self.trials],
            "failures": list(self.failures),
        }


def choose_int8(
    content: bytes,
    description: ModelDescription,
    val: Examples,
    items: Items,
    calibration: Items,
    *,
    max_drop: float,
    on_progress: Callable[[str], None] = lambda stage: None,
) -> Int8Outcome:
    """Quantize a float graph in several ways, and choose the fastest that keeps the accuracy, if it pays.

    Args:
        content: The float graph.
        description: What the model is.
        val: The validation set.
        items: Its items as the graph takes them.
        calibration: Training items as the graph takes them.
        max_drop: Points of the primary metric that may be lost on val.
        on_progress: Called with what is being done.

    Raises:
        RequestError: onnxruntime's tools for quantization are not installed.
    """
    task = description.task_config()
    before = logits_from(OnnxEngine(open_session(content)).run(items, BATCHES[-1])[0], task)
    trials: list[Int8Trial] = []
    failures: list[str] = []
    on_progress("preparing int8")
    prepared = prepare_quantization(content)
    for ranges, float_head in WAYS:
        for form in QUANTIZATION_FORMS:
            choice = QuantizationChoice(form, ranges, float_head)
            on_progress(f"int8: {choice.text}")
            try:
                graph = quantize(prepared, calibration, choice)
                opened = open_session(graph.content, where=choice.text)
            except RequestError:
                raise
            except Exception as error:  # noqa: BLE001  # the tools do not know every operator
                failures.append(f"{choice.text}: {type(error).__name__}: {error}")
                continue
            after = {n: logits_from(OnnxEngine(opened).run(items, n)[0], task) for n in BATCHES}
            drop = paired_drop(before, after[BATCHES[-1]], val, task)
            at_one = 100 * (drop.before - task.score(after[1], val.targets))
            changed = {n: changed_predictions(before, each, val.targets, task) for n, each in after.items()}
            trial = Int8Trial(graph, drop, at_one, len(graph.content) / len(content), changed=changed)
            trials.append(_timed(trial, content, items) if trial.keeps(max_drop) else trial)
        if any(trial.keeps(max_drop) for trial in trials):
            break
    return decide_int8(trials, failures, max_drop)


def _timed(trial: Int8Trial, content: bytes, items: Items) -> Int8Trial:
    """Return a trial with times, measured in turn with those of the float graph."""
    threads = torch.get_num_threads()
    sessions = {
        "int8": open_session(trial.graph.content, threads=threads),
        "float": open_session(content, threads=threads),
    }
    own, other = [], []
    for batch in (1, min(TIMED_BATCH, len(items))):
        feed = {sessions["float"].get_inputs()[0].name: items[:batch]}
        found = time_in_turn({name: partial(each.run, None, feed) for name, each in sessions.items()}, batch)
        own.append(found["int8"])
        other.append(found["float"])
    return replace(trial, latency=tuple(own), float_latency=tuple(other))


def decide_int8(trials: Sequence[Int8Trial], failures: Sequence[str], max_drop: float) -> Int8Outcome:
    """Return which quantized graph to ship, and why, or why none.

    Args:
        trials: What was tried.
        failures: Ways in which the tools failed.
        max_drop: Points of the primary metric that may be lost.
    """
    kept = [trial for trial in trials if trial.keeps(max_drop)]
    every, failed = tuple(trials), tuple(failures)
    if not trials:
        return Int8Outcome(None, f"int8 was not possible: {failures[0]}", every, failed)
    if not kept:
        best = min(trials, key=lambda trial: max(trial.drop.points, trial.drop_at_one))
        if not sum(best.graph.quantized.values()):
            return Int8Outcome(None, "int8 was not possible: no layer was quantized", every, failed)
        answer = f"int8 loses more than --max-drop {max_drop:g}: {best.drop.text} ({best.graph.choice.text})"
        return Int8Outcome(None, answer, every, failed)
    paying = [trial for trial in kept if trial.advantages]
    if not paying:
        best = min(kept, key=lambda trial: trial.latency[0].p50)
        return Int8Outcome(None, f"int8 does not pay on this CPU: {_compared(best)}", every, failed)
    chosen = min(paying, key=lambda trial: trial.latency[0].p50)
    faster = any(speed * FASTER >= 1 for speed in chosen.speedups.values())
    prefix = "" if faster else "int8 is smaller, not faster, on this CPU: "
    answer = f"{prefix}{', '.join((*chosen.advantages, *chosen.drawbacks))}; {chosen.findings}"
    return Int8Outcome(chosen, answer, every, failed)


def _compared(trial: Int8Trial) -> str:
    times = ", ".join(
        f"{own.p50:.2f} ms against {other.p50:.2f} ms in float at batch {own.batch}"
        for own, other in zip(trial.latency, trial.float_latency, strict=True)
    )
    return f"{times}, {trial.ratio:.2f} times the bytes ({trial.graph.choice.text})"
