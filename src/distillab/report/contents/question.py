"""What a report shows of the question: data, roles, factors, methods, recipe, and pictures of it all.

The conventions of :mod:`distillab.report.contents.study` hold here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Number = float | None


# --- what was asked --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """Facts about a data set as read, before any factor.

    Attributes:
        name: its name; ``source`` is where it came from in the study's words (``parquet``, ``folder``).
        classes: class names in label order.
        shape: (channels, height, width) of one image.
        splits: (name, number of images), e.g. ``(("train", 4000), ("val", 500), ("test", 1000))``.
        duplicates: (pair of splits, exact duplicates found), e.g. ``(("train/test", 10),)``.
        dropped_duplicates: how many of them were taken out of train.
        broken: names of the images that could not be decoded and were left out.
        carved: splits that were carved from train because the source has none.
        notes: anything else, one sentence each.
        digest: content address.
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


@dataclass(frozen=True)
class Role:
    """One of the data sets of a distillation (teacher, transfer, val, eval) and what filled it, in words."""

    name: str
    filled_by: str


@dataclass(frozen=True)
class Factor:
    """A factor that the study varied.

    Attributes:
        name: registered name, as in :class:`Level`.
        levels: its levels in the study's order.
        measure: what a level means, as an axis title, e.g. ``"training images a class"``.
        roles: the roles it was applied to.
        description: one sentence for people.
        settings: its other settings, e.g. ``(("kind", "symmetric"),)``.
    """

    name: str
    levels: tuple[float | str | None, ...]
    measure: str = ""
    roles: tuple[str, ...] = ("transfer",)
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Method:
    """A method with its hyper-parameters. ``kind``: the plain twin, a control, or a distillation method."""

    name: str
    kind: Literal["plain", "control", "distillation"] = "distillation"
    paper: str = ""
    description: str = ""
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Setting:
    """One line of the recipe as resolved.

    Attributes:
        name: the key, e.g. ``lr``; ``value`` is what was used, as text.
        auto: whether the study said "auto" (or nothing) and the value was resolved.
        why: how it was resolved, or where it holds when it differs between cells.
    """

    name: str
    value: str
    auto: bool = False
    why: str = ""


# --- pictures --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tile:
    """One picture.

    Attributes:
        image: uint8 ``[C, H, W]`` with one or three channels, or the bytes of a PNG file.
        label: its class name as read.
        new_label: its class name after the factor; marked on the page if it differs from ``label``.
        dropped: the factor left this image out; it is shown faded.
    """

    image: npt.NDArray[np.uint8] | bytes
    label: str
    new_label: str | None = None
    dropped: bool = False


@dataclass(frozen=True)
class Strip:
    """A grid of pictures under one title. Strips of one Pictures show the same images in the same order.

    ``counts`` are images a class, in class order, or empty where they do not matter.
    """

    title: str
    tiles: tuple[Tile, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Check:
    """A manipulation check: what was asked of a factor and what the data then measured.

    Numbers are in the unit of ``measure``; it passes if they differ by at most ``tolerance``. ``where`` says
    which data set, level and seed it belongs to, ``note`` what else was measured.
    """

    factor: str
    where: str
    measure: str
    asked: Number
    measured: Number
    tolerance: Number
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """Real images before and after one factor, with its checks.

    Attributes:
        factor: its registered name.
        dataset: the data set the images are from.
        classes: class names, for the bar chart of ``counts``.
        before: the images as read.
        after: one strip a level shown, weakest first.
        checks: the manipulation checks of all levels, shown or not.
        note: one sentence on how the images were picked.
    """

    factor: str
    dataset: str
    classes: tuple[str, ...]
    before: Strip
    after: tuple[Strip, ...] = ()
    checks: tuple[Check, ...] = ()
    note: str = ""
