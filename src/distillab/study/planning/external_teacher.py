"""A teacher with given weights: its network, its classes, and its outputs before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from distillab.artefacts import StoredLogits
from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.class_map import class_map
from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples
from distillab.errors import RequestError
from distillab.factors.factor import Probabilities
from distillab.modalities import normalization_of
from distillab.modalities.views import Views
from distillab.models import InputSpec, stem_change
from distillab.models.black_box import is_black_box, write_black_box
from distillab.models.dry_run import logits_of
from distillab.models.input_transforms import InputNormalization, rescale_inputs
from distillab.models.onnx_network import OnnxNetwork
from distillab.models.weights import LoadedWeights, WeightFile, load_into, read_weights
from distillab.study.job_parts import InputScaling
from distillab.study.planning.black_box_teacher import OpenedBlackBox, open_black_box, own_normalization
from distillab.study.planning.conditions import TeacherProbabilities
from distillab.study.planning.starts import is_of_study, recorded_normalization, scaling_to
from distillab.study.spec.choices import with_teacher
from distillab.study.spec.study import StudySpec
from distillab.training.evaluation import predict, to_half
from distillab.training.loop.member import new_model
from distillab.training.numerics.device import inference_batch_size

_CPU = torch.device("cpu")
KEY = "teacher.weights"


@dataclass(frozen=True, eq=False)
class GivenTeacher:
    """A teacher whose weights are given, opened and fitted to its network.

    Attributes:
        spec: The study, with the stem and the classes that follow from the weights written out.
        dataset: Its data.
        network: The network, on the CPU, in evaluation mode, for inputs normalized as in the study.
        loaded: Which part of the file was loaded.
        stem: How the stem of the network was changed for this size of inputs; empty if it was not.
        order: What is known of the order of its classes, in a sentence.
    """

    spec: StudySpec
    dataset: Dataset
    network: nn.Module
    loaded: LoadedWeights
    stem: str
    order: str

    @property
    def model(self) -> str:
        """The name of the network."""
        return self.spec.teacher.whole

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes in the order of its logits."""
        return self.spec.teacher.classes or self.dataset.classes

    @property
    def where(self) -> str:
        """The key and the file, for errors."""
        return f"{KEY}: {self.loaded.path}"

    @property
    def may_be_normalized_otherwise(self) -> bool:
        """True for an ONNX graph of floats whose normalization neither it nor the study states."""
        graph = isinstance(self.network, OnnxNetwork) and self.network.facts["mean"] is None
        return graph and self.dataset.modality == IMAGE

    def logits(
        self, examples: Examples, device: torch.device = _CPU, inputs: InputNormalization | None = None
    ) -> StoredLogits:
        """Return its logits in its own classes, float16 ``[N, classes]``, without the student transform.

        Args:
            examples: The examples.
            device: Where it computes.
            inputs: The normalization of its inputs, in the place of that of the study.
        """
        whole = replace(examples, student_transform=None)
        network = self.network.to(device)
        if inputs is not None:
            mean, std = (each.tolist() for each in self.dataset.normalization())
            network = rescale_inputs(nn.Sequential(network), *inputs.after(mean, std))
        return predict(network, whole, normalization_of(self.dataset), device, "fp32")

    @torch.inference_mode()
    def logits_for_views(self, examples: Examples, views: Views, device: torch.device = _CPU) -> StoredLogits:
        """Return its logits for one view of each example, float16 ``[N, classes]``.

        Args:
            examples: The examples.
            views: The augmentation.
            device: Where it computes.
        """
        network, normalize, parts = self.network.to(device), normalization_of(self.dataset), []
        batch = inference_batch_size(device)
        for start in range(0, len(examples), batch):
            positions = np.arange(start, min(start + batch, len(examples)))
            items = views.batch(examples, positions, 0, 0, device).items
            parts.append(to_half(logits_of(network(normalize(items)))))
        return np.concatenate(parts)


def open_given_teacher(spec: StudySpec, dataset: Dataset) -> GivenTeacher | None:
    """Return the external teacher of a study, or None if its teacher is trained.

    Raises:
        RequestError: The weights cannot be read or do not fit the network, the normalization does not fit the
            examples, or the weights state other classes than the data.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["kd"],
        ... )
        >>> open_given_teacher(spec, load_dataset(spec.source())) is None
        True
    """
    path = spec.weights_path()
    if path is None:
        return None
    if is_black_box(spec.teacher.model):
        return _open_black_box(spec, dataset, path)
    try:
        file = read_weights(path)
        network, loaded, fitted = _load(spec, dataset, file)
    except RequestError as error:
        raise error.within(KEY) from error
    resolved, order = _with_class_order(fitted, dataset, loaded)
    scaling = input_scaling(spec, dataset.normalization())
    network = (rescale_inputs(network, scaling.scale, scaling.shift) if scaling else network).eval()
    change = stem_change(resolved.teacher.whole, InputSpec(*dataset.train.shape))
    return GivenTeacher(resolved, dataset, network, loaded, change, order)


def _open_black_box(spec: StudySpec, dataset: Dataset, path: Path) -> GivenTeacher:
    """Return a teacher of which logits alone are known. Its content is written into a file of this process,
    which takes the place of the given one."""
    try:
        box = open_black_box(spec, dataset, path)
        fitted = _of_width(spec, dataset, box, path)
    except RequestError as error:
        raise error.within(KEY) from error
    stated = box.class_names if len(box.class_names) == box.classes else ()
    entry = spec.teacher.entry
    source = box.names_from if stated else ""
    loaded = LoadedWeights(path, entry, "", class_names=stated, names_from=source, details=box.details)
    resolved, order = _with_class_order(fitted, dataset, loaded)
    resolved = with_teacher(resolved, weights=write_black_box(box.network))
    scaling = input_scaling(resolved, dataset.normalization())
    network = rescale_inputs(box.network, scaling.scale, scaling.shift) if scaling else box.network
    return GivenTeacher(resolved, dataset, network.eval(), loaded, "", order)


def _of_width(spec: StudySpec, dataset: Dataset, box: OpenedBlackBox, path: Path) -> StudySpec:
    """Return the study with classes of the teacher for each of its logits."""
    wanted = spec.teacher.classes or dataset.classes
    if spec.task_config().head_width(len(wanted)) == box.classes:
        return spec
    if not spec.teacher.classes and len(box.class_names) == box.classes:
        return with_teacher(spec, classes=box.class_names)
    what = "`classes` names" if spec.teacher.classes else "the data have"
    raise RequestError(
        f"gives {box.classes} numbers for an image, and {what} {len(wanted)} classes",
        where=str(path),
        allowed=f"`classes` with the {box.classes} names of the teacher's classes in order",
    )


def open_given_teachers(spec: StudySpec, dataset: Dataset) -> list[GivenTeacher]:
    """Return the external teachers of a study, one per file of weights; none if its teacher is trained.

    Raises:
        RequestError: One of them cannot be opened, or has another stem or other classes than the first.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["kd"],
        ... )
        >>> open_given_teachers(spec, load_dataset(spec.source()))
        []
    """
    files = range(len(spec.teacher.files))
    opened = [open_given_teacher(with_file(spec, number), dataset) for number in files]
    teachers = [each for each in opened if each is not None]
    for each in teachers[1:]:
        first, other = teachers[0].spec.teacher, each.spec.teacher
        if first.model_copy(update={"weights": other.weights}) != other:
            raise RequestError(
                "these weights have another stem or other classes than those of the first file",
                where=each.where,
                allowed="files of one architecture with the same classes in the same order",
            )
    return teachers


def with_file(spec: StudySpec, number: int) -> StudySpec:
    """Return a study with one of its external teachers, or as it is without any."""
    return with_teacher(spec, weights=spec.teacher.files[number]) if spec.teacher.files else spec


def with_stem(spec: StudySpec, stem: str) -> StudySpec:
    """Return a study whose teacher has the ``fitted`` or the ``original`` stem."""
    return with_teacher(spec, stem=stem)


def _load(spec: StudySpec, dataset: Dataset, file: WeightFile) -> tuple[nn.Module, LoadedWeights, StudySpec]:
    """Return a network with the weights in it, and the study with the stem and classes that they fit."""
    first: RequestError | None = None
    for tried in _candidates(spec, dataset, file):
        classes = tried.teacher.classes or dataset.classes
        width = tried.task_config().head_width(len(classes))
        model = tried.teacher.whole
        network = new_model(model, dataset.train, 0, _CPU, logits=width)
        try:
            loaded = load_into(network, file, name=model, classes=width, entry=tried.teacher.entry)
        except RequestError as error:
            first = first or error
        else:
            return network, loaded, tried
    assert first is not None
    raise first


def _candidates(spec: StudySpec, dataset: Dataset, file: WeightFile) -> Iterator[StudySpec]:
    """Yield the study with each stem and each number of classes that its weights may have."""
    stems = [spec]
    if spec.teacher.stem == "auto" and stem_change(spec.teacher.whole, InputSpec(*dataset.train.shape)):
        stems.append(with_stem(spec, "original"))
    for each in stems:
        yield each
        others = len(file.class_names) != len(dataset.classes)
        if not spec.teacher.classes and file.class_names and others:
            yield with_teacher(each, classes=file.class_names)


def _with_class_order(spec: StudySpec, dataset: Dataset, loaded: LoadedWeights) -> tuple[StudySpec, str]:
    """Return a study with the classes of its teacher written out if their order is not that of the data, and
    what is known of it."""
    stated, written, own = loaded.class_names, spec.teacher.classes, dataset.classes
    source = loaded.names_from
    if not stated:
        taken = "`classes`" if written else "the data: " + _shown(own)
        return spec, f"the weights state no order of classes; it is taken to be that of {taken}"
    if written and written != stated:
        if set(written) == set(stated):
            raise RequestError(
                f"the weights have another order of classes ({source}): {_shown(stated)}",
                where="teacher.classes",
                allowed="the order of the weights, or no `classes`",
            )
        return spec, f"the order of classes is that of `classes`; the weights have other names ({source})"
    if stated == own:
        return spec, f"the weights have the order of classes of the data ({source})"
    renamed = spec.teacher.class_map or _renamed(stated, own)
    try:
        class_map(stated, own, dataset.train, renamed)
    except RequestError as error:
        if written:  # the student may have fewer classes, for which it is looked for again
            return spec, f"the order of classes is that of `classes`, and of the weights ({source})"
        raise RequestError(
            f"the weights are for the classes {_shown(stated)} ({source}), the data have {_shown(own)}",
            where=f"{KEY}: {loaded.path}",
            allowed="`class_map` with the data's names of those classes, or `classes` in the data's order",
        ) from error
    found = "are mapped by name" if set(stated) != set(own) else "have another order and are mapped by name"
    mapped = with_teacher(spec, classes=stated, class_map=renamed)
    return mapped, f"the classes of the weights ({source}) {found}: {_shown(stated)}"


def _renamed(stated: tuple[str, ...], own: tuple[str, ...]) -> dict[str, str]:
    """Return the data's names of classes that are written differently in case, separators or synonyms."""
    by_letters = {_letters(name): name for name in own}
    if len(by_letters) < len(own):
        return {}
    found = {
        name: by_letters.get(_letters(name), by_letters.get(_letters(name.partition(",")[0])))
        for name in stated
        if name not in own
    }
    return {name: target for name, target in found.items() if target is not None}


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def given_teacher(spec: StudySpec, dataset: Dataset) -> TeacherProbabilities | None:
    """Return a function for the class probabilities of an external teacher.

    Of several, the first is taken. The probabilities are computed once per set of examples, on the CPU in
    full precision, so that every worker finds the same. The teacher gets examples without the student
    transform, under its own normalization. The function raises RequestError if the weights do not fit the
    network, or the normalization the examples.

    Args:
        spec: The study.
        dataset: Its data.

    Returns:
        None if the teacher is trained in the study.

    Example:
        >>> from distillab.sources.ingest import load_dataset
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits", "classes": 2}, teacher={"model": "resnet8"},
        ...     students="resnet8", methods=["kd"],
        ... )
        >>> given_teacher(spec, load_dataset(spec.source())) is None
        True
    """
    if spec.weights_path() is None:
        return None
    opened = cache(lambda: open_given_teacher(spec, dataset))
    known: dict[str, Probabilities] = {}

    def probabilities(examples: Examples) -> Probabilities:
        if examples.input_digest not in known:
            teacher = opened()
            assert teacher is not None
            known[examples.input_digest] = softmax(teacher.logits(examples).astype(np.float32), axis=1)
        return known[examples.input_digest]

    return probabilities


def input_scaling(spec: StudySpec, statistics: ChannelStatistics) -> InputScaling | None:
    """Return how inputs that are normalized as in the study become what given weights were trained on.

    Args:
        spec: The study.
        statistics: Means and standard deviations of the study's channels.

    Returns:
        None if the teacher has no normalization of its own: the study states none, and a record beside the
        weights (of a network that distillab trained) states none or that of the study.

    Raises:
        RequestError: There is not one mean and standard deviation per channel.
    """
    stated, weights = spec.teacher.normalisation, spec.weights_path()
    if is_black_box(spec.teacher.model) and weights is not None:
        black_box = own_normalization(weights)
        return (
            scaling_to(_per_channel(black_box, statistics, "teacher.normalization"), statistics)
            if black_box
            else None
        )
    own = InputNormalization(stated.mean, stated.std) if stated else None
    where = "teacher.normalization"
    if own is None and weights is not None and (recorded := recorded_normalization(weights)):
        own, where = recorded
        own = None if is_of_study(own, statistics) else own
    return None if own is None else scaling_to(_per_channel(own, statistics, where), statistics)


def _per_channel(own: InputNormalization, statistics: ChannelStatistics, where: str) -> InputNormalization:
    """Return a normalization, or refuse one with another number of channels than the examples."""
    channels = len(statistics[0])
    if not len(own.mean) == len(own.std) == channels:
        raise RequestError(
            f"the examples have {channels} channels, and there are {len(own.mean)} means and "
            f"{len(own.std)} standard deviations",
            where=where,
            allowed="one of each per channel",
        )
    return own
