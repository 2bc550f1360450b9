"""What a teacher says while a student trains: read from the cache, or asked live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from distillab.modalities import Normalization
from distillab.models.outputs import Outputs
from distillab.models.taps import TappedModel, Taps
from distillab.training.loop.stream import Step
from distillab.training.numerics.config import Precision
from distillab.training.numerics.device import autocast
from distillab.training.teachers.cache import Stored


class TeacherFeed(Protocol):
    """Gives the teacher's outputs for a step of the stream."""

    def __call__(self, step: Step) -> Outputs: ...


class StoredTeacher:
    """Outputs that were computed once for every (image, view) of a stream."""

    def __init__(self, stored: Stored, device: torch.device) -> None:
        self.stored, self.device = stored, device

    def __call__(self, step: Step) -> Outputs:
        return self.stored(step.positions, step.epoch, self.device)


class LiveTeacher:
    """The teacher network itself, in evaluation mode, without gradients: for methods that need feature maps,
    and for streams too large to store."""

    def __init__(
        self, model: nn.Module, taps: Taps, needs: Iterable[str], device: torch.device, precision: Precision
    ) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.classifier = taps.classifier_of(self.model)
        self.tapped = TappedModel(self.model, needs, taps)
        self.device, self.precision = device, precision

    @torch.no_grad()
    def __call__(self, step: Step) -> Outputs:
        return self.ask(step.inputs)

    @torch.inference_mode()
    def about(self, pixels: Tensor, normalise: Normalization) -> Outputs:
        """Outputs for rendered views, uint8 ``[N, C, H, W]``, that no gradient will meet."""
        return self.ask(normalise(pixels))

    def ask(self, inputs: Tensor) -> Outputs:
        """Outputs for normalised images."""
        with autocast(self.device, self.precision):
            return self.tapped(inputs)
