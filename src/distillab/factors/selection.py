"""Which images there are, at an equal number of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydantic import Field

from distillab.data.examples import Examples, Indices
from distillab.errors import RequestError
from distillab.factors.dynamics import confidence
from distillab.factors.factor import Factor, FactorContext, Manipulation, Probabilities, factor
from distillab.factors.orders import herding, k_centre
from distillab.factors.subsets import must_have_each, ranks_in_class, rounded
from distillab.modalities.embedding import embed
from distillab.sources.source import SourcePath

Reals = npt.NDArray[np.float64]
_DECIMALS = 6  # of scores: what differs by less is a tie, which ids decide


@factor("selection")
class Selection(Factor):
    """Which images there are, at an equal number of them. Level: the name of a rule.

    ``budget`` images of every class are taken, or that share of every class:

    - ``random``: the first in a random order, drawn anew for every seed;
    - ``herding``: so that their mean is near the class's (Welling, ICML 2009; Rebuffi et al., CVPR 2017);
    - ``k_centre``: so that none of the class is far from one of them (Sener and Savarese, ICLR 2018);
    - ``easiest``, ``hardest``: those whose label a small classifier gives the highest or the lowest
      probability on average over its training (Swayamdipta et al., EMNLP 2020, with a proxy as in Coleman et
      al., ICLR 2020);
    - ``uncertain``: those for which the teacher's probabilities have the highest entropy, or that have the
      highest ``score`` in a file ``scores`` (Parquet or CSV, columns ``id`` and ``score``).

    Likeness is that of the reference embedding. All rules but ``random`` choose the same images for every
    seed, and a smaller budget takes a subset of what a larger one takes.
    """

    needs_context: ClassVar[bool] = True
    examples: ClassVar[tuple[dict[str, Any], ...]] = (
        {"level": "herding", "budget": 5},
        {"level": "k_centre", "budget": 5},
        {"level": "easiest", "budget": 0.25},
        {"level": "hardest", "budget": 0.25},
        {"level": "uncertain", "budget": 5},
        {"level": "random", "budget": 0.5},
        {"level": "random", "budget": 5},
    )

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
        self, images: Examples, rng: np.random.Generator, context: FactorContext | None = None
    ) -> Examples:
        """A subset. Raises RequestError if a class is too small, or nobody says what is uncertain."""
        key = int(rng.integers(2**63))
        sizes = self._sizes(images)
        if self.level == "random":
            return images.select(ranks_in_class(images, key) < sizes[images.labels])
        if self.level in ("herding", "k_centre"):
            return images.select(
                _greedy(images, {"herding": herding, "k_centre": k_centre}[self.level], sizes)
            )
        scores = {"easiest": 1, "hardest": -1}.get(self.level, 0) * _confidence(_Named.of(images))
        if self.level == "uncertain":
            scores = self._uncertainty(images, context)
        return images.select(_ranks(images, scores) < sizes[images.labels])

    def _sizes(self, images: Examples) -> Indices:
        """Images to take of each class, int64 ``[K]``."""
        if isinstance(self.budget, float):
            least = np.minimum(images.counts, 1)  # a class that has images keeps one
            return np.maximum(rounded(self.budget * images.counts), least)
        must_have_each(images, self.budget, "selection.budget")
        return np.full(len(images.classes), self.budget, dtype=np.int64)

    def _uncertainty(self, images: Examples, context: FactorContext | None) -> Reals:
        if self.scores is not None:
            return _scores_in(self.scores, images.ids)
        teacher = self.context_of(context).teacher
        if teacher is None:
            raise RequestError(
                "the study's teacher is trained after images are chosen and cannot say what is uncertain",
                where="selection",
                allowed="a teacher whose weights are given (provenance: external), or a file of scores under "
                "the key 'scores' (columns id, score)",
            )
        return _entropy(_Named.of(images), teacher)

    def check(self, before: Examples, after: Examples) -> Manipulation:
        """Count: the class count that is furthest from the budget, or the share of images kept."""
        if isinstance(self.budget, int):
            worst = after.counts[np.abs(after.counts - self.budget).argmax()]
            return Manipulation(self.name, "images a class", float(self.budget), float(worst), 0.0)
        measured = np.isin(before.ids, after.ids).mean()
        # Each class is rounded to a whole image, and to at least one.
        tolerance = float(np.maximum(0.5, 1 - self.budget * before.counts).sum() / len(before)) + 1e-9
        return Manipulation(self.name, "share of images kept", self.budget, float(measured), tolerance)


@dataclass(frozen=True)
class _Named:
    """A set by its name, so that what was computed about it once is found again."""

    digest: str
    images: Examples = field(compare=False)

    @classmethod
    def of(cls, images: Examples) -> _Named:
        return cls(images.digest, images)

    @classmethod
    def by_pixels(cls, images: Examples) -> _Named:
        return cls(images.input_digest, images)


@lru_cache(maxsize=4)
def _vectors(named: _Named) -> Reals:
    """The reference embedding, every vector of length 1: float64 ``[N, D]``."""
    vectors = embed(named.images).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Reals = (vectors / np.maximum(lengths, 1e-12)).round(_DECIMALS)
    return unit


@lru_cache(maxsize=16)
def _confidence(named: _Named) -> Reals:
    images = named.images
    return confidence(_vectors(_Named.by_pixels(images)), images.labels, images.ids).round(_DECIMALS)


@lru_cache(maxsize=4)
def _entropy(named: _Named, teacher: Callable[[Examples], Probabilities]) -> Reals:
    """Shannon entropy of the teacher's probabilities in nats, float64 ``[N]``."""
    shares = np.maximum(teacher(named.images).astype(np.float64), 1e-12)
    entropies: Reals = -(shares * np.log(shares)).sum(axis=1).round(_DECIMALS)
    return entropies


def _greedy(
    images: Examples, order: Callable[[Reals, int], Indices], sizes: Indices
) -> npt.NDArray[np.bool_]:
    """Which images are among the first ``sizes[c]`` of their class, as ``order`` has them: bool ``[N]``."""
    vectors = _vectors(_Named.by_pixels(images))
    by_id = np.argsort(images.ids, kind="stable")
    chosen = np.zeros(len(images), dtype=bool)
    for label in np.flatnonzero(sizes):
        members = by_id[images.labels[by_id] == label]
        chosen[members[order(vectors[members], int(sizes[label]))]] = True
    return chosen


def _ranks(images: Examples, scores: Reals) -> Indices:
    """The place of every image in its class, from the highest score (0) downwards: int64 ``[N]``."""
    order = np.lexsort((images.ids, -scores, images.labels))
    ranks = np.empty(len(images), dtype=np.int64)
    starts = np.cumsum(images.counts) - images.counts
    ranks[order] = np.arange(len(images)) - np.repeat(starts, images.counts)
    return ranks


def _scores_in(path: Path, ids: Indices) -> Reals:
    """The scores that a file gives images, float64 ``[N]``. Raises RequestError."""
    place = "selection.scores"
    try:
        read = pa.parquet.read_table if path.suffix == ".parquet" else pa.csv.read_csv
        table = read(path)
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
            f"{path.name} has no score for {missing} of {len(ids)} images",
            where=place,
            allowed="one for each",
        )
    if not np.isfinite(scores[found]).all():
        raise RequestError(
            f"{path.name} has scores that are not numbers", where=place, allowed="finite numbers"
        )
    return np.asarray(scores[found], dtype=np.float64)
