"""DenseNetwork: a network that gives outputs for many cells of an input, and declares its feature maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from distillab.models.taps import Taps
from distillab.tasks.dense_outputs import CELL_COLUMNS


class DenseNetwork(nn.Module, ABC):
    """Base class of networks from ``[N, C, H, W]`` to ``[N, cells, classes + 10]``.

    The columns are those of :mod:`distillab.tasks.dense_outputs`.

    Attributes:
        columns: Columns of a cell after the logits of the classes; more than 10 with embeddings of
            identities.
        backbone: What the names of the weights of its backbone begin with, which classifiers can have too.

    Example:
        >>> from distillab.models import InputSpec, build_model
        >>> detector = build_model("fcos_resnet_s", classes=2, inputs=InputSpec(3, 64, 64))
        >>> isinstance(detector, DenseNetwork), len(detector.taps.stages)
        (True, 3)
    """

    columns: ClassVar[int] = CELL_COLUMNS
    backbone: ClassVar[tuple[str, ...]] = ("stem.", "stages.")

    @property
    @abstractmethod
    def taps(self) -> Taps:
        """Where its feature maps are read; its stages are not guessed."""
