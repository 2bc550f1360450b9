"""The arms of a compression: combinations of pruning, distillation and int8, measured and compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from distillab.canonical import JsonObject
from distillab.deploy.drop import DROP_CONFIDENCE, paired_accuracy
from distillab.evidence.gains import Gain, paired_gain

Technique = Literal["prune", "KD", "int8"]
PruningKind = Literal["structured", "unstructured"]
PRUNING_KINDS: tuple[PruningKind, ...] = ("structured", "unstructured")
KIND_NOUNS: dict[PruningKind, str] = {"structured": "channels", "unstructured": "weights"}
_UNKNOWN = Gain(0, math.nan, math.nan, math.nan, math.nan)
Correct = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TestedNetwork:
    """One network of an arm, with its score on val and what it predicts correctly of the test set.

    Attributes:
        run: Its id: that of the run that trained it; ``given`` for the network as given.
        seed: The seed of its fine-tuning; None for the network as given.
        val: Accuracy on val.
        correct: Whether each test example is predicted correctly, bool ``[n]``.

    Example:
        >>> TestedNetwork("given", None, 0.8, np.array([True, True, False, True])).test
        0.75
    """

    __test__ = False  # of pytest

    run: str
    seed: int | None
    val: float
    correct: Correct

    @property
    def test(self) -> float:
        """Accuracy on test."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class NetworkCost:
    """What a network of an arm costs: the deployed one, which was chosen on val.

    Attributes:
        params: Number of parameters.
        nonzero: Number of those that are not zero.
        macs: Multiply-accumulates for one input; zeros count, since no runtime skips them.
        size: Bytes of the ONNX file.
        gzip_size: Bytes of this file compressed by gzip.
        p50_ms: Median latency of one input, in milliseconds; NaN if it was not measured.
        p95_ms: 95th percentile of the latency.

    Example:
        >>> NetworkCost(100, 50, 1000, 600, 400).p50_ms
        nan
    """

    params: int
    nonzero: int
    macs: int
    size: int
    gzip_size: int
    p50_ms: float = math.nan
    p95_ms: float = math.nan


@dataclass(frozen=True, eq=False)
class CompressionArm:
    """A combination of techniques at one sparsity.

    Attributes:
        techniques: What was done, in this order.
        kind: How it was pruned; None if it was not.
        sparsity: The share of weights that was removed.
        fine_tuned: Whether it was trained further.
        networks: Its networks, one per seed.
        cost: What one of them costs; None before it is measured.
        difference: Accuracy on test less that of the network as given; None before it is compared.
        on_front: Whether no other arm has a smaller file and an accuracy on val that is as good.

    Example:
        >>> CompressionArm(("prune", "KD", "int8"), "structured", 0.5, True, ()).label
        'prune 50 % of weights (channels) + KD + int8'
        >>> CompressionArm((), None, 0.0, False, ()).label, CompressionArm((), None, 0.0, True, ()).label
        ('as given', 'trained further')
    """

    techniques: tuple[Technique, ...]
    kind: PruningKind | None
    sparsity: float
    fine_tuned: bool
    networks: tuple[TestedNetwork, ...]
    cost: NetworkCost | None = None
    difference: Gain | None = None
    on_front: bool = False

    @property
    def label(self) -> str:
        """The name of the arm in tables."""
        if not self.techniques:
            return "trained further" if self.fine_tuned else "as given"
        names: list[str] = [each for each in self.techniques if each != "prune"]
        if self.kind:
            share = f"{100 * self.sparsity:.3g} %"
            how = "of weights (channels)" if self.kind == "structured" else "of weights (zeros)"
            names.insert(0, f"prune {share} {how}")
        return " + ".join(names)

    @property
    def is_given(self) -> bool:
        """True for the network as given."""
        return not self.techniques and not self.fine_tuned

    @property
    def is_control(self) -> bool:
        """True for the network as given, trained further by labels alone: what more training does."""
        return not self.techniques and self.fine_tuned

    @property
    def val(self) -> float:
        """Mean accuracy on val."""
        return float(np.mean([each.val for each in self.networks]))

    @property
    def test(self) -> float:
        """Mean accuracy on test."""
        return float(np.mean([each.test for each in self.networks]))

    @property
    def chosen(self) -> TestedNetwork:
        """The network with the best accuracy on val, the first of several."""
        return max(self.networks, key=lambda each: each.val)

    def as_dict(self) -> JsonObject:
        """Return the arm as a row of a table."""
        gain = self.difference or _UNKNOWN
        cost = asdict(self.cost) if self.cost else {}
        return {
            "arm": self.label,
            "prune": "prune" in self.techniques,
            "kd": "KD" in self.techniques,
            "int8": "int8" in self.techniques,
            "kind": self.kind,
            "sparsity": self.sparsity,
            "networks": len(self.networks),
            "val_accuracy": self.val,
            "test_accuracy": self.test,
            "difference": _finite(gain.gain),
            "ci_low": _finite(gain.ci_low),
            "ci_high": _finite(gain.ci_high),
            **{key: cost.get(key) for key in ("params", "nonzero", "macs")},
            "bytes": cost.get("size"),
            "gzip_bytes": cost.get("gzip_size"),
            **{key: _finite(cost.get(key)) for key in ("p50_ms", "p95_ms")},
            "on_front": self.on_front,
        }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def compared(arms: Iterable[CompressionArm]) -> tuple[CompressionArm, ...]:
    """Return arms with their differences from the network as given, which is one of them.

    Raises:
        ValueError: The network as given is not among them.

    Example:
        >>> tested = TestedNetwork("given", None, 0.8, np.ones(4, bool))
        >>> given = CompressionArm((), None, 0.0, False, (tested,))
        >>> [arm.difference.gain for arm in compared([given, replace(given, techniques=("int8",))])]
        [0.0, 0.0]
    """
    arms = tuple(arms)
    given = next((arm for arm in arms if arm.is_given), None)
    if given is None:
        raise ValueError("the network as given is not among the arms")
    return tuple(replace(arm, difference=difference(arm, given)) for arm in arms)


def difference(arm: CompressionArm, given: CompressionArm) -> Gain:
    """Return the accuracy on test of an arm less that of the network as given.

    The interval covers new seeds of the fine-tuning and new test examples; for an arm of a single network,
    such as int8 alone, new test examples. It holds for the network as given, not for others that the same
    training would have made.

    Example:
        >>> tested = TestedNetwork("given", None, 0.8, np.array([True] * 90 + [False] * 10))
        >>> other = TestedNetwork("int8", None, 0.8, np.array([True] * 80 + [False] * 20))
        >>> given, int8 = (CompressionArm((), None, 0.0, False, (each,)) for each in (tested, other))
        >>> found = difference(int8, given)
        >>> round(found.gain, 2), round(found.ci_low, 3), round(found.ci_high, 3)
        (-0.1, -0.162, -0.034)
    """
    before = given.networks[0].correct.astype(np.float64)
    parts = np.stack([each.correct - before for each in arm.networks])
    if len(parts) == 1:
        return _over_examples(parts[0])
    after = [each.test for each in arm.networks]
    return paired_gain(
        after,
        [before.mean()] * len(after),
        confidence=DROP_CONFIDENCE,
        resolution=1 / len(before),
        contributions=parts,
    )


def _over_examples(parts: npt.NDArray[np.float64]) -> Gain:
    """Return the mean of differences of right and wrong with its interval over test examples."""
    low, high = paired_accuracy(parts)
    mean = float(parts.mean())
    return Gain(1, mean, min(low, mean), max(high, mean), 1.0)


def with_front(arms: Sequence[CompressionArm]) -> tuple[CompressionArm, ...]:
    """Mark the Pareto front of arms: no other one has a file as small and an accuracy on val as good.

    The test set has no part in it.

    Example:
        >>> def arm(val, size):
        ...     tested = TestedNetwork("", 0, val, np.ones(1, bool))
        ...     return CompressionArm((), None, 0.0, True, (tested,), NetworkCost(1, 1, 1, size, size))
        >>> [each.on_front for each in with_front([arm(0.8, 100), arm(0.7, 100), arm(0.7, 50)])]
        [True, False, True]
    """
    points = [(arm.cost.size if arm.cost else math.inf, -arm.val) for arm in arms]

    def dominated(point: tuple[float, float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points
        )

    return tuple(
        replace(arm, on_front=arm.cost is not None and not dominated(point))
        for arm, point in zip(arms, points, strict=True)
    )


def smallest_within(
    arms: Iterable[CompressionArm], given: CompressionArm, max_drop: float
) -> CompressionArm | None:
    """Return the arm of the front with the smallest file whose accuracy on val drops little enough.

    Args:
        arms: The arms.
        given: The network as given.
        max_drop: The largest drop of the mean accuracy on val, in points.

    Returns:
        The arm; None if none is smaller than the network as given.

    Example:
        >>> tested = TestedNetwork("given", None, 0.8, np.ones(4, bool))
        >>> given = CompressionArm((), None, 0.0, False, (tested,))
        >>> smallest_within([given], given, max_drop=1.0) is None
        True
    """
    fitting = [
        arm
        for arm in arms
        if arm.on_front and arm.cost and arm.val >= given.val - max_drop / 100 - 1e-9 and not arm.is_given
    ]
    best = min(
        fitting,
        key=lambda arm: (arm.cost.size, arm.cost.gzip_size) if arm.cost else (math.inf,),
        default=None,
    )
    if best is None or (given.cost and best.cost and best.cost.size >= given.cost.size):
        return None
    return best


def arm_rows(arms: Iterable[CompressionArm]) -> list[JsonObject]:
    """Return arms as the rows of a table."""
    return [arm.as_dict() for arm in arms]
