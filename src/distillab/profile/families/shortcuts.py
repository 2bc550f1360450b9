"""Shortcuts: how well the class can be predicted from features that leave out the subject."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from distillab.data.examples import Indices
from distillab.profile.cues import CUES, cue_features, image_features
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import balanced_accuracy_interval
from distillab.profile.measure import Family, Gallery, Grid, Interval
from distillab.profile.probe import FeatureMatrix, ProbePredictions, add_fourier_features, probe_out_of_fold
from distillab.profile.profiled_dataset import ProfiledDataset

_SAMPLE_SIZE = 8_000
# A cue is strong if it predicts at least this share of what the whole image predicts above chance, and the
# lower end of its interval lies at least this far above chance.
_STRONG_SHARE = 0.5
_STRONG_ABOVE_CHANCE = 0.1
# A strong cue beside the subject is a possible shortcut if it predicts the class better than the same
# features of the middle of the image: the lower end of the difference, as a share of the way from chance to
# perfect. Chosen with real datasets, without and with planted cues (benchmarks/shortcut_alarm.py).
_BEYOND_MIDDLE = 0.03
# Bytes follow from content: scenes differ in detail. So complete a prediction is rarely due to content.
_FILE_SIZE_ALONE = 0.9
_IMAGES_SHOWN = 6  # per class
_CLASSES_SHOWN = 6
_COLUMNS = ("cue", "balanced accuracy", "share of the whole image's", "the same of the middle")


@dataclass(frozen=True, eq=False)
class CueResult:
    """What a probe predicts from a cue, from the whole image, and from the middle of the image.

    Attributes:
        name: A key of :data:`~distillab.profile.cues.CUES`.
        alone: Predictions from the cue.
        whole: Predictions from the whole image.
        middle: Predictions from the same features of the middle; None if the cue has no place in the image.
    """

    name: str
    alone: ProbePredictions
    whole: ProbePredictions
    middle: ProbePredictions | None = None

    @property
    def relative(self) -> float:
        """What the cue predicts beyond chance, as a share of what the whole image does."""
        return chance_corrected_accuracy(self.alone) / max(chance_corrected_accuracy(self.whole), 1e-9)

    @property
    def strong(self) -> bool:
        """Whether the cue predicts the class well, be it a shortcut or what defines the class."""
        low = balanced_accuracy_interval(self.alone.recalls, self.alone.counts).low
        return self.relative >= _STRONG_SHARE and low - self.alone.chance >= _STRONG_ABOVE_CHANCE

    @property
    def beyond_middle(self) -> Interval:
        """What the cue predicts better than the middle of the image, from chance (0) to perfect (1)."""
        if self.middle is None:
            return Interval(math.nan, math.nan, "none: the cue has no place in the image")
        difference = chance_corrected_accuracy(self.alone) - chance_corrected_accuracy(self.middle)
        both = [balanced_accuracy_interval(each.recalls, each.counts) for each in (self.alone, self.middle)]
        half = math.hypot(*((each.high - each.low) / 2 for each in both)) / (1 - self.alone.chance)
        return Interval(difference - half, difference + half, "normal, by class")

    @property
    def possible_shortcut(self) -> bool:
        """Whether there is evidence that a strong cue does not belong to the subject."""
        if not self.strong:
            return False
        if self.middle is not None:
            return self.beyond_middle.low >= _BEYOND_MIDDLE
        if self.name == "file_size":
            return chance_corrected_accuracy(self.alone) >= _FILE_SIZE_ALONE
        return self.name == "image_size"


def chance_corrected_accuracy(probed: ProbePredictions) -> float:
    """Return the balanced accuracy rescaled so that 0 is chance and 1 is perfect.

    Example:
        >>> perfect = ProbePredictions(np.eye(2), np.array([0, 1]))
        >>> chance_corrected_accuracy(perfect)
        1.0
    """
    return (probed.balanced_accuracy - probed.chance) / (1 - probed.chance)


def whole_image(data: ProfiledDataset, sample: Indices) -> ProbePredictions:
    """Return the predictions from the embedding of the whole image.

    Args:
        data: The dataset.
        sample: Positions of the images to use, by ascending id, int64 ``[M]``.
    """
    return _probe(data.vectors[sample], data, sample)


def measure_cue(
    name: str, data: ProfiledDataset, sample: Indices, whole: ProbePredictions
) -> CueResult | None:
    """Return what a cue predicts, or None if it is not available.

    Args:
        name: A key of :data:`~distillab.profile.cues.CUES`.
        data: The dataset.
        sample: Positions of the images to use, by ascending id, int64 ``[M]``.
        whole: Predictions from the whole image.
    """
    features = cue_features(name, data.images, sample, data.file_columns())
    if features is None:
        return None
    alone, extract = _probe(features, data, sample), CUES[name].middle
    if extract is None:
        return CueResult(name, alone, whole)
    inner = image_features(extract, data.images.select(sample))
    return CueResult(name, alone, whole, _uninformed(whole) if inner is None else _probe(inner, data, sample))


def _probe(features: FeatureMatrix, data: ProfiledDataset, sample: Indices) -> ProbePredictions:
    labels, ids = data.images.labels[sample], data.images.ids[sample]
    return probe_out_of_fold(
        add_fourier_features(features), labels, ids, len(data.classes), uniform_prior=True
    )


def _uninformed(whole: ProbePredictions) -> ProbePredictions:
    """Return predictions from features that are the same for all images: always the first class."""
    return ProbePredictions(
        np.eye(whole.probabilities.shape[1])[np.zeros(len(whole.labels), int)], whole.labels
    )


def measure_shortcuts(data: ProfiledDataset) -> Family:
    """Measure the accuracy of each cue alone and of the whole image, classes weighted equally."""
    family = FamilyBuilder("shortcuts", "Shortcuts", data.watch)
    sample = data.sample(_SAMPLE_SIZE)
    sample = sample[np.argsort(data.images.ids[sample], kind="stable")]
    whole = whole_image(data, sample)
    family.add(
        "whole_image_balanced_accuracy",
        f"the whole image predicts the class (chance {100 * whole.chance:.1f} %)",
        whole.balanced_accuracy,
        balanced_accuracy_interval(whole.recalls, whole.counts),
        len(sample),
        "The reference for the cues below: the same probe on the embedding of the whole image.",
        unit="share",
    )
    rows = []
    for name in CUES:
        result = measure_cue(name, data, sample, whole)
        if result is None:
            family.add_note(_why_left_out(name, data, data.file_columns()))
            continue
        _add_cue(family, result)
        rows.append(_row(data, result))
        if result.strong:
            family.add_gallery(_most_confident(data, sample, result.alone, CUES[name].label))
    family.add_grid(
        Grid("Accuracy from each cue", (*_COLUMNS, "best predicted class", "its accuracy"), tuple(rows))
    )
    return family.build()


def _row(data: ProfiledDataset, result: CueResult) -> tuple[str, ...]:
    best = int(result.alone.recalls.argmax())
    return (
        CUES[result.name].label,
        f"{100 * result.alone.balanced_accuracy:.1f} %",
        f"{100 * max(0.0, result.relative):.0f} %",
        "–" if result.middle is None else f"{100 * result.middle.balanced_accuracy:.1f} %",
        data.classes[best],
        f"{100 * result.alone.recalls[best]:.0f} %",
    )


def _add_cue(family: FamilyBuilder, result: CueResult) -> None:
    cue, alone = CUES[result.name], result.alone
    family.add(
        f"cue_{result.name}",
        f"{cue.label} alone",
        alone.balanced_accuracy,
        balanced_accuracy_interval(alone.recalls, alone.counts),
        len(alone.labels),
        f"Uses only {cue.about}. {_meaning(result)}Hypothesis: the stronger a cue in the transfer data, the "
        "more a student distilled with the plain loss relies on it.",
        unit="share",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=_alarm(result) if result.possible_shortcut else "",
    )


def _meaning(result: CueResult) -> str:
    """Return how to read a strong cue for which nothing shows that it is a shortcut."""
    if not result.strong or result.possible_shortcut:
        return ""
    if result.middle is not None:
        return (
            "No evidence of a shortcut: the middle of the image predicts the class about as well from the "
            "same features. "
        )
    return (
        f"No evidence of a shortcut: {CUES[result.name].label} may belong to the classes, as color does to "
        "flowers. Images cannot tell; it is a shortcut if it would differ where the student is used. "
    )


def _alarm(result: CueResult) -> str:
    label = CUES[result.name].label
    alone, reference = (100 * each.balanced_accuracy for each in (result.alone, result.whole))
    start = f"{label.capitalize()} alone predicts the class with {alone:.0f} %"
    chance = f"chance {100 * result.whole.chance:.0f} %, whole image {reference:.0f} %"
    if result.middle is None:
        return f"{start} ({chance}): the classes may come from different sources, a possible shortcut."
    middle = 100 * result.middle.balanced_accuracy
    return (
        f"{start} ({chance}), better than the middle of the image does from the same features "
        f"({middle:.0f} %): a possible shortcut."
    )


def _why_left_out(name: str, data: ProfiledDataset, columns: dict[str, Indices]) -> str:
    cue = CUES[name]
    label = cue.label.capitalize()
    if cue.extract is not None:
        if min(data.images.shape[1:]) < cue.smallest:
            return f"{label} is left out: images are below {cue.smallest} pixels."
        return f"{label} is left out: it is the same for all images."
    known = "bytes" in columns if name == "file_size" else "width" in columns
    reason = "it is the same for all images" if known else "it is not known for these data"
    return f"{label} is left out: {reason}."


def _most_confident(data: ProfiledDataset, sample: Indices, probed: ProbePredictions, label: str) -> Gallery:
    """Show the images that the cue predicts correctly with the highest probability, by class."""
    rows = []
    order = np.argsort(-probed.recalls, kind="stable")
    for cls in order[:_CLASSES_SHOWN]:
        members = np.flatnonzero((probed.labels == cls) & (probed.predicted == cls))
        first = np.argsort(-probed.probabilities[members, cls], kind="stable")[:_IMAGES_SHOWN]
        pictures = tuple(
            data.picture(int(sample[p]), f"{100 * probed.probabilities[p, cls]:.0f} %")
            for p in members[first]
        )
        rows.append((data.classes[cls], pictures))
    return Gallery(
        f"Predicted from their {label} alone",
        f"Images whose class the {label} predicts with the highest probability.",
        tuple(rows),
    )
