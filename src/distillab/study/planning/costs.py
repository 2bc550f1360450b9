"""Costs of networks in multiply-accumulates, and whether networks and methods can serve some data."""

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
from distillab.models.output_checks import check_outputs
from distillab.tasks import Task


class ModelCosts:
    """Costs of networks for one shape of inputs. Each network is built once, which shows that it can be.

    Args:
        classes: Number of logits.
        inputs: Shape of an input.

    Attributes:
        macs: Multiply-accumulates of one forward pass, by name.
        shapes: Shapes of the outputs, by name.
        check: Raises RequestError if a network cannot be built for these inputs, or returns no logits; by
            name, and whether it is trained.

    Example:
        >>> ModelCosts(10, InputSpec.square(1, 8)).macs("resnet8")
        763520
    """

    def __init__(self, classes: int, inputs: InputSpec) -> None:
        self.classes, self.inputs = classes, inputs
        self.macs = cache(self._macs)
        self.check = cache(self._check)
        self.shapes = cache(self._shapes)

    def build(self, name: str) -> nn.Module:
        """Return a new network. Raises RequestError if it cannot serve these inputs."""
        with torch.random.fork_rng(devices=[]):
            return build_model(name, classes=self.classes, inputs=self.inputs)

    def _check(self, name: str, trained: bool = True) -> None:
        """Raise RequestError if a network cannot be built for these inputs, or returns no logits."""
        self.macs(name)
        check_outputs(self.build(name), self.inputs, name=name, classes=self.classes, trained=trained)

    def _macs(self, name: str) -> int:
        return count_macs(self.build(name), self.inputs)

    def _shapes(self, name: str) -> OutputShapes:
        return inspect_network(self.build(name), self.inputs, classes=self.classes, name=name).shapes


CostsOf = Callable[[int, InputSpec], ModelCosts]
"""From the number of logits and the shape of one input."""


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
    """Raise RequestError if a method cannot serve a pair of networks.

    Args:
        specs: The methods.
        student: Shapes of the student's outputs.
        teacher: Shapes of the teacher's outputs, in the student's classes.
        task: What both networks are trained to predict.
        merged: Whether several of the teacher's classes are one of the student's.
        labels: Labels of an example of each class and of one without; None if every example has a label.
        mixes: Whether views mix examples.
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
                f"method {spec.label} stores outputs per image, which are of no use where views mix it with "
                "another one each time",
                where="recipe.views",
                allowed="views without mixup and cutmix, or another method",
            )
        if mixes and "strong_view" in spec.needs:
            raise RequestError(
                f"method {spec.label} compares two views of an image, and these views mix it with another",
                where="recipe.views",
                allowed="views without mixup and cutmix, or another method",
            )
        with torch.random.fork_rng(devices=[]):
            known = labels if spec.learns_unlabelled else None
            n_train = student.classes if known is None else len(known)
            build_method(spec, Pair(student, other, n_train=n_train, labels=known, task=task))


def file_digest(path: Path | None) -> str:
    """Return the content address of a file, "" for none. Raises RequestError if it cannot be read."""
    if path is None:
        return ""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"cannot read the weights ({error.strerror})", where=str(path)) from error
