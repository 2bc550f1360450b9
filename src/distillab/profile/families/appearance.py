"""Color and texture, and how much of their variance the class explains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.image_statistics import STATISTICS, image_statistics
from distillab.profile.intervals import jackknife_interval, mean_interval
from distillab.profile.measure import Family, Grid
from distillab.profile.profiled_dataset import ProfiledDataset

_SAMPLE_SIZE = 4_000


def correlation_ratio(values: npt.NDArray[np.float64], labels: Indices) -> float:
    """Return the share of the variance of ``values`` that ``labels`` explain, at least 0.

    This is eta squared, corrected for the number of classes (epsilon squared, Kelley 1935).

    Args:
        values: float64 ``[N]``.
        labels: int64 ``[N]``.

    Example:
        >>> correlation_ratio(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
        1.0
    """
    n, counts = len(values), np.bincount(labels)
    present = counts > 0
    sums = np.bincount(labels, weights=values)
    total = float(((values - values.mean()) ** 2).sum())
    between = float((counts[present] * (sums[present] / counts[present] - values.mean()) ** 2).sum())
    classes = int(present.sum())
    if total <= 1e-12 * max(1.0, n * float(values.mean()) ** 2) or n <= classes:
        return 0.0
    return max(0.0, 1 - (total - between) / (n - classes) / (total / (n - 1)))


def measure_appearance(data: ProfiledDataset) -> Family:
    """Measure the mean of each statistic, and how much of its variance the class explains."""
    family = FamilyBuilder("appearance", "Color and texture", data.watch)
    sample = data.sample(_SAMPLE_SIZE)
    labels = data.images.labels[sample]
    with data.watch.charging("color and texture"):
        table = image_statistics(data.images, sample)
    rows = []
    strongest, largest = "", -1.0
    for name, statistic in STATISTICS.items():
        if name not in table:
            continue
        values = table[name]
        ratio = correlation_ratio(values, labels)
        if ratio > largest:
            strongest, largest = name, ratio
        mean = float(values.mean())
        family.add(name, statistic.label, mean, mean_interval(values), len(sample), statistic.means)
        rows.append((statistic.label, float(f"{values.std():.4g}"), f"{100 * ratio:.1f} %"))
    values = table[strongest]
    label = STATISTICS[strongest].label
    family.add(
        "appearance_class_share",
        f"strongest: share of the variance of {label} explained by class",
        largest,
        jackknife_interval(
            lambda i: correlation_ratio(values[i], labels[i]), len(sample), largest, minimum=0.0, maximum=1.0
        ),
        len(sample),
        "A student can get that far from one number per image. That is natural if it belongs to the classes, "
        "as color does to flowers; otherwise it is a cue: see Shortcuts.",
        unit="share",
    )
    family.add_grid(
        Grid(
            "How much of color and texture the class explains",
            ("statistic", "standard deviation", "variance explained by class"),
            tuple(rows),
        )
    )
    return family.build()
