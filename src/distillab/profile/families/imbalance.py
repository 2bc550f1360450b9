"""How evenly images are distributed over classes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.measure import Family, Grid, exact_interval
from distillab.profile.profiled_dataset import ProfiledDataset

ClassCounts = npt.NDArray[np.int64]
_ALARM_RATIO = 10.0


def imbalance_ratio(counts: ClassCounts) -> float:
    """Return the size of the largest class divided by that of the smallest."""
    return float(counts.max() / counts.min()) if counts.min() else math.inf


def label_entropy(counts: ClassCounts) -> float:
    """Return the Shannon entropy of the label distribution, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def effective_classes(counts: ClassCounts) -> float:
    """Return exp(entropy), the number of equally large classes with the same entropy (Hill 1973).

    Example:
        >>> round(effective_classes(np.array([5, 5, 5])), 6)
        3.0
    """
    return math.exp(label_entropy(counts))


def gini(counts: ClassCounts) -> float:
    """Return the Gini coefficient of the class sizes: 0 if they are equal, near 1 if one class has all."""
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def measure_imbalance(data: ProfiledDataset) -> Family:
    """Count ratio, entropy, effective classes and Gini coefficient."""
    family = FamilyBuilder("imbalance", "Imbalance", data.watch)
    counts, classes = data.images.counts, len(data.classes)
    n = len(data.images)

    ratio = imbalance_ratio(counts)
    largest, smallest = (data.classes[i] for i in (counts.argmax(), counts.argmin()))
    family.add(
        "imbalance_ratio",
        "largest class / smallest class",
        ratio,
        exact_interval(ratio),
        n,
        "Hypothesis: plain distillation raises the average but can lower the accuracy of rare classes; from "
        "a ratio of about 50, weight the classes in the loss and report the rare ones.",
        hypothesis=True,
        claims=("C18", "C19"),
        alarm=f"{largest} has {ratio:.0f} times as many images as {smallest}."
        if ratio >= _ALARM_RATIO
        else "",
    )
    relative_entropy = label_entropy(counts) / math.log(classes)
    family.add(
        "class_entropy",
        "entropy of the classes / its maximum",
        relative_entropy,
        exact_interval(relative_entropy),
        n,
        "1 if the classes are balanced; averages over images then equal averages over classes.",
    )
    family.add(
        "effective_classes",
        "effective classes",
        effective_classes(counts),
        exact_interval(effective_classes(counts)),
        n,
        "Hypothesis: the information in a teacher's probabilities grows with the number of classes that "
        "occur in practice.",
        hypothesis=True,
        claims=("C9",),
    )
    family.add(
        "gini",
        "Gini coefficient of class sizes",
        gini(counts),
        exact_interval(gini(counts)),
        n,
        "0 if the classes are balanced; unlike the ratio, it depends on all classes, not on two only.",
    )
    order = np.argsort(-counts, kind="stable")
    rows = tuple((data.classes[i], int(counts[i]), f"{100 * counts[i] / n:.2f} %") for i in order)
    family.add_grid(Grid("Images per class", ("class", "images", "share"), rows))
    return family.build()
