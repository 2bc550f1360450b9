"""The teacher that a profile asks: a model with weights, or the teacher of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.data.imageset import ImageSet
from distillab.errors import RequestError
from distillab.models import build_model
from distillab.study.folder import StudyFolder
from distillab.study.standing import LEDGER_FILE
from distillab.training.checkpoints import load_state
from distillab.training.evaluation import predict
from distillab.training.stages.artefacts import WEIGHTS
from distillab.training.stream import Normalisation


@dataclass(frozen=True, eq=False)
class GivenTeacher:
    """A network that classifies the images of a dataset.

    Attributes:
        name: of its model.
        network: in evaluation mode, on ``device``.
        normalise: what its inputs went through when it was trained.
    """

    name: str
    network: nn.Module
    normalise: Normalisation
    device: torch.device

    def logits(self, images: ImageSet) -> np.ndarray:
        """float64 ``[N, C]``."""
        return predict(self.network, images, self.normalise, self.device, "fp32").astype(np.float64)

    @torch.inference_mode()
    def probabilities(self, pixels: torch.Tensor) -> np.ndarray:
        """Of views, uint8 ``[B, C, H, W]``: float64 ``[B, classes]``."""
        logits = self.network(self.normalise(pixels.to(self.device)))
        found: np.ndarray = torch.softmax(logits.double(), dim=1).cpu().numpy()
        return found


def given_teacher(
    asked: str | Path,
    weights: Path | None,
    images: ImageSet,
    normalise: Normalisation,
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
    if (folder / LEDGER_FILE).is_file():
        if weights is not None:
            raise RequestError("a study has its own weights", where="--weights", allowed="--teacher MODEL")
        model, weights, normalise = _of_study(StudyFolder.open(folder), images)
    elif folder.is_dir():
        raise RequestError(
            "this folder is no study", where=f"--teacher {asked}", allowed="the DIR of a study"
        )
    elif weights is None:
        raise RequestError(
            "a model by its name knows nothing yet",
            where=f"--teacher {asked}",
            allowed="--weights FILE.safetensors",
        )
    else:
        model = str(asked)
    channels, height, width = images.shape
    if height != width:
        raise RequestError(
            f"images are {width}x{height}, and networks take squares", allowed="--set resolution=SIDE"
        )
    network = build_model(model, classes=len(images.classes), channels=channels, resolution=height)
    load_state(network, weights)
    return GivenTeacher(model, network.to(device).eval(), normalise, device)


def _of_study(study: StudyFolder, images: ImageSet) -> tuple[str, Path, Normalisation]:
    """Model, weights and normalisation of the first teacher that is done."""
    with study.ledger() as ledger:
        done = sorted(name for name, (state, *_) in ledger.states().items() if state == "done")
        teachers = [job for name in done if (job := ledger.job(name)) and job.kind == "teacher"]
    if not teachers:
        raise RequestError("no teacher of this study is done", where=f"--teacher {study.path}")
    if study.dataset.classes != images.classes:
        raise RequestError(
            "this study has other classes than the data",
            where=f"--teacher {study.path}",
            allowed="its own data",
        )
    first = teachers[0].id
    model = study.store.record("teacher", first)["model"]
    return (
        str(model),
        study.store.folder("teacher", first) / WEIGHTS,
        Normalisation(*study.dataset.normalisation()),
    )
