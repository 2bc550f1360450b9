"""What the report shows of detections: boxes over test images, and how precise they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.report.contents.gains import Number


@dataclass(frozen=True)
class DrawnBox:
    """A box over a picture.

    Attributes:
        left: Left edge in pixels of the image.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.
        label: Number of the class.
        name: Its name.
        confidence: Confidence of a detection; None for an object.
        found: Whether a detection has found an object; of an object, whether it counts.

    Example:
        >>> DrawnBox(0.0, 0.0, 8.0, 8.0, 1, "cell", 0.874).text
        'cell 0.87'
    """

    left: float
    top: float
    right: float
    bottom: float
    label: int
    name: str
    confidence: float | None = None
    found: bool = True

    @property
    def text(self) -> str:
        """The class, and the confidence if there is one."""
        return self.name if self.confidence is None else f"{self.name} {self.confidence:.2f}"


@dataclass(frozen=True)
class BoxTile:
    """The boxes of one network, or the objects, over an image.

    Attributes:
        network: The network in words.
        boxes: The boxes, the most confident first.
        note: What they amount to.
    """

    network: str
    boxes: tuple[DrawnBox, ...]
    note: str = ""


@dataclass(frozen=True)
class DetectedImage:
    """A test image with what was found in it.

    Attributes:
        picture: uint8 ``[C, H, W]``.
        name: Its name.
        place: Why it is shown.
        tiles: The objects, then one entry per network.
    """

    picture: npt.NDArray[np.uint8]
    name: str
    place: str
    tiles: tuple[BoxTile, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.picture.shape[1], self.picture.shape[2]


@dataclass(frozen=True)
class ArmPrecision:
    """The precision of the networks of one method for one class.

    Attributes:
        name: The method, or ``teacher``.
        role: ``teacher``, ``plain`` or ``distilled``.
        runs: Number of networks.
        ap50: Mean average precision at an overlap of 0.5.
        spread: Its standard deviation over networks; None for one.
        curve: Mean precision at 101 recalls from 0 to 1; empty if the class has no object.
    """

    name: str
    role: str
    runs: int
    ap50: Number
    spread: Number
    curve: tuple[float, ...]


@dataclass(frozen=True)
class ClassPrecision:
    """How precisely a class is found.

    Attributes:
        name: The class.
        objects: Number of its objects in the test set.
        arms: One entry per method, the teacher first.
    """

    name: str
    objects: int
    arms: tuple[ArmPrecision, ...]


@dataclass(frozen=True)
class DetectionsView:
    """The section on detections.

    Attributes:
        title: The condition, student and seed of the pictures.
        place: The condition and networks of curves and table, over all seeds.
        compared: The method by whose gain over plain training images are chosen.
        least: Confidence from which on a box is drawn.
        images: The chosen images.
        classes: How precisely each class is found.

    Example:
        >>> DetectionsView("fcos_dwnet_s, seed 0", "fcos_dwnet_s", "kd", 0.3, (), ()).compared
        'kd'
    """

    title: str
    place: str
    compared: str
    least: float
    images: tuple[DetectedImage, ...]
    classes: tuple[ClassPrecision, ...]

    @property
    def labels(self) -> tuple[tuple[int, str], ...]:
        """The classes that are drawn, by number."""
        found = {box.label: box.name for image in self.images for tile in image.tiles for box in tile.boxes}
        return tuple(sorted(found.items()))
