"""Which examples there are, at an equal number of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydantic import Field

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.factor import (
    Configuration,
    Factor,
    FactorContext,
    Level,
    Manipulation,
    Probabilities,
    factor,
)
from distillab.factors.subsets import check_class_sizes, places_in_class, ranks_in_class, rounded
from distillab.factors.targets.cache_key import CacheKey
from distillab.factors.targets.dynamics import mean_confidence
from distillab.factors.targets.orders import herding, k_centre
from distillab.modalities.embedding import embed
from distillab.parquet_files import read_parquet
from distillab.sources.source import SourcePath

_Floats = npt.NDArray[np.float64]
_DECIMALS = 6  # of scores: smaller differences are ties, which ids decide


@factor("selection")
class Selection(Factor):
    """Which examples there are, at an equal number of them. Level: the name of a rule.

    ``budget`` examples of every class are taken, or that share of every class:

    - ``random``: the first in a random order, drawn anew for every seed;
    - ``herding``: so that their mean is near the class's (Welling, ICML 2009; Rebuffi et al., CVPR 2017);
    - ``k_centre``: so that no example of the class is far from a chosen one (Sener and Savarese, ICLR 2018);
    - ``easiest``, ``hardest``: those whose label a small classifier gives the highest or the lowest
      probability on average over its training (Swayamdipta et al., EMNLP 2020, with a proxy as in Coleman et
      al., ICLR 2020);
    - ``uncertain``: those for which the teacher's probabilities have the highest entropy, or that have the
      highest ``score`` in a file ``scores`` (Parquet or CSV, columns ``id`` and ``score``).

    Distances are those of the reference embedding. All rules but ``random`` choose the same examples for
    every seed, and a smaller budget takes a subset of what a larger one takes.

    Attributes:
        level: The rule.
        budget: Examples per class (int), or share of every class (float in (0, 1)).
        scores: The file of scores for the rule ``uncertain``.

    Example:
        >>> examples = Examples.of(np.zeros((6, 1, 4, 4), np.uint8), [0, 0, 0, 1, 1, 1], ("a", "b"))
        >>> rule = Selection(level="random", budget=1)
        >>> rule.apply(examples, np.random.default_rng(0)).counts
        array([1, 1])
    """

    needs_context: ClassVar[bool] = True
    examples: ClassVar[tuple[Configuration, ...]] = (
        {"level": "herding", "budget": 5},
        {"level": "k_centre", "budget": 5},
        {"level": "easiest", "budget": 0.25},
        {"level": "hardest", "budget": 0.25},
        {"level": "uncertain", "budget": 5},
        {"level": "random", "budget": 0.5},
        {"level": "random", "budget": 5},
    )
    references: ClassVar[tuple[Level, ...]] = ("random",)

    level: Literal["random", "herding", "k_centre", "easiest", "hardest", "uncertain"]
    budget: (
        Annotated[int, Field(strict=True, ge=1)]
        | Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]
    )
    scores: SourcePath | None = None

    @property
    def phrase(self) -> str:
        amount = f"{self.budget} of" if isinstance(self.budget, int) else f"a share {self.budget:g} of"
        return f"{amount} each class, chosen by the rule {{}}"

    def apply(
        self, examples: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """Return a subset. Raises RequestError if a class is too small, or uncertainty is not known."""
        key = int(rng.integers(2**63))
        sizes = self._sizes(examples)
        if self.level == "random":
            return examples.select(ranks_in_class(examples, key) < sizes[examples.labels])
        if self.level in ("herding", "k_centre"):
            order = {"herding": herding, "k_centre": k_centre}[self.level]
            return examples.select(_greedy(examples, order, sizes))
        if self.level == "uncertain":
            scores = self._uncertainty(examples, context)
        else:
            scores = {"easiest": 1, "hardest": -1}[self.level] * _confidence(CacheKey.of(examples))
        return examples.select(places_in_class(examples, -scores) < sizes[examples.labels])

    def _sizes(self, examples: Examples) -> Indices:
        """Return the examples to take of each class, int64 ``[K]``."""
        if isinstance(self.budget, float):
            least = np.minimum(examples.counts, 1)  # a class that has examples keeps one
            return np.maximum(rounded(self.budget * examples.counts), least)
        check_class_sizes(examples, self.budget, "selection.budget")
        return np.full(len(examples.classes), self.budget, dtype=np.int64)

    def _uncertainty(self, examples: Examples, context: FactorContext | None) -> _Floats:
        if self.scores is not None:
            return _scores_in(self.scores, examples.ids)
        teacher = self.require_context(context).teacher
        if teacher is None:
            raise RequestError(
                "uncertainty needs a teacher, and this study trains its teacher after examples are selected",
                where="selection",
                allowed="a teacher whose weights are given (provenance: external), or a file of scores under "
                "the key 'scores' (columns id, score)",
            )
        return _entropy(CacheKey.of(examples), teacher)

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Measure the class count furthest from the budget, or the share of examples kept."""
        if isinstance(self.budget, int):
            worst = after.counts[np.abs(after.counts - self.budget).argmax()]
            return Manipulation(self.name, "examples per class", float(self.budget), float(worst), 0.0)
        measured = np.isin(before.ids, after.ids).mean()
        # Each class is rounded to a whole example, and to at least one.
        tolerance = float(np.maximum(0.5, 1 - self.budget * before.counts).sum() / len(before)) + 1e-9
        return Manipulation(self.name, "share of examples kept", self.budget, float(measured), tolerance)


@lru_cache(maxsize=4)
def _vectors(key: CacheKey) -> _Floats:
    """Return the reference embedding, every vector of length 1: float64 ``[N, D]``."""
    vectors = embed(key.examples).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: _Floats = (vectors / np.maximum(lengths, 1e-12)).round(_DECIMALS)
    return unit


@lru_cache(maxsize=16)
def _confidence(key: CacheKey) -> _Floats:
    examples = key.examples
    vectors = _vectors(CacheKey.of_inputs(examples))
    return mean_confidence(vectors, examples.labels, examples.ids).round(_DECIMALS)


@lru_cache(maxsize=4)
def _entropy(key: CacheKey, teacher: Callable[[Examples], Probabilities]) -> _Floats:
    """Return the Shannon entropy of the teacher's probabilities in nats, float64 ``[N]``."""
    shares = np.maximum(teacher(key.examples).astype(np.float64), 1e-12)
    entropies: _Floats = -(shares * np.log(shares)).sum(axis=1).round(_DECIMALS)
    return entropies


def _greedy(
    examples: Examples, order: Callable[[_Floats, int], Indices], sizes: Indices
) -> npt.NDArray[np.bool_]:
    """Return whether each example is among the first ``sizes[c]`` of its class in ``order``: bool ``[N]``."""
    vectors = _vectors(CacheKey.of_inputs(examples))
    by_id = np.argsort(examples.ids, kind="stable")
    chosen = np.zeros(len(examples), dtype=bool)
    for label in np.flatnonzero(sizes):
        members = by_id[examples.labels[by_id] == label]
        chosen[members[order(vectors[members], int(sizes[label]))]] = True
    return chosen


def _scores_in(path: Path, ids: Indices) -> _Floats:
    """Return the scores that a file gives examples, float64 ``[N]``. Raises RequestError."""
    place = "selection.scores"
    try:
        if path.suffix == ".parquet":
            table = read_parquet(path)
        else:
            table = pa.csv.read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise RequestError(
            f"{str(path)!r} cannot be read: {error}", where=place, allowed="Parquet or CSV"
        ) from error
    if not {"id", "score"} <= set(table.column_names):
        raise RequestError(
            f"{path.name} has columns {', '.join(table.column_names)}", where=place, allowed="id, score"
        )
    try:
        named = table["id"].cast(pa.int64()).to_numpy()
        scores = table["score"].cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise RequestError(
            f"{path.name}: {error}", where=place, allowed="whole ids and numeric scores"
        ) from error
    order = np.argsort(named, kind="stable")
    found = (
        order[np.minimum(np.searchsorted(named, ids, sorter=order), len(named) - 1)] if len(named) else None
    )
    missing = len(ids) if found is None else int((named[found] != ids).sum())
    if found is None or missing:
        raise RequestError(
            f"{path.name} has no score for {missing} of {len(ids)} examples",
            where=place,
            allowed="one for each",
        )
    if not np.isfinite(scores[found]).all():
        raise RequestError(
            f"{path.name} has scores that are not numbers", where=place, allowed="finite numbers"
        )
    return np.asarray(scores[found], dtype=np.float64)
