"""Teachers that are black boxes: opened from a file, and what a study with one cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples, chunks
from distillab.errors import RequestError
from distillab.factors.factor import Factor
from distillab.methods import MethodSpec
from distillab.models.black_box import (
    BLACK_BOXES,
    ONNX,
    PREDICTIONS,
    BlackBox,
    black_box_of,
    build_black_box,
    is_black_box,
    load_black_box,
    stored_facts,
)
from distillab.models.input_transforms import InputNormalization
from distillab.models.onnx_network import OnnxKeys, describe_onnx, read_onnx
from distillab.models.outputs import FEATURES
from distillab.models.stored_predictions import (
    MISSING_SHOWN,
    PredictionTable,
    StoredPredictions,
    read_predictions,
)
from distillab.models.weights.class_names import find_class_names
from distillab.sources.ingest import names_in
from distillab.study.spec.study import StudySpec
from distillab.study.spec.teacher import TeacherSpec


@dataclass(frozen=True, eq=False)
class OpenedBlackBox:
    """A black box that was read from its file.

    Attributes:
        network: The network, filled.
        classes: Number of its logits.
        class_names: The names of its classes in the order of its logits, if they are stated.
        names_from: Where the names come from.
        details: What was found about it, in a few words each.
    """

    network: BlackBox
    classes: int
    class_names: tuple[str, ...]
    names_from: str
    details: tuple[str, ...]


def open_black_box(spec: StudySpec, dataset: Dataset, path: Path) -> OpenedBlackBox:
    """Return the black box that a study has for a teacher.

    Args:
        spec: The study.
        dataset: Its data.
        path: The file of the black box, or one that :func:`~distillab.models.black_box.write_black_box`
            wrote.

    Raises:
        RequestError: The file cannot be read, does not fit the data, or lacks predictions for some of them.
    """
    name = spec.teacher.model
    held = black_box_of(path)
    if held is None:
        network = build_black_box(name, 0)
        load_black_box(network, path)
        classes = int(stored_facts(path)["classes"])
        network.classes = classes
        return OpenedBlackBox(network, classes, *find_class_names({}, path), ())
    if held != name:
        raise RequestError(
            f"is {BLACK_BOXES[held]}", where=str(path), allowed=f"`model: {held}`, or no model"
        )
    return (_open_onnx if name == ONNX else _open_predictions)(spec, dataset, path)


def own_normalization(weights: Path) -> InputNormalization | None:
    """Return the normalization that a written black box needs; None for that of the study."""
    facts = stored_facts(weights)
    if facts["mean"] is None:
        return None
    return InputNormalization(tuple(facts["mean"]), tuple(facts["std"]))


def must_suit_black_box(
    teacher: TeacherSpec, methods: Sequence[MethodSpec], levels: Sequence[Sequence[Factor]]
) -> None:
    """Raise RequestError, before anything trains, if a study needs more of its teacher than a black box has.

    Args:
        teacher: The teacher of the study.
        methods: Its methods.
        levels: The levels of its factors.
    """
    if not is_black_box(teacher.model):
        return
    what = BLACK_BOXES[teacher.model]
    for method in methods:
        if needed := _not_given(method, stored=teacher.model == PREDICTIONS):
            raise RequestError(
                f"method {method.label} needs {needed}, and the teacher is {what}",
                where="methods",
                allowed="methods that learn from logits (`distillab list methods`), such as kd or dkd",
            )
    if teacher.model != PREDICTIONS:
        return
    if teacher.assistants or teacher.generations > 1:
        raise RequestError(
            f"assistants and generations learn from a teacher's outputs for views, and the teacher is {what}",
            where="teacher",
            allowed="no `assistants`, `generations: 1`",
        )
    for factor in (each for several in levels for each in several[:1]):
        if "pixels" in factor.changes or factor.name == "redundancy":
            raise RequestError(
                f"the factor changes pixels, and the teacher is {what}",
                where=f"factors.{factor.name}",
                allowed="factors that select or relabel images, such as size, imbalance or label_noise",
            )


def must_not_mix(teacher: TeacherSpec) -> None:
    """Raise RequestError if views mix images and the teacher has outputs for stored images alone."""
    if teacher.model == PREDICTIONS:
        raise RequestError(
            f"these views mix two images, and the teacher is {BLACK_BOXES[PREDICTIONS]}",
            where="recipe.views",
            allowed="views without mixup and cutmix",
        )


def _not_given(method: MethodSpec, *, stored: bool) -> str:
    """Return what a method needs of a teacher beside logits; "" for nothing."""
    if method.teacher == "untrained":
        return "an untrained copy of the teacher's network"
    if method.kind.matches_compute:
        return "the teacher's cost in multiply-accumulates"
    if not method.distils:
        return ""
    if features := sorted(method.teacher_needs & FEATURES):
        return f"the teacher's {features[0]}"
    return "outputs for two views of an image" if stored and "strong_view" in method.needs else ""


def _open_onnx(spec: StudySpec, dataset: Dataset, path: Path) -> OpenedBlackBox:
    teacher = spec.teacher
    stated = (teacher.normalisation.mean, teacher.normalisation.std) if teacher.normalisation else None
    keys = OnnxKeys(teacher.layout, teacher.size, teacher.entry)
    shape = dataset.train.shape
    network, metadata = read_onnx(path, shape, keys, stated)
    names = find_class_names(metadata, path)
    return OpenedBlackBox(network, network.classes, *names, describe_onnx(network, shape))


def _open_predictions(spec: StudySpec, dataset: Dataset, path: Path) -> OpenedBlackBox:
    if dataset.modality != IMAGE:
        raise RequestError(
            f"stored predictions are found by pixels, and these are {dataset.modality} examples",
            where=str(path),
            allowed="images",
        )
    table = read_predictions(path)
    sets = [dataset.train, dataset.val, *dataset.eval.values()]
    rows = _rows(spec, dataset, table, sets)
    channels = dataset.train.shape[0]
    facts = {"classes": table.values.shape[1], "mean": [0.0] * channels, "std": [1 / 255] * channels}
    network = StoredPredictions(0)
    repeated = network.store(facts, _pixels(sets), table.values[rows])
    details = [f"{len(table.names):,} stored predictions, for all {len(rows):,} images of the data"]
    details += [f"{table.ending} undone"] if table.ending else []
    details += [f"averaged over {repeated:,} repeated images"] if repeated else []
    names, source = (table.classes, "its columns") if table.classes else find_class_names({}, path)
    return OpenedBlackBox(network, network.classes, names, source, tuple(details))


def _rows(
    spec: StudySpec, dataset: Dataset, table: PredictionTable, sets: list[Examples]
) -> npt.NDArray[np.int64]:
    """Return the row of the table of every example. Raises RequestError if some have none."""
    ids, names = dataset.names_of() if dataset.names_of else names_in(spec.source())
    of_id = dict(zip(ids.tolist(), names, strict=True))
    wanted = [of_id[key] for each in sets for key in each.ids.tolist()]
    rows = table.rows_of(wanted)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        shown = ", ".join(wanted[place] for place in missing[:MISSING_SHOWN].tolist())
        more = f" and {len(missing) - MISSING_SHOWN:,} more" if len(missing) > MISSING_SHOWN else ""
        raise RequestError(
            f"has no predictions for {len(missing):,} of {len(rows):,} images of train, val and test: "
            f"{shown}{more} (its own names are like {table.names[0]!r})",
            where=str(table.path),
            allowed="a row for every image, by file name or path",
        )
    return rows


def _pixels(sets: list[Examples]) -> Iterator[npt.NDArray[np.uint8]]:
    for each in sets:
        for batch in chunks(np.arange(len(each), dtype=np.int64)[:, None]):
            yield each.pixels(batch[:, 0])
