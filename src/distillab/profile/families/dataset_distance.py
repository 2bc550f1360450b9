"""Distance to another dataset."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import ot
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist

from distillab.data.examples import Examples
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, wilson_interval
from distillab.profile.measure import Family, Gallery, Interval, Picture
from distillab.profile.neighbors import unit_vectors
from distillab.profile.probe import probe_out_of_fold
from distillab.profile.profiled_dataset import ProfiledDataset, as_picture

EmbeddedImages = npt.NDArray[np.float64]
_SAMPLE_SIZE = 2_000  # images of each dataset
_COSTLY_SAMPLE_SIZE = 600  # images of each dataset for distances of quadratic or higher cost
_JACKKNIFE_GROUPS = 10
_SMALLEST_DISTANCE = -1.0  # an unbiased estimate of a distance may be negative
_PICTURES = 12  # of each dataset
_ALARM_PROXY_A = 1.5  # of at most 2


def frechet_distance(first: EmbeddedImages, second: EmbeddedImages) -> float:
    """Return the squared Fréchet distance of Gaussians with the moments of two samples.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; FID on arbitrary features).

    Args:
        first: float64 ``[N, D]``.
        second: float64 ``[M, D]``.
    """
    means = first.mean(axis=0) - second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second)]
    root = sqrtm(covariances[0])
    cross = np.linalg.eigvalsh(np.real(root @ covariances[1] @ root))
    trace = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(means @ means + max(0.0, trace))


def squared_mmd(first: EmbeddedImages, second: EmbeddedImages, width: float | None = None) -> float:
    """Return the unbiased squared maximum mean discrepancy under a Gaussian kernel.

    Gretton et al., JMLR 2012. It is about 0 for samples of one distribution.

    Args:
        first: float64 ``[N, D]``.
        second: float64 ``[M, D]``.
        width: Width of the kernel; by default the median distance of all images.
    """
    if width is None:
        width = float(np.median(pdist(np.concatenate([first, second]))))
    n, m = len(first), len(second)

    def kernel(a: EmbeddedImages, b: EmbeddedImages) -> EmbeddedImages:
        return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2 * max(width, 1e-12) ** 2)))

    own = (kernel(first, first).sum() - n) / (n * (n - 1)) + (kernel(second, second).sum() - m) / (
        m * (m - 1)
    )
    return float(own - 2 * kernel(first, second).mean())


def proxy_a_distance(first: EmbeddedImages, second: EmbeddedImages) -> tuple[float, Interval]:
    """Return the proxy-A distance, 2 (1 - 2 error), of a linear probe that separates two datasets.

    Ben-David et al., NIPS 2006: 0 if the probe cannot separate them, 2 if it makes no error. The same number
    of images is taken from both.

    Args:
        first: float64 ``[N, D]``.
        second: float64 ``[M, D]``.
    """
    count = min(len(first), len(second))
    points = np.concatenate([first[:count], second[:count]])
    labels = np.repeat([0, 1], count).astype(np.int64)
    probed = probe_out_of_fold(points, labels, np.arange(2 * count), 2)
    errors = int((probed.predicted != labels).sum())
    bounds = wilson_interval(errors, 2 * count)

    def distance(error: float) -> float:
        return max(0.0, 2 * (1 - 2 * error))

    return distance(errors / (2 * count)), Interval(distance(bounds.high), distance(bounds.low), bounds.how)


def transport_distance(first: EmbeddedImages, second: EmbeddedImages) -> float:
    """Return the 2-Wasserstein distance of two samples, float64 ``[N, D]`` and ``[M, D]``, exactly.

    The root of the smallest mean squared distance by which images must be moved.
    """
    weights = [np.full(len(each), 1 / len(each)) for each in (first, second)]
    return float(np.sqrt(max(0.0, ot.emd2(*weights, cdist(first, second, "sqeuclidean")))))


def measure_distance(data: ProfiledDataset) -> Family | None:
    """Measure four distances in the embedding of this dataset, each beside that of its own two halves."""
    if data.against is None:
        return None
    name, other = data.against
    family = FamilyBuilder("distance", f"Distance to {name}", data.watch)
    with data.watch.charging("embedding of the other set"):
        sample = other.select(data.sample(_SAMPLE_SIZE, other))
        away = unit_vectors(data.embedding.vectors(sample)).astype(np.float64)
    near = data.vectors[data.sample(2 * _SAMPLE_SIZE)].astype(np.float64)
    halves = near[: len(near) // 2], near[len(near) // 2 :]
    own = halves[0]
    few = min(_COSTLY_SAMPLE_SIZE, len(own), len(away), len(halves[1]))
    width = float(np.median(pdist(np.concatenate([own[:few], away[:few]]))))
    distances: dict[str, tuple[str, Callable[[EmbeddedImages, EmbeddedImages], float], int | None]] = {
        "frechet": ("Fréchet distance", frechet_distance, None),
        "mmd": ("maximum mean discrepancy", lambda a, b: squared_mmd(a, b, width), few),
        "transport": ("optimal transport (W2)", transport_distance, few),
    }
    for key, (label, distance, limit) in distances.items():
        a, b, c = own[:limit], away[:limit], halves[1][:limit]
        floor = distance(a, c)
        family.add(
            f"{key}_distance",
            label,
            distance(a, b),
            _jackknife(distance, a, b),
            len(a) + len(b),
            f"Between two halves of this dataset: {floor:.3g}. Hypothesis: the larger the distance, the less "
            "distillation on the other dataset gains, and complex methods do not make up for it.",
            hypothesis=True,
            claims=("C27", "C29"),
        )
    value, interval = proxy_a_distance(own, away)
    floor, _ = proxy_a_distance(*halves)
    family.add(
        "proxy_a_distance",
        "proxy-A distance (0 same, 2 separable)",
        value,
        interval,
        2 * min(len(own), len(away)),
        f"Between two halves of this dataset: {floor:.2f}. Hypothesis: a dataset that is separable without "
        "error serves as a transfer set only as far as the teacher's predictions on it cover all classes.",
        hypothesis=True,
        claims=("C28",),
        alarm=f"A linear probe separates {name} from these images almost without error."
        if value >= _ALARM_PROXY_A
        else "",
    )
    rows = []
    for title, images in ((data.name, data.images), (name, other)):
        drawn = data.sample(_PICTURES, images)
        rows.append((title, tuple(_picture(data, images, int(p), images is other) for p in drawn)))
    family.add_gallery(Gallery("Images of both datasets", "Drawn at random.", tuple(rows)))
    return family.build()


def _picture(data: ProfiledDataset, images: Examples, position: int, of_other: bool) -> Picture:
    label = images.classes[images.labels[position]]
    if of_other:
        return as_picture(images, position, f"image {int(images.ids[position])}", label)
    return data.picture(position, label)


def _jackknife(
    distance: Callable[[EmbeddedImages, EmbeddedImages], float], first: EmbeddedImages, second: EmbeddedImages
) -> Interval:
    """Leave out a tenth of both datasets at a time. A bootstrap repeats images, which biases distances."""
    n = min(len(first), len(second))
    value = distance(first, second)
    return jackknife_interval(
        lambda i: distance(first[i], second[i]),
        n,
        value,
        groups=_JACKKNIFE_GROUPS,
        minimum=_SMALLEST_DISTANCE,
    )
