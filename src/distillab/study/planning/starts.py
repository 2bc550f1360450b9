"""The trained weights that networks of a study start from, tried before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from distillab.artefacts import RECORD
from distillab.data.channel_statistics import ChannelStatistics
from distillab.errors import RequestError
from distillab.models import InputSpec, find_pretrained, inspect_network
from distillab.models.black_box import is_black_box
from distillab.models.efficientnet_lite import SIDES
from distillab.models.ensemble import Ensemble
from distillab.models.input_transforms import InputNormalization, split_input_size
from distillab.models.kept_stages import KEEP, KeptStages
from distillab.models.starting import keep_fitting
from distillab.models.stems import FITTED_UP_TO
from distillab.study.job_parts import InputScaling, NetworkStart
from distillab.study.planning.costs import ModelCosts
from distillab.study.spec.student import StudentEntry
from distillab.study.spec.teacher import ExternalStatistics
from distillab.training.loop.initial_weights import InitialWeights

# Statistics that differ by less are those of the study, written with fewer digits.
_SAME = 1e-5


@dataclass(frozen=True)
class _Source:
    """Trained weights with their preprocessing, before they are fitted to a network.

    Attributes:
        path: Their file.
        origin: Where they come from.
        normalization: The normalization of the inputs, and where it is stated; None if nothing states it.
        side: The side of the images that they were trained on, if it is known.
        interpolation: How those were resized, if it is known.
    """

    path: Path
    origin: str
    normalization: tuple[InputNormalization, str] | None
    side: int | None = None
    interpolation: str = "bilinear"


class Starts:
    """Finds the trained weights that networks start from, and tries each once.

    Args:
        statistics: Means and standard deviations of the study's channels.
        modality: What an example is. The preprocessing of weights is one of images; other inputs are
            normalized as the study does.
        digest: The content address of a file.
        where: The file of the study, for errors.

    Attributes:
        notes: What each start is, one sentence each, in the order in which they were tried.
    """

    def __init__(
        self, statistics: ChannelStatistics, modality: str, digest: Callable[[Path], str], where: str
    ) -> None:
        self.notes: dict[str, None] = {}
        self._statistics, self._images, self._digest = statistics, modality == "image", digest
        self._where = where
        self._sources: dict[StudentEntry, _Source] = {}
        self._known: dict[tuple[StudentEntry, ModelCosts], NetworkStart] = {}

    def start(self, entry: StudentEntry, costs: ModelCosts, key: str = "students") -> NetworkStart:
        """Return the start of a network, whose weights are loaded once to see that they fit.

        Args:
            entry: The network with its weights; without any, it starts from its pretrained ones.
            costs: Builds the network for its classes and the shape of its inputs.
            key: The key of the study that names the network, for errors.

        Raises:
            RequestError: There are no such weights, they do not fit, or there is not one mean and standard
                deviation per channel.
        """
        if (entry, costs) not in self._known:
            try:
                self._known[entry, costs] = self._try(entry, costs)
            except RequestError as error:
                raise error.within(key).within(self._where) from error
        return self._known[entry, costs]

    def _try(self, entry: StudentEntry, costs: ModelCosts) -> NetworkStart:
        if entry not in self._sources:
            self._sources[entry] = _source_of(entry)
        source, inputs = self._sources[entry], costs.inputs
        normalization = self._normalization(source, inputs.channels)
        resizes = split_input_size(entry.model)[1] is not None
        start = NetworkStart(
            self._digest(source.path),
            entry.weights is None,
            self._scaling(normalization),
            source.interpolation if resizes and source.interpolation != "bilinear" else None,
            entry.keep,
            str(source.path),
        )
        scaling = start.scaling.as_dict() if start.scaling else None
        facts = source.path, start.digest, start.pretrained, scaling, start.interpolation
        weights = InitialWeights(*facts, keep=entry.keep)
        loaded = weights.load(costs.build(entry.model), inputs, name=entry.model, classes=costs.classes)
        parts = [f"{entry.model} starts from {source.origin}", *([loaded.text] if loaded.text else [])]
        parts += [_preprocessing(source, normalization, self._images)]
        parts += [_size(source, entry.model, inputs)] if source.side else []
        parts += [_stem(entry.model, inputs)] if entry.model in SIDES else []
        self.notes[f"{', '.join(parts)}."] = None
        return start

    def _normalization(self, source: _Source, channels: int) -> InputNormalization | None:
        if source.normalization is None or not self._images:
            return None
        stated, where = source.normalization
        try:
            return stated.for_channels(channels)
        except ValueError as error:
            raise RequestError(
                f"the images have {channels} channels, and there are {len(stated.mean)} means and "
                f"{len(stated.std)} standard deviations",
                where=where,
                allowed="one of each per channel",
            ) from error

    def _scaling(self, normalization: InputNormalization | None) -> InputScaling | None:
        if normalization is None or is_of_study(normalization, self._statistics):
            return None
        return scaling_to(normalization, self._statistics)


def kept_stages_of(student: str, costs: ModelCosts, stages: int) -> KeptStages:
    """Return the first stages of a student's network.

    Raises:
        RequestError: The network has no stages or fewer, or nothing else.
    """
    return KeptStages.of(costs.build(student), costs.inputs, stages, name=student)


def kept_of_teacher(
    student: str, costs: ModelCosts, teacher: str, teacher_costs: ModelCosts, stages: int = 0
) -> str:
    """Return what a student keeps of the weights of the study's teacher, in a few words.

    Args:
        student: The student's network.
        costs: Builds it.
        teacher: The network that teaches.
        teacher_costs: Builds that.
        stages: The number of the student's first stages that must be the teacher's in whole.

    Raises:
        RequestError: No weights of the teacher have a name and a shape of the student's, or not all of these
            stages have.
    """
    if is_black_box(teacher):
        raise RequestError(f"{teacher} has no weights to start from", allowed="a network, or another start")
    source = teacher_costs.build(teacher)
    members = source.members if isinstance(source, Ensemble) else [source]
    network = costs.build(student)
    head = inspect_network(network, costs.inputs, classes=costs.classes, name=student).taps.classifier
    found = [keep_fitting(network, each.state_dict(), name=student, head=head) for each in members]
    if stages:
        needed = kept_stages_of(student, costs, stages).state_keys(network)
        whole = all(
            KeptStages.of(each, teacher_costs.inputs, stages, name=teacher).state_keys(each) == needed
            for each in members
        )
        if not whole or any(not needed <= each.keys for each in found):
            raise RequestError(
                f"`{KEEP}: {stages}` of {student}, and not all of these stages have the names and shapes of "
                f"those of {teacher}",
                allowed=f"stages that are the teacher's ({', '.join(found[0].modules)})",
            )
    kept = [each.text for each in found]
    return kept[0] if len(set(kept)) == 1 else "of whose networks it keeps what fits of the best"


def _source_of(entry: StudentEntry) -> _Source:
    if entry.weights is None:
        found = find_pretrained(entry.model)
        normalization = found.normalization, entry.model
        return _Source(found.path, found.origin, normalization, found.side, found.interpolation)
    stated = entry.normalisation
    if stated is not None:
        given = InputNormalization(stated.mean, stated.std)
        return _Source(entry.weights, entry.weights.name, (given, "normalization"))
    return _Source(entry.weights, entry.weights.name, recorded_normalization(entry.weights))


def scaling_to(normalization: InputNormalization, statistics: ChannelStatistics) -> InputScaling:
    """Return what turns inputs that are normalized by the study's statistics into those of other ones."""
    mean, std = (each.astype(np.float64).tolist() for each in statistics)
    return InputScaling(*normalization.after(mean, std))


def is_of_study(normalization: InputNormalization, statistics: ChannelStatistics) -> bool:
    """Return True if a normalization is that by the study's statistics, which records round."""
    own = (normalization.mean, normalization.std)
    return all(
        len(mine) == len(other) and np.allclose(mine, other, rtol=0, atol=_SAME)
        for mine, other in zip(own, statistics, strict=True)
    )


def recorded_normalization(weights: Path) -> tuple[InputNormalization, str] | None:
    """Return the normalization in the record beside weights that distillab trained, and that file.

    The result is None if there is no record, or none of a normalization.

    Raises:
        RequestError: The record cannot be read, or its normalization is not a mean and a standard deviation
            per channel.
    """
    record = weights.with_name(RECORD)
    if not record.is_file():
        return None
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(
            f"cannot read the normalization of the weights beside it ({type(error).__name__})",
            where=str(record),
            allowed="a record of distillab, or weights in a folder without this file",
        ) from error
    values = content.get("normalization") if isinstance(content, dict) else None
    if values is None:  # a record of an early version, or another program's file
        return None
    try:
        stated = ExternalStatistics.model_validate(values)
    except ValidationError as error:
        raise RequestError(
            "its `normalization` is not a mean and a positive standard deviation per channel",
            where=str(record),
            allowed="`normalization: {mean: [...], std: [...]}`, or weights in a folder without this file",
        ) from error
    return InputNormalization(stated.mean, stated.std), str(record)


def _preprocessing(source: _Source, normalization: InputNormalization | None, images: bool) -> str:
    if not images:
        return "normalized as the study does"
    if normalization is None:
        return "normalized as the study does, since nothing states how the weights were (key `normalization`)"
    mean, std = (", ".join(f"{value:.3g}" for value in each) for each in vars(normalization).values())
    return f"normalized as the weights were (mean {mean}; std {std})"


def _stem(model: str, inputs: InputSpec) -> str:
    """Return how the stem of an EfficientNet-Lite is fitted; a plan states that of other networks itself."""
    small = inputs.shorter_side <= FITTED_UP_TO
    return "with its first layer at a stride of 1, not 2, for small images" if small else "with its own stem"


def _size(source: _Source, model: str, inputs: InputSpec) -> str:
    network, pixels = split_input_size(model)
    here = f"{pixels}x{pixels}" if pixels else inputs.size
    size = f"{source.side}x{source.side}"
    if here == size:
        return f"used at {size}, as trained"
    return f"trained at {size} and used at {here} (`{network}@{source.side}` resizes to the former)"
