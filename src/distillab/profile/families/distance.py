"""How far another dataset is from this one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import ot
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist

from distillab.data.examples import Examples
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, wilson
from distillab.profile.measure import Family, Gallery, Interval, Picture
from distillab.profile.neighbours import unit
from distillab.profile.probe import out_of_fold
from distillab.profile.subject import Subject

Points = npt.NDArray[np.float64]
FROM = 2_000  # images of each set
MATCHED = 600  # images of each set for distances whose cost is quadratic or worse
GROUPS = 10
LEAST = -1.0  # an unbiased estimate of a distance may lie below 0
SHOWN = 12
FAR = 1.5  # proxy-A distance, of at most 2


def frechet(first: Points, second: Points) -> float:
    """Fréchet distance of the Gaussians with the moments of two samples, squared:
    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau 1982; FID on any features).

    Args:
        first, second: float64 ``[N, D]``, ``[M, D]``.
    """
    means = first.mean(axis=0) - second.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second)]
    root = sqrtm(covariances[0])
    cross = np.linalg.eigvalsh(np.real(root @ covariances[1] @ root))
    trace = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(means @ means + max(0.0, trace))


def mmd(first: Points, second: Points, width: float | None = None) -> float:
    """Squared maximum mean discrepancy under a Gaussian kernel, unbiased (Gretton et al., JMLR 2012): about 0
    for samples of one distribution. ``width`` is by default the median distance of all images."""
    if width is None:
        width = float(np.median(pdist(np.concatenate([first, second]))))
    n, m = len(first), len(second)

    def kernel(a: Points, b: Points) -> Points:
        return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / (2 * max(width, 1e-12) ** 2)))

    own = (kernel(first, first).sum() - n) / (n * (n - 1)) + (kernel(second, second).sum() - m) / (
        m * (m - 1)
    )
    return float(own - 2 * kernel(first, second).mean())


def proxy_a(first: Points, second: Points) -> tuple[float, Interval]:
    """Proxy-A distance, 2 (1 - 2 error), with the error of a linear probe that tells the sets apart
    (Ben-David et al., NIPS 2006): 0 if it cannot, 2 if it always can. Equally many images of both."""
    count = min(len(first), len(second))
    points = np.concatenate([first[:count], second[:count]])
    labels = np.repeat([0, 1], count).astype(np.int64)
    probed = out_of_fold(points, labels, np.arange(2 * count), 2)
    errors = int((probed.predicted != labels).sum())
    bounds = wilson(errors, 2 * count)

    def distance(error: float) -> float:
        return max(0.0, 2 * (1 - 2 * error))

    return distance(errors / (2 * count)), Interval(distance(bounds.high), distance(bounds.low), bounds.how)


def transport(first: Points, second: Points) -> float:
    """Optimal transport: root of the least mean squared distance that images must be moved (W2), exact."""
    weights = [np.full(len(each), 1 / len(each)) for each in (first, second)]
    return float(np.sqrt(max(0.0, ot.emd2(*weights, cdist(first, second, "sqeuclidean")))))


def measure(subject: Subject) -> Family | None:
    """Four distances in the embedding of this dataset, each beside that of its own two halves."""
    if subject.against is None:
        return None
    name, other = subject.against
    book = FamilyBuilder("distance", f"Distance to {name}", subject.watch)
    with subject.watch.charging("embedding of the other set"):
        far = unit(subject.embedding.vectors(other.select(subject.sample(FROM, other)))).astype(np.float64)
    near = subject.vectors[subject.sample(2 * FROM)].astype(np.float64)
    halves = near[: len(near) // 2], near[len(near) // 2 :]
    own = halves[0]
    few = min(MATCHED, len(own), len(far), len(halves[1]))
    width = float(np.median(pdist(np.concatenate([own[:few], far[:few]]))))
    distances: dict[str, tuple[str, Callable[[Points, Points], float], int | None]] = {
        "frechet": ("Fréchet distance", frechet, None),
        "mmd": ("maximum mean discrepancy", lambda a, b: mmd(a, b, width), few),
        "transport": ("optimal transport (W2)", transport, few),
    }
    for key, (label, distance, most) in distances.items():
        a, b, c = own[:most], far[:most], halves[1][:most]
        floor = distance(a, c)
        book.add(
            f"{key}_distance",
            label,
            distance(a, b),
            _jackknife(distance, a, b),
            len(a) + len(b),
            f"Between two halves of this dataset: {floor:.3g}. Hypothesis: the farther, the less "
            "distilling on the "
            "other set gives, and complex methods do not make up for it.",
            hypothesis=True,
            claims=("C27", "C29"),
        )
    value, interval = proxy_a(own, far)
    floor, _ = proxy_a(*halves)
    book.add(
        "proxy_a_distance",
        "proxy-A distance (0 same, 2 apart)",
        value,
        interval,
        2 * min(len(own), len(far)),
        f"Between two halves of this dataset: {floor:.2f}. Hypothesis: a set that can be told apart "
        "without fail serves "
        "as a transfer set only as far as the teacher spreads its answers on it.",
        hypothesis=True,
        claims=("C28",),
        alarm=f"{name} can be told from these images almost without fail." if value >= FAR else "",
    )
    rows = []
    for title, images in ((subject.name, subject.images), (name, other)):
        some = subject.sample(SHOWN, images)
        rows.append((title, tuple(_shown(subject, images, int(p), images is other) for p in some)))
    book.show(Gallery("Images of both", "Drawn at random.", tuple(rows)))
    return book.close()


def _shown(subject: Subject, images: Examples, position: int, strange: bool) -> Picture:
    label = images.classes[images.labels[position]]
    if strange:
        return Picture(images.pixels(np.array([position]))[0], f"image {int(images.ids[position])}", label)
    return subject.picture(position, label)


def _jackknife(distance: Callable[[Points, Points], float], first: Points, second: Points) -> Interval:
    """Leaving out a tenth of both sets at a time: a bootstrap repeats images, which moves a distance."""
    n = min(len(first), len(second))
    value = distance(first, second)
    return jackknife(lambda i: distance(first[i], second[i]), n, value, groups=GROUPS, least=LEAST)
