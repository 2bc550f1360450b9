"""Shortcuts: how well the class can be predicted from features that leave out the subject."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import Indices
from distillab.profile.cues import CUES, cue_features
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import balanced_accuracy_interval
from distillab.profile.measure import Family, Gallery, Grid
from distillab.profile.probe import ProbePredictions, add_fourier_features, probe_out_of_fold
from distillab.profile.profiled_dataset import ProfiledDataset

_SAMPLE_SIZE = 8_000
# A cue is a possible shortcut if it predicts at least this share of what the whole image predicts above
# chance, and the lower end of its interval lies at least this far above chance.
_ALARM_SHARE = 0.5
_ALARM_ABOVE_CHANCE = 0.1
_IMAGES_SHOWN = 6  # per class
_CLASSES_SHOWN = 6


def chance_corrected_accuracy(probed: ProbePredictions) -> float:
    """Return the balanced accuracy rescaled so that 0 is chance and 1 is perfect.

    Example:
        >>> perfect = ProbePredictions(np.eye(2), np.array([0, 1]))
        >>> chance_corrected_accuracy(perfect)
        1.0
    """
    return (probed.balanced_accuracy - probed.chance) / (1 - probed.chance)


def measure_shortcuts(data: ProfiledDataset) -> Family:
    """Measure the accuracy of each cue alone and of the whole image, classes weighted equally."""
    family = FamilyBuilder("shortcuts", "Shortcuts", data.watch)
    sample = data.sample(_SAMPLE_SIZE)
    sample = sample[np.argsort(data.images.ids[sample], kind="stable")]
    labels, ids = data.images.labels[sample], data.images.ids[sample]
    classes = len(data.classes)
    whole = probe_out_of_fold(
        add_fourier_features(data.vectors[sample]), labels, ids, classes, uniform_prior=True
    )
    family.add(
        "whole_image_balanced_accuracy",
        f"the whole image predicts the class (chance {100 * whole.chance:.1f} %)",
        whole.balanced_accuracy,
        balanced_accuracy_interval(whole.recalls, whole.counts),
        len(sample),
        "The reference for the cues below: the same probe on the embedding of the whole image.",
        unit="share",
    )
    columns = data.file_columns()
    rows = []
    for name, cue in CUES.items():
        features = cue_features(name, data.images, sample, columns)
        if features is None:
            family.add_note(_why_left_out(name, data, columns))
            continue
        probed = probe_out_of_fold(add_fourier_features(features), labels, ids, classes, uniform_prior=True)
        low = balanced_accuracy_interval(probed.recalls, probed.counts).low
        relative = chance_corrected_accuracy(probed) / max(chance_corrected_accuracy(whole), 1e-9)
        alarming = relative >= _ALARM_SHARE and low - whole.chance >= _ALARM_ABOVE_CHANCE
        _add_cue(family, name, probed, whole, alarming)
        best = int(probed.recalls.argmax())
        rows.append(
            (
                cue.label,
                f"{100 * probed.balanced_accuracy:.1f} %",
                f"{100 * max(0.0, relative):.0f} %",
                data.classes[best],
                f"{100 * probed.recalls[best]:.0f} %",
            )
        )
        if alarming:
            family.add_gallery(_most_confident(data, sample, probed, cue.label))
    family.add_grid(
        Grid(
            "Accuracy from each cue",
            (
                "cue",
                "balanced accuracy",
                "share of the whole image's",
                "best predicted class",
                "its accuracy",
            ),
            tuple(rows),
        )
    )
    return family.build()


def _add_cue(
    family: FamilyBuilder, name: str, probed: ProbePredictions, whole: ProbePredictions, alarming: bool
) -> None:
    cue = CUES[name]
    family.add(
        f"cue_{name}",
        f"{cue.label} alone",
        probed.balanced_accuracy,
        balanced_accuracy_interval(probed.recalls, probed.counts),
        len(probed.labels),
        f"Uses only {cue.about}. Hypothesis: the stronger a cue in the transfer data, the more a student "
        "distilled with the plain loss relies on it.",
        unit="share",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=_alarm(cue.label, probed, whole) if alarming else "",
    )


def _alarm(label: str, probed: ProbePredictions, whole: ProbePredictions) -> str:
    alone, reference = (100 * each.balanced_accuracy for each in (probed, whole))
    return (
        f"{label.capitalize()} alone predicts the class with {alone:.0f} % "
        f"(chance {100 * whole.chance:.0f} %, whole image {reference:.0f} %): a possible shortcut."
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
