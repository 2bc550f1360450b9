"""One rung of a race as a study: run within a deadline, and read as paired gains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from distillab.advise.decision import ADVICE_CONFIDENCE
from distillab.advise.pilot import PilotArm
from distillab.advise.prior import HARM_METRICS, harm_probability
from distillab.advise.race_plan import Rung
from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.evidence.contrast import differences_of
from distillab.evidence.draws import Variance
from distillab.evidence.gains import PairedDifferences
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import Row, finite_value, pairs
from distillab.models.object_files import copy_objects, texts_in
from distillab.study.folder import StudyFolder
from distillab.study.running import reuse_artifacts
from distillab.study.running.deadline import SecondsClock, run_until
from distillab.study.running.tuning import choose_settings
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.study import StudySpec, parse_study
from distillab.study.store import raising_disk_full
from distillab.study.trial import TUNED
from distillab.training.numerics.device import pick_device

OnShare = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class RaceSetting:
    """What all rungs of a race share.

    Attributes:
        dataset: The pilot's data.
        keys: Keys of a study: ``data``, ``task``, ``teacher``, ``students`` and ``recipe``.
        folder: Where the studies are kept.
        full_steps: Steps of a full training.
        margin: Margin of practical equivalence.
        device: Where to compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        workers: Number of worker processes.
        executor: ``processes``, or ``inline`` for one job after the other in this process.
        rates: Learning rates that are tried for every method; empty without tuning.
    """

    dataset: Dataset
    keys: JsonObject
    folder: Path
    full_steps: int
    margin: float
    device: str
    workers: int
    executor: str = "processes"
    rates: tuple[float, ...] = ()

    def study(self, rung: Rung, methods: Sequence[str]) -> StudySpec:
        """Return the study of a rung: the plain student and some methods under shared seeds."""
        recipe = {**self.keys["recipe"], "steps": max(1, round(rung.share * self.full_steps))}
        values: Row = {
            "study": f"advice, {rung.pairs} pairs at {rung.share:g} of the steps",
            **self.keys,
            "methods": [PLAIN, *methods],
            "seeds": rung.pairs,
            "recipe": recipe,
            "evidence": {"probes": 0, "margin": self.margin, "confidence": ADVICE_CONFIDENCE},
        }
        if self.rates:
            values["tune"] = {"lr": list(self.rates), "budget": len(self.rates), "seeds": 1}
            values["tune"] |= {"default_runs": False}
        return parse_study(values, Path.cwd(), "advice")


@dataclass(frozen=True, eq=False)
class RungResult:
    """What a rung found.

    Attributes:
        rung: The rung.
        folder: The folder of its study.
        arms: The gain of each method that has a pair.
        behind: For each method that a better one has overtaken, that one: its paired interval lies below.
        plain: Mean score of the plain students; NaN without any.
        settings: The chosen learning rate by method; empty without tuning.
        failed: Number of failed runs.
        runs: Number of runs of the design.
        complete: Whether all runs have ended.
        seconds: Mean training seconds of a run per step.
    """

    rung: Rung
    folder: Path
    arms: Mapping[str, PilotArm]
    behind: Mapping[str, str]
    plain: float
    settings: Mapping[str, float]
    failed: int
    runs: int
    complete: bool
    seconds: float

    @property
    def pairs(self) -> int:
        """The largest number of pairs of any method."""
        return max((arm.pairs for arm in self.arms.values()), default=0)


def run_rung(
    setting: RaceSetting,
    rung: Rung,
    methods: Sequence[str],
    *,
    deadline: float,
    on_share: OnShare,
    clock: SecondsClock = time.monotonic,
) -> RungResult:
    """Run a rung until it is done or the deadline has passed, and return what it found.

    Trained networks of earlier rungs are reused where they are the same.

    Args:
        setting: What all rungs share.
        rung: The rung.
        methods: The methods, without the plain student.
        deadline: When to stop, on the clock.
        on_share: Called with the share of the rung that is finished.
        clock: Returns seconds.

    Raises:
        RequestError: The study cannot be planned.
        DiskFullError: There is no space left.
    """
    spec = setting.study(rung, methods)
    path = setting.folder / spec.identity[:12]
    device = pick_device(setting.device)
    earlier = [StudyFolder(each) for each in _studies(setting.folder) if each != path]
    with raising_disk_full(setting.folder):
        copy_objects(texts_in(setting.keys), path / "objects")
    folder = StudyFolder.begin(path, spec, device, dataset=setting.dataset)
    reuse_artifacts(folder, earlier)
    run = partial(
        run_until,
        folder,
        deadline,
        executor=setting.executor,
        workers=setting.workers,
        device=setting.device,
        on_progress=on_share,
        clock=clock,
    )
    complete = run()
    while complete and choose_settings(folder):
        reuse_artifacts(folder, earlier)
        complete = run()
    return read_rung(folder, rung, complete=complete)


def read_rung(folder: StudyFolder, rung: Rung, *, complete: bool) -> RungResult:
    """Return what the finished runs of a rung have found."""
    measurements = Measurements(folder)
    rows = [row for row in measurements.rows() if row.get("setting") in (None, "", TUNED)]
    task = folder.spec.task_config()
    metric = task.metrics[task.primary]
    by_method: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], {})[row["seed"]] = row
    plain = by_method.get(PLAIN, {})
    sign = 1.0 if metric.higher_is_better else -1.0
    arms, paired_of = {}, {}
    for method, seeds in by_method.items():
        paired = [] if method == PLAIN else pairs(seeds, plain, task.primary)
        if paired:
            found = differences_of(paired, metric, measurements.contributions)
            runs = tuple(row["run_id"] for both in paired for row in both)
            mean = sign * float(found.values.mean())
            paired_of[method] = paired
            arms[method] = PilotArm(
                method, len(paired), rung.share, mean, _variance(found), _harm(paired), runs
            )
    best = max(arms, key=lambda name: arms[name].mean) if arms else ""
    behind = {}
    for method in arms:
        against = [] if method == best else pairs(by_method[method], by_method[best], task.primary)
        if len(against) > 1:
            found = differences_of(against, metric, measurements.contributions)
            low, high = found.interval(ADVICE_CONFIDENCE)
            if (high if sign > 0 else -low) < 0:
                behind[method] = best
    scores = [value for row in plain.values() if (value := finite_value(row, task.primary)) is not None]
    times = [row["train_seconds"] / row["steps"] for row in rows if row.get("steps")]
    return RungResult(
        rung,
        folder.path,
        arms,
        behind,
        float(np.mean(scores)) if scores else math.nan,
        {row["method"]: float(row["tuned_lr"]) for row in rows if row.get("tuned_lr") is not None},
        sum(row["status"] == "failed" for row in rows),
        len(rows),
        complete,
        float(np.mean(times)) if times else math.nan,
    )


def _variance(found: PairedDifferences) -> Variance:
    """Return the variance of a mean difference over seeds, teachers and examples."""
    if found.over_seeds is None:
        return Variance(math.inf, 1.0)
    step = found.step or 0.0
    floor = (step / 2) ** 2 / len(found.values)  # equal differences hold the rounding of the metric still
    seeds = Variance(max(found.over_seeds.value, floor, 1e-9), found.over_seeds.freedom)
    if not math.isfinite(seeds.freedom):
        seeds = Variance(seeds.value, float(len(found.values) - 1))
    return seeds + found.over_examples


def _harm(paired: Sequence[tuple[Row, Row]]) -> float | None:
    """Return the probability that tail, worst group or worst class lose more than a point."""
    risks = []
    for column in HARM_METRICS:
        both = [(finite_value(after, column), finite_value(before, column)) for after, before in paired]
        changes = [after - before for after, before in both if after is not None and before is not None]
        if len(changes) > 1:
            risks.append(
                harm_probability(float(np.mean(changes)), float(np.var(changes, ddof=1)) / len(changes))
            )
    return max(risks, default=None)


def _studies(folder: Path) -> list[Path]:
    """Return the folders of studies below a folder."""
    return sorted(path.parent for path in folder.glob("*/ledger.sqlite"))


def refusal_of_chance(error: RequestError) -> bool:
    """Return True if a study was refused because its given teacher is at chance.

    Example:
        >>> refusal_of_chance(RequestError("accuracy 0.1 on 200 examples is at chance (0.1): ..."))
        True
    """
    return "is at chance" in error.what
