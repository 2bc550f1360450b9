"""The teacher that a profile asks: a model with weights, or the teacher of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.artefacts import RunRecord, load_state
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.status import LEDGER_FILE
from distillab.training.loop.evaluation import predict
from distillab.training.loop.stream import Normalize
from distillab.training.stages.outputs import open_teacher, teacher_class_count
from distillab.training.teachers.class_mapping import map_logits, to_student_classes


@dataclass(frozen=True, eq=False)
class GivenTeacher:
    """A network that classifies the images of a dataset.

    Attributes:
        name: of its model.
        network: in evaluation mode, on ``device``.
        normalise: what its inputs went through when it was trained.
        class_map: from its classes to those of the dataset, if they differ.
    """

    name: str
    network: nn.Module
    normalise: Normalize
    device: torch.device
    class_map: ClassMap | None = None

    def logits(self, images: Examples) -> np.ndarray:
        """float64 ``[N, C]``."""
        said = predict(self.network, images, self.normalise, self.device, "fp32")
        return to_student_classes(said, self.class_map).astype(np.float64)

    @torch.inference_mode()
    def probabilities(self, pixels: torch.Tensor) -> np.ndarray:
        """Of views, uint8 ``[B, C, H, W]``: float64 ``[B, classes]``."""
        logits = self.network(self.normalise(pixels.to(self.device)))
        if self.class_map is not None:
            logits = map_logits(logits, self.class_map)
        found: np.ndarray = torch.softmax(logits.cpu().double(), dim=1).numpy()
        return found


def given_teacher(
    asked: str | Path,
    weights: Path | None,
    images: Examples,
    normalise: Normalize,
    device: torch.device,
) -> GivenTeacher:
    """The teacher that was asked for.

    Args:
        asked: a model as in a study (``resnet20``, ``timm:NAME``), with ``weights``; or the folder of a
            study, whose first finished teacher is taken.
        weights: a safetensors file.
        images: what it has to classify.
        normalise: of the dataset; a study brings its own.
        device: where it is asked.

    Raises:
        RequestError: there is no such teacher, or it does not fit the images.
    """
    folder = Path(asked)
    _, height, width = images.shape
    if height != width:
        raise RequestError(
            f"images are {width}x{height}, and networks take squares", allowed="--set resolution=SIDE"
        )
    if (folder / LEDGER_FILE).is_file():
        if weights is not None:
            raise RequestError("a study has its own weights", where="--weights", allowed="--teacher MODEL")
        return _of_study(StudyFolder.open(folder), images, device)
    if folder.is_dir():
        raise RequestError(
            "this folder is no study", where=f"--teacher {asked}", allowed="the DIR of a study"
        )
    if weights is None:
        raise RequestError(
            "a model by its name knows nothing yet",
            where=f"--teacher {asked}",
            allowed="--weights FILE.safetensors",
        )
    model = str(asked)
    network = build_model(model, classes=len(images.classes), inputs=InputSpec(*images.shape))
    load_state(network, weights)
    return GivenTeacher(model, network.to(device).eval(), normalise, device)


def _of_study(study: StudyFolder, images: Examples, device: torch.device) -> GivenTeacher:
    """The first teacher of the design that is done: not a control, nor one that only helps to teach."""
    if study.dataset.classes != images.classes:
        raise RequestError(
            "this study has other classes than the data",
            where=f"--teacher {study.path}",
            allowed="its own data",
        )
    with study.ledger() as ledger:
        done = {name for name, (state, *_) in ledger.states().items() if state == "done"}
        teachers = (cell.teacher_run for cell in ledger.cells())
        first = next((teacher for teacher in teachers if teacher in done), None)
        job = ledger.job(first) if first else None
    if not isinstance(job, TeacherJob):
        raise RequestError("no teacher of this study is done", where=f"--teacher {study.path}")
    place = study.store.folder("teacher", job.id)
    class_map = job.origin.class_map if isinstance(job.origin, WeightsOrigin) else None
    if class_map is None and teacher_class_count(place, images) != len(images.classes):
        raise RequestError(
            f"its teacher tells {teacher_class_count(place, images)} classes apart, and the data have "
            f"{len(images.classes)}",
            where=f"--teacher {study.path}",
            allowed="a teacher of the data's classes",
        )
    network = open_teacher(place, images, device)
    normalise = Normalize(*study.dataset.normalisation())
    return GivenTeacher(RunRecord.read(place).model, network, normalise, device, class_map)
