"""What networks cost, in multiply-accumulates, and whether they can be built and paired at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import MethodSpec, Pair, build_method
from distillab.models import InputSpec, OutputShapes, build_model, count_macs, inspect_network
from distillab.tasks import Task


class ModelCosts:
    """Costs of models for one kind of image. Each model is built once, which also shows that it can be."""

    def __init__(self, classes: int, inputs: InputSpec) -> None:
        self.classes, self.inputs = classes, inputs
        self.macs = cache(self._macs)
        self.shapes = cache(self._shapes)

    def build(self, name: str) -> nn.Module:
        """A new network. Raises RequestError if it cannot serve these images."""
        with torch.random.fork_rng(devices=[]):
            return build_model(name, classes=self.classes, inputs=self.inputs)

    def check(self, name: str) -> None:
        """Raise RequestError if the model cannot be built for these images."""
        self.macs(name)

    def _macs(self, name: str) -> int:
        return count_macs(self.build(name), self.inputs)

    def _shapes(self, name: str) -> OutputShapes:
        return inspect_network(self.build(name), self.inputs, classes=self.classes, name=name).shapes


# From the number of classes and the shape of one input.
CostsOf = Callable[[int, InputSpec], ModelCosts]


def check_pair(
    specs: Iterable[MethodSpec],
    student: OutputShapes,
    teacher: OutputShapes,
    *,
    task: Task,
    merged: bool,
    labels: Tensor | None = None,
    mixes: bool = False,
) -> None:
    """Raise RequestError, before anything trains, if a method cannot serve a pair of models.

    Args:
        teacher: its shapes, in the student's classes.
        merged: whether several of the teacher's classes are one of the student's.
        labels: some labels, one of which is missing; None if every example has a label.
        mixes: whether views mix images.
    """
    for spec in specs:
        other = {"none": None, "self": student}.get(spec.teacher, teacher)
        if merged and spec.distils and spec.teacher_needs & {"classifier", "teacher_classifier"}:
            raise RequestError(
                f"method {spec.label} needs the teacher's last layer, and several of the teacher's classes "
                "are one of the student's",
                where="methods",
                allowed="a teacher of the student's classes, or a method that learns from logits or features",
            )
        if mixes and spec.remembers_images:
            raise RequestError(
                f"method {spec.label} remembers what it heard about an image, which says nothing where views "
                "mix it with another one each time",
                where="recipe.views",
                allowed="views without mixup and cutmix, or another method",
            )
        with torch.random.fork_rng(devices=[]):
            n_train = student.classes if labels is None else len(labels)
            build_method(spec, Pair(student, other, n_train=n_train, labels=labels, task=task))


def file_digest(path: Path | None) -> str:
    """Content address of a file. Raises RequestError if it cannot be read."""
    if path is None:
        return ""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"cannot read the weights ({error.strerror})", where=str(path)) from error
