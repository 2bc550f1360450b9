"""What a report shows of the question: data, roles, factors, methods and recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DatasetView:
    """Facts about a dataset as read, before any factor.

    Attributes:
        name: Name of the dataset.
        classes: Class names in label order.
        shape: Channels, height and width of one item; for sounds 1, features and frames.
        splits: (name, number of examples), e.g. ``(("train", 4000), ("val", 500), ("test", 1000))``.
        source: The registered source it was read from (``parquet``, ``folder``).
        duplicates: (pair of splits, exact duplicates found), e.g. ``(("train/test", 10),)``.
        dropped_duplicates: How many of them were removed from train.
        broken: Names of the files that could not be decoded and were skipped.
        carved: Splits that were carved from train because the source has none.
        notes: Anything else, one sentence each.
        digest: Content address.
        modality: What an example is: ``image``, ``audio``.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    splits: tuple[tuple[str, int], ...]
    source: str = ""
    duplicates: tuple[tuple[str, int], ...] = ()
    dropped_duplicates: int = 0
    broken: tuple[str, ...] = ()
    carved: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
    modality: str = "image"


@dataclass(frozen=True)
class RoleView:
    """A role of the data (teacher, transfer, val, eval) and what filled it, in plain words."""

    name: str
    filled_by: str


@dataclass(frozen=True)
class FactorView:
    """A factor that the study varied.

    Attributes:
        name: Registered name, as in :class:`distillab.report.contents.place.LevelView`.
        levels: Its levels in the order of the study.
        measure: What a level means, as an axis title, e.g. ``"training examples per class"``.
        roles: The roles it is applied to.
        description: One sentence for people.
        settings: Its other settings, e.g. ``(("kind", "symmetric"),)``.
    """

    name: str
    levels: tuple[float | str | None, ...]
    measure: str = ""
    roles: tuple[str, ...] = ("transfer",)
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MethodView:
    """A method with its hyperparameters. ``kind``: plain training, a control, or a distillation method."""

    name: str
    kind: Literal["plain", "control", "distillation"] = "distillation"
    paper: str = ""
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RecipeLine:
    """One setting of the recipe as resolved.

    Attributes:
        name: The key, e.g. ``lr``.
        value: The value that was used, as text.
        auto: Whether the study leaves the value open, so that it was resolved.
        origin: Where the value comes from: the study, the default, or how it was resolved.
    """

    name: str
    value: str
    auto: bool = False
    origin: str = ""
