"""The contract of a normalization: from stored items to what a network is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True)
class Normalization(ABC):
    """Subtracts a mean and divides by a standard deviation.

    Attributes:
        mean: float32, one per channel or per part of a channel.
        std: float32, of the same shape.

    Example:
        >>> from distillab.modalities import modalities
        >>> half = np.full(3, 0.5, np.float32)
        >>> isinstance(modalities["image"].normalization((half, half)), Normalization)
        True
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]

    @abstractmethod
    def __call__(self, items: Tensor) -> Tensor:
        """Normalize items ``[N, C, H, W]`` of the dtype of their pool.

        Returns:
            float32 of the same shape in channels-last memory, on the same device.
        """
