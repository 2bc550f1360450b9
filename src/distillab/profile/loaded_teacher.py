"""Load the teacher whose outputs are profiled: a model with weights, or the teacher of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.artefacts import RunRecord
from distillab.data.class_map import ClassMap, class_map
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities import Normalization, normalization_of
from distillab.models import check_model_name
from distillab.models.black_box import BlackBox, is_black_box, split_black_box
from distillab.study.folder import StudyFolder
from distillab.study.job import TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.ledger import JobState
from distillab.study.planning.external_teacher import KEY, open_given_teacher
from distillab.study.spec.references import check_readable
from distillab.study.spec.study import StudySpec
from distillab.study.status import LEDGER_FILE
from distillab.training.evaluation import predict
from distillab.training.stages.outputs import open_network, teacher_class_count
from distillab.training.teachers.class_mapping import map_logits, to_student_classes


@dataclass(frozen=True, eq=False)
class LoadedTeacher:
    """A trained network that classifies the images of a dataset.

    Attributes:
        name: Name of its model.
        network: In evaluation mode, on ``device``.
        normalize: Normalization of its inputs, as in its training.
        device: Where it computes.
        class_map: From its classes to those of the dataset, if they differ.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> from distillab.sources.parsing import source_from_argument
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.models import InputSpec, build_model
        >>> digits = load_dataset(source_from_argument("digits"))
        >>> network = build_model("resnet8", classes=10, inputs=InputSpec(1, 8, 8)).eval()
        >>> normalize = PixelNormalization(*digits.normalization())
        >>> teacher = LoadedTeacher("resnet8", network, normalize, torch.device("cpu"))
        >>> teacher.logits(digits.val.select(np.arange(3))).shape
        (3, 10)
    """

    name: str
    network: nn.Module
    normalize: Normalization
    device: torch.device
    class_map: ClassMap | None = None

    @property
    def sees_views(self) -> bool:
        """True unless it answers for stored images alone."""
        return not (isinstance(self.network, BlackBox) and self.network.sees_originals)

    def logits(self, images: Examples) -> np.ndarray:
        """Return its logits for the classes of the dataset, float64 ``[N, C]``."""
        logits = predict(self.network, images, self.normalize, self.device, "fp32")
        return to_student_classes(logits, self.class_map).astype(np.float64)

    @torch.inference_mode()
    def probabilities(self, pixels: torch.Tensor) -> np.ndarray:
        """Return its probabilities for views, uint8 ``[B, C, H, W]``: float64 ``[B, classes]``."""
        logits = self.network(self.normalize(pixels.to(self.device)))
        if self.class_map is not None:
            logits = map_logits(logits, self.class_map)
        found: np.ndarray = torch.softmax(logits.cpu().double(), dim=1).numpy()
        return found


def check_teacher(model_or_study: str | Path, weights: Path | None) -> None:
    """Raise RequestError unless there is a model of this name with its weights, or a study. Reads no weights.

    Args:
        model_or_study: A model as in a study file, with ``weights``; or the folder of a study.
        weights: The model's weights.

    Example:
        >>> check_teacher("resnet20", None)
        Traceback (most recent call last):
        distillab.errors.RequestError: --teacher resnet20: a model name alone has no weights (allowed: ...
    """
    named, weights = split_black_box(str(model_or_study), weights)
    folder, where = Path(str(named)), f"--teacher {model_or_study}"
    if (folder / LEDGER_FILE).is_file():
        if weights is not None:
            raise RequestError("a study has its own weights", where="--weights", allowed="--teacher MODEL")
        return
    if folder.is_dir():
        raise RequestError("this folder is not a study", where=where, allowed="the DIR of a study")
    try:
        check_model_name(str(named))
    except RequestError as error:
        raise error.within("--teacher") from error
    if weights is None:
        raise RequestError("a model name alone has no weights", where=where, allowed="--weights FILE")
    check_readable(weights, "--weights")


def load_teacher(
    model_or_study: str | Path,
    weights: Path | None,
    dataset: Dataset,
    device: torch.device,
) -> LoadedTeacher:
    """Load a model with its weights, or the first finished teacher of a study.

    Weights are read as a study reads those of a given teacher: classes that they state in another order are
    mapped by name, and the normalization in the record beside weights that distillab trained is used.

    Args:
        model_or_study: A model as in a study file (``resnet20``, ``timm:NAME``), with ``weights``; or the
            folder of a study.
        weights: A file of weights: safetensors, or what ``torch.save`` wrote.
        dataset: The dataset that it has to classify.
        device: Where it computes.

    Raises:
        RequestError: There is no such teacher, or it does not fit the images.

    Example:
        >>> import tempfile
        >>> from distillab.artefacts import save_state
        >>> from distillab.data import DataReport
        >>> from distillab.models import InputSpec, build_model
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> dataset = Dataset("pets", images, images, {"test": images}, DataReport())
        >>> weights = Path(tempfile.mkdtemp()) / "resnet8.safetensors"
        >>> save_state(build_model("resnet8", classes=2, inputs=InputSpec(1, 8, 8)).state_dict(), weights)
        >>> load_teacher("resnet8", weights, dataset, torch.device("cpu")).logits(images).shape
        (2, 2)
    """
    check_teacher(model_or_study, weights)
    named, weights = split_black_box(str(model_or_study), weights)
    if weights is None:
        return _load_from_study(StudyFolder.open(Path(model_or_study)), dataset.train, device)
    try:
        return _load_weights(str(named), weights, dataset, device)
    except RequestError as error:
        where = (error.where or "").replace(KEY, "--weights")
        raise RequestError(error.what, where=where, allowed=error.allowed) from error


def _load_weights(model: str, weights: Path, dataset: Dataset, device: torch.device) -> LoadedTeacher:
    """Load a model with its weights as the given teacher of a study of the dataset."""
    study = StudySpec(
        study="profile",
        data={"source": "digits"},  # not read: the dataset is given
        teacher={"model": model, "weights": weights.absolute()},
        students="resnet8" if is_black_box(model) else model,
        methods=["kd"],
    )
    given = open_given_teacher(study, dataset)
    assert given is not None
    names = given.spec.teacher.class_map
    mapping = class_map(given.classes, dataset.classes, dataset.train, names)
    return LoadedTeacher(model, given.network.to(device), normalization_of(dataset), device, mapping)


def _load_from_study(study: StudyFolder, images: Examples, device: torch.device) -> LoadedTeacher:
    """Load the first finished teacher of the design, not a control nor an assistant."""
    if study.dataset.classes != images.classes:
        raise RequestError(
            "the classes of this study are not those of the data",
            where=f"--teacher {study.path}",
            allowed="the data of the study",
        )
    with study.ledger() as ledger:
        done = {name for name, status in ledger.states().items() if status.state == JobState.DONE}
        teachers = (cell.teacher_run for cell in ledger.cells())
        first = next((teacher for teacher in teachers if teacher in done), None)
        job = ledger.job(first) if first else None
    if not isinstance(job, TeacherJob):
        raise RequestError("no teacher of this study is done", where=f"--teacher {study.path}")
    folder = study.store.folder("teacher", job.id)
    class_map = job.origin.class_map if isinstance(job.origin, WeightsOrigin) else None
    if class_map is None and teacher_class_count(folder, images) != len(images.classes):
        raise RequestError(
            f"its teacher has {teacher_class_count(folder, images)} classes, but the data have "
            f"{len(images.classes)}",
            where=f"--teacher {study.path}",
            allowed="a teacher with the classes of the data",
        )
    network = open_network(folder, images, device)
    normalize = normalization_of(study.dataset)
    return LoadedTeacher(RunRecord.read(folder).model, network, normalize, device, class_map)
