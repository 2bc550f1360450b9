"""A teacher whose weights were given: how it sees images, and what it says before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from scipy.special import softmax

from distillab.artefacts import load_state
from distillab.data.channel_statistics import ChannelStatistics as Statistics
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors.factor import Probabilities
from distillab.modalities import normalization_of
from distillab.models.input_transforms import rescale_inputs
from distillab.study.job_parts import InputScaling
from distillab.study.planning.conditions import TeacherProbabilities
from distillab.study.spec.study import StudySpec
from distillab.training.evaluation import predict
from distillab.training.loop.member import new_model

CPU = torch.device("cpu")


def given_teacher(spec: StudySpec, dataset: Dataset) -> TeacherProbabilities | None:
    """The probabilities that an external teacher gives images, computed once for every set of images, on the
    CPU in full precision, so that every worker finds the same; None for a teacher that is yet to be trained.

    Images are shown to it as to every teacher: without the students' lens, under its own normalisation.
    The function that is returned raises RequestError if the weights do not fit the network, or the
    normalisation the images.
    """
    weights = spec.weights_path()
    if weights is None:
        return None
    normalise = normalization_of(dataset)

    @cache
    def network() -> torch.nn.Module:
        classes = len(spec.teacher.classes) or None
        made = new_model(spec.teacher.model, dataset.train, 0, CPU, logits=classes)
        load_state(made, weights)
        scaling = input_scaling(spec, dataset.normalization())
        return (rescale_inputs(made, scaling.scale, scaling.shift) if scaling else made).eval()

    known: dict[str, Probabilities] = {}

    def asked(images: Examples) -> Probabilities:
        if images.input_digest not in known:
            said = predict(network(), replace(images, student_transform=None), normalise, CPU, "fp32")
            known[images.input_digest] = softmax(said.astype(np.float32), axis=1)
        return known[images.input_digest]

    return asked


def input_scaling(spec: StudySpec, statistics: Statistics) -> InputScaling | None:
    """Return how the study's normalized images, of these means and standard deviations, become what given
    weights were trained on; None if the teacher has no normalization of its own.

    Raises:
        RequestError: the numbers are not as many as the images have channels.
    """
    wanted = spec.teacher.normalisation
    if wanted is None:
        return None
    mean, std = (each.astype(np.float64) for each in statistics)
    if not len(wanted.mean) == len(wanted.std) == len(mean):
        raise RequestError(
            f"the images have {len(mean)} channels, and there are {len(wanted.mean)} means and "
            f"{len(wanted.std)} standard deviations",
            where="teacher.normalisation",
            allowed="a number of each for every channel",
        )
    own_mean, own_std = np.array(wanted.mean), np.array(wanted.std)
    return InputScaling(tuple((std / own_std).tolist()), tuple(((mean - own_mean) / own_std).tolist()))
