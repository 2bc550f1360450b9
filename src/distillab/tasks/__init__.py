"""Tasks: what a network is trained to predict, one file per task."""

from distillab.tasks.balanced_classification import BalancedClassification
from distillab.tasks.classification import Classification
from distillab.tasks.detection import Detection
from distillab.tasks.embedding import EmbeddingTask
from distillab.tasks.metric import Metric, MetricTable
from distillab.tasks.mixed_labels import Mixed
from distillab.tasks.multilabel import MultiLabel
from distillab.tasks.task import Task, parse_task, task, tasks
from distillab.tasks.tracking import Tracking
from distillab.tasks.verification import Verification, unit_embeddings

__all__ = [
    "BalancedClassification",
    "Classification",
    "Detection",
    "EmbeddingTask",
    "Metric",
    "MetricTable",
    "Mixed",
    "MultiLabel",
    "Task",
    "Tracking",
    "Verification",
    "parse_task",
    "task",
    "tasks",
    "unit_embeddings",
]
