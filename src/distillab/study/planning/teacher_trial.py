"""The trial of a given teacher on the data of a study, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch

from distillab.data.class_map import ClassMap, class_map
from distillab.data.examples import Examples
from distillab.data.targets import Targets
from distillab.errors import RequestError
from distillab.modalities.modality import modality_of
from distillab.models.black_box import ONNX, PREDICTIONS, BlackBox
from distillab.models.input_transforms import InputNormalization
from distillab.models.output_checks import ends_in_probabilities, sums_to_one
from distillab.study.planning.external_teacher import GivenTeacher, open_given_teacher, with_stem
from distillab.tasks import Task
from distillab.tasks.arrays import Logits
from distillab.training.teachers.class_mapping import to_student_classes

MOST_EXAMPLES: Final = 1000  # of val that a teacher is tried on
FEWEST_EXAMPLES: Final = 200  # training examples are added to fewer, to tell the teacher from chance
LABEL_PERMUTATIONS: Final = 199
ALPHA: Final = 0.01  # a teacher is at chance if permuted labels do as well more often than this
LOSS_UNDER_VIEWS: Final = 0.05  # of the primary metric, from which on it is stated
SATURATED: Final = 65504.0  # the largest float16, in which infinite logits are stored
HALF_TOLERANCE: Final = 1e-2  # of a sum of probabilities in float16


@dataclass(frozen=True)
class TeacherTrial:
    """What a given teacher is worth on the data of a study.

    Attributes:
        model: The network.
        text: Which part of the file was loaded, in a few words.
        metric: The primary metric of the task.
        score: The metric on the validation set; NaN without one.
        n: Validation examples that it was tried on.
        chance: The mean of the metric for permuted labels.
        p_value: How often permuted labels do as well, on ``n_tested`` examples.
        n_tested: Validation and training examples of that test.
        enough_examples: Whether perfect outputs would differ from chance on so many examples.
        notes: What else a user should know, one sentence each.

    Example:
        >>> trial = TeacherTrial("resnet14", "entry 'ema'", "accuracy", 0.9, 300, 0.25, 0.005, 300, True, ())
        >>> trial.at_chance
        False
        >>> trial.sentences[0]
        "The given teacher resnet14 (entry 'ema') has accuracy 0.900 on 300 val examples; chance is 0.250."
    """

    model: str
    text: str
    metric: str
    score: float
    n: int
    chance: float
    p_value: float
    n_tested: int
    enough_examples: bool
    notes: tuple[str, ...]

    @property
    def at_chance(self) -> bool:
        """True if it is not significantly better than chance."""
        return self.enough_examples and self.p_value > ALPHA

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, for a plan and a report."""
        loaded = f" ({self.text})" if self.text else ""
        first = f"The given teacher {self.model}{loaded} has {self.metric} {self.score:.3f} on {self.n} val "
        first += f"examples; chance is {self.chance:.3f}."
        few = (
            () if self.enough_examples else (f"{self.n_tested} examples are too few to tell it from chance.",)
        )
        warned = ("It is at chance, and goes on by `at_chance: continue`.",) if self.at_chance else ()
        return (first, *few, *warned, *self.notes)


def try_given_teacher(teacher: GivenTeacher, task: Task, device: torch.device) -> TeacherTrial:
    """Return what a given teacher is worth on the data, or refuse it.

    Args:
        teacher: The teacher.
        task: What it has to predict.
        device: Where it computes.

    Raises:
        RequestError: Its outputs are not finite or are probabilities, it is at chance, or it is better with
            the original stem of its network.
    """
    dataset, spec = teacher.dataset, teacher.spec.teacher
    mapping, known = _mapping(teacher)
    val, extra = _examples(dataset.val, dataset.train, known)
    sets = [each for each in (val, extra) if len(each)]
    if not sets:
        raise RequestError(
            "there are no labelled examples of its classes to try it on",
            where=teacher.where,
            allowed="data with labels",
        )
    logits = [_logits(teacher, each, device) for each in sets]
    mapped = [to_student_classes(each, mapping).astype(np.float32) for each in logits]
    targets = [_targets(each, known, dataset.classes) for each in sets]
    score = task.score(mapped[0], targets[0]) if len(val) else float("nan")
    whole, labels = np.concatenate(mapped), targets[0] if len(sets) == 1 else targets[0].joined(targets[1])
    chance, p_value = _permuted(task, whole, labels)
    best = _permuted(task, _perfect(labels), labels)[1]
    tried = _Tried(teacher, task, whole, labels, tuple(sets), mapping, device)
    trial = TeacherTrial(
        teacher.model,
        teacher.loaded.text,
        task.primary,
        score,
        len(val),
        chance,
        p_value,
        len(labels),
        best <= ALPHA,
        (*_notes(teacher), *_note_on_views(tried)),
    )
    if teacher.may_be_normalized_otherwise:
        _must_not_be_better_normalized_otherwise(tried)
    if teacher.stem and spec.stem == "auto":
        _must_not_be_better_with_the_original_stem(tried)
    if trial.at_chance and spec.at_chance == "stop":
        stem = ", the stem (`stem: original`)" if teacher.stem else ""
        loaded = f" ({teacher.loaded.text})" if teacher.loaded.text else ""
        entry = f", the entry (`entry: {teacher.loaded.others[0]}`)" if teacher.loaded.others else ""
        checked = WHAT_TO_CHECK.get(
            spec.model,
            "`normalization`, the order of the classes (`classes`), the resolution, the architecture",
        )
        raise RequestError(
            f"{task.primary} {task.score(whole, labels):.3f} on {len(labels)} examples is at chance "
            f"({chance:.3f}): these weights{loaded} do not predict the labels of these data",
            where=teacher.where,
            allowed=f"check {checked}{entry}{stem}, or write `at_chance: continue`",
        )
    return trial


WHAT_TO_CHECK: Final = MappingProxyType(
    {
        ONNX: "the order of the classes (`classes`), `normalization`, the resolution (`size`, or that of the "
        "data), the `layout`",
        PREDICTIONS: "the order of the classes (`classes`, or the names of the columns), and whether these "
        "files have the names of these images",
    }
)
"""What to check of a black box at chance."""


ORIGIN_UNKNOWN: Final = (
    "What the given teacher was trained on is not known: if images of test were among it, its accuracy on "
    "test, and that of its students, are too high."
)


def _notes(teacher: GivenTeacher) -> tuple[str, ...]:
    order = f"{teacher.order[:1].upper()}{teacher.order[1:]}."
    if not teacher.stem:
        return order, ORIGIN_UNKNOWN
    return (
        order,
        ORIGIN_UNKNOWN,
        f"Given weights and a changed stem: {teacher.stem}; `stem: original` keeps the published one.",
    )


def _mapping(teacher: GivenTeacher) -> tuple[ClassMap | None, tuple[int, ...]]:
    """Return the mapping to those classes of the data that the teacher knows, and their numbers."""
    dataset, names = teacher.dataset, teacher.spec.teacher.class_map
    own, places = dataset.classes, range(len(dataset.classes))
    try:
        return class_map(teacher.classes, own, dataset.train, names), tuple(places)
    except RequestError as error:
        if "corresponds" not in error.what:  # a name that does not exist
            raise
        known = [place for place in places if _knows(teacher, own[place])]
    if not known:
        raise RequestError(
            "the teacher and the data have no class in common",
            where="teacher.classes",
            allowed="`class_map` with the data's names of its classes",
        )
    return class_map(teacher.classes, [own[place] for place in known], dataset.train, names), tuple(known)


def _knows(teacher: GivenTeacher, name: str) -> bool:
    try:
        class_map(teacher.classes, [name], teacher.dataset.train, teacher.spec.teacher.class_map)
    except RequestError:
        return False
    return True


def _examples(val: Examples, train: Examples, known: tuple[int, ...]) -> tuple[Examples, Examples]:
    """Return labelled validation examples of the known classes, and training examples if those are few."""
    found = _spread(_known(val, known), MOST_EXAMPLES)
    return found, _spread(_known(train, known), max(0, FEWEST_EXAMPLES - len(found)))


def _known(examples: Examples, known: tuple[int, ...]) -> Examples:
    targets = examples.targets
    if len(known) == len(examples.classes):
        return examples.select(targets.labelled)
    return examples.select(targets.labelled & targets.belong_to(np.array(known)))


def _spread(examples: Examples, most: int) -> Examples:
    """Return at most so many examples, evenly spread over a set."""
    if len(examples) <= most:
        return examples
    return examples.select(np.linspace(0, len(examples) - 1, most).astype(np.int64))


def _targets(examples: Examples, known: tuple[int, ...], classes: tuple[str, ...]) -> Targets:
    whole = len(known) == len(classes)
    return examples.targets if whole else examples.targets.of_classes(np.array(known))


def _logits(teacher: GivenTeacher, examples: Examples, device: torch.device) -> Logits:
    """Return logits of a teacher, or refuse what is none."""
    logits = teacher.logits(examples, device)
    largest = np.abs(logits.astype(np.float32)).max(axis=1)
    finite = int((largest < SATURATED).sum())  # neither NaN nor infinite
    if finite < len(logits):
        raise RequestError(
            f"{teacher.model} gives outputs that are not finite for {len(logits) - finite} of {len(logits)} "
            "examples",
            where=teacher.where,
            allowed="finite weights, and the `normalization` that they were trained with"
            + (f"; the stem was changed ({teacher.stem}): `stem: original`" if teacher.stem else ""),
        )
    if sums_to_one(torch.from_numpy(logits), HALF_TOLERANCE):
        raise ends_in_probabilities(teacher.model, "softmax").within(teacher.where)
    return logits


def _permuted(task: Task, logits: Logits, targets: Targets) -> tuple[float, float]:
    """Return the mean score under permuted labels, and how often it is at least that of the labels."""
    score = task.score(logits, targets)
    rng = np.random.default_rng(0)
    null = [
        task.score(logits, targets.take(rng.permutation(len(targets)).astype(np.int64)))
        for _ in range(LABEL_PERMUTATIONS)
    ]
    # A score that is undefined is no evidence that a teacher is better than chance.
    reached = sum(each >= score for each in null) if np.isfinite(score) else len(null)
    defined = [each for each in null if np.isfinite(each)]
    return float(np.mean(defined)) if defined else float("nan"), (1 + reached) / (1 + LABEL_PERMUTATIONS)


def _perfect(targets: Targets) -> Logits:
    """Return the outputs of a network that is always right."""
    return targets.members.astype(np.float32) * 2 - 1


def _note_on_views(tried: _Tried) -> tuple[str, ...]:
    """Return a sentence if the teacher is much worse for the views that students learn from."""
    spec, data, network = tried.teacher.spec, tried.teacher.dataset, tried.teacher.network
    views = modality_of(data.train).views(spec.recipe.views, data.train.shape)
    if views.mixes or views.count == 1 or (isinstance(network, BlackBox) and network.sees_originals):
        return ()
    logits = tried.mapped(lambda each: tried.teacher.logits_for_views(each, views, tried.device))
    score = tried.task.score(logits, tried.targets)
    if not tried.score - score > LOSS_UNDER_VIEWS:
        return ()
    return (
        f"For the views that students learn from ({views.label}), its {tried.task.primary} is {score:.3f}, "
        f"and {tried.score:.3f} for the examples as they are: it was probably trained without such views. "
        "`recipe: {views: none}` has none.",
    )


USUAL_NORMALIZATIONS: Final = MappingProxyType(
    {
        "pixels from 0 to 1": ((0.0,), (1.0,)),
        "pixels from -1 to 1": ((0.5,), (0.5,)),
        "pixels from 0 to 255": ((0.0,), (1 / 255,)),
        "the statistics of ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }
)
"""Means and standard deviations that graphs are often exported for, per channel, or one for all."""


@dataclass(frozen=True, eq=False)
class _Tried:
    """A given teacher with its outputs for the examples that it was tried on."""

    teacher: GivenTeacher
    task: Task
    logits: Logits
    targets: Targets
    sets: tuple[Examples, ...]
    mapping: ClassMap | None
    device: torch.device

    @property
    def score(self) -> float:
        """Its score."""
        return self.task.score(self.logits, self.targets)

    def mapped(self, outputs: Callable[[Examples], Logits]) -> Logits:
        """Return other outputs for the same examples, in the classes of the data."""
        parts = [to_student_classes(outputs(each), self.mapping) for each in self.sets]
        return np.concatenate(parts).astype(np.float32)

    def is_worse_than(self, other: Logits) -> bool:
        """Return True if other logits score higher, and in nearly all draws of examples with replacement."""
        if self.task.score(other, self.targets) <= self.score:
            return False
        rng, better = np.random.default_rng(0), 0
        for _ in range(LABEL_PERMUTATIONS):
            drawn = rng.integers(0, len(self.targets), len(self.targets)).astype(np.int64)
            part = self.targets.take(drawn)
            better += self.task.score(other[drawn], part) > self.task.score(self.logits[drawn], part)
        return better >= (1 - ALPHA) * LABEL_PERMUTATIONS


def _must_not_be_better_normalized_otherwise(tried: _Tried) -> None:
    """Raise RequestError if the graph, which does not show how its inputs are normalized, does better under a
    usual normalization than under that of the study."""
    teacher, task, channels = tried.teacher, tried.task, tried.teacher.dataset.train.shape[0]
    found: list[tuple[float, str, Logits, InputNormalization]] = []
    for name, (mean, std) in USUAL_NORMALIZATIONS.items():
        if len(mean) not in (1, channels):
            continue
        repeats = channels // len(mean)
        own = InputNormalization(mean * repeats, std * repeats)
        other = tried.mapped(lambda each, own=own: teacher.logits(each, tried.device, own))  # type: ignore[misc]
        found.append((task.score(other, tried.targets), name, other, own))
    best, name, other, own = max(found, key=lambda each: each[0])
    if tried.is_worse_than(other):
        written = f"{{mean: {_written(own.mean)}, std: {_written(own.std)}}}"
        raise RequestError(
            f"{task.primary} is {best:.3f} with {name}, and {tried.score:.3f} with the normalization of the "
            "study; the graph does not show which it takes",
            where=teacher.where,
            allowed=f"`normalization: {written}`, or that of the study, written out",
        )


def _written(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"


def _must_not_be_better_with_the_original_stem(tried: _Tried) -> None:
    """Raise RequestError if the weights do better with the stem of the package, which their shapes do not
    show."""
    teacher, task = tried.teacher, tried.task
    try:
        other = open_given_teacher(with_stem(teacher.spec, "original"), teacher.dataset)
    except RequestError:
        return  # they are not weights of the original stem
    assert other is not None
    original = tried.mapped(lambda each: _logits(other, each, tried.device))
    if tried.is_worse_than(original):
        raise RequestError(
            f"{task.primary} is {task.score(original, tried.targets):.3f} with the original stem of "
            f"{teacher.model}, and {tried.score:.3f} with the fitted one ({teacher.stem})",
            where=teacher.where,
            allowed="`stem: original`, or `stem: fitted`",
        )
