"""Rendering: how an opened image becomes 8-bit gray or RGB, and what the whole set decides about that."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np
from PIL import Image, ImageCms

from distillab.modalities.image.ground import NAMED_GROUNDS, Inks, Rgb, on_ground, with_alpha
from distillab.modalities.image.intensity import (
    Histogram,
    Intensity,
    PixelDepth,
    color_values,
    depth_of,
    is_deep_color,
    values_of,
)
from distillab.modalities.image.opening import MAX_PIXELS, OpenedImage

DEEP, UPPER, TRANSPARENT = "deep", "upper", "transparent"

_T = TypeVar("_T")

_FULL: dict[PixelDepth, Intensity] = {
    "12-bit": Intensity(0, 4095),
    "16-bit": Intensity(0, 65535),
    "integer": Intensity(0, 65535),
    "float": Intensity(0, 1),
}


class UndecidedError(Exception):
    """An image depends on what the whole set decides, and that is not known yet."""


@dataclass(frozen=True)
class PixelSettings:
    """What a source states about the pixels of its images.

    Attributes:
        intensity: The values that become black and white where images have more than 8 bits, or ``auto``.
        background: What shows through transparent parts: a name of :data:`NAMED_GROUNDS`, a color or
            ``auto``.
        max_pixels: Width times height that an image may have.

    Example:
        >>> PixelSettings(background="white").rendering().ground
        (255, 255, 255)
    """

    intensity: Literal["auto"] | tuple[float, float] = "auto"
    background: str | Rgb = "auto"
    max_pixels: int = MAX_PIXELS

    def rendering(self) -> Rendering:
        """Return the rendering, in which what is ``auto`` is not settled."""
        ground = NAMED_GROUNDS.get(self.background) if isinstance(self.background, str) else self.background
        intensity = None if self.intensity == "auto" else Intensity(*self.intensity)
        return Rendering(intensity, ground, settled=False, max_pixels=self.max_pixels)


@dataclass(frozen=True)
class Rendering:
    """How opened images become 8-bit gray or RGB.

    Attributes:
        intensity: The range of images with more than 8 bits; None is all that their file format allows, and
            0 to 1 for floats.
        ground: What shows through transparent parts; None is black.
        settled: False if what is None depends on the set of images.
        max_pixels: Width times height that an image may have.
    """

    intensity: Intensity | None = None
    ground: Rgb | None = None
    settled: bool = True
    max_pixels: int = MAX_PIXELS

    def __call__(self, opened: OpenedImage) -> tuple[Image.Image, set[str]]:
        """Return an upright picture in mode L or RGB, and which of the settings it depended on.

        Raises:
            UndecidedError: It depends on one that is not settled.
        """
        picture, found = opened.picture, set[str]()
        if isinstance(picture, np.ndarray) and picture.dtype == np.bool_:
            picture = picture.astype(np.uint8) * np.uint8(255)
        if depth := depth_of(picture):
            found.add(DEEP)
            picture = self._decided(self.intensity, _FULL[depth]).eight_bits(values_of(picture))
        if isinstance(picture, np.ndarray):
            flat = picture.ndim == 3 and picture.shape[2] == 1
            picture = Image.fromarray(picture[:, :, 0] if flat else picture)
        elif is_deep_color(opened):
            found.add(DEEP)
            full = _FULL["16-bit"]
            if (intensity := self._decided(self.intensity, full)) != full:
                picture = _scaled_color(opened, picture, intensity, found)
        if (rgba := with_alpha(picture)) is not None:
            found.add(TRANSPARENT)
            picture = on_ground(rgba, self._decided(self.ground, NAMED_GROUNDS["black"]))
        return opened.upright(_plain(picture)), found

    def _decided(self, value: _T | None, usual: _T) -> _T:
        if value is None and not self.settled:
            raise UndecidedError
        return usual if value is None else value


def _scaled_color(
    opened: OpenedImage, picture: Image.Image, intensity: Intensity, found: set[str]
) -> Image.Image:
    """Return a color image of 16 bits per channel in 8, with the range applied; alpha keeps its own."""
    values = color_values(opened)
    if values is None:
        found.add(UPPER)
        return picture
    scaled = intensity.eight_bits(values)
    if scaled.shape[2] == 4:
        scaled[:, :, 3] = values[:, :, 3] >> 8
    return Image.fromarray(scaled)


def _plain(picture: Image.Image) -> Image.Image:
    """Return an opaque picture in mode L or RGB."""
    if picture.mode in ("L", "RGB"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
        assert converted is not None
        return converted
    return picture.convert("RGB")


@dataclass
class Survey:
    """What the images of a set have in common. The order in which they are added does not matter.

    Attributes:
        gray: Whether color will be lost.
        values: The values of images with more than 8 bits.
        inks: The images with transparent parts.
    """

    gray: bool
    values: Histogram = field(default_factory=Histogram)
    inks: Inks = field(default_factory=Inks)

    def add(self, opened: OpenedImage) -> None:
        """Add an image."""
        picture = opened.picture
        if depth := depth_of(picture):
            self.values.add(values_of(picture), depth)
            return
        if isinstance(picture, np.ndarray):
            return
        if is_deep_color(opened) and (values := color_values(opened)) is not None:
            self.values.add(values[:, :, :3], "16-bit")
        if (rgba := with_alpha(picture)) is not None:
            self.inks.add(rgba, gray=self.gray)

    def join(self, other: Survey) -> None:
        """Add the images of another survey."""
        self.values.join(other.values)
        self.inks.join(other.inks)

    def settle(self, rendering: Rendering) -> Rendering:
        """Return a rendering with everything settled."""
        intensity, ground = rendering.intensity, rendering.ground
        return replace(
            rendering,
            intensity=self.values.range() if intensity is None and self.values.images else intensity,
            ground=NAMED_GROUNDS[self.inks.ground()] if ground is None else ground,
            settled=True,
        )


def pixel_notes(
    counts: Mapping[str, int], total: int, rendering: Rendering, survey: Survey | None, stated: bool
) -> tuple[str, ...]:
    """Return sentences on what was decided about pixels, and on how many images it has a bearing.

    Args:
        counts: Number of images by what was found about them.
        total: Number of images.
        rendering: How they were rendered.
        survey: What they have in common, if that was looked at.
        stated: Whether a range was stated.
    """
    notes: list[str] = []

    def note(tag: str, sentence: Callable[[str], str]) -> None:
        if counts.get(tag):
            notes.append(sentence(f"{counts[tag]:,} of {total:,}"))

    note(DEEP, lambda some: _on_intensity(some, rendering, survey))
    if stated and not counts.get(DEEP):
        notes.append("`intensity` has no effect: no image has more than 8 bits.")
    note(UPPER, lambda some: f"Of color images with 16 bits, the upper 8 are used: {some}.")
    note(TRANSPARENT, lambda some: _on_ground(some, rendering, survey))
    note("animated", lambda some: f"Animated images, of which the first frame is used: {some}.")
    note("multipage", lambda some: f"Files with several pages, of which the first is used: {some}.")
    return tuple(notes)


_NOTED_INTENSITY = re.compile(r"; values from (\S+) to (\S+) become black to white")
_NOTED_GROUND = re.compile(r"; the ground is (\w+|\[[\d, ]+\]) \(`background`\)")


def noted_settings(notes: Iterable[str]) -> dict[str, object]:
    """Return the ``intensity`` and the ``background`` that :func:`pixel_notes` states, as keys of a source.

    Args:
        notes: The notes of a dataset, others among them.

    Example:
        >>> noted_settings(["Images with transparent parts: 3 of 10; the ground is white (`background`)."])
        {'background': 'white'}
    """
    settings: dict[str, object] = {}
    for note in notes:
        if found := _NOTED_INTENSITY.search(note):
            settings["intensity"] = [float(found[1]), float(found[2])]
        if found := _NOTED_GROUND.search(note):
            color = found[1]
            settings["background"] = json.loads(color) if color.startswith("[") else color
    return settings


def _on_intensity(some: str, rendering: Rendering, survey: Survey | None) -> str:
    used = rendering.intensity or _FULL["16-bit"]
    ends = f"values from {used.low:g} to {used.high:g} become black to white"
    note = f"Images with more than 8 bits: {some}; {ends}"
    if survey is not None and (survey.values.low < used.low or survey.values.high > used.high):
        note += f", those beyond (from {survey.values.low:g} to {survey.values.high:g}) are cut off"
    return f"{note} (`intensity`)."


def _on_ground(some: str, rendering: Rendering, survey: Survey | None) -> str:
    ground = rendering.ground or NAMED_GROUNDS["black"]
    name = next((name for name, color in NAMED_GROUNDS.items() if color == ground), str(list(ground)))
    note = f"Images with transparent parts: {some}; the ground is {name} (`background`)"
    if survey is not None and survey.inks.empty:
        note += f"; transparent everywhere: {survey.inks.empty:,}"
    if survey is not None and name in NAMED_GROUNDS:
        inks = survey.inks
        unseen = inks.images - inks.empty - int(inks.visible[list(NAMED_GROUNDS).index(name)])
        note += f"; hardly visible on it: {unseen:,}" if unseen else ""
    return f"{note}."
