"""What networks cost: multiply-accumulates for planning, and a short timed trial for an estimate in hours."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from distillab.errors import RequestError
from distillab.methods import MethodSpec, Pair, build_method, methods
from distillab.models import OutputShapes, build_model, count_macs, output_shapes
from distillab.models.trial import logits_of
from distillab.training.trainer import on_device

TRIAL_SECONDS = 1.0


class ModelCosts:
    """Costs of models for one kind of image. Each model is built once, which also shows that it can be."""

    def __init__(self, classes: int, channels: int, resolution: int) -> None:
        self.classes, self.channels, self.resolution = classes, channels, resolution
        self.macs = cache(self._macs)
        self.file_digest = cache(file_digest)

    def build(self, name: str) -> nn.Module:
        """A new network. Raises RequestError if it cannot serve these images."""
        with torch.random.fork_rng(devices=[]):
            return build_model(name, classes=self.classes, channels=self.channels, resolution=self.resolution)

    def check(self, name: str) -> None:
        """Raise RequestError if the model cannot be built for these images."""
        self.macs(name)

    def check_pairs(self, teacher: str, students: Iterable[str], specs: Iterable[MethodSpec]) -> None:
        """Raise RequestError, before anything trains, if a method cannot serve a pair of models."""
        shapes = {name: self._shapes(name) for name in {teacher, *students}}
        for student in students:
            for spec in specs:
                other = {"none": None, "self": shapes[student]}.get(
                    methods[spec.name].teacher, shapes[teacher]
                )
                with torch.random.fork_rng(devices=[]):
                    build_method(spec, Pair(shapes[student], other, n_train=self.classes))

    def images_per_second(self, name: str, device: torch.device, *, training: bool, batch: int = 64) -> float:
        """Measured on this machine, now, on random images: forward passes, or training steps."""
        model = on_device(self.build(name), device).train(training)
        images = torch.randn(batch, self.channels, self.resolution, self.resolution, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(batch, dtype=torch.long, device=device)
        _one_step(model, images, labels, training)
        steps, started = 0, time.perf_counter()
        while not steps or time.perf_counter() - started < TRIAL_SECONDS:
            _one_step(model, images, labels, training)
            steps += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return steps * batch / (time.perf_counter() - started)

    def _macs(self, name: str) -> int:
        return count_macs(self.build(name), (self.channels, self.resolution, self.resolution))

    def _shapes(self, name: str) -> OutputShapes:
        model = self.build(name)
        return output_shapes(model, channels=self.channels, resolution=self.resolution, classes=self.classes)


def _one_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, training: bool) -> None:
    if not training:
        with torch.inference_mode():
            model(images)
        return
    model.zero_grad(set_to_none=True)
    F.cross_entropy(logits_of(model(images)), labels).backward()  # type: ignore[no-untyped-call]


def file_digest(path: Path | None) -> str:
    """Content address of a file. Raises RequestError if it cannot be read."""
    if path is None:
        return ""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"cannot read the weights ({error.strerror})", where=str(path)) from error
