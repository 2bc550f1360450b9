"""What a teacher says: how right, how sure, how steady, and how it spreads its answers on a transfer set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from distillab.data.examples import Examples, Indices
from distillab.modalities.image.views import Views
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import jackknife, normal_mean, wilson
from distillab.profile.measure import Family, Gallery
from distillab.profile.subject import SEED, Subject
from distillab.profile.teacher import GivenTeacher
from distillab.tasks.classification_metrics import classification_metrics

Values = npt.NDArray[np.float64]
FROM = 5_000  # images of a transfer set
STEADY_FROM = 1_000  # images of which views are asked about
VIEWS = 8
MARGIN = 0.1  # between the first and the second probability, below which an image is near a boundary
BATCH = 256
SHOWN = 12


# Of each measure: its label, what it means, and the claims behind that.
OF_LOGITS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "ece": (
        "calibration error (ECE, 15 bins)",
        "Hypothesis: the less calibrated a teacher, the worse its students; a temperature mends most of it.",
        ("C14",),
    ),
    "nll": ("negative log-likelihood, nats", "Accuracy and calibration in one.", ()),
}
OF_IMAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "entropy": (
        "entropy of its answers, nats",
        "Near 0 it says little beyond the label, unless a temperature softens it.",
        (),
    ),
    "non_target_entropy": (
        "entropy among the other classes, nats",
        "Hypothesis: with few data, what a teacher says of the wrong classes decides which teacher is best.",
        ("C5",),
    ),
    "top_ratio": (
        "first / second logit",
        "Hypothesis: for fine classes a better guide to a teacher than its accuracy. The last hundredth of "
        "images at either end is cut off, as a ratio has no mean otherwise.",
        ("C11",),
    ),
}


def entropies(probabilities: Values) -> Values:
    """Shannon entropy of each row, in nats: float64 ``[N]``."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1))


def non_target_entropies(probabilities: Values, labels: Indices) -> Values:
    """Entropy of what is said of the classes other than the label, in nats: float64 ``[N]``."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = 0
    return entropies(others / np.maximum(others.sum(axis=1, keepdims=True), 1e-300))


def top_ratios(logits: Values) -> Values:
    """First over second logit of each row, after the mean of the row is taken out, as softmax does not know
    it: float64 ``[N]``."""
    ordered = np.sort(logits - logits.mean(axis=1, keepdims=True), axis=1)
    return ordered[:, -1] / np.where(np.abs(ordered[:, -2]) < 1e-9, 1e-9, ordered[:, -2])


def top_margins(probabilities: Values) -> Values:
    """First minus second probability of each row: float64 ``[N]``."""
    ordered = np.sort(probabilities, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def class_entropy(probabilities: Values) -> float:
    """Entropy of the mean answer over its maximum: 1 if all classes are said equally often."""
    mean = probabilities.mean(axis=0, keepdims=True)
    return float(entropies(mean)[0] / np.log(probabilities.shape[1]))


def measure(subject: Subject) -> Family | None:
    """On the test images: accuracy, calibration, sharpness; on transfer images: spread and steadiness."""
    teacher = subject.teacher
    if teacher is None:
        return None
    book = FamilyBuilder("teacher", f"Teacher: {teacher.name}", subject.watch)
    _on_test(book, subject.tested, teacher)
    transfer = subject.transfer.select(subject.sample(FROM, subject.transfer))
    logits = teacher.logits(transfer)
    probabilities = softmax(logits, axis=1)
    n, spread = len(transfer), class_entropy(probabilities)
    book.add(
        "transfer_class_entropy",
        "entropy of its mean answer on transfer images / maximum",
        spread,
        jackknife(lambda i: class_entropy(probabilities[i]), n, spread, least=0.0, most=1.0),
        n,
        "Hypothesis: a transfer set serves if the teacher spreads its answers evenly over the classes on it.",
        hypothesis=True,
        claims=("C28",),
    )
    margins = top_margins(probabilities)
    near = margins < MARGIN
    book.add(
        "transfer_boundary_mass",
        f"transfer images near a boundary (first and second within {MARGIN:g})",
        float(near.mean()),
        wilson(int(near.sum()), n),
        n,
        "Hypothesis: images near decision boundaries carry most of what distilling can pass on.",
        unit="share",
        hypothesis=True,
        claims=("C28",),
    )
    _steadiness(book, transfer, teacher)
    pictures = tuple(
        subject.picture(int(p), _doubt(probabilities[p], subject.classes), transfer)
        for p in np.argsort(margins, kind="stable")[:SHOWN]
    )
    book.show(
        Gallery(
            "Nearest to a boundary", "Transfer images between two classes for the teacher.", (("", pictures),)
        )
    )
    book.note(f"Test: {len(subject.tested):,} images. Transfer: {n:,} images of train, drawn at random.")
    return book.close()


def _doubt(probabilities: Values, classes: tuple[str, ...]) -> str:
    second, first = np.argsort(probabilities)[-2:]
    return f"{classes[first]} or {classes[second]}"


def _on_test(book: FamilyBuilder, tested: Examples, teacher: GivenTeacher) -> None:
    logits, labels = teacher.logits(tested), tested.labels
    n = len(labels)
    hits = int((logits.argmax(axis=1) == labels).sum())
    book.add(
        "teacher_accuracy",
        "accuracy",
        hits / n,
        wilson(hits, n),
        n,
        "Hypothesis: a better teacher is not always a better one to learn from; choose by calibration "
        "and steadiness "
        "as well.",
        unit="share",
        hypothesis=True,
        claims=("C11", "C14"),
    )

    found = classification_metrics(logits, labels)
    for name, (label, means, claims) in OF_LOGITS.items():
        book.add(
            f"teacher_{name}",
            label,
            found[name],
            jackknife(
                lambda i, name=name: classification_metrics(logits[i], labels[i])[name],  # type: ignore[misc]
                n,
                found[name],
                least=0.0,
            ),
            n,
            means,
            hypothesis=bool(claims),
            claims=claims,
        )
    probabilities = softmax(logits, axis=1)
    values = {
        "entropy": entropies(probabilities),
        "non_target_entropy": non_target_entropies(probabilities, labels),
        "top_ratio": _cut(top_ratios(logits)),
    }
    for name, (label, means, claims) in OF_IMAGES.items():
        book.add(
            f"teacher_{name}",
            label,
            float(values[name].mean()),
            normal_mean(values[name]),
            n,
            means,
            hypothesis=bool(claims),
            claims=claims,
        )


def _cut(values: Values) -> Values:
    """Values beyond the first and the last hundredth moved there: a ratio has no mean otherwise."""
    return np.clip(values, *np.percentile(values, [1, 99]))


def _steadiness(book: FamilyBuilder, transfer: Examples, teacher: GivenTeacher) -> None:
    images = transfer.select(np.arange(min(STEADY_FROM, len(transfer))))
    channels, height, _ = images.shape
    views = Views.resolve("auto", channels=channels, resolution=height)
    said = np.stack([_views(images, views, epoch, teacher) for epoch in range(VIEWS)])  # [V, N, C]
    own = said[:, np.arange(len(images)), images.labels]  # [V, N]
    every = np.arange(len(images))

    def steady(chosen: Indices) -> float:
        return float(said[:, chosen].mean(axis=1).std(axis=0, ddof=1).mean())

    book.add(
        "teacher_stddev",
        f"spread of its mean answer under {views.label} (T.stddev)",
        steady(every),
        jackknife(steady, len(images), steady(every), least=0.0),
        len(images),
        "The mean answer over images, its standard deviation over 8 draws of views, averaged over "
        "classes. Hypothesis: "
        "of several augmentations, the one under which it is lowest suits distilling best.",
        hypothesis=True,
        claims=("C16",),
    )
    spread = own.std(axis=0, ddof=1)
    book.add(
        "teacher_view_stddev",
        "spread of its probability of the label, view by view",
        float(spread.mean()),
        normal_mean(spread),
        len(images),
        "The same for single images. Where it is large, outputs stored for one view mislead under another.",
        claims=("C7",),
        hypothesis=True,
    )


def _views(images: Examples, views: Views, epoch: int, teacher: GivenTeacher) -> Values:
    """What the teacher says of one view of each image: float64 ``[N, C]``."""
    parts = []
    for start in range(0, len(images), BATCH):
        rows = np.arange(start, min(start + BATCH, len(images)))
        pixels = views.batch(images, rows, epoch, SEED, torch.device("cpu")).pixels
        parts.append(teacher.probabilities(pixels))
    found: Values = np.concatenate(parts)
    return found
