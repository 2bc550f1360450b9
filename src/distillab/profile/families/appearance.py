"""Colour and texture, and how much of them goes with the class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.image_statistics import STATISTICS, statistics_of
from distillab.profile.intervals import jackknife, normal_mean
from distillab.profile.measure import Family, Grid
from distillab.profile.subject import Subject

FROM = 4_000
TELLING = 0.5  # share of the variance of a statistic that goes with class, from which it is said aloud


def correlation_ratio(values: npt.NDArray[np.float64], labels: Indices) -> float:
    """Share of the variance of ``values`` that goes with ``labels``: eta squared, corrected for the chance of
    many classes (epsilon squared, Kelley 1935); not below 0."""
    n, counts = len(values), np.bincount(labels)
    seen = counts > 0
    sums = np.bincount(labels, weights=values)
    total = float(((values - values.mean()) ** 2).sum())
    between = float((counts[seen] * (sums[seen] / counts[seen] - values.mean()) ** 2).sum())
    classes = int(seen.sum())
    if total <= 1e-12 * max(1.0, n * float(values.mean()) ** 2) or n <= classes:
        return 0.0
    return max(0.0, 1 - (total - between) / (n - classes) / (total / (n - 1)))


def measure(subject: Subject) -> Family:
    """Means of each statistic, and how far the class decides it."""
    book = FamilyBuilder("appearance", "Colour and texture", subject.watch)
    some = subject.sample(FROM)
    labels = subject.images.labels[some]
    with subject.watch.charging("colour and texture"):
        table = statistics_of(subject.images, some)
    rows = []
    strongest, best = "", -1.0
    for name, statistic in STATISTICS.items():
        if name not in table:
            continue
        values = table[name]
        ratio = correlation_ratio(values, labels)
        if ratio > best:
            strongest, best = name, ratio
        book.add(name, statistic.label, float(values.mean()), normal_mean(values), len(some), statistic.means)
        rows.append((statistic.label, float(f"{values.std():.4g}"), f"{100 * ratio:.1f} %"))
    values = table[strongest]
    label = STATISTICS[strongest].label
    book.add(
        "appearance_class_share",
        f"most telling: share of the variance of {label} that goes with class",
        best,
        jackknife(lambda i: correlation_ratio(values[i], labels[i]), len(some), best, least=0.0, most=1.0),
        len(some),
        "A student can get that far by one number an image. If it is not what the class means, it is a "
        "cue: see "
        "Shortcuts.",
        unit="share",
        alarm=f"{100 * best:.0f} % of the variance of {label} goes with class." if best >= TELLING else "",
    )
    book.tabulate(
        Grid(
            "How far the class decides looks",
            ("statistic", "spread (sd)", "share that goes with class"),
            tuple(rows),
        )
    )
    return book.close()
