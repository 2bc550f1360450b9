"""The networks of a study as attributions use them, from their stored weights, and the images explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distillab.canonical import JsonObject, spec_id
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.data.label_boxes import LabelBox
from distillab.data.targets import LabelSets
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
        boxes: The boxes of each image.
    """

    examples: Examples
    x: Tensor
    boxes: tuple[tuple[LabelBox, ...], ...]

    @property
    def facts(self) -> JsonObject:
        """What explanations depend on, besides networks: what addresses of stored ones are made of."""
        facts: dict[str, object] = {"images": self.examples.input_digest}
        if self.has_label_sets:
            facts["classes"] = "a label that the image has"  # since one of all labels was explained
        return facts | ({"boxes": [list(each) for each in self.boxes]} if any(self.boxes) else {})

    @property
    def digest(self) -> str:
        """Content address of :attr:`facts`."""
        return spec_id(self.facts)

    @property
    def has_label_sets(self) -> bool:
        """Whether an image may have several labels."""
        return isinstance(self.examples.targets, LabelSets)

    def explained_by(self, teacher: ExplainedNetwork) -> Tensor:
        """Return the class of each image that is explained for all networks, int64 ``[N]``.

        It is the one that the teacher predicts. Where an image may have several labels, it is the one of the
        largest probability among those that have a box in the image, else among those that the image has,
        else among all.

        Args:
            teacher: The teacher.
        """
        if not self.has_label_sets:
            return teacher.predicted(self.x)
        members, classes = self.examples.targets.members, self.examples.classes
        boxed = np.zeros_like(members)
        for row, boxes in enumerate(self.boxes):
            boxed[row, [classes.index(box.label) for box in boxes]] = True
        among = np.where(boxed.any(axis=1, keepdims=True), boxed, members)
        return teacher.predicted(self.x, among=torch.from_numpy(among))

    def boxes_of(self, classes: Tensor) -> list[list[tuple[float, ...]]]:
        """Return the boxes of the explained class of each image, in pixels: left, top, right, bottom."""
        height, width = self.x.shape[2:]
        names = [self.examples.classes[label] for label in classes.tolist()]
        return [
            [box.pixels(height, width) for box in boxes if box.label == name]
            for boxes, name in zip(self.boxes, names, strict=True)
        ]


class StudyNetworks:
    """Opens the networks and the images of a study.

    Args:
        folder: The study.
        images: How many images of each primary test set are explained, evenly spread over it; those that
            have boxes come first.
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
            dataset = self.folder.dataset
            boxes = [_known(dataset.boxes.get(each, ()), test.classes) for each in test.ids.tolist()]
            positions = _spread([bool(each) for each in boxes], self._count)
            chosen, count = test.select(positions), len(positions)
            normalize = modalities[test.modality].normalization(dataset.normalization())
            x = normalize(torch.from_numpy(chosen.items(np.arange(count))))
            own = tuple(boxes[position] for position in positions.tolist())
            self._images[key] = ExplainedImages(chosen, x.contiguous(), own)
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


def _known(boxes: tuple[LabelBox, ...], classes: tuple[str, ...]) -> tuple[LabelBox, ...]:
    return tuple(box for box in boxes if box.label in classes)


def _spread(boxed: Sequence[bool], count: int) -> npt.NDArray[np.int64]:
    """Return so many positions, ascending and evenly spread; those with a box first."""
    chosen = np.empty(0, np.int64)
    for part in (np.flatnonzero(boxed), np.flatnonzero(~np.array(boxed, bool))):
        left = min(count - len(chosen), len(part))
        chosen = np.append(chosen, part[np.linspace(0, len(part) - 1, left).astype(np.int64)])
    return np.sort(chosen)


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
