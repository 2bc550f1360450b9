"""How evenly images are spread over classes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.measure import Family, Grid, exact
from distillab.profile.subject import Subject

IMBALANCED = 10.0  # ratio from which it is said aloud


def imbalance_ratio(counts: npt.NDArray[np.int64]) -> float:
    """Images of the largest class over those of the smallest."""
    return float(counts.max() / counts.min()) if counts.min() else math.inf


def entropy(counts: npt.NDArray[np.int64]) -> float:
    """Shannon entropy of the class of an image, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def effective_classes(counts: npt.NDArray[np.int64]) -> float:
    """exp(entropy): as many equally large classes would be as uncertain (Hill 1973)."""
    return math.exp(entropy(counts))


def gini(counts: npt.NDArray[np.int64]) -> float:
    """Gini coefficient of the class sizes: 0 if they are equal, towards 1 if one class has all."""
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def measure(subject: Subject) -> Family:
    """Ratio, entropy, effective classes, Gini coefficient: counted, not estimated."""
    book = FamilyBuilder("imbalance", "Imbalance", subject.watch)
    counts, classes = subject.images.counts, len(subject.classes)
    n = len(subject.images)

    ratio = imbalance_ratio(counts)
    largest, smallest = (subject.classes[i] for i in (counts.argmax(), counts.argmin()))
    book.add(
        "imbalance_ratio",
        "largest class / smallest class",
        ratio,
        exact(imbalance_ratio(counts)),
        n,
        "Hypothesis: plain distillation raises the average and can lower rare classes; from about 50 "
        "weigh classes "
        "in the loss, and look at the tail.",
        hypothesis=True,
        claims=("C18", "C19"),
        alarm=f"{largest} has {ratio:.0f} times the images of {smallest}." if ratio >= IMBALANCED else "",
    )
    book.add(
        "class_entropy",
        "entropy of the classes / its maximum",
        entropy(counts) / math.log(classes),
        exact(entropy(counts) / math.log(classes)),
        n,
        "1 is balanced. Averages over images then are averages over classes.",
    )
    book.add(
        "effective_classes",
        "effective classes",
        effective_classes(counts),
        exact(effective_classes(counts)),
        n,
        "Hypothesis: what a teacher's probabilities can carry grows with the classes that really occur.",
        hypothesis=True,
        claims=("C9",),
    )
    book.add(
        "gini",
        "Gini coefficient of class sizes",
        gini(counts),
        exact(gini(counts)),
        n,
        "0 is balanced; unlike the ratio it does not hang on the two extreme classes.",
    )
    order = np.argsort(-counts, kind="stable")
    rows = tuple((subject.classes[i], int(counts[i]), f"{100 * counts[i] / n:.2f} %") for i in order)
    book.tabulate(Grid("Images a class", ("class", "images", "share"), rows))
    return book.close()
