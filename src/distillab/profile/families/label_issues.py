"""Labels that are probably wrong: confident learning on what a probe says of images it was not fitted on."""

from __future__ import annotations

import math

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_normalized_margin_for_each_label

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import bootstrap, wilson
from distillab.profile.measure import Family, Gallery, Interval, exact
from distillab.profile.probe import Probed
from distillab.profile.subject import SEED, Subject

SHOWN = 16
WEAK = 0.6  # accuracy of the probe below which it has little to say about single labels
MANY = 0.03
MEANS = (
    "Hypothesis: the noisier the labels, the more weight a teacher that has not learned the noise deserves. "
    "The interval is that of the count, not of the probe's own errors."
)


def issues(probed: Probed) -> np.ndarray:
    """Positions of images whose label is probably wrong, the worst first, by cleanlab's confident learning
    (Northcutt, Jiang and Chuang, "Confident Learning", JAIR 2021), both of its counts agreeing."""
    found = find_label_issues(
        probed.labels, probed.probabilities, filter_by="both", n_jobs=1, min_examples_per_class=1
    )
    positions = np.flatnonzero(found)
    margins = get_normalized_margin_for_each_label(probed.labels, probed.probabilities)
    return positions[np.argsort(margins[positions], kind="stable")]


def measure(subject: Subject) -> Family:
    """Share of probably wrong labels, the probe's confidence in given labels, and the worst images."""
    book = FamilyBuilder("labels", "Labels", subject.watch)
    probed, n = subject.probe, len(subject.images)
    present = probed.counts >= 2
    if not present.all():
        book.note("Classes of a single image cannot be judged and are left out.")
    worst = issues(probed) if present.all() else _issues_of(probed, present)
    weak = probed.accuracy < WEAK
    share = math.nan if weak else len(worst) / n
    means = (
        f"Not judged: the probe is right on {100 * probed.accuracy:.0f} % only, and would suspect what "
        "it does not "
        "understand. With the extra `imagenet`, --embedding imagenet may judge."
    )
    book.add(
        "label_issues",
        "labels that look wrong",
        share,
        Interval(math.nan, math.nan, "none: the probe is too weak") if weak else wilson(len(worst), n),
        n,
        means if weak else MEANS,
        unit="share",
        hypothesis=not weak,
        claims=() if weak else ("C21", "C22"),
        alarm=f"{100 * share:.1f} % of the labels look wrong: see the pictures." if share >= MANY else "",
    )
    given = probed.probabilities[np.arange(n), probed.labels]
    book.add(
        "self_confidence",
        "median probability of the given label",
        float(np.median(given)),
        bootstrap(lambda i: float(np.median(given[i])), n, seed=SEED, resamples=100),
        n,
        "How sure the images make a plain probe of their labels: low for hard classes and for wrong "
        "labels alike.",
    )
    pairs = _swaps(probed, worst)
    if pairs and not weak:
        first, second, count = pairs[0]
        book.add(
            "label_issue_pair",
            f"of these, {subject.classes[first]} that look like {subject.classes[second]}",
            count,
            exact(count),
            len(worst),
            "Noise between two classes teaches a student to mix them; noise all over merely slows it down.",
            unit="count",
        )
    pictures = tuple(
        subject.picture(
            int(p), f"labelled {subject.label(int(p))}, looks like {subject.classes[probed.predicted[p]]}"
        )
        for p in worst[:SHOWN]
    )
    note = "The images whose label the probe contradicts most." + (
        " It is a weak judge here: read them as hard images." if weak else ""
    )
    book.show(Gallery("Labels to check first", note, (("", pictures),)))
    return book.close()


def _issues_of(probed: Probed, present: np.ndarray) -> np.ndarray:
    """Among the classes with enough images only."""
    rows = np.flatnonzero(present[probed.labels])
    probabilities = probed.probabilities[rows][:, present]
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    labels = (np.cumsum(present) - 1)[probed.labels[rows]]
    found: np.ndarray = rows[issues(Probed(probabilities, labels.astype(np.int64)))]
    return found


def _swaps(probed: Probed, worst: np.ndarray) -> list[tuple[int, int, int]]:
    """(given class, class it looks like, how many), the most frequent first."""
    pairs, counts = np.unique(
        np.stack([probed.labels[worst], probed.predicted[worst]], axis=1), axis=0, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order]
