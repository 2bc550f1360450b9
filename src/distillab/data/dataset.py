"""Dataset: the content of a source after reading, checking and splitting, ready to be studied."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from distillab.canonical import JsonObject, spec_id
from distillab.data.channel_statistics import ChannelStatistics, StatisticsOf, statistics_of_pixels
from distillab.data.examples import IMAGE, Examples, Indices, Pool
from distillab.data.label_boxes import ImageLabelBoxes, LabelBox
from distillab.data.originals import Originals
from distillab.data.storage import open_items, write_items
from distillab.data.targets import TARGET_KINDS, Identities, Labels
from distillab.integrity import read_checked, read_checked_json, reading, was_written
from distillab.printable import counted

OTHERS = "others"  # the folder, within a dataset's, of the other datasets that a study names
ITEMS = "items.npy"
FACTS = "dataset.json"
ORIGINALS = "originals.npy"
EARLIER_ITEMS = "pixels.npy"
NamesOf = Callable[[], tuple[Indices, Sequence[str]]]
"""Returns the ids of examples, int64 ``[N]``, and the names that their source has for them."""


@dataclass(frozen=True)
class DataReport:
    """What was found while reading. Every number is shown in the report of a study.

    Attributes:
        duplicates: Exact duplicates by pair of splits, such as ``{"train/test": 10}``: examples of the first
            split that are also in the second.
        dropped_duplicates: How many of them were removed from train.
        broken: Paths (or row names) of examples that could not be decoded and were left out.
        carved: The splits carved from train because the source has none, such as ``("val", "test")``.
        notes: Anything else a reader must know, one sentence each.
        left_out: Number of files that were not read, by what they are, such as ``{".heic images": 60}``.

    Example:
        >>> DataReport(duplicates={"train/test": 10}, dropped_duplicates=10).carved
        ()
    """

    duplicates: dict[str, int] = field(default_factory=dict)
    dropped_duplicates: int = 0
    broken: tuple[str, ...] = ()
    carved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """The splits of a source: train (before any factor), val, and a named set of test sets.

    All splits refer to one pool and share ``classes``; test sets of identities that train does not have
    (:class:`~distillab.data.targets.Identities`) have their own.

    Attributes:
        name: Name of the dataset in results.
        train: Training split.
        val: Validation split.
        eval: Test sets by name; always with ``"test"``, the primary one.
        report: What was found while reading.
        others: Further datasets, by the name that a study gives them, with items of the same shape.
        known_statistics: Result of :meth:`normalization`, if it was computed before.
        statistics_of: Computes it; a function of the modality.
        originals: What the items were computed from, if it is kept to be shown.
        copies: The train and val examples that repeat an earlier one, if val was carved: the id of the first
            identical example by id.
        names_of: Finds the names of the examples in the source; None for a dataset opened from a folder.
        boxes: Boxes around what labels are about, by the ids of the examples that have any.

    Example:
        >>> images = Examples.of(np.zeros((6, 1, 8, 8), np.uint8), [0, 1] * 3, ("cat", "dog"))
        >>> splits = [images.select(np.arange(start, start + 2)) for start in (0, 2, 4)]
        >>> dataset = Dataset("pets", splits[0], splits[1], {"test": splits[2]}, DataReport())
        >>> dataset.classes, dataset.modality
        (('cat', 'dog'), 'image')
        >>> dataset
        Dataset(pets: 2 train, 2 val, 2 test examples, 2 classes)
    """

    name: str
    train: Examples
    val: Examples
    eval: dict[str, Examples]
    report: DataReport
    others: dict[str, Dataset] = field(default_factory=dict)
    known_statistics: ChannelStatistics | None = None
    statistics_of: StatisticsOf = statistics_of_pixels
    originals: Originals | None = None
    copies: Mapping[int, int] = field(default_factory=dict)
    names_of: NamesOf | None = None
    boxes: ImageLabelBoxes = field(default_factory=dict)

    def __repr__(self) -> str:
        named = {"train": self.train, "val": self.val, **self.eval}
        splits = ", ".join(f"{len(split)} {name}" for name, split in named.items())
        return f"Dataset({self.name}: {splits} examples, {counted(len(self.classes), 'class')})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.train.classes

    @property
    def modality(self) -> str:
        """Name of the modality of the examples."""
        return self.train.modality

    @property
    def digest(self) -> str:
        """Content address of all splits."""
        parts: dict[str, object] = {name: split.digest for name, split in self._splits().items()}
        if self.train.parents:
            parts["parents"] = list(self.train.parents)
        if self.others:
            parts["others"] = {name: other.digest for name, other in self.others.items()}
        return spec_id(parts)

    def normalization(self) -> ChannelStatistics:
        """Return the mean and standard deviation over train that inputs are normalized with, float32.

        Their shape depends on the modality: for images ``[C]`` each, on the [0, 1] scale.
        """
        return self._normalization

    @cached_property
    def _normalization(self) -> ChannelStatistics:
        return self.known_statistics or self.statistics_of(self.train)

    def save(self, folder: Path) -> None:
        """Write the dataset to an existing empty folder: the items, arrays per split, ``dataset.json``."""
        write_items(self.train.pool.items, folder / ITEMS)
        for name, split in self._splits().items():
            arrays = {"rows": split.rows, "ids": split.ids, **split.targets.arrays()}
            if split.groups is not None:
                arrays["groups"] = split.groups
            if split.parts is not None:
                arrays["parts"] = split.parts
            if split.wholes is not None:
                arrays["wholes"] = split.wholes
            np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        facts = {
            "name": self.name,
            "classes": self.classes,
            "group_names": self.train.group_names,
            "pool": self.train.pool.digest,
            "modality": self.modality,
            "targets": self.train.targets.kind,
            "splits": list(self._splits()),
            "report": asdict(self.report),
            "parents": self.train.parents,
            "others": list(self.others),
            "copies": list(self.copies.items()),
            "identities": {
                name: split.classes
                for name, split in self._splits().items()
                if isinstance(split.targets, Identities)
            },
            "normalisation": [values.tolist() for values in self.normalization()],  # float32: exact as JSON
        }
        if self.boxes:
            facts["boxes"] = [(each, *box) for each, boxes in self.boxes.items() for box in boxes]
        if self.originals is not None:
            write_items(self.originals.items, folder / ORIGINALS)
            facts["originals"] = {"ids": self.originals.ids.tolist(), "facts": dict(self.originals.facts)}
        for name, other in self.others.items():
            (folder / OTHERS / name).mkdir(parents=True)
            other.save(folder / OTHERS / name)
        (folder / FACTS).write_text(json.dumps(facts, indent=1))

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Open what :meth:`save` wrote; the items stay on disk, so that workers share one copy.

        Raises:
            DamagedFileError: A file is missing, unreadable, or not what was written.
        """
        facts = read_checked_json(folder / FACTS)
        with reading(folder / FACTS):
            return cls._of(folder, facts)

    @classmethod
    def _of(cls, folder: Path, facts: JsonObject) -> Dataset:
        """Return the dataset with some facts, whose arrays are in a folder."""
        items = folder / ITEMS
        pool = Pool(
            open_items(items if was_written(items) else folder / EARLIER_ITEMS),
            facts["pool"],
            facts.get("modality", IMAGE),
        )
        splits = {name: _open_split(folder, name, pool, facts) for name in facts["splits"]}
        report = facts["report"]
        known = [np.array(values, np.float32) for values in facts.get("normalisation", ())]
        return cls(
            name=facts["name"],
            train=splits["train"],
            val=splits["val"],
            eval={name.removeprefix("eval."): s for name, s in splits.items() if name.startswith("eval.")},
            report=DataReport(
                report["duplicates"],
                report["dropped_duplicates"],
                tuple(report["broken"]),
                tuple(report["carved"]),
                tuple(report["notes"]),
                report.get("left_out", {}),
            ),
            others={name: cls.open(folder / OTHERS / name) for name in facts.get("others", ())},
            known_statistics=(known[0], known[1]) if known else None,
            originals=_open_originals(folder / ORIGINALS, facts.get("originals")),
            copies=dict(facts.get("copies", ())),
            boxes=_by_id(facts.get("boxes", ())),
        )

    def _splits(self) -> dict[str, Examples]:
        return {"train": self.train, "val": self.val, **{f"eval.{k}": v for k, v in self.eval.items()}}


def _by_id(stored: Sequence[Sequence[Any]]) -> ImageLabelBoxes:
    boxes: dict[int, tuple[LabelBox, ...]] = {}
    for example, *box in stored:
        boxes[example] = (*boxes.get(example, ()), LabelBox(*box))
    return boxes


def _open_originals(path: Path, stored: JsonObject | None) -> Originals | None:
    if stored is None:
        return None
    return Originals(np.array(stored["ids"], dtype=np.int64), open_items(path), stored["facts"])


def _open_split(folder: Path, name: str, pool: Pool, facts: JsonObject) -> Examples:
    identities = facts.get("identities", {})
    classes = tuple(identities.get(name, facts["classes"]))
    targets = Identities if name in identities else TARGET_KINDS[facts.get("targets", Labels.kind)]
    path = folder / f"{name}.npz"
    content = read_checked(path)
    with reading(path), np.load(BytesIO(content)) as arrays:
        return Examples(
            pool,
            arrays["rows"],
            targets.from_arrays(arrays, len(classes)),
            classes,
            arrays["ids"],
            arrays.get("groups"),
            tuple(facts["group_names"]),
            tuple(facts.get("parents", ())),
            parts=arrays.get("parts"),
            wholes=arrays.get("wholes"),
        )
