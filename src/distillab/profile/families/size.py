"""Number of images and classes, pixels, files."""

from __future__ import annotations

import numpy as np

from distillab.data.examples import IMAGE
from distillab.modalities import modality_of
from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import wilson_interval
from distillab.profile.measure import Family, Grid, exact_interval
from distillab.profile.profiled_dataset import ProfiledDataset


def measure_size(data: ProfiledDataset) -> Family:
    """Count images, classes, pixels and unreadable files."""
    family = FamilyBuilder("size", "Size and shape", data.watch)
    images, counts = data.images, data.images.counts
    n, classes = len(images), len(data.classes)
    family.add(
        "images",
        "images",
        n,
        exact_interval(n),
        n,
        "Hypothesis: the fewer images, the more a teacher trained on more data adds; for a teacher trained "
        "on the same images the sign is open.",
        unit="count",
        hypothesis=True,
        claims=("C1",),
    )
    family.add(
        "classes",
        "classes",
        classes,
        exact_interval(classes),
        n,
        "Hypothesis: the gain of distilling logits grows with the number of classes; with two to five there "
        "is little information beyond the label, and feature methods have more to transfer.",
        unit="count",
        hypothesis=True,
        claims=("C9",),
    )
    family.add(
        "images_per_class_min",
        "images in the smallest class",
        int(counts.min()),
        exact_interval(int(counts.min())),
        n,
        "The training data of the rarest class; below about 20 images its accuracy cannot be measured well.",
        unit="count",
    )
    median = float(np.median(counts))
    family.add(
        "images_per_class_median",
        "images in the median class",
        median,
        exact_interval(median),
        n,
        "The level of the factor `size` that corresponds to this dataset.",
        unit="count",
    )
    _add_shape(family, data)
    _note_file_sizes(family, data)
    _add_broken(family, data)
    splits = {"profiled": images, **data.held_out}
    rows = tuple(
        (name, len(part), int(part.counts.min()), int(part.counts.max())) for name, part in splits.items()
    )
    family.add_grid(Grid("Splits", ("split", "images", "smallest class", "largest class"), rows))
    if data.report.left_out:
        family.add_grid(Grid("Files left out", ("files", "number"), tuple(data.report.left_out.items())))
    _note_reading(family, data)
    return family.build()


def _note_reading(family: FamilyBuilder, data: ProfiledDataset) -> None:
    """Note what was found while reading, and whether recordings are in several parts."""
    wholes = data.images.wholes
    if wholes is not None and len(np.unique(wholes)) < len(wholes):
        family.add_note(
            "Each recording is in several parts, which count one by one. A part may be judged by other parts "
            "of the same recording, so that accuracies are optimistic."
        )
    for sentence in data.report.notes:
        family.add_note(sentence)


def _add_shape(family: FamilyBuilder, data: ProfiledDataset) -> None:
    channels, height, width = data.images.shape
    if data.images.modality != IMAGE:
        family.add_note(
            f"Every example is brought to {modality_of(data.images).describe(data.images.shape)}."
        )
        return
    family.add(
        "height",
        f"height in pixels ({width}x{height}, {channels} channel{'s' if channels > 1 else ''})",
        height,
        exact_interval(height),
        len(data.images),
        "Up to 64 pixels, the first layers of a network must be adapted to small images; a teacher may get "
        "more pixels than its student.",
        unit="pixels",
        claims=("C12", "C15"),
    )


def _add_broken(family: FamilyBuilder, data: ProfiledDataset) -> None:
    """Add the share of files of all splits that could not be decoded."""
    n = len(data.images) + sum(map(len, data.held_out.values()))
    broken = len(data.report.broken)
    family.add(
        "broken_share",
        "files that cannot be decoded",
        broken / (n + broken),
        wilson_interval(broken, n + broken),
        n + broken,
        "They are left out here; a study refuses them unless `on_broken: skip` is set.",
        unit="share",
        alarm=f"{broken} file{'s' if broken > 1 else ''} cannot be decoded." if broken else "",
    )


def _note_file_sizes(family: FamilyBuilder, data: ProfiledDataset) -> None:
    """Note the sizes of the files, and of the images in them before resizing."""
    columns = data.file_columns()
    if "bytes" in columns and "width" in columns:
        sizes = columns["bytes"]
        pixels = columns["width"] * columns["height"]
        smallest, largest = f"{int(pixels.min()):,}", f"{int(pixels.max()):,}"
        low, high = np.percentile(sizes, [2.5, 97.5])
        family.add_note(
            f"Median file size: {int(np.median(sizes)):,} bytes; 95 % of the files have {int(low):,} to "
            f"{int(high):,}. Images have {smallest if smallest == largest else f'{smallest} to {largest}'} "
            "pixels before resizing."
        )
