"""Outputs of a teacher: accuracy, calibration, sharpness, stability, and coverage of a transfer set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from distillab.data.examples import Examples, Indices
from distillab.modalities import modality_of
from distillab.modalities.views import Views
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife_interval, mean_interval, wilson_interval
from distillab.profile.loaded_teacher import LoadedTeacher
from distillab.profile.measure import Family, Gallery
from distillab.profile.profiled_dataset import SAMPLING_SEED, ProfiledDataset
from distillab.tasks.classification_metrics import classification_metrics

TeacherOutputs = npt.NDArray[np.float64]
_TRANSFER_SAMPLE_SIZE = 5_000
_VIEWED_IMAGES = 1_000
_VIEWS = 8  # per image
_BOUNDARY_MARGIN = 0.1  # difference of the two largest probabilities below which an image is near a boundary
_BATCH = 256
_IMAGES_SHOWN = 12


# For each measure of all logits: its label, its meaning, and the claims behind that.
_LOGIT_MEASURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "ece": (
        "calibration error (ECE, 15 bins)",
        "Hypothesis: the worse a teacher is calibrated, the worse its students; a temperature corrects most "
        "of it.",
        ("C14",),
    ),
    "nll": ("negative log-likelihood, nats", "Combines accuracy and calibration.", ()),
}
# The same for measures that are means over images.
_IMAGE_MEASURES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "entropy": (
        "entropy of its probabilities, nats",
        "Near 0 they contain little beyond the label, unless a temperature softens them.",
        (),
    ),
    "non_target_entropy": (
        "entropy among the other classes, nats",
        "Hypothesis: with few data, the probabilities of the wrong classes decide which teacher is best.",
        ("C5",),
    ),
    "top_ratio": (
        "first / second logit",
        "Hypothesis: for fine classes, a better criterion for choosing a teacher than its accuracy. The "
        "extreme 1 % of images at either end is clipped, since a ratio has no mean otherwise.",
        ("C11",),
    ),
}


def entropies(probabilities: TeacherOutputs) -> TeacherOutputs:
    """Return the Shannon entropy of each row, in nats: float64 ``[N]``."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1))


def non_target_entropies(probabilities: TeacherOutputs, labels: Indices) -> TeacherOutputs:
    """Return the entropy of the renormalized probabilities of the wrong classes, in nats: float64 ``[N]``."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = 0
    return entropies(others / np.maximum(others.sum(axis=1, keepdims=True), 1e-300))


def top_ratios(logits: TeacherOutputs) -> TeacherOutputs:
    """Return the first over the second logit of each row: float64 ``[N]``.

    The mean of each row is subtracted first, since softmax does not depend on it.

    Example:
        >>> top_ratios(np.array([[6.0, 3.0, 0.0, -9.0]]))
        array([2.])
    """
    ordered = np.sort(logits - logits.mean(axis=1, keepdims=True), axis=1)
    return ordered[:, -1] / np.where(np.abs(ordered[:, -2]) < 1e-9, 1e-9, ordered[:, -2])


def top_margins(probabilities: TeacherOutputs) -> TeacherOutputs:
    """Return the first minus the second probability of each row: float64 ``[N]``."""
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def class_coverage(probabilities: TeacherOutputs) -> float:
    """Return the entropy of the mean prediction divided by its maximum: 1 if it covers classes evenly."""
    mean = probabilities.mean(axis=0, keepdims=True)
    return float(entropies(mean)[0] / np.log(probabilities.shape[1]))


def measure_teacher_outputs(data: ProfiledDataset) -> Family | None:
    """Measure accuracy, calibration and sharpness on test images; coverage and stability on others."""
    teacher = data.teacher
    if teacher is None:
        return None
    family = FamilyBuilder("teacher", f"Teacher: {teacher.name}", data.watch)
    _add_test_measures(family, data.tested, teacher)
    transfer = data.transfer.select(data.sample(_TRANSFER_SAMPLE_SIZE, data.transfer))
    probabilities = softmax(teacher.logits(transfer), axis=1)
    _add_coverage(family, probabilities)
    if teacher.sees_views:
        _add_stability(family, transfer, teacher)
    order = np.argsort(top_margins(probabilities), kind="stable")
    pictures = tuple(
        data.picture(int(p), _two_likeliest(probabilities[p], data.classes), transfer)
        for p in order[:_IMAGES_SHOWN]
    )
    family.add_gallery(
        Gallery(
            "Nearest to a decision boundary",
            "Transfer images whose two most probable classes are closest.",
            (("", pictures),),
        )
    )
    family.add_note(
        f"Test: {len(data.tested):,} images. Transfer: {len(transfer):,} images of train, drawn at random."
    )
    return family.build()


def _two_likeliest(probabilities: TeacherOutputs, classes: tuple[str, ...]) -> str:
    second, first = np.argsort(probabilities)[-2:]
    return f"{classes[first]} or {classes[second]}"


def _add_coverage(family: FamilyBuilder, probabilities: TeacherOutputs) -> None:
    n, coverage = len(probabilities), class_coverage(probabilities)
    family.add(
        "transfer_class_entropy",
        "entropy of its mean prediction on transfer images / maximum",
        coverage,
        jackknife_interval(lambda i: class_coverage(probabilities[i]), n, coverage, minimum=0.0, maximum=1.0),
        n,
        "Hypothesis: a transfer set is useful if the teacher's predictions on it cover the classes evenly.",
        hypothesis=True,
        claims=("C28",),
    )
    near = top_margins(probabilities) < _BOUNDARY_MARGIN
    family.add(
        "transfer_boundary_mass",
        f"transfer images near a boundary (first and second within {_BOUNDARY_MARGIN:g})",
        float(near.mean()),
        wilson_interval(int(near.sum()), n),
        n,
        "Hypothesis: images near decision boundaries carry most of what distillation can transfer.",
        unit="share",
        hypothesis=True,
        claims=("C28",),
    )


def _add_test_measures(family: FamilyBuilder, tested: Examples, teacher: LoadedTeacher) -> None:
    logits, labels = teacher.logits(tested), tested.labels
    n = len(labels)
    hits = int((logits.argmax(axis=1) == labels).sum())
    family.add(
        "teacher_accuracy",
        "accuracy",
        hits / n,
        wilson_interval(hits, n),
        n,
        "Hypothesis: a more accurate teacher does not always lead to a better student; also consider "
        "calibration and stability.",
        unit="share",
        hypothesis=True,
        claims=("C11", "C14"),
    )
    metrics = classification_metrics(logits, labels)
    for name, (label, means, claims) in _LOGIT_MEASURES.items():

        def of_kept(kept: Indices, name: str = name) -> float:
            return classification_metrics(logits[kept], labels[kept])[name]

        family.add(
            f"teacher_{name}",
            label,
            metrics[name],
            jackknife_interval(of_kept, n, metrics[name], minimum=0.0),
            n,
            means,
            hypothesis=bool(claims),
            claims=claims,
        )
    probabilities = softmax(logits, axis=1)
    values = {
        "entropy": entropies(probabilities),
        "non_target_entropy": non_target_entropies(probabilities, labels),
        "top_ratio": _clip_extremes(top_ratios(logits)),
    }
    for name, (label, means, claims) in _IMAGE_MEASURES.items():
        family.add(
            f"teacher_{name}",
            label,
            float(values[name].mean()),
            mean_interval(values[name]),
            n,
            means,
            hypothesis=bool(claims),
            claims=claims,
        )


def _clip_extremes(values: TeacherOutputs) -> TeacherOutputs:
    """Clip values to their first and last percentile."""
    return np.clip(values, *np.percentile(values, [1, 99]))


def _add_stability(family: FamilyBuilder, transfer: Examples, teacher: LoadedTeacher) -> None:
    images = transfer.select(np.arange(min(_VIEWED_IMAGES, len(transfer))))
    views = modality_of(images).views("auto", images.shape)
    outputs = np.stack([_probabilities_of_views(images, views, epoch, teacher) for epoch in range(_VIEWS)])
    of_label = outputs[:, np.arange(len(images)), images.labels]  # [views, images]

    def spread_of_mean(kept: Indices) -> float:
        return float(outputs[:, kept].mean(axis=1).std(axis=0, ddof=1).mean())

    value = spread_of_mean(np.arange(len(images)))
    family.add(
        "teacher_stddev",
        f"spread of its mean prediction under {views.label} (T.stddev)",
        value,
        jackknife_interval(spread_of_mean, len(images), value, minimum=0.0),
        len(images),
        f"Standard deviation of the mean prediction over {_VIEWS} draws of views, averaged over classes. "
        "Hypothesis: of several augmentations, the one with the lowest value suits distillation best.",
        hypothesis=True,
        claims=("C16",),
    )
    spread = of_label.std(axis=0, ddof=1)
    family.add(
        "teacher_view_stddev",
        "spread of its probability of the label between views",
        float(spread.mean()),
        mean_interval(spread),
        len(images),
        "The same for single images. If it is large, outputs cached for one view mislead for another.",
        claims=("C7",),
        hypothesis=True,
    )


def _probabilities_of_views(
    images: Examples, views: Views, epoch: int, teacher: LoadedTeacher
) -> TeacherOutputs:
    """Return the teacher's probabilities for one view of each image: float64 ``[N, C]``."""
    parts = []
    for start in range(0, len(images), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(images)))
        pixels = views.batch(images, rows, epoch, SAMPLING_SEED, torch.device("cpu")).items
        parts.append(teacher.probabilities(pixels))
    found: TeacherOutputs = np.concatenate(parts)
    return found
