"""What a teacher says while a student trains: read from a stored stream, or asked live."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from distillab.data.imageset import ImageSet
from distillab.methods.method import Need
from distillab.models.outputs import Outputs
from distillab.models.taps import TappedModel
from distillab.models.trial import logits_of
from distillab.training.device import arithmetic
from distillab.training.evaluation import EVALUATION_BATCH, to_half
from distillab.training.recipe import Precision, ResolvedRecipe
from distillab.training.stream import Normalisation, Step

# A stream of teacher logits larger than this is not stored; the teacher is then asked live.
STORED_STREAM_BYTES = 8 * 2**30


class TeacherFeed(Protocol):
    """Gives the teacher's outputs for a step of the stream."""

    def __call__(self, step: Step) -> Outputs: ...


class StoredTeacher:
    """Logits computed once for every (epoch, image) of a stream: float16 ``[epochs, N, classes]``."""

    def __init__(self, logits: npt.NDArray[np.float16], device: torch.device) -> None:
        self.logits = logits
        self.device = device

    def __call__(self, step: Step) -> Outputs:
        rows = np.asarray(self.logits[step.epoch][step.positions])
        return Outputs(torch.from_numpy(rows).to(self.device).float())


class LiveTeacher:
    """The teacher network itself, in evaluation mode, without gradients: for methods that need more than
    logits, and for streams too large to store."""

    def __init__(
        self, model: nn.Module, needs: frozenset[Need], device: torch.device, precision: Precision
    ) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.tapped = TappedModel(self.model, frozenset(needs))
        self.device, self.precision = device, precision

    @torch.no_grad()
    def __call__(self, step: Step) -> Outputs:
        with arithmetic(self.device, self.precision):
            return self.tapped(step.inputs)


def stream_bytes(n_train: int, recipe: ResolvedRecipe, classes: int) -> int:
    """Size of the stored logits of a stream."""
    return recipe.epochs * n_train * classes * 2


@torch.inference_mode()
def write_stream(
    path: Path,
    teacher: nn.Module,
    images: ImageSet,
    recipe: ResolvedRecipe,
    normalise: Normalisation,
    *,
    view_seed: int,
    device: torch.device,
) -> int:
    """Compute the teacher's logits for every view of the stream and write them as ``.npy``.

    The stream is the one that :func:`distillab.training.stream.stream` gives the students: the views depend
    on (image id, epoch, view seed), not on the order, so one file serves every student and every seed that
    trains on these images. Returns the number of images sent through the teacher.

    Written in order through a file, not a memory map: on a full disk that is an OSError, where a map would
    end the process.
    """
    shape = (recipe.epochs, len(images), len(images.classes))
    views = recipe.view_spec
    teacher = teacher.to(device).eval()
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for epoch in range(recipe.epochs):
            for start in range(0, len(images), EVALUATION_BATCH):
                positions = np.arange(start, min(start + EVALUATION_BATCH, len(images)))
                pixels = torch.from_numpy(images.pixels(positions)).to(device)
                rendered = views.render(pixels, views.draw(images.ids[positions], epoch, view_seed))
                with arithmetic(device, recipe.precision):
                    logits = to_half(logits_of(teacher(normalise(rendered))))
                file.write(logits.astype("<f2", copy=False).tobytes())
    return shape[0] * shape[1]
