"""How much of a network's accuracy common corruptions of the test images leave, beside a plain student's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Examples, Pool
from distillab.deploy.description import ModelDescription
from distillab.deploy.drop import paired_interval
from distillab.deploy.gates import examples_as_items
from distillab.deploy.judged import judged_outputs
from distillab.deploy.loaded import BATCH, TorchEngine
from distillab.errors import RequestError
from distillab.factors.inputs.corruptions import Corrupted, Corruption, check_corruptible
from distillab.tasks import Task

CORRUPTIONS: tuple[Corruption, ...] = (
    "gaussian_noise",
    "motion_blur",
    "brightness",
    "contrast",
    "jpeg_compression",
)
SEVERITY = 3
MOST_CORRUPTED = 300


@dataclass(frozen=True)
class CorruptedScore:
    """The scores of a student under one corruption.

    Attributes:
        corruption: Its name; ``none`` for the images as they are.
        student: Score of the student.
        plain: Score of the plain student of the same seed; None if there is none.
        ci_low: Lower end of the 95 % interval of the difference, over test images.
        ci_high: Upper end.

    Example:
        >>> CorruptedScore("brightness", 0.8, 0.75, -0.01, 0.11).difference
        0.05...
    """

    corruption: str
    student: float
    plain: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None

    @property
    def difference(self) -> float | None:
        """Score of the student minus that of the plain one."""
        return None if self.plain is None else self.student - self.plain


@dataclass(frozen=True)
class Robustness:
    """The scores of a student on corrupted test images.

    Attributes:
        metric: The primary metric.
        examples: Number of test images.
        severity: Of the corruptions, from 1 to 5.
        scores: One entry per corruption, the first one for images as they are.
        untested: Why nothing was measured; "" if it was.

    Example:
        >>> Robustness("accuracy", 0, 3, (), "images are too small").as_dict()["untested"]
        'images are too small'
    """

    metric: str
    examples: int
    severity: int
    scores: tuple[CorruptedScore, ...]
    untested: str = ""

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return asdict(self)


def measure_robustness(
    student: TorchEngine,
    plain: TorchEngine | None,
    description: ModelDescription,
    test: Examples,
) -> Robustness:
    """Measure a student on corrupted test images, and the plain student beside it on the same ones.

    Args:
        student: The student.
        plain: The plain student of the same seed; None if there is none.
        description: What the networks are.
        test: The test set; at most 300 examples of it, evenly spread, are used.

    Example:
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> engine = TorchEngine(description.build(), description)
        >>> measure_robustness(engine, None, description, images).untested
        'images of 8x8 pixels are too small to corrupt'
    """
    task = description.task_config()
    if description.modality != IMAGE:
        return Robustness(
            task.primary, 0, SEVERITY, (), f"corruptions are of images, not {description.modality}"
        )
    try:
        check_corruptible(test.shape)
    except RequestError as error:
        hint = f" ({error.allowed})" if "package" in error.what else ""
        return Robustness(task.primary, 0, SEVERITY, (), f"{error.what}{hint}")
    count = min(MOST_CORRUPTED, len(test))
    chosen = test.select(np.linspace(0, len(test) - 1, count).astype(np.int64))
    engines = {"student": student, **({"plain": plain} if plain else {})}
    scores = [_score("none", engines, description, chosen, task)]
    for name in CORRUPTIONS:
        pixels = Corrupted((name,), SEVERITY)(chosen.images, chosen.ids)
        pool = Pool.of(pixels)
        rows = np.arange(count, dtype=np.int64)
        corrupted = Examples(pool, rows, chosen.targets, chosen.classes, chosen.ids)
        scores.append(_score(name, engines, description, corrupted, task))
    return Robustness(task.primary, count, SEVERITY, tuple(scores))


def _score(
    name: str,
    engines: Mapping[str, TorchEngine],
    description: ModelDescription,
    examples: Examples,
    task: Task,
) -> CorruptedScore:
    items = examples_as_items(examples, description)
    found = {}
    for key, engine in engines.items():
        outputs, logits = engine.run(items, BATCH)
        found[key] = judged_outputs(outputs, description) if logits is None else logits
    student = task.score(found["student"], examples.targets)
    if "plain" not in found:
        return CorruptedScore(name, student)
    own, other = (task.contributions(found[key], examples.targets) for key in ("student", "plain"))
    low, high = paired_interval(task)(own - other)
    return CorruptedScore(name, student, task.score(found["plain"], examples.targets), low, high)
