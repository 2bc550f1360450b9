"""What advice is wanted on: data, student, teacher and budget, checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distillab.base import EvidenceBase
from distillab.canonical import JsonObject, spec_id
from distillab.data.dataset import Dataset
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.evidence.pairs import Row
from distillab.integrity import check_file
from distillab.models.black_box import split_black_box
from distillab.sources.source import ImageSource, Source
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.ledger import JobState
from distillab.study.spec.study import StudySpec, parse_study
from distillab.study.status import LEDGER_FILE

USUAL_STUDENT = "resnet8"
USUAL_TEACHER = "resnet20"
PILOT_SIDE = 32  # pixels of the images of a pilot, unless the data state or have a smaller size
LARGEST_SIDE = 64  # pixels above which images are resized for a pilot
TRAINED_TEACHERS = 2  # trained on the data, so that the answer is not about one of them alone
_PEEKED = 24  # images that are opened to find their sizes


@dataclass(frozen=True, eq=False)
class AdviceRequest:
    """What advice is wanted on.

    Attributes:
        source: The data.
        student: The key ``students`` of a study.
        teacher: The key ``teacher`` of a study.
        budget: Seconds that the answer may take; 0 reads the evidence base alone.
        folder: Where runs, page and answer are kept.
        margin: Margin of practical equivalence, as a fraction.
        base: The evidence base; None without one.
        data_text: The data as the command line names them, for commands; empty for Python objects.
        options: The further options of this command line, for commands.
        device: Where to compute.
        workers: Number of worker processes.
        executor: ``processes`` or ``inline``.
        recipe: Keys of the recipe of a full training; by default all as a study has them.
        note: How the data were changed for the pilot, one sentence; empty if they were not.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> request = AdviceRequest(Digits(), ["resnet8"], teacher_keys("resnet14", None), 60.0, Path("out"))
        >>> request.is_trained_here, request.margin
        (True, 0.005)
    """

    source: Source
    student: Any
    teacher: JsonObject
    budget: float
    folder: Path
    margin: float = 0.005
    base: EvidenceBase | None = None
    data_text: str = ""
    options: str = ""
    device: str = "auto"
    workers: int = 1
    executor: str = "processes"
    recipe: JsonObject = field(default_factory=dict)
    note: str = ""

    @property
    def is_trained_here(self) -> bool:
        """True if the teacher is trained on the data, and not given with its weights."""
        return not self.teacher.get("weights")

    def study(self, dataset: Dataset) -> StudySpec:
        """Return a study of these data, student and teacher, to check names and resolve defaults.

        Raises:
            RequestError: A name or value is not allowed.
        """
        return parse_study({**self.keys(dataset), "study": "advice", "methods": ["kd"]}, Path.cwd(), "advise")

    def keys(self, dataset: Dataset) -> Row:
        """Return the keys of a study of these data, student and teacher."""
        keys: Row = {"data": self.source.entry(), "teacher": dict(self.teacher)}
        keys |= {"students": self.student, "recipe": dict(self.recipe)}
        if not isinstance(dataset.train.targets, Labels):
            keys["task"] = "multilabel"
        return keys

    def identity(self, dataset: Dataset) -> str:
        """Return the content address of what is to be answered; the budget is not part of it."""
        study = self.study(dataset)
        return spec_id({"study": study.identity, "data": dataset.digest, "margin": self.margin})


def teacher_keys(model: str | None, weights: Path | None) -> JsonObject:
    """Return the key ``teacher`` of a study.

    Args:
        model: A model (with ``weights`` if it is given, else it is trained on the data), or the folder of a
            study, for its first finished teacher; None for the usual one.
        weights: The weights of a given teacher.

    Raises:
        RequestError: There is no such teacher.

    Example:
        >>> teacher_keys("resnet14", None)
        {'model': 'resnet14', 'provenance': 'full', 'replicates': 2}
    """
    model, weights = split_black_box(model, weights)
    if weights is not None:
        if model is None:
            raise RequestError(
                "weights of which model?", where="--weights", allowed="--teacher MODEL as well"
            )
        if not weights.is_file():
            raise RequestError("there is no such file", where=f"--weights {weights}")
        return {"model": model, "weights": str(weights.absolute())}
    folder = Path(model) if model else None
    if folder is not None and folder.is_dir():
        return _teacher_of_study(folder)
    return {"model": model or USUAL_TEACHER, "provenance": "full", "replicates": TRAINED_TEACHERS}


def _teacher_of_study(folder: Path) -> JsonObject:
    where = f"--teacher {folder}"
    if not (folder / LEDGER_FILE).is_file():
        raise RequestError("this folder is not a study", where=where, allowed="the DIR of a study")
    study = StudyFolder.open(folder)
    with study.ledger() as ledger:
        done = {name for name, status in ledger.states().items() if status.state == JobState.DONE}
        first = next((cell.teacher_run for cell in ledger.cells() if cell.teacher_run in done), None)
        job = ledger.job(first) if first else None
    if not isinstance(job, TeacherJob):
        raise RequestError("no teacher of this study is done", where=where)
    stored = study.store.folder("teacher", job.id)
    check_file(stored / "weights.safetensors")
    return {
        "model": study.spec.teacher.last_model,
        "weights": str((stored / "weights.safetensors").absolute()),
    }


def with_pilot_size(source: Source) -> tuple[Source, str]:
    """Return a source whose images are small enough for a pilot, and a sentence if that changes them.

    A source that states its resolution is left alone. Images of one size of at most 64 pixels are as well;
    others are resized to 32x32, the size of the contexts of the evidence base.

    Raises:
        RequestError: The source cannot be read.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> with_pilot_size(Digits()) == (Digits(), "")
        True
    """
    if not isinstance(source, ImageSource) or source.resolution is not None:
        return source, ""
    sizes = image_sizes(source)
    if not sizes:
        return source, ""
    if len(sizes) == 1 and max(next(iter(sizes))) <= LARGEST_SIDE:
        return source, ""
    seen = "of different sizes" if len(sizes) > 1 else "{1}x{0} pixels large".format(*next(iter(sizes)))
    changed = source.model_copy(update={"resolution": PILOT_SIDE})
    return changed, (
        f"The images are {seen}; the pilot uses them at {PILOT_SIDE}x{PILOT_SIDE}. At another size "
        "(`--set resolution=64`) the gain may differ."
    )


def image_sizes(source: Source) -> set[tuple[int, int]]:
    """Return the sizes (height, width) of some images of a source, those that can be opened.

    It is empty for data that are no images, or whose resolution is stated.

    Raises:
        RequestError: The source cannot be read.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> image_sizes(Digits())
        {(8, 8)}
    """
    if not isinstance(source, ImageSource) or source.resolution is not None:
        return set()
    items = source.read().train.items
    places = np.unique(np.linspace(0, max(len(items) - 1, 0), min(_PEEKED, len(items))).astype(int))
    found: set[tuple[int, int]] = set()
    for place in places:
        try:
            decoded = source.decode([items[int(place)]], ["image"])
        except RequestError:
            continue
        if len(decoded.items):
            found.add((int(decoded.items.shape[-2]), int(decoded.items.shape[-1])))
    return found
