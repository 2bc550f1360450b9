"""What sounds and texts consist of: lengths before they are cut or padded, and the characters of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import balanced_accuracy_interval, bootstrap_interval, wilson_interval
from distillab.profile.measure import Family, Grid, exact_interval
from distillab.profile.probe import probe_out_of_fold
from distillab.profile.profiled_dataset import SAMPLING_SEED, ProfiledDataset

_STRONG = 0.5  # share of the way from chance to perfect that lengths predict, for an alarm
_ITEMS_READ = 4096  # at a time
_CHARACTERS_SHOWN = 20
_ALARM_UNKNOWN = 0.01  # share of the characters of a split that train does not have


def measure_content(data: ProfiledDataset) -> Family | None:
    """Measure lengths, what they predict of the class, and the vocabulary; None for images."""
    modality = data.images.modality
    if modality == "image":
        return None
    family = FamilyBuilder(
        "content", "Lengths and characters" if modality == "text" else "Lengths", data.watch
    )
    lengths = data.lengths()
    if lengths is None:
        family.add_note("The length of the examples before they are cut or padded is not known.")
    else:
        _add_lengths(family, data, lengths, "characters" if modality == "text" else "seconds")
    if modality == "text":
        _add_vocabulary(family, data)
    return family.build()


def _add_lengths(
    family: FamilyBuilder, data: ProfiledDataset, lengths: npt.NDArray[np.float64], unit: str
) -> None:
    median, n = float(np.median(lengths)), len(lengths)
    family.add(
        "length_median",
        f"median length in {unit}",
        median,
        bootstrap_interval(lambda rows: float(np.median(lengths[rows])), n, seed=SAMPLING_SEED),
        n,
        "Longer examples are cut and shorter ones are padded to one length, by the keys of the source.",
    )
    for key, label, value in (("min", "shortest", lengths.min()), ("max", "longest", lengths.max())):
        family.add(
            f"length_{key}",
            f"length of the {label} example in {unit}",
            float(value),
            exact_interval(float(value)),
            n,
            "An example that is much shorter or longer than the others may be broken.",
        )
    _add_cue(family, data, lengths)
    low, high = np.percentile(lengths, [2.5, 97.5])
    family.add_note(f"95 % of the examples have {low:,.6g} to {high:,.6g} {unit}.")


def _add_cue(family: FamilyBuilder, data: ProfiledDataset, lengths: npt.NDArray[np.float64]) -> None:
    """Add what a probe predicts from the length alone, which says nothing of the content."""
    labels, positions = data.images.labels, np.flatnonzero(data.images.labels >= 0)
    if (data.images.counts > 1).sum() < 2 or lengths.min() == lengths.max():
        return
    logs = np.log(np.maximum(lengths[positions], 1e-6))
    features = np.stack([logs, logs**2], axis=1)
    probed = probe_out_of_fold(
        features, labels[positions], data.images.ids[positions], len(data.classes), uniform_prior=True
    )
    beyond = (probed.balanced_accuracy - probed.chance) / (1 - probed.chance)
    interval = balanced_accuracy_interval(probed.recalls, probed.counts)
    family.add(
        "cue_length",
        "balanced accuracy from the length alone",
        probed.balanced_accuracy,
        interval,
        len(positions),
        f"Chance is {100 * probed.chance:.1f} %. Hypothesis: a student learns from lengths, or from the "
        "padding after the end, if they predict the class, and a teacher that does so passes it on.",
        unit="share",
        hypothesis=True,
        claims=("C23", "C26"),
        alarm=f"The length alone predicts the class with {100 * probed.balanced_accuracy:.0f} % balanced "
        f"accuracy (chance {100 * probed.chance:.0f} %): a possible shortcut."
        if beyond >= _STRONG and interval.low > probed.chance
        else "",
    )


def _add_vocabulary(family: FamilyBuilder, data: ProfiledDataset) -> None:
    counts = _characters(data.images)
    total, once = counts.total(), sum(count == 1 for count in counts.values())
    family.add(
        "vocabulary",
        "different characters",
        len(counts),
        exact_interval(len(counts)),
        len(data.images),
        "Each one is a row of the table that networks for texts begin with, so it is part of their size.",
        unit="count",
    )
    family.add(
        "characters_once",
        "characters that occur once",
        once / len(counts),
        wilson_interval(once, len(counts)),
        len(counts),
        "A network cannot learn what a character means from one example.",
        unit="share",
    )
    for name, part in data.held_out.items():
        mine = _characters(part)
        unknown = sum(count for character, count in mine.items() if character not in counts)
        share = unknown / mine.total()
        family.add(
            f"unknown_characters_{name}",
            f"characters of {name} that the profiled texts do not have",
            share,
            wilson_interval(unknown, mine.total()),
            mine.total(),
            "They are all the same character to a network, which is given their share of train and no more.",
            unit="share",
            alarm=f"{100 * share:.1f} % of the characters of {name} do not occur in train."
            if share >= _ALARM_UNKNOWN
            else "",
        )
    shown = counts.most_common(_CHARACTERS_SHOWN)
    rows = tuple((chr(point), count, f"{100 * count / total:.2f} %") for point, count in shown)
    family.add_grid(Grid("Most frequent characters", ("character", "occurrences", "share"), rows))


def _characters(texts: Examples) -> Counter[int]:
    """Count the code points of texts, without the zeros after their ends."""
    counts = Counter[int]()
    for rows in _batches(len(texts)):
        points, times = np.unique(texts.items(rows), return_counts=True)
        counts.update(dict(zip(points.tolist(), times.tolist(), strict=True)))
    del counts[0]
    return counts


def _batches(count: int) -> Iterator[Indices]:
    return (np.arange(start, min(start + _ITEMS_READ, count)) for start in range(0, count, _ITEMS_READ))
