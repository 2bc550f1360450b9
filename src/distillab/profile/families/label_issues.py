"""Labels that are probably wrong: their share, estimated from a linear probe, and the worst images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_normalized_margin_for_each_label

from distillab.data.examples import IMAGE, Indices
from distillab.extras import install_command
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import bootstrap_interval, wilson_interval
from distillab.profile.label_noise import (
    DirectedNoise,
    NoiseEstimate,
    estimate_directed_noise,
    estimate_label_noise,
)
from distillab.profile.measure import Family, Gallery, Interval, exact_interval
from distillab.profile.probe import FeatureMatrix, ProbePredictions, probe_out_of_fold
from distillab.profile.profiled_dataset import SAMPLING_SEED, ProfiledDataset

_IMAGES_SHOWN = 16
_ALARM_FROM = 0.01  # lower end of the interval of the share of wrong labels
_DIRECTED_ALARM_FROM = 0.02
_IMAGES_PER_DIMENSION = 16  # a probe with more dimensions is overconfident on images it was not fitted on
_FEWEST_DIMENSIONS = 8
_PRETRAINED_SAMPLE = 1_000  # about twenty images take a second on one core
_PRETRAINED_PER_CLASS = 20  # fewer images per class do not suffice, however strong the features
_SIMULATED = 5_000  # images
_DRAWS = 3  # of labels, for what the probe would contradict if all labels were right


@dataclass(frozen=True, eq=False)
class _Judged:
    """Images that a probe judges: positions int64 ``[M]`` in the dataset, its predictions, and the noise."""

    positions: Indices
    probed: ProbePredictions
    noise: NoiseEstimate
    features: str


def suspicious_labels(probed: ProbePredictions) -> np.ndarray:
    """Return positions of images whose label a probe contradicts, the most suspicious first.

    Both counts of cleanlab's confident learning must agree (Northcutt, Jiang and Chuang, "Confident
    Learning", JAIR 2021). Many of them are difficult images if the probe is weak.
    """
    found = find_label_issues(
        probed.labels, probed.probabilities, filter_by="both", n_jobs=1, min_examples_per_class=1
    )
    positions = np.flatnonzero(found)
    margins = get_normalized_margin_for_each_label(probed.labels, probed.probabilities)
    return positions[np.argsort(margins[positions], kind="stable")]


def label_probe(features: FeatureMatrix, labels: Indices, ids: Indices, classes: int) -> ProbePredictions:
    """Return the predictions of a probe with so few dimensions that its probabilities can be trusted.

    Args:
        features: float ``[N, D]``, the most important dimension first.
        labels: int64 ``[N]`` in ``[0, classes)``.
        ids: int64 ``[N]``.
        classes: C.
    """
    return probe_out_of_fold(features[:, : _dimensions(len(features))], labels, ids, classes)


def _dimensions(images: int) -> int:
    """Return the number of dimensions of a probe for a number of images."""
    return max(_FEWEST_DIMENSIONS, images // _IMAGES_PER_DIMENSION)


def measure_label_issues(data: ProfiledDataset) -> Family:
    """Estimate the share of wrong labels, count the labels that a probe contradicts, and show the worst."""
    family = FamilyBuilder("labels", "Labels", data.watch)
    judged = _judge(data)
    if judged is None:
        family.add_note("Labels are not judged: fewer than two classes have two images.")
        return family.build()
    if len(judged.positions) < len(data.images) and judged.features == data.kind:
        family.add_note("Classes of a single image cannot be judged and are left out.")
    if judged.features != data.kind:
        family.add_note(
            f"The {data.kind} features are too weak to judge labels; {len(judged.positions):,} images were "
            f"judged with {judged.features} features."
        )
    contradicted = suspicious_labels(judged.probed)
    _add_rate(family, data, judged)
    _add_directed(family, judged)
    _add_contradicted(family, judged, contradicted)
    _add_confidence(family, judged.probed)
    if judged.noise.judges:
        _add_frequent_pair(family, data, judged.probed, contradicted)
    family.add_gallery(_worst(data, judged))
    return family.build()


def alarm_text(noise: NoiseEstimate) -> str:
    """Return the alarm on wrong labels, or an empty text if there is no evidence of them."""
    if not noise.judges or noise.low < _ALARM_FROM:
        return ""
    return (
        f"About {100 * noise.rate:.1f} % of the labels are estimated to be wrong "
        f"({100 * noise.low:.1f} to {100 * noise.high:.1f} %): see the pictures."
    )


def directed_alarm_text(noise: DirectedNoise) -> str:
    """Return the alarm on labels moved to one other class, or an empty text if there is no evidence."""
    if not noise.judges or noise.low < _DIRECTED_ALARM_FROM:
        return ""
    return (
        f"About {100 * noise.rate:.1f} % of the labels are estimated to be moved to one other class "
        f"({100 * noise.low:.1f} to {100 * noise.high:.1f} %): see the pictures."
    )


def _judge(data: ProfiledDataset) -> _Judged | None:
    """Judge the labels with the features of the profile, or with stronger ones if these are too weak."""
    counts = data.images.counts
    rows = np.flatnonzero(counts[data.images.labels] >= 2)
    if (counts >= 2).sum() < 2:
        return None
    every_class = len(rows) == len(data.images) and bool((counts > 0).all())
    whole = every_class and _dimensions(len(rows)) >= data.vectors.shape[1]
    judged = _judged(data, rows, data.vectors if whole else data.vectors[rows], data.kind)
    if judged.noise.judges or data.stronger is None:
        return judged
    if _PRETRAINED_PER_CLASS * len(data.classes) > _PRETRAINED_SAMPLE:
        return judged
    sample = np.sort(data.sample(_PRETRAINED_SAMPLE))
    present = np.bincount(data.images.labels[sample], minlength=len(counts)) >= 2
    sample = sample[present[data.images.labels[sample]]]
    if present.sum() < 2:
        return judged
    second = _judged(data, sample, data.embed(data.images.select(sample), data.stronger), data.stronger)
    return second if second.noise.judges else judged


def _judged(data: ProfiledDataset, rows: Indices, features: FeatureMatrix, name: str) -> _Judged:
    """Judge the images at ``rows`` by their features; the classes that occur are numbered from 0."""
    labels, ids = data.images.labels[rows], data.images.ids[rows]
    present, renumbered = np.unique(labels, return_inverse=True)
    if features is data.vectors:
        probed = data.probe  # the same probe, which other families use as well
    else:
        probed = label_probe(features, renumbered.astype(np.int64), ids, len(present))
    noise = estimate_label_noise(probed)
    spread = np.zeros((len(rows), len(data.classes)))
    spread[:, present] = probed.probabilities
    return _Judged(
        rows, ProbePredictions(spread, labels) if len(present) < len(data.classes) else probed, noise, name
    )


def _add_rate(family: FamilyBuilder, data: ProfiledDataset, judged: _Judged) -> None:
    noise, probed = judged.noise, judged.probed
    if not noise.judges:
        advice = (
            ""
            if data.kind != "patches" or data.stronger or data.images.modality != IMAGE
            else f" Features of a trained network may help: {install_command('imagenet')}."
        )
        family.add(
            "label_issues",
            "labels estimated to be wrong",
            math.nan,
            Interval(math.nan, math.nan, "none: cannot judge"),
            len(probed.labels),
            f"Cannot judge: the probe is right on {100 * probed.accuracy:.0f} % of the images, and its own "
            f"errors cannot be told from wrong labels.{advice}",
            unit="share",
        )
        return
    family.add(
        "label_issues",
        "labels estimated to be wrong",
        noise.rate,
        noise.interval,
        len(probed.labels),
        "Estimated together with the probe's own error, for wrong labels that may be of any other class. "
        "Hypothesis: the noisier "
        "the labels, the more weight a teacher that has not learned the noise deserves.",
        unit="share",
        hypothesis=True,
        claims=("C21",),
        alarm=alarm_text(noise),
    )


def _add_directed(family: FamilyBuilder, judged: _Judged) -> None:
    """Add the share of labels moved from each class to one other class, if there are three classes."""
    present, labels = np.unique(judged.probed.labels, return_inverse=True)
    if len(present) < 3:
        return
    probed = ProbePredictions(judged.probed.probabilities[:, present], labels.astype(np.int64))
    noise = estimate_directed_noise(probed)
    means = "Wrong labels that all go from a class to the same other class, such as a renamed folder."
    family.add(
        "label_issues_directed",
        "labels estimated to be moved to one other class",
        noise.rate if noise.judges else math.nan,
        noise.interval if noise.judges else Interval(math.nan, math.nan, "none: cannot judge"),
        len(labels),
        means
        if noise.judges
        else f"{means} Cannot judge: to this probe they look like classes that are hard to tell apart.",
        unit="share",
        alarm=directed_alarm_text(noise),
    )


def _add_contradicted(family: FamilyBuilder, judged: _Judged, contradicted: np.ndarray) -> None:
    """Add the share of labels that the probe contradicts, and the share if all labels were right."""
    count, n = len(contradicted), len(judged.probed.labels)
    expected = _contradicted_without_noise(judged)
    family.add(
        "label_issues_contradicted",
        "labels that the probe contradicts",
        count / n,
        wilson_interval(count, n),
        n,
        f"By confident learning. If all labels were right, the probe's own errors would contradict about "
        f"{100 * expected:.1f} %: only the excess is evidence of wrong labels.",
        unit="share",
    )
    family.add(
        "label_issues_expected",
        "labels it would contradict if all were right",
        expected,
        Interval(math.nan, math.nan, "none: simulated"),
        n,
        f"Labels drawn {_DRAWS} times from the probabilities of the probe without label noise.",
        unit="share",
    )


def _contradicted_without_noise(judged: _Judged) -> float:
    """Return the share of contradicted labels if the labels followed the probabilities of the probe."""
    rng, clean = np.random.default_rng(SAMPLING_SEED), judged.noise.clean
    clean = clean[:: max(1, len(clean) // _SIMULATED)]
    cumulative = clean.cumsum(axis=1)
    shares = []
    for _ in range(_DRAWS):
        drawn = (rng.random((len(clean), 1)) > cumulative[:, :-1]).sum(axis=1).astype(np.int64)
        counts = np.bincount(drawn, minlength=clean.shape[1])
        rows = np.flatnonzero(counts[drawn] >= 2)
        present = counts >= 2
        if present.sum() < 2:
            continue
        probabilities = clean[rows][:, present] / clean[rows][:, present].sum(axis=1, keepdims=True)
        labels = (np.cumsum(present) - 1)[drawn[rows]].astype(np.int64)
        shares.append(len(suspicious_labels(ProbePredictions(probabilities, labels))) / len(clean))
    return float(np.mean(shares)) if shares else 0.0


def _add_confidence(family: FamilyBuilder, probed: ProbePredictions) -> None:
    n = len(probed.labels)
    given = probed.probabilities[np.arange(n), probed.labels]
    family.add(
        "self_confidence",
        "median probability of the given label",
        float(np.median(given)),
        bootstrap_interval(lambda i: float(np.median(given[i])), n, seed=SAMPLING_SEED, resamples=100),
        n,
        "How confident a linear probe is in the labels: low both for difficult classes and for wrong labels.",
    )


def _add_frequent_pair(
    family: FamilyBuilder, data: ProfiledDataset, probed: ProbePredictions, worst: np.ndarray
) -> None:
    """Add the most frequent pair of given class and predicted class among contradicted labels, if any."""
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
        f"of the contradicted, {data.classes[first]} that look like {data.classes[second]}",
        count,
        exact_interval(count),
        len(worst),
        "Noise between two classes teaches a student to confuse them; uniform noise only slows it down.",
        unit="count",
    )


def _renumbered(labels: Indices) -> Indices:
    """Return labels numbered among the classes that occur."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _worst(data: ProfiledDataset, judged: _Judged) -> Gallery:
    """Show the images whose label is most likely wrong."""
    probed, noise = judged.probed, judged.noise
    of_label = noise.clean[np.arange(len(noise.clean)), _renumbered(probed.labels)]
    order = np.argsort(of_label, kind="stable")
    order = order[probed.predicted[order] != probed.labels[order]][:_IMAGES_SHOWN]
    pictures = []
    for p in order:
        position = int(judged.positions[p])
        caption = f"labelled {data.class_name(position)}, looks like {data.classes[probed.predicted[p]]}"
        if noise.judges and noise.rate:
            caption = f"{100 * noise.wrong[p]:.0f} %: {caption}"
        pictures.append(data.picture(position, caption))
    if not noise.judges:
        note = (
            "The images whose labels the probe contradicts most. It cannot judge labels here: read them as "
        )
        note += "difficult images."
    else:
        expected = float(noise.wrong[order].sum())
        note = f"The labels that are most likely wrong; about {expected:.0f} of these {len(order)} are. "
        note += "The percentage is the probability."
    return Gallery("Labels to check first", note, (("", tuple(pictures)),))
