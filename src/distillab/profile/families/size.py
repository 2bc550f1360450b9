"""How much there is: images, classes, pixels, files."""

from __future__ import annotations

import numpy as np

from distillab.profile.family_builder import FamilyBuilder
from distillab.profile.intervals import wilson
from distillab.profile.measure import Family, Grid, exact
from distillab.profile.subject import Subject

SMALL = (
    "Hypothesis: the fewer images, the more a teacher that has seen more data adds; with a teacher of "
    "the same few "
    "images the sign is open."
)


def measure(subject: Subject) -> Family:
    """Counts and shapes; and files that could not be read."""
    book = FamilyBuilder("size", "Size and shape", subject.watch)
    images, counts = subject.images, subject.images.counts
    n, classes = len(images), len(subject.classes)
    channels, height, width = images.shape

    def count(key: str, label: str, value: float, means: str, **more: object) -> None:
        book.add(key, label, value, exact(value), n, means, unit="count", **more)  # type: ignore[arg-type]

    count("images", "images", n, SMALL, hypothesis=True, claims=("C1",))
    count(
        "classes",
        "classes",
        classes,
        "Hypothesis: the gain of distilling logits grows with the number of classes; with two to five "
        "there is "
        "little to tell beyond the label, and methods on features have more to give.",
        hypothesis=True,
        claims=("C9",),
    )
    count(
        "images_per_class_min",
        "images in the smallest class",
        int(counts.min()),
        "What the worst class has to learn from; below some 20 its accuracy cannot be measured well either.",
    )
    count(
        "images_per_class_median",
        "images in the median class",
        float(np.median(counts)),
        "The level of the factor `size` that this dataset stands at.",
    )
    side = f"{width}x{height}"
    book.add(
        "height",
        f"height in pixels ({side}, {channels} channel{'s' if channels > 1 else ''})",
        height,
        exact(height),
        n,
        "Up to 64 pixels the first layers of networks must be fitted to small images; a teacher may see more "
        "pixels than its student.",
        unit="pixels",
        claims=("C12", "C15"),
    )
    _files(book, subject)
    _broken(book, subject)
    splits = {"profiled": images, **subject.held_out}
    rows = tuple(
        (name, len(part), int(part.counts.min()), int(part.counts.max())) for name, part in splits.items()
    )
    book.tabulate(Grid("Splits", ("split", "images", "smallest class", "largest class"), rows))
    for sentence in subject.report.notes:
        book.note(sentence)
    return book.close()


def _broken(book: FamilyBuilder, subject: Subject) -> None:
    """Files that could not be decoded, of those of all splits."""
    n = len(subject.images) + sum(map(len, subject.held_out.values()))
    broken = len(subject.report.broken)
    book.add(
        "broken_share",
        "files that cannot be decoded",
        broken / (n + broken),
        wilson(broken, n + broken),
        n + broken,
        "They are left out here; a study stops at them unless told `on_broken: skip`.",
        unit="share",
        alarm=f"{broken} files cannot be decoded." if broken else "",
    )


def _files(book: FamilyBuilder, subject: Subject) -> None:
    """Sizes of the files and of the images in them before any resizing."""
    columns = subject.file_columns()
    if "bytes" in columns and "width" in columns:
        sizes = columns["bytes"]
        pixels = columns["width"] * columns["height"]
        least, most = f"{int(pixels.min()):,}", f"{int(pixels.max()):,}"
        low, high = np.percentile(sizes, [2.5, 97.5])
        book.note(
            f"Files hold {int(np.median(sizes)):,} bytes in the median; 95 % of them {int(low):,} to "
            f"{int(high):,}. "
            f"Images have {least if least == most else f'{least} to {most}'} pixels before resizing."
        )
