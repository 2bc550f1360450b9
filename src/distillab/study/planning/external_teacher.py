"""A teacher with given weights: how its inputs are scaled, and its outputs before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from scipy.special import softmax

from distillab.artefacts import load_state
from distillab.data.channel_statistics import ChannelStatistics
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors.factor import Probabilities
from distillab.modalities import normalization_of
from distillab.models.input_transforms import InputNormalization, rescale_inputs
from distillab.study.job_parts import InputScaling
from distillab.study.planning.conditions import TeacherProbabilities
from distillab.study.planning.starts import is_of_study, recorded_normalization
from distillab.study.spec.study import StudySpec
from distillab.training.evaluation import predict
from distillab.training.loop.member import new_model

_CPU = torch.device("cpu")


def given_teacher(spec: StudySpec, dataset: Dataset) -> TeacherProbabilities | None:
    """Return a function for the class probabilities of an external teacher.

    They are computed once per set of examples, on the CPU in full precision, so that every worker finds the
    same. The teacher gets examples without the student transform, under its own normalization. The function
    raises RequestError if the weights do not fit the network, or the normalization the examples.

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
    weights = spec.weights_path()
    if weights is None:
        return None
    normalize = normalization_of(dataset)

    @cache
    def network() -> torch.nn.Module:
        classes = len(spec.teacher.classes) or None
        model = new_model(spec.teacher.model, dataset.train, 0, _CPU, logits=classes)
        load_state(model, weights)
        scaling = input_scaling(spec, dataset.normalization())
        return (rescale_inputs(model, scaling.scale, scaling.shift) if scaling else model).eval()

    known: dict[str, Probabilities] = {}

    def probabilities(examples: Examples) -> Probabilities:
        if examples.input_digest not in known:
            whole = replace(examples, student_transform=None)
            logits = predict(network(), whole, normalize, _CPU, "fp32")
            known[examples.input_digest] = softmax(logits.astype(np.float32), axis=1)
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
    own = InputNormalization(stated.mean, stated.std) if stated else None
    where = "teacher.normalization"
    if own is None and weights is not None and (recorded := recorded_normalization(weights)):
        own, where = recorded
        own = None if is_of_study(own, statistics) else own
    if own is None:
        return None
    mean, std = (each.astype(np.float64) for each in statistics)
    if not len(own.mean) == len(own.std) == len(mean):
        raise RequestError(
            f"the examples have {len(mean)} channels, and there are {len(own.mean)} means and "
            f"{len(own.std)} standard deviations",
            where=where,
            allowed="one of each per channel",
        )
    own_mean, own_std = np.array(own.mean), np.array(own.std)
    return InputScaling(tuple((std / own_std).tolist()), tuple(((mean - own_mean) / own_std).tolist()))
