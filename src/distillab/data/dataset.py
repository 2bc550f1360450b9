"""Dataset: what a source gives after reading, checking and splitting, ready to be studied."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillab.canonical import spec_id
from distillab.data.examples import Examples, Pool
from distillab.data.storage import open_pixels, write_pixels

OTHERS = "others"  # the folder, within a dataset's, of the other datasets that a study names
ChannelStatistics = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class DataReport:
    """What was met on the way in. Every number is shown in the report of a study.

    Attributes:
        duplicates: exact duplicates by pair of splits, e.g. ``{"train/test": 10}``; an image of the first
            split that also stands in the second.
        dropped_duplicates: how many of them were taken out of train.
        broken: paths (or row names) of images that could not be decoded and were left out.
        carved: the splits that were carved from train because the source has none, e.g. ``("val", "test")``.
        notes: anything else a reader must know, one sentence each.
    """

    duplicates: dict[str, int] = field(default_factory=dict)
    dropped_duplicates: int = 0
    broken: tuple[str, ...] = ()
    carved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """The roles that a source fills: train (before any factor), val, and a named set of test sets.

    All splits point into one pool and share ``classes``. ``eval`` always holds ``"test"``, the primary one.
    ``others`` are further datasets, by the name that a study gives them, of images of the same shape.
    ``known_normalisation`` is what :meth:`normalisation` found before the dataset was written, if it was.
    """

    name: str
    train: Examples
    val: Examples
    eval: dict[str, Examples]
    report: DataReport
    others: dict[str, Dataset] = field(default_factory=dict)
    known_normalisation: ChannelStatistics | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    @property
    def digest(self) -> str:
        """Content address of all splits."""
        parts: dict[str, object] = {name: split.digest for name, split in self._splits().items()}
        if self.train.parents:
            parts["parents"] = list(self.train.parents)
        if self.others:
            parts["others"] = {name: other.digest for name, other in self.others.items()}
        return spec_id(parts)

    def normalisation(self) -> ChannelStatistics:
        """Mean and standard deviation a channel over train, float32 ``[C]`` each, on the [0, 1] scale."""
        return self._normalisation

    @cached_property
    def _normalisation(self) -> ChannelStatistics:
        if self.known_normalisation is not None:
            return self.known_normalisation
        sums = np.zeros(self.train.shape[0])
        squares = np.zeros(self.train.shape[0])
        size = 4096 if np.prod(self.train.shape) <= 3 * 128 * 128 else 8  # eight of 224 px stay in the cache
        for start in range(0, len(self.train), size):
            positions = np.arange(start, min(start + size, len(self.train)))
            batch = self.train.pixels(positions).astype(np.float64) / 255.0
            sums += batch.mean(axis=(2, 3)).sum(axis=0)
            squares += (batch**2).mean(axis=(2, 3)).sum(axis=0)
        mean = sums / len(self.train)
        std = np.sqrt(np.maximum(squares / len(self.train) - mean**2, 1e-8))
        return mean.astype(np.float32), np.maximum(std, 1e-2).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the dataset to an existing empty folder: ``pixels.npy``, index arrays, ``dataset.json``."""
        write_pixels(self.train.pool.pixels, folder / "pixels.npy")
        for name, split in self._splits().items():
            arrays = {"rows": split.rows, "labels": split.labels, "ids": split.ids}
            if split.groups is not None:
                arrays["groups"] = split.groups
            np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        facts = {
            "name": self.name,
            "classes": self.classes,
            "group_names": self.train.group_names,
            "pool": self.train.pool.digest,
            "splits": list(self._splits()),
            "report": asdict(self.report),
            "parents": self.train.parents,
            "others": list(self.others),
            "normalisation": [values.tolist() for values in self.normalisation()],  # float32: exact as JSON
        }
        for name, other in self.others.items():
            (folder / OTHERS / name).mkdir(parents=True)
            other.save(folder / OTHERS / name)
        (folder / "dataset.json").write_text(json.dumps(facts, indent=1))

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Open what :meth:`save` wrote, the pixels left on disk, so that workers share one copy."""
        facts = json.loads((folder / "dataset.json").read_text())
        pool = Pool(open_pixels(folder / "pixels.npy"), facts["pool"])
        splits: dict[str, Examples] = {}
        for name in facts["splits"]:
            with np.load(folder / f"{name}.npz") as arrays:
                splits[name] = Examples(
                    pool,
                    arrays["rows"],
                    arrays["labels"],
                    tuple(facts["classes"]),
                    arrays["ids"],
                    arrays.get("groups"),
                    tuple(facts["group_names"]),
                    tuple(facts.get("parents", ())),
                )
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
            ),
            others={name: cls.open(folder / OTHERS / name) for name in facts.get("others", ())},
            known_normalisation=(known[0], known[1]) if known else None,
        )

    def _splits(self) -> dict[str, Examples]:
        return {"train": self.train, "val": self.val, **{f"eval.{k}": v for k, v in self.eval.items()}}
