"""What a report shows of the examples themselves, before and after each factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.report.contents.gains import Number


@dataclass(frozen=True)
class Tile:
    """One example.

    Attributes:
        picture: uint8 ``[C, H, W]`` with one or three channels, or the bytes of a PNG file.
        labels: Names of its classes as read; empty if it has none or none is known.
        new_labels: Names of its classes after the factor; marked on the page if they differ from ``labels``.
        dropped: Whether the factor removed the example; it is then shown faded.
        added: Whether the factor added the example.
        sound: A WAV file to play, if the example is a sound.
        text: What is shown instead of the picture, if the example is a text.
    """

    picture: npt.NDArray[np.uint8] | bytes
    labels: tuple[str, ...] = ()
    new_labels: tuple[str, ...] | None = None
    dropped: bool = False
    added: bool = False
    sound: bytes | None = None
    text: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the factor changed the labels."""
        return self.new_labels is not None and self.new_labels != self.labels


@dataclass(frozen=True)
class Strip:
    """A grid of tiles under one title. The strips of one Pictures show the same examples in the same order.

    Attributes:
        title: The title.
        tiles: The examples.
        counts: Examples per class, in class order; empty where they do not matter.
    """

    title: str
    tiles: tuple[Tile, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Check:
    """A manipulation check: the requested strength of a factor and the measured one.

    Attributes:
        factor: Registered name of the factor.
        where: The dataset, level and seed that it belongs to.
        measure: What is measured; the numbers are in its unit.
        requested: The requested strength.
        measured: The measured strength.
        tolerance: The check passes if the two differ by at most this.
        passed: Whether it passed.
        note: What else was measured.
    """

    factor: str
    where: str
    measure: str
    requested: Number
    measured: Number
    tolerance: Number
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """Examples of the study before and after one factor, with its checks.

    Attributes:
        factor: Registered name of the factor.
        dataset: The dataset that the examples are from.
        classes: Class names, for the bar chart of ``counts``.
        before: The examples as read.
        after: One strip per level shown, weakest first.
        checks: The manipulation checks of all levels, shown or not.
        note: One sentence on how the examples were picked.
        several_labels: Whether an example may have several labels: they are then written below each tile,
            while tiles with one label are grouped by it.
        is_factor: Whether they show a factor, and not something else, such as views or examples as read.
        axes: Of spectrograms, the length in words and what the rows are, from bottom to top.
    """

    factor: str
    dataset: str
    classes: tuple[str, ...]
    before: Strip
    after: tuple[Strip, ...] = ()
    checks: tuple[Check, ...] = ()
    note: str = ""
    several_labels: bool = False
    is_factor: bool = True
    axes: tuple[str, str] | None = None
