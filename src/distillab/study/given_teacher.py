"""What a teacher whose weights were given says about images, before anything is trained."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.special import softmax

from distillab.data.dataset import Dataset
from distillab.data.imageset import ImageSet
from distillab.factors.factor import Probabilities
from distillab.study.condition import Asked
from distillab.study.spec import StudySpec
from distillab.training.checkpoints import load_state
from distillab.training.evaluation import predict
from distillab.training.stream import Normalisation
from distillab.training.trainee import new_model

CPU = torch.device("cpu")


def given_teacher(spec: StudySpec, dataset: Dataset) -> Asked | None:
    """The probabilities that an external teacher gives images, computed once for every set of images, on the
    CPU in full precision, so that every worker finds the same; None for a teacher that is yet to be trained.

    The function that is returned raises RequestError if the weights do not fit the network.
    """
    weights = spec.weights_path()
    if weights is None:
        return None
    normalise = Normalisation(*dataset.normalisation())

    @cache
    def network() -> torch.nn.Module:
        classes = len(spec.teacher.classes) or None
        made = new_model(spec.teacher.model, dataset.train, 0, CPU, classes=classes)
        load_state(made, weights)
        return made.eval()

    known: dict[str, Probabilities] = {}

    def asked(images: ImageSet) -> Probabilities:
        if images.image_digest not in known:
            said = predict(network(), images, normalise, CPU, "fp32")
            known[images.image_digest] = softmax(said.astype(np.float32), axis=1)
        return known[images.image_digest]

    return asked
