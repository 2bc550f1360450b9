"""The networks of a study as attributions use them, from their stored weights, and the images explained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.explain.attribution import require_readable
from distillab.explain.networks import ExplainedNetwork
from distillab.modalities import modalities
from distillab.models import InputSpec
from distillab.models.black_box import BlackBox
from distillab.study.design import Cell, Levels
from distillab.study.folder import StudyFolder
from distillab.study.job import StudentJob, TeacherJob
from distillab.study.job_parts import WeightsOrigin
from distillab.study.planning.conditions import PRIMARY, Condition
from distillab.tasks import Task
from distillab.training.loop.member import new_model
from distillab.training.stages.outputs import open_network
from distillab.training.teachers.class_mapping import map_logits

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class ExplainedImages:
    """The test images that are explained.

    Attributes:
        examples: The images, as students get them.
        x: What networks get, normalized: float32 ``[N, C, H, W]``.
    """

    examples: Examples
    x: Tensor

    @property
    def digest(self) -> str:
        """Content address of the images with what is done to them."""
        return self.examples.input_digest


class StudyNetworks:
    """Opens the networks and the images of a study.

    Args:
        folder: The study.
        images: How many images of each primary test set are explained, evenly spread over it.
    """

    def __init__(self, folder: StudyFolder, images: int) -> None:
        self.folder, self._count = folder, images
        self.task: Task = folder.spec.task_config()
        with folder.ledger() as ledger:
            self._conditions = {_key(each.levels, each.seed): each.condition for each in ledger.conditions()}
        self._images: dict[str, ExplainedImages] = {}

    def images(self, cell: Cell) -> ExplainedImages:
        """Return the images that are explained for a cell: those of its condition."""
        key = _key(cell.levels, cell.seed)
        if key not in self._images:
            condition = Condition.read(self._conditions[key])
            test = self.folder.roles(condition).eval[PRIMARY]
            count = min(self._count, len(test))
            chosen = test.select(np.linspace(0, len(test) - 1, count).astype(np.int64))
            dataset = self.folder.dataset
            normalize = modalities[test.modality].normalization(dataset.normalization())
            x = normalize(torch.from_numpy(chosen.items(np.arange(count))))
            self._images[key] = ExplainedImages(chosen, x.contiguous())
        return self._images[key]

    def student(self, run: str, images: ExplainedImages) -> ExplainedNetwork:
        """Return a student with its last weights, which the tables are about."""
        network = open_network(self.folder.store.folder("student", run), images.examples, _CPU)
        return self._explained(network, self._job(run).model, images)

    def untrained(self, run: str, images: ExplainedImages) -> ExplainedNetwork:
        """Return the network of a student with random weights: those that its seed gives it."""
        job = self._job(run)
        classes = self.task.head_width(len(images.examples.classes))
        network = new_model(job.model, images.examples, job.seeds.init, _CPU, logits=classes)
        return self._explained(network, job.model, images)

    def teacher(self, run: str, images: ExplainedImages) -> ExplainedNetwork:
        """Return a teacher, with logits in the classes of the students."""
        job = self.folder.job(run)
        assert isinstance(job, TeacherJob)
        whole = _whole(images.examples)
        network = open_network(self.folder.store.folder("teacher", run), whole, _CPU)
        mapping = job.origin.class_map if isinstance(job.origin, WeightsOrigin) else None
        return explained_module(network, whole, job.model, self.task, mapping)

    def _job(self, run: str) -> StudentJob:
        job = self.folder.job(run)
        assert isinstance(job, StudentJob)
        return job

    def _explained(self, network: nn.Module, name: str, images: ExplainedImages) -> ExplainedNetwork:
        return explained_module(network, images.examples, name, self.task)


def explained_module(
    network: nn.Module, examples: Examples, name: str, task: Task, mapping: ClassMap | None = None
) -> ExplainedNetwork:
    """Return a network of a study as attributions use it.

    Args:
        network: The network.
        examples: Examples of the shape of its inputs, with the transform of a student.
        name: Its name in messages.
        task: The task.
        mapping: The data's class of each of its classes, if they differ.

    Raises:
        RequestError: It answers for whole examples only, as stored predictions do.
    """
    inputs = InputSpec(*examples.shape)
    found = ExplainedNetwork.of(
        network,
        inputs,
        name=name,
        task=task,
        before=examples.student_transform,
        after=partial(map_logits, mapping=mapping) if mapping else None,
        network_inputs=InputSpec(*examples.student_shape),
    )
    if not isinstance(network, BlackBox):
        return found
    if network.sees_originals:
        raise RequestError(
            "stored predictions are of whole images, and cannot be explained",
            where=name,
            allowed="a teacher that is a network, or no key `explain`",
        )
    return ExplainedNetwork(name, inputs, found.forward, task)


def require_explainable(models: Iterable[str], examples: Examples, task: Task, names: Iterable[str]) -> None:
    """Raise RequestError unless every attribution can be computed of every network of a study.

    Args:
        models: Names of the networks.
        examples: Examples of the shape of their inputs.
        task: The task.
        names: Names of the attributions.

    Raises:
        RequestError: A network has no feature map, or gives outputs alone; or a package is missing.
    """
    width = task.head_width(len(examples.classes))
    for model in dict.fromkeys(models):
        network = new_model(model, _whole(examples), 0, _CPU, logits=width)
        try:
            explained = explained_module(network, _whole(examples), model, task)
            for name in names:
                require_readable(name, explained)
        except RequestError as error:
            raise error.within("explain.attributions") from error


def _whole(examples: Examples) -> Examples:
    """Return examples as a teacher gets them."""
    return replace(examples, student_transform=None)


def _key(levels: Levels, seed: int) -> str:
    return f"{sorted(levels.items())}/{seed}"
