"""Reading the evidence base: its contexts, its runs, and the paired differences between methods."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distillab.base.schema import RUN_METRICS, read_part
from distillab.errors import RequestError
from distillab.evidence.pairs import Row

CONTEXTS = "contexts.parquet"
RUNS = "runs.parquet"
PairSetting = Literal["best", "tuned", "default"]
BySeed: TypeAlias = dict[int, Row]
Arms: TypeAlias = dict[tuple[str, str], BySeed]
"""The finished runs of a context by method and setting, then by seed."""


@dataclass(frozen=True, eq=False)
class ContextPairs:
    """The paired differences of two methods in one context.

    Attributes:
        context: The context.
        base_set: The data set that the context was drawn from: the cluster in statistics across data sets.
        tier: ``R``, ``S`` or ``T``.
        method: The method.
        baseline: What it is compared with.
        metric: The metric.
        setting: Whether both arms are at ``tuned`` or at ``default`` settings.
        seeds: int ``[pairs]``.
        teachers: The teacher of each pair; an empty text where the method has none.
        differences: float ``[pairs]``, the method's value minus the baseline's.
        baseline_values: float ``[pairs]``.
        usable: Whether the context may serve advice (``excluded_because`` is null).

    Example:
        >>> pairs = ContextPairs("r-0000", "usps", "R", "kd", "ce", "accuracy", "tuned",
        ...     np.array([0, 1]), ("t0", "t1"), np.array([0.02, 0.01]), np.array([0.8, 0.81]), True)
        >>> round(pairs.gain, 3), len(pairs)
        (0.015, 2)
    """

    context: str
    base_set: str
    tier: str
    method: str
    baseline: str
    metric: str
    setting: str
    seeds: npt.NDArray[np.int64]
    teachers: tuple[str, ...]
    differences: npt.NDArray[np.float64]
    baseline_values: npt.NDArray[np.float64]
    usable: bool

    def __len__(self) -> int:
        return len(self.differences)

    @property
    def gain(self) -> float:
        """The mean difference."""
        return float(self.differences.mean())

    @property
    def error(self) -> float:
        """The standard error of the gain over pairs; NaN for a single pair."""
        if len(self) < 2:
            return float("nan")
        return float(self.differences.std(ddof=1) / np.sqrt(len(self)))


@dataclass(frozen=True, eq=False)
class EvidenceBase:
    """The contexts that were studied, and all their runs.

    Attributes:
        contexts: One row per context (:func:`distillab.base.schema.contexts_schema`).
        runs: One row per student run (:func:`distillab.base.schema.runs_schema`).
        version: Version of the schema that the tables were written with.

    Example:
        >>> from distillab.base.schema import contexts_schema, runs_schema, table_of
        >>> runs = [{"context": "r-0", "kind": "run", "method": method, "setting": "default", "seed": 0,
        ...          "status": "done", "accuracy": value} for method, value in [("ce", 0.5), ("kd", 0.75)]]
        >>> contexts = [{"context": "r-0", "base_set": "usps", "tier": "R"}]
        >>> base = EvidenceBase(table_of(contexts, contexts_schema()), table_of(runs, runs_schema()), 1)
        >>> [(pairs.base_set, pairs.gain) for pairs in base.pairs("kd")]
        [('usps', 0.25)]
    """

    contexts: pa.Table
    runs: pa.Table
    version: int

    def pairs(
        self,
        method: str,
        baseline: str = "ce",
        metric: str = "accuracy",
        *,
        setting: PairSetting = "best",
        tiers: tuple[str, ...] = (),
        usable_only: bool = True,
    ) -> list[ContextPairs]:
        """Return the paired differences of a method and its baseline, context by context.

        Runs are paired by seed. Seeds of which a run is missing, failed or diverged have no pair; contexts
        without a pair are left out.

        Args:
            method: A method, as in the column ``method``.
            baseline: What it is compared with.
            metric: A metric of the runs.
            setting: ``tuned`` or ``default`` settings of both arms; ``best`` takes the tuned ones of a
                context that has any, as conclusions do, else the default ones.
            tiers: Only contexts of these tiers; empty for all.
            usable_only: Whether contexts that are excluded from advice are left out.

        Raises:
            RequestError: There is no such metric or method.
        """
        if metric not in RUN_METRICS:
            raise RequestError(
                f"there is no metric {metric!r} in the evidence base", allowed=list_of(RUN_METRICS)
            )
        for name in (method, baseline):
            if name not in self.methods:
                raise RequestError(
                    f"there is no method {name!r} in the evidence base", allowed=list_of(self.methods)
                )
        found = []
        for facts in self.contexts.select(["context", "base_set", "tier", "excluded_because"]).to_pylist():
            usable = facts["excluded_because"] is None
            if (usable_only and not usable) or (tiers and facts["tier"] not in tiers):
                continue
            arms = self._arms.get(facts["context"], {})
            chosen = _chosen_setting(arms, method, baseline, setting)
            pairs = _paired(arms.get((method, chosen), {}), arms.get((baseline, chosen), {}), metric)
            if pairs:
                found.append(
                    ContextPairs(
                        facts["context"],
                        facts["base_set"],
                        facts["tier"],
                        method,
                        baseline,
                        metric,
                        chosen,
                        np.array([seed for seed, *_ in pairs], np.int64),
                        tuple(teacher for _, teacher, *_ in pairs),
                        np.array([value - plain for *_, value, plain in pairs], np.float64),
                        np.array([plain for *_, plain in pairs], np.float64),
                        usable,
                    )
                )
        return found

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods that were run, in alphabetical order."""
        return tuple(sorted(pc.unique(self.runs.column("method")).to_pylist()))

    @cached_property
    def base_sets(self) -> tuple[str, ...]:
        """The data sets that contexts were drawn from, in alphabetical order."""
        return tuple(sorted(pc.unique(self.contexts.column("base_set")).to_pylist()))

    @cached_property
    def _arms(self) -> dict[str, Arms]:
        """The finished runs by context, then by method and setting, then by seed."""
        arms: defaultdict[str, defaultdict[tuple[str, str], BySeed]] = defaultdict(lambda: defaultdict(dict))
        columns = ["context", "kind", "method", "setting", "seed", "status", "teacher_run", *RUN_METRICS]
        for row in self.runs.select(columns).to_pylist():
            if row["kind"] == "run" and row["status"] == "done":
                arms[row["context"]][row["method"], row["setting"]][row["seed"]] = row
        return {context: dict(found) for context, found in arms.items()}


def read(path: Path | str | None = None) -> EvidenceBase:
    """Return the evidence base that is part of the package, or that of a folder.

    Args:
        path: A folder with ``contexts.parquet`` and ``runs.parquet``.

    Raises:
        RequestError: A table is missing or is not one of an evidence base.

    Example:
        >>> read("missing")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing/contexts.parquet: there is no such table of an evidence base
    """
    folder = Path(path) if path is not None else packaged()
    contexts = read_part(folder / CONTEXTS, "contexts")
    runs = read_part(folder / RUNS, "runs")
    return EvidenceBase(contexts, runs, int((runs.schema.metadata or {})[b"version"]))


def packaged() -> Path:
    """Return the folder of the evidence base that is part of the package.

    Example:
        >>> packaged().name
        'data'
    """
    return Path(str(resources.files("distillab.base"))) / "data"


def list_of(names: tuple[str, ...]) -> str:
    """Return names as an error message lists them.

    Example:
        >>> list_of(("ce", "kd"))
        'ce, kd'
    """
    return ", ".join(names)


def _chosen_setting(arms: Arms, method: str, baseline: str, setting: PairSetting) -> str:
    if setting != "best":
        return setting
    return "tuned" if {(method, "tuned"), (baseline, "tuned")} <= arms.keys() else "default"


def _paired(method: BySeed, baseline: BySeed, metric: str) -> list[tuple[int, str, float, float]]:
    """Return seed, teacher and both values of every pair, in the order of seeds."""
    pairs = []
    for seed in sorted(method.keys() & baseline.keys()):
        value, plain = method[seed][metric], baseline[seed][metric]
        if value is not None and plain is not None:
            pairs.append((seed, method[seed]["teacher_run"] or "", value, plain))
    return pairs
