"""What the stages are given: examples by role, and the students to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.methods import MethodSpec
from distillab.modalities import Normalization
from distillab.tasks import Classification, Task
from distillab.training.evaluation import Evaluator
from distillab.training.loop.initial_weights import InitialWeights
from distillab.training.loop.member import Seeds
from distillab.training.numerics.config import Precision
from distillab.training.recipe import ResolvedRecipe


@dataclass(frozen=True)
class RoleSets:
    """The examples of one condition by role, with what all networks share.

    Attributes:
        train: The training set.
        val: The validation set.
        eval: The test sets by name.
        normalize: The normalization of the inputs.
        task: What networks are trained to predict.

    Example:
        >>> import numpy as np
        >>> from distillab.modalities.image import PixelNormalization
        >>> images = Examples.of(np.zeros((4, 1, 8, 8), np.uint8), [0, 1, 0, 1], ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> sets.without_student_transform().train.student_transform is None
        True
    """

    train: Examples
    val: Examples
    eval: Mapping[str, Examples]
    normalize: Normalization
    task: Task = field(default_factory=Classification)

    def evaluator(self, device: torch.device, precision: Precision) -> Evaluator:
        """Return what evaluates networks on test sets, with the training set as the database."""
        return Evaluator(self.task, self.train, self.normalize, device, precision)

    def without_student_transform(self) -> RoleSets:
        """Return the same examples as a teacher gets them."""
        return replace(
            self,
            train=replace(self.train, student_transform=None),
            val=replace(self.val, student_transform=None),
            eval={name: replace(images, student_transform=None) for name, images in self.eval.items()},
        )


@dataclass(frozen=True)
class KeptCurve:
    """What is kept of a network at each point of its validation curve, beside its score on val.

    Nothing of it is read by training, by the selection of weights or by a rule that stops a study.

    Attributes:
        test: Whether the network is evaluated on the test sets.
        logit_bytes: How many bytes of logits for the test examples are kept at most, per network.

    Example:
        >>> KeptCurve(test=True, logit_bytes=10**6).test
        True
    """

    test: bool = False
    logit_bytes: int = 0


@dataclass(frozen=True, eq=False)
class StudentSpec:
    """What a student is trained from.

    Attributes:
        folder: The folder to which it is written.
        model: Name of the network.
        method: How it learns.
        sets: Its examples.
        recipe: How it is trained.
        seeds: Its seeds.
        class_map: Its class of each of its teacher's classes, if they differ.
        start: The trained weights that it starts from; None for random ones.
        keep: What is kept of it at each point of its validation curve.

    Example:
        >>> import numpy as np
        >>> from distillab.methods import parse_method
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1).resolve(images)
        >>> StudentSpec(
        ...     Path("s"), "resnet8", parse_method("ce", "methods"), sets, recipe, Seeds(1, 2, 3)
        ... ).model
        'resnet8'
    """

    folder: Path
    model: str
    method: MethodSpec
    sets: RoleSets
    recipe: ResolvedRecipe
    seeds: Seeds
    class_map: ClassMap | None = None
    start: InitialWeights | None = None
    keep: KeptCurve = KeptCurve()
