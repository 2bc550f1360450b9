"""A laboratory of small trained networks: students of many seeds, each distilled from each of many teachers.

The images are those of the source ``shapes``. Teachers and students are trained by the training loop of
studies, on sets that factors cut, and what is kept of a student is which test images it gets right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from distillab.artefacts import write_atomically
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.factors import Size
from distillab.methods import parse_method
from distillab.modalities import normalization_of
from distillab.models import InputSpec, NetworkInfo, inspect_network
from distillab.sources import parse_source
from distillab.sources.ingest import load_dataset
from distillab.tasks import Classification
from distillab.training.evaluation import predict
from distillab.training.loop.cohort import train_cohort
from distillab.training.loop.member import CohortMember, Seeds
from distillab.training.loop.results import DivergenceError
from distillab.training.recipe import Recipe
from distillab.training.teachers.feed import LiveTeacher

Right = npt.NDArray[np.float64]
"""Whether each test image is right: 0 or 1, float64 ``[..., images]``."""

NETWORK = "convnet3"  # of teachers, which learn from five times as many images, and of students
IMAGES_PER_CLASS, TRANSFER_PER_CLASS, CLASSES = 100, 20, 6
STUDENT_STEPS, TEACHER_STEPS, BATCH = 50, 200, 16
_OTHER_WEIGHTS = 100_000  # added to the seed of the initial weights of the second plain student
_TEACHER_SEEDS = 200_000
_SAVED = ("plain", "other", "distilled", "teachers")
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class LabSize:
    """How many networks a laboratory trains, and how many studies are drawn from them.

    Attributes:
        teachers: Number of teachers.
        seeds: Number of seeds of students.
        test_images: Test images per class, the population that the test sets of studies are drawn from.
        studies: Studies per line of the result.
        test_size: Test images of a study.

    Example:
        >>> LabSize(teachers=3, seeds=4).networks
        23
    """

    teachers: int = 6
    seeds: int = 20
    test_images: int = 200
    studies: int = 4000
    test_size: int = 300

    @property
    def networks(self) -> int:
        """The number of networks: teachers, and per seed two plain students and one per teacher."""
        return self.teachers + self.seeds * (2 + self.teachers)


@dataclass(frozen=True, eq=False)
class Lab:
    """What the trained networks of a laboratory get right.

    Test images are in the order of the source.

    Attributes:
        plain: The plain student of each seed, ``[seeds, images]``.
        other: A second plain student of each seed, with other initial weights and everything else equal.
        distilled: The distilled student of each teacher and seed, ``[teachers, seeds, images]``.
        teachers: The teachers, ``[teachers, images]``.

    Example:
        >>> right = np.ones((2, 3, 4))
        >>> Lab(right[0], right[0], right, right[:, 0]).true_gains.tolist()
        [0.0, 0.0]
    """

    plain: Right
    other: Right
    distilled: Right
    teachers: Right

    @cached_property
    def true_gains(self) -> Right:
        """The mean gain with each teacher, over all seeds and images, ``[teachers]``."""
        return np.asarray((self.distilled - self.plain).mean(axis=(1, 2)))

    def save(self, path: Path) -> None:
        """Write the laboratory, completely or not at all."""
        arrays = {name: getattr(self, name).astype(bool) for name in _SAVED}
        with write_atomically(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def joined(cls, parts: Sequence[Lab]) -> Lab:
        """Return one laboratory of the students of several that have the same teachers."""
        plain, other = (np.concatenate([getattr(lab, name) for lab in parts]) for name in _SAVED[:2])
        return cls(plain, other, np.concatenate([lab.distilled for lab in parts], axis=1), parts[0].teachers)

    @classmethod
    def read(cls, path: Path) -> Lab:
        """Return the laboratory that :meth:`save` wrote."""
        with np.load(path) as arrays:
            return cls(*(arrays[name].astype(np.float64) for name in _SAVED))


def train_lab(size: LabSize, seeds: Sequence[int] | None = None) -> Lab:
    """Train the networks of a laboratory, on the CPU; the same every time.

    Args:
        size: How many.
        seeds: The seeds of its students, by default all.

    Raises:
        DivergenceError: A network diverged.

    Example:
        >>> train_lab(LabSize(teachers=0, seeds=0, test_images=1)).distilled.shape
        (0, 0, 6)
    """
    seeds = range(size.seeds) if seeds is None else seeds
    training = _LabTraining(_images(size.test_images))
    teachers = [training.teacher(number) for number in range(size.teachers)]
    plain: list[Right] = []
    other: list[Right] = []
    distilled: list[list[Right]] = []
    for seed in seeds:
        sets = training.transfer(seed)
        weights = (seed, seed + _OTHER_WEIGHTS)
        for into, right in zip((plain, other), training.students("ce", sets, seed, weights), strict=True):
            into.append(right)
        distilled.append(
            [training.students("kd", sets, seed, (seed,), teacher)[0] for teacher, _ in teachers]
        )
    images = len(training.test)
    return Lab(
        np.array(plain).reshape(len(seeds), images),
        np.array(other).reshape(len(seeds), images),
        np.array(distilled).reshape(len(seeds), size.teachers, images).swapaxes(0, 1),
        np.array([right for _, right in teachers]).reshape(size.teachers, images),
    )


def _images(test_images: int) -> Dataset:
    values = {"shape": CLASSES, "texture": ["solid"], "background": ["plain"], "ground": ["dark"]}
    source = {
        "source": "shapes",
        "resolution": 8,
        "channels": 1,
        "images": IMAGES_PER_CLASS,
        "test_images": test_images,
        "values": values,
        "nuisances": {"rotation": 20, "scale": [0.7, 0.9], "noise": 0.08},
    }
    return load_dataset(parse_source(source, Path(), "selftest"))


class _LabTraining:
    """Trains the networks of a laboratory."""

    def __init__(self, dataset: Dataset) -> None:
        self.test = dataset.eval["test"]
        self._dataset, self._normalize = dataset, normalization_of(dataset)

    def transfer(self, seed: int) -> Examples:
        """Return the images that the students of a seed learn from."""
        return Size(level=TRANSFER_PER_CLASS).apply(self._dataset.train, np.random.default_rng(seed))

    def teacher(self, number: int) -> tuple[LiveTeacher, Right]:
        """Return a trained teacher, and what it gets right."""
        seed = _TEACHER_SEEDS + number
        trained = self._train("ce", self._dataset.train, TEACHER_STEPS, seed, (seed,), None)[0]
        teacher = LiveTeacher(trained, self._inspected(trained).taps, {"logits"}, _CPU, "fp32")
        return teacher, self._right(trained)

    def students(
        self,
        method: str,
        data: Examples,
        seed: int,
        weights: tuple[int, ...],
        teacher: LiveTeacher | None = None,
    ) -> list[Right]:
        """Return what students get right that differ in their initial weights alone."""
        trained = self._train(method, data, STUDENT_STEPS, seed, weights, teacher)
        return [self._right(model) for model in trained]

    def _train(
        self,
        method: str,
        data: Examples,
        steps: int,
        seed: int,
        weights: tuple[int, ...],
        teacher: LiveTeacher | None,
    ) -> list[torch.nn.Module]:
        recipe = Recipe(
            steps=steps,
            batch_size=BATCH,
            lr=0.05,
            warmup=0.1,
            views="none",
            precision="fp32",
            memory_format="contiguous",
            compile=False,
        ).resolve(data)
        shapes = self._inspected(teacher.model).shapes if teacher else None
        members = [
            CohortMember(
                NETWORK,
                parse_method(method, "methods"),
                data,
                self._dataset.val,
                recipe,
                Seeds(init, order=seed, views=0),
                teacher_shapes=shapes,
            )
            for init in weights
        ]
        ended = train_cohort(members, self._normalize, device=_CPU, teacher=teacher)
        models = []
        for each in ended:
            if isinstance(each, DivergenceError):
                raise each
            models.append(each.model)
        return models

    def _inspected(self, model: torch.nn.Module) -> NetworkInfo:
        return inspect_network(model, InputSpec(*self.test.shape))

    def _right(self, model: torch.nn.Module) -> Right:
        logits = predict(model, self.test, self._normalize, _CPU, "fp32")
        return Classification().contributions(logits, self.test.targets)
