"""Where the networks of a study look, from its tables and its store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from distillab.evidence.compared_teachers import ComparedTeachers
from distillab.evidence.schema import read_rows
from distillab.evidence.tuning import headline_cells, headline_rows
from distillab.explain.overlay import item_picture, overlay
from distillab.explain.study_maps import Explained, StudyExplanations, shown_positions
from distillab.explain.study_networks import ExplainedImages
from distillab.report.collect.question import conditions_text
from distillab.report.contents.explanations import ExplainedTile, ExplanationsView, MapGallery
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.spec.evidence import PLAIN

_TEACHERS = "teacher_capacity"
"""The factor whose levels are teachers, all of which the study names as its teacher."""
_SIDE = 128  # pixels of a tile
_NO_LABEL = "no label"
_MOST_METHODS = 4  # columns of students


def explanations_view(folder: StudyFolder) -> ExplanationsView | None:
    """Return what the report shows of explanations; None for a study without them, or before there are any.

    The maps are those of the first condition and seed whose networks are explained.

    Args:
        folder: The study, whose tables of explanations have been written.
    """
    spec = folder.spec
    if spec.explain is None or not folder.explanations_file.is_file():
        return None
    runs = headline_rows(read_rows(folder.explanations_file))
    if not runs:
        return None
    with folder.ledger() as ledger:
        every, states = ledger.cells(), ledger.states()
    cells = [cell for cell in headline_cells(every) if cell.run and states[cell.run].state == JobState.DONE]
    source, teachers = StudyExplanations(folder, spec.explain.images), ComparedTeachers(every)
    galleries = [
        gallery for name in spec.explain.attributions if (gallery := _gallery(source, cells, teachers, name))
    ]
    gains = headline_rows(read_rows(folder.explanation_gains_file))
    file = folder.explanation_classes_file
    classes = headline_rows(read_rows(file)) if file.is_file() else []
    return ExplanationsView(tuple(galleries), tuple(gains), tuple(runs), spec.explain.images, tuple(classes))


def _gallery(
    source: StudyExplanations, cells: Sequence[Cell], teachers: ComparedTeachers, name: str
) -> MapGallery | None:
    """Return the maps of one attribution; None if the store has none yet."""
    for first in cells:
        teacher = teachers.of(first)
        of_teacher = source.stored_teacher(first, teacher, name) if teacher else None
        if teacher is None or of_teacher is None:
            continue
        mine = [cell for cell in cells if _is_beside(cell, first)]
        students = {
            cell.method: found for cell in mine if (found := source.stored(cell, teacher, name)) is not None
        }
        if not students:
            continue
        ordered = sorted(students, key=lambda method: method != PLAIN)[:_MOST_METHODS]
        shown = str(first.levels.get(_TEACHERS, first.teacher))
        others = {factor: level for factor, level in first.levels.items() if factor != _TEACHERS}
        place = conditions_text(others)
        title = f"{name.replace('_', ' ')}: {shown} and {first.student}, "
        title += f"{place}, seed {first.seed}" if place else f"seed {first.seed}"
        columns = ("test image", f"teacher, {shown}", *map(_student_name, ordered))
        images = source.networks.images(first)
        networks = [of_teacher, *(students[method] for method in ordered)]
        return MapGallery(title, columns, _rows(images, networks))
    return None


def _is_beside(cell: Cell, first: Cell) -> bool:
    """Return True for a student of the same place and seed."""
    return all(
        getattr(cell, name) == getattr(first, name)
        for name in ("levels", "provenance", "teacher", "student", "seed", "setting")
    )


def _student_name(method: str) -> str:
    return "plain student (ce)" if method == PLAIN else f"student, {method}"


def _rows(
    images: ExplainedImages, found: Sequence[Explained]
) -> tuple[tuple[str, tuple[ExplainedTile, ...]], ...]:
    """Return a row per image, those without any label last: nothing is to be seen of a label in them."""
    examples, rows = images.examples, []
    for place, position in enumerate(shown_positions(len(examples)).tolist()):
        picture = item_picture(examples.items(np.array([position]))[0])
        members = examples.targets.take(np.array([position])).members[0]
        truth = ", ".join(examples.classes[label] for label in np.flatnonzero(members)) or _NO_LABEL
        explained = examples.classes[int(found[0].classes[position])]
        flat = np.zeros(picture.shape[:2], np.float32)
        tiles = [ExplainedTile(_drawn(picture, flat, plain=True))]
        for number, each in enumerate(found):
            drawn = _drawn(picture, each.maps[place].astype(np.float32) / 255)
            agrees = number == 0 or bool(each.values["same_class"][position])
            tiles.append(ExplainedTile(drawn, "" if agrees else "predicts another class"))
        rows.append((f"{truth}; explained: {explained}", tuple(tiles)))
    return tuple(sorted(rows, key=lambda row: row[0].startswith(_NO_LABEL)))


def _drawn(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    *,
    plain: bool = False,
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not plain:
        return np.moveaxis(overlay(picture, values, side=_SIDE), -1, 0)
    pixels = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
    times = max(1, -(-_SIDE // min(pixels.shape[:2])))
    size = pixels.shape[1] * times, pixels.shape[0] * times
    resized = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC))
    return np.moveaxis(resized, -1, 0)
