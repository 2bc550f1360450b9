"""Shortcuts: what of the class a probe can tell that never sees the subject."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import Indices
from distillab.profile.cues import CUES, cue_features
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import balanced
from distillab.profile.measure import Family, Gallery, Grid
from distillab.profile.probe import Probed, curved, out_of_fold
from distillab.profile.subject import Subject

FROM = 8_000  # images
SHARE = 0.5  # of what the whole image tells beyond chance, from which a cue is called a possible shortcut
ABOVE = 0.1  # by how much, at the least, its accuracy exceeds chance
EXAMPLES = 6
CLASSES_SHOWN = 6


def told(probed: Probed) -> float:
    """Accuracy above chance as a share of what there is above it: 0 is guessing, 1 is always right."""
    chance = 1 / int((probed.counts > 0).sum())
    return (probed.balanced_accuracy - chance) / (1 - chance)


def measure(subject: Subject) -> Family:
    """Each cue alone against the whole image, classes weighted equally."""
    book = FamilyBuilder("shortcuts", "Shortcuts", subject.watch)
    some = subject.sample(FROM)
    some = some[np.argsort(subject.images.ids[some], kind="stable")]
    labels, ids = subject.images.labels[some], subject.images.ids[some]
    classes = len(subject.classes)
    whole = out_of_fold(curved(subject.vectors[some]), labels, ids, classes, uniform_prior=True)
    chance = 1 / int((whole.counts > 0).sum())
    book.add(
        "whole_image_balanced_accuracy",
        f"the whole image tells the class (chance {100 * chance:.1f} %)",
        whole.balanced_accuracy,
        balanced(whole.recalls, whole.counts),
        len(some),
        "The yardstick for the cues below: the same probe on the embedding of the whole image.",
        unit="share",
    )
    columns = subject.file_columns()
    rows = []
    for name, cue in CUES.items():
        features = cue_features(name, subject.images, some, columns)
        if features is None:
            book.note(_left_out(name, subject, columns))
            continue
        probed = out_of_fold(curved(features), labels, ids, classes, uniform_prior=True)
        low = balanced(probed.recalls, probed.counts).low
        part = told(probed) / max(told(whole), 1e-9)
        found = part >= SHARE and low - chance >= ABOVE
        _add(book, name, probed, whole, found)
        rows.append(
            (
                cue.label,
                f"{100 * probed.balanced_accuracy:.1f} %",
                f"{100 * max(0.0, part):.0f} %",
                *_best(probed, subject),
            )
        )
        if found:
            book.show(_examples(subject, some, probed, cue.label))
    book.tabulate(
        Grid(
            "What each cue tells",
            ("cue", "accuracy by class", "of what the whole image tells", "best told class", "its accuracy"),
            tuple(rows),
        )
    )
    return book.close()


def _add(book: FamilyBuilder, name: str, probed: Probed, whole: Probed, found: bool) -> None:
    """Write down one cue."""
    cue = CUES[name]
    book.add(
        f"cue_{name}",
        f"{cue.label} alone",
        probed.balanced_accuracy,
        balanced(probed.recalls, probed.counts),
        len(probed.labels),
        f"Looks only at {cue.about}. Hypothesis: the stronger a cue in the transfer data, the more a "
        "plainly "
        "distilled student leans on it.",
        unit="share",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=_alarm(cue.label, probed, whole) if found else "",
    )


def _alarm(label: str, probed: Probed, whole: Probed) -> str:
    chance = 100 / int((whole.counts > 0).sum())
    alone, all_of_it = (100 * each.balanced_accuracy for each in (probed, whole))
    return (
        f"{label.capitalize()} alone tells the class with {alone:.0f} % (chance {chance:.0f} %, whole image "
        f"{all_of_it:.0f} %): a possible shortcut."
    )


def _best(probed: Probed, subject: Subject) -> tuple[str, str]:
    best = int(probed.recalls.argmax())
    return subject.classes[best], f"{100 * probed.recalls[best]:.0f} %"


def _left_out(name: str, subject: Subject, columns: dict[str, Indices]) -> str:
    cue = CUES[name]
    if cue.see is not None:
        if min(subject.images.shape[1:]) < cue.smallest:
            return f"{cue.label.capitalize()} is left out: images are below {cue.smallest} pixels."
        return f"{cue.label.capitalize()} is left out: it is the same for all images."
    known = "bytes" in columns if name == "file_size" else "width" in columns
    why = "it is the same for all images" if known else "these data come without it"
    return f"{cue.label.capitalize()} is left out: {why}."


def _examples(subject: Subject, some: Indices, probed: Probed, label: str) -> Gallery:
    """Images that the cue is surest of, by class."""
    rows = []
    order = np.argsort(-probed.recalls, kind="stable")
    for own in order[:CLASSES_SHOWN]:
        members = np.flatnonzero((probed.labels == own) & (probed.predicted == own))
        surest = members[np.argsort(-probed.probabilities[members, own], kind="stable")[:EXAMPLES]]
        pictures = tuple(
            subject.picture(int(some[p]), f"{100 * probed.probabilities[p, own]:.0f} % sure") for p in surest
        )
        rows.append((subject.classes[own], pictures))
    return Gallery(
        f"Told by their {label} alone", f"Images whose class the {label} is surest of.", tuple(rows)
    )
