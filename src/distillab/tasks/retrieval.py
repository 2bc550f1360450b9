"""Retrieval: how well the nearest examples of a database have the class of a query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.tasks.arrays import LabelArray, Values

_Ranked = npt.NDArray[np.int32]

_BLOCK = 2**24  # similarities of one block of queries
DECIMALS = 6
"""Similarities that agree to this many decimals are equal: rounding of matrix products decides no rank."""


@dataclass(frozen=True, eq=False)
class Retrieved:
    """What queries retrieved from a database.

    Attributes:
        average_precision: float64 ``[Q]``.
        precision: Share of the first k that have the query's class, float64 ``[Q]``.
        nearest: Positions of the nearest examples in the database, int32 ``[Q, shown]``, nearest first.
    """

    average_precision: Values
    precision: Values
    nearest: npt.NDArray[np.int32]


def retrieve(
    queries: Tensor,
    query_labels: LabelArray,
    database: Tensor,
    database_labels: LabelArray,
    *,
    k: int,
    shown: int = 0,
    within: bool = False,
) -> Retrieved:
    """Rank a database by cosine similarity to each query, and return how many are of its class, and where.

    The average precision of a query is the mean over the M examples of its class of the precision at the rank
    of each. Equal similarities share a rank: they are retrieved together, as in scikit-learn's
    ``average_precision_score``, and the first k hold the expected number of them. An embedding that is the
    same for all examples therefore has the share of the class, whatever the order of the database. An
    embedding of zeros has similarity 0 to all.

    Args:
        queries: Embeddings, float ``[Q, D]``.
        query_labels: Their classes, int64 ``[Q]``; of a query without a label (-1) nothing counts.
        database: Embeddings, float ``[M, D]``.
        database_labels: Their classes, int64 ``[M]``.
        k: How many of the nearest the precision is about, at most M.
        shown: How many of the nearest are named.
        within: Whether the queries are the database: then a query does not retrieve itself, and nothing is
            named.

    Returns:
        NaN for a query whose class is not in the database.

    Example:
        >>> database = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> found = retrieve(
        ...     torch.tensor([[2.0, 0.0]]), np.array([5]), database, np.array([5, 5, 7]), k=2, shown=3
        ... )
        >>> found.nearest.tolist(), found.precision.tolist(), found.average_precision.round(4).tolist()
        ([[0, 2, 1]], [0.5], [0.8333])
    """
    average, precision = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    nearest = np.zeros((len(queries), min(shown, len(database))), np.int32)
    members = {int(label): np.flatnonzero(database_labels == label) for label in np.unique(query_labels)}
    columns = _unit(database).T
    for rows in _blocks(len(queries), len(database)):
        block = (_unit(queries[rows]) @ columns).cpu().numpy()
        for query, similarity in zip(range(rows.start, rows.stop), _ranks(block), strict=False):
            wanted = members[int(query_labels[query])]
            if within:
                similarity, wanted = np.delete(similarity, query), wanted[wanted != query]
                wanted -= wanted > query
            ordered = np.sort(similarity)
            if len(wanted) and query_labels[query] >= 0:
                right = np.sort(similarity[wanted])
                average[query] = _average_precision(ordered, right)
                precision[query] = _precision(ordered, right, k)
            if not within:
                nearest[query] = _nearest(similarity, ordered, nearest.shape[1])
    return Retrieved(average, precision, nearest)


def _blocks(queries: int, database: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(database, 1))
    return (slice(start, min(start + step, queries)) for start in range(0, queries, step))


def _unit(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings.float(), dim=1)


def _ranks(similarities: npt.NDArray[np.float32]) -> _Ranked:
    """Return similarities as whole numbers, so that what is equal up to rounding is equal."""
    found: _Ranked = np.rint(similarities * 10.0**DECIMALS).astype(np.int32)
    return found


def _average_precision(ordered: _Ranked, right: _Ranked) -> float:
    """Average precision, of all similarities and of those of the right examples, both in rising order."""
    hits = len(right) - np.searchsorted(right, right)
    return float((hits / (len(ordered) - np.searchsorted(ordered, right))).mean())


def _precision(ordered: _Ranked, right: _Ranked, k: int) -> float:
    """Share of right ones among the first k; of those as similar as the k-th, the expected number."""
    last = ordered[-k]
    low, high = (int(np.searchsorted(ordered, last, side)) for side in ("left", "right"))
    right_low, right_high = (int(np.searchsorted(right, last, side)) for side in ("left", "right"))
    before = len(ordered) - high
    expected = (right_high - right_low) * (k - before) / (high - low)
    return (len(right) - right_high + expected) / k


def _nearest(similarity: _Ranked, ordered: _Ranked, shown: int) -> npt.NDArray[np.int32]:
    """Positions of the nearest, nearest first; of equal ones, the first."""
    if not shown:
        return np.zeros(0, np.int32)
    found = np.flatnonzero(similarity >= ordered[-shown])
    return found[np.argsort(-similarity[found], kind="stable")[:shown]].astype(np.int32)


def balanced_positions(labels: LabelArray, number: int) -> npt.NDArray[np.int64]:
    """Return the positions of labelled examples, equally many per class as far as there are, in order.

    Args:
        labels: int64 ``[N]``, -1 where not known.
        number: How many at most. Which examples of a class are taken depends on nothing but N.

    Example:
        >>> balanced_positions(np.array([0, 0, 0, 1, -1]), 2).tolist()
        [2, 3]
    """
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[labels[order] >= 0]
    by_class = np.argsort(labels[order], kind="stable")
    starts = np.searchsorted(labels[order][by_class], labels[order])
    rank = np.empty(len(order), np.int64)
    rank[by_class] = np.arange(len(order))
    chosen = order[np.argsort(rank - starts, kind="stable")[:number]]
    return np.sort(chosen).astype(np.int64)
