"""The training loop: cohorts of networks on one stream of batches."""

from distillab.training.loop.cohort import StepCallback, train, train_cohort
from distillab.training.loop.member import CohortMember, Seeds, new_model
from distillab.training.loop.results import DivergenceError, TrainedNetwork

__all__ = [
    "CohortMember",
    "DivergenceError",
    "Seeds",
    "StepCallback",
    "TrainedNetwork",
    "new_model",
    "train",
    "train_cohort",
]
