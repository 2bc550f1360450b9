"""Labels that are probably wrong: confident learning on out-of-fold predictions of a linear probe."""

from __future__ import annotations

import math

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_normalized_margin_for_each_label

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import bootstrap_interval, wilson_interval
from distillab.profile.measure import Family, Gallery, Interval, exact_interval
from distillab.profile.probe import ProbePredictions
from distillab.profile.profiled_dataset import SAMPLING_SEED, ProfiledDataset

_IMAGES_SHOWN = 16
_RELIABLE_ACCURACY = 0.6  # accuracy of the probe below which it does not judge single labels
_ALARM_SHARE = 0.03


def suspicious_labels(probed: ProbePredictions) -> np.ndarray:
    """Return positions of images whose label is probably wrong, the most suspicious first.

    Both counts of cleanlab's confident learning must agree (Northcutt, Jiang and Chuang, "Confident
    Learning", JAIR 2021).
    """
    found = find_label_issues(
        probed.labels, probed.probabilities, filter_by="both", n_jobs=1, min_examples_per_class=1
    )
    positions = np.flatnonzero(found)
    margins = get_normalized_margin_for_each_label(probed.labels, probed.probabilities)
    return positions[np.argsort(margins[positions], kind="stable")]


def measure_label_issues(data: ProfiledDataset) -> Family:
    """Measure the share of probably wrong labels and the confidence in given labels; show the worst."""
    family = FamilyBuilder("labels", "Labels", data.watch)
    probed, n = data.probe, len(data.images)
    judged = probed.counts >= 2
    if not judged.all():
        family.add_note("Classes of a single image cannot be judged and are left out.")
    worst = suspicious_labels(probed) if judged.all() else _suspicious_among(probed, judged)
    reliable = probed.accuracy >= _RELIABLE_ACCURACY
    _add_share(family, probed, worst, reliable)
    given = probed.probabilities[np.arange(n), probed.labels]
    family.add(
        "self_confidence",
        "median probability of the given label",
        float(np.median(given)),
        bootstrap_interval(lambda i: float(np.median(given[i])), n, seed=SAMPLING_SEED, resamples=100),
        n,
        "How confident a linear probe is in the labels: low both for difficult classes and for wrong labels.",
    )
    if reliable:
        _add_frequent_pair(family, data, probed, worst)
    pictures = tuple(
        data.picture(
            int(p), f"labelled {data.class_name(int(p))}, looks like {data.classes[probed.predicted[p]]}"
        )
        for p in worst[:_IMAGES_SHOWN]
    )
    note = "The images whose labels the probe contradicts most." + (
        "" if reliable else " The probe is unreliable here: read them as difficult images."
    )
    family.add_gallery(Gallery("Labels to check first", note, (("", pictures),)))
    return family.build()


def _add_share(family: FamilyBuilder, probed: ProbePredictions, worst: np.ndarray, reliable: bool) -> None:
    n = len(probed.labels)
    if not reliable:
        family.add(
            "label_issues",
            "labels that look wrong",
            math.nan,
            Interval(math.nan, math.nan, "none: the probe is too weak"),
            n,
            f"Not judged: the probe is right on {100 * probed.accuracy:.0f} % only and would flag images "
            "that it cannot classify. With the extra `imagenet`, try --embedding imagenet.",
            unit="share",
        )
        return
    share = len(worst) / n
    family.add(
        "label_issues",
        "labels that look wrong",
        share,
        wilson_interval(len(worst), n),
        n,
        "Hypothesis: the noisier the labels, the more weight a teacher that has not learned the noise "
        "deserves. The interval is that of the count; errors of the probe are not included.",
        unit="share",
        hypothesis=True,
        claims=("C21",),
        alarm=f"{100 * share:.1f} % of the labels look wrong: see the pictures."
        if share >= _ALARM_SHARE
        else "",
    )


def _add_frequent_pair(
    family: FamilyBuilder, data: ProfiledDataset, probed: ProbePredictions, worst: np.ndarray
) -> None:
    """Add the most frequent pair of given class and predicted class among suspicious labels, if any."""
    if not len(worst):
        return
    pairs, counts = np.unique(
        np.stack([probed.labels[worst], probed.predicted[worst]], axis=1), axis=0, return_counts=True
    )
    most = int(counts.argmax())
    first, second = pairs[most]
    count = int(counts[most])
    family.add(
        "label_issue_pair",
        f"of these, {data.classes[first]} that look like {data.classes[second]}",
        count,
        exact_interval(count),
        len(worst),
        "Noise between two classes teaches a student to confuse them; uniform noise only slows it down.",
        unit="count",
    )


def _suspicious_among(probed: ProbePredictions, judged: np.ndarray) -> np.ndarray:
    """Return suspicious labels among the classes of a mask, bool ``[C]``."""
    rows = np.flatnonzero(judged[probed.labels])
    probabilities = probed.probabilities[rows][:, judged]
    probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    labels = (np.cumsum(judged) - 1)[probed.labels[rows]]
    found: np.ndarray = rows[suspicious_labels(ProbePredictions(probabilities, labels.astype(np.int64)))]
    return found
