"""The explanations of the networks of a study: computed once each, and kept in its store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.canonical import spec_id
from distillab.explain.agreement import PerImage, agreement_of
from distillab.explain.attribution import Attribution, Maps, attribute
from distillab.explain.faithfulness import CURVE_PASSES, faithfulness, random_maps
from distillab.explain.localization import (
    POINTING_TOLERANCE,
    border_share,
    box_area,
    box_iou,
    box_share,
    center_maps,
    pointing_game,
)
from distillab.explain.networks import ExplainedNetwork
from distillab.explain.overlay import stored_maps
from distillab.explain.study_networks import ExplainedImages, StudyNetworks
from distillab.integrity import read_checked, reading
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder

_VERSION = 1  # of what is computed; part of the address of stored explanations
EXPLANATIONS_KIND = "explanations"  # the folder in the store
_SHOWN = 8  # images whose maps are kept for the report
_FILE = "values.npz"
_SHOWN_MAPS, _IDS, _CLASSES = "shown_maps", "ids", "classes"


@dataclass(frozen=True, eq=False)
class Explained:
    """The explanation of the images by one network and attribution.

    Attributes:
        values: One value per image and measure, float64 ``[N]``; NaN where it is not defined.
        ids: The images, int64 ``[N]``.
        classes: The class that is explained of each (:meth:`ExplainedImages.explained_by`), int64 ``[N]``.
        maps: Those of a few images for the report, uint8 ``[8, H, W]``.
    """

    values: Mapping[str, PerImage]
    ids: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    maps: npt.NDArray[np.uint8]

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over the images where it is defined; NaN if there is none."""
        known = self.values[measure][np.isfinite(self.values[measure])]
        return float(known.mean()) if len(known) else float("nan")

    def count(self, measure: str) -> int:
        """Return in how many images a measure is defined."""
        return int(np.isfinite(self.values[measure]).sum())

    def write(self, folder: Path) -> None:
        """Write it into the folder of an artifact."""
        kept = {_SHOWN_MAPS: self.maps, _IDS: self.ids, _CLASSES: self.classes}
        np.savez_compressed(folder / _FILE, **kept, **self.values)  # type: ignore[arg-type]

    @classmethod
    def read(cls, folder: Path) -> Explained:
        """Return the explanation in the folder of an artifact."""
        content = read_checked(folder / _FILE)
        with reading(folder / _FILE), np.load(BytesIO(content)) as held:
            others = (_SHOWN_MAPS, _IDS, _CLASSES)
            values = {name: held[name] for name in held.files if name not in others}
            maps, ids, classes = (held[name] for name in others)
        return cls(values, ids, classes, maps)


def shown_positions(count: int) -> npt.NDArray[np.int64]:
    """Return which of the explained images the report shows, int64 ``[at most 8]``.

    Example:
        >>> shown_positions(100).tolist()
        [0, 14, 28, 42, 56, 70, 84, 99]
    """
    found: npt.NDArray[np.int64] = np.linspace(0, count - 1, min(_SHOWN, count)).astype(np.int64)
    return found


def passes_of_teacher(attribution: Attribution) -> int:
    """Return the forward passes per image of the explanation of a teacher: its predictions, its maps, and the
    curves of these and of random maps."""
    return 1 + attribution.passes + 2 * CURVE_PASSES


def passes_of_student(attribution: Attribution) -> int:
    """Return the forward passes per image of the explanation of a student: its predictions, its maps and
    those of its random weights, and the curves of these and of random maps.

    Example:
        >>> from distillab.explain import attributions
        >>> passes_of_student(attributions["grad_cam"])
        109
    """
    return 1 + 2 * attribution.passes + 3 * CURVE_PASSES


class StudyExplanations:
    """The explanations of the students and teachers of a study.

    Args:
        folder: The study.
        images: How many images are explained.

    Attributes:
        folder: The study.
        count: How many images are explained.
    """

    def __init__(self, folder: StudyFolder, images: int) -> None:
        self.folder, self.count = folder, images
        self.networks = StudyNetworks(folder, images)
        self._teacher_maps: dict[str, tuple[Tensor, Maps]] = {}

    def stored(self, cell: Cell, teacher: str, name: str) -> Explained | None:
        """Return the explanation of a student if the store holds it."""
        return self._read(self.address(cell, name, cell.run_id, teacher))

    def stored_teacher(self, cell: Cell, teacher: str, name: str) -> Explained | None:
        """Return the explanation of a teacher if the store holds it."""
        return self._read(self.address(cell, name, teacher, teacher))

    def student(self, cell: Cell, teacher: str, name: str) -> Explained:
        """Return the explanation of a student, computed if the store lacks it.

        Args:
            cell: The cell of the student, which is done.
            teacher: The run of the teacher that it is compared with.
            name: Name of the attribution.

        Raises:
            RequestError: A network lacks what the attribution reads.
        """
        address = self.address(cell, name, cell.run_id, teacher)
        return self._read(address) or self._written(address, self._of_student(cell, teacher, name))

    def teacher(self, cell: Cell, teacher: str, name: str) -> Explained:
        """Return the explanation of the teacher of a cell; the arguments are those of :meth:`student`."""
        address = self.address(cell, name, teacher, teacher)
        return self._read(address) or self._written(address, self._of_teacher(cell, teacher, name))

    def address(self, cell: Cell, name: str, network: str, teacher: str) -> str:
        """Return the name of an explanation in the store.

        Args:
            cell: The cell whose test images are explained.
            name: Name of the attribution.
            network: The run of the student or teacher that is explained.
            teacher: The run of the teacher that it is compared with.
        """
        facts = {"network": network, "teacher": teacher, "attribution": name, "version": _VERSION}
        return spec_id({**facts, **self.networks.images(cell).facts})

    def has(self, address: str) -> bool:
        """Return True if the store holds an explanation; one that is damaged is removed from it."""
        store = self.folder.store
        if store.is_sound(EXPLANATIONS_KIND, address):
            return True
        store.discard(EXPLANATIONS_KIND, address)
        return False

    # -- inside ---------------------------------------------------------------------------------------------

    def _of_student(self, cell: Cell, teacher: str, name: str) -> Explained:
        images = self.networks.images(cell)
        classes, of_teacher = self._maps_of_teacher(images, teacher, name)
        network = self.networks.student(cell.run_id, images)
        maps = attribute(name, network, images.x, classes)
        before = attribute(name, self.networks.untrained(cell.run_id, images), images.x, classes)
        same = (images.explained_by(network) == classes).double().numpy()
        values = agreement_of(maps, of_teacher) | {"same_class": same}
        values |= _suffixed(agreement_of(maps, before), "untrained")
        values |= _own_values(network, images.x, classes, maps)
        values |= _suffixed(_areas(network, images.x, classes, before), "untrained")
        if any(images.boxes):
            values |= _box_values(images, classes, maps)
            values |= _suffixed(_pointing(images, classes, before), "untrained")
        return _explained(values, images, classes, maps)

    def _of_teacher(self, cell: Cell, teacher: str, name: str) -> Explained:
        images = self.networks.images(cell)
        classes, maps = self._maps_of_teacher(images, teacher, name)
        network = self.networks.teacher(teacher, images)
        values = _own_values(network, images.x, classes, maps)
        values |= _pointing(images, classes, maps) if any(images.boxes) else {}
        return _explained(values, images, classes, maps)

    def _maps_of_teacher(self, images: ExplainedImages, teacher: str, name: str) -> tuple[Tensor, Maps]:
        key = f"{teacher}/{images.digest}/{name}"
        if key not in self._teacher_maps:
            network = self.networks.teacher(teacher, images)
            classes = images.explained_by(network)
            self._teacher_maps[key] = classes, attribute(name, network, images.x, classes)
        return self._teacher_maps[key]

    def _read(self, address: str) -> Explained | None:
        store = self.folder.store
        return Explained.read(store.folder(EXPLANATIONS_KIND, address)) if self.has(address) else None

    def _written(self, address: str, found: Explained) -> Explained:
        with self.folder.store.writing(EXPLANATIONS_KIND, address) as draft:
            found.write(draft)
        return found


def _explained(
    values: Mapping[str, PerImage], images: ExplainedImages, classes: Tensor, maps: Maps
) -> Explained:
    shown = stored_maps(maps[shown_positions(len(maps))])
    return Explained(values, images.examples.ids, classes.numpy().astype(np.int64), shown)


def _own_values(network: ExplainedNetwork, x: Tensor, classes: Tensor, maps: Maps) -> dict[str, PerImage]:
    """Return the measures of a network's maps alone: faithfulness, that of a random map, and the border."""
    noise = random_maps(len(maps), maps.shape[1], maps.shape[2])
    return {
        **_areas(network, x, classes, maps),
        **_suffixed(_areas(network, x, classes, noise), "random"),
        "border_share": border_share(maps),
        "blank": np.asarray(maps.max(axis=(1, 2)) == 0, np.float64),
    }


def _areas(network: ExplainedNetwork, x: Tensor, classes: Tensor, maps: Maps) -> dict[str, PerImage]:
    with torch.no_grad():
        curves = faithfulness(network, x, classes, maps)
    return {"deletion": curves.deletion_auc, "insertion": curves.insertion_auc}


def _pointing(images: ExplainedImages, classes: Tensor, maps: Maps) -> dict[str, PerImage]:
    """Return where maps point with respect to the boxes of the explained class; NaN without a box."""
    boxes, tolerance = images.boxes_of(classes), POINTING_TOLERANCE * min(maps.shape[1:])
    return {
        "pointing": pointing_game(maps, boxes, tolerance=tolerance),
        "box_share": box_share(maps, boxes),
        "box_iou": box_iou(maps, boxes),
    }


def _box_values(images: ExplainedImages, classes: Tensor, maps: Maps) -> dict[str, PerImage]:
    """Return :func:`_pointing`, beside that of a random place and of the center of the image."""
    (count, height, width), boxes = maps.shape, images.boxes_of(classes)
    tolerance = POINTING_TOLERANCE * min(height, width)
    center = center_maps(count, height, width)
    return {
        **_pointing(images, classes, maps),
        "pointing_random": box_area(boxes, height, width, tolerance=tolerance),
        "pointing_center": pointing_game(center, boxes, tolerance=tolerance),
        "box_area": box_area(boxes, height, width),
    }


def _suffixed(values: Mapping[str, PerImage], suffix: str) -> dict[str, PerImage]:
    return {f"{name}_{suffix}": each for name, each in values.items()}
