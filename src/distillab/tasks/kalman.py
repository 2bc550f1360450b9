"""A Kalman filter of boxes that move with constant velocity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.tasks.arrays import Values

_PLACE_NOISE = 1 / 20  # standard deviations in heights of the box (Wojke et al., DeepSORT, 2017)
_SPEED_NOISE = 1 / 160
_FIRST_SPEED_NOISE = 10 * _SPEED_NOISE  # of a box that was seen once

State = npt.NDArray[np.float64]


class BoxFilter:
    """The estimate of a box: center, width and height, each a place and a speed of its own.

    Source: Kalman, "A new approach to linear filtering and prediction problems", 1960, with the model of
    constant velocity. The four numbers do not depend on each other.

    Args:
        box: Left, top, right and bottom, float ``[4]``.

    Example:
        >>> estimate = BoxFilter(np.array([0.0, 0.0, 10.0, 20.0]))
        >>> for step in range(1, 30):
        ...     estimate.predict(1)
        ...     estimate.update(np.array([2.0 * step, 0.0, 2.0 * step + 10, 20.0]))
        >>> estimate.predict(5)
        >>> estimate.box.round().tolist()
        [68.0, 0.0, 78.0, 20.0]
    """

    def __init__(self, box: Values) -> None:
        self.mean: State = np.stack([_coded(box), np.zeros(4)], axis=1)  # [4, 2], place and speed
        height = self.mean[3, 0]
        spread = np.diag([2 * _PLACE_NOISE * height, _FIRST_SPEED_NOISE * height]) ** 2
        self.covariance: State = np.tile(spread, (4, 1, 1))

    def predict(self, frames: float) -> None:
        """Move the estimate forward by some frames."""
        step = np.array([[1.0, frames], [0.0, 1.0]])
        height = self.mean[3, 0]
        noise = np.diag([_PLACE_NOISE * height, _SPEED_NOISE * height]) ** 2 * frames
        self.mean = self.mean @ step.T
        self.covariance = step @ self.covariance @ step.T + noise
        self.mean[2:, 0] = self.mean[2:, 0].clip(min=1.0)

    def update(self, box: Values) -> None:
        """Correct the estimate by a box that was found."""
        gain = self.covariance[:, :, 0] / self._innovation[:, None]
        self.mean = self.mean + gain * (_coded(box) - self.mean[:, 0])[:, None]
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]

    @property
    def box(self) -> Values:
        """Left, top, right and bottom, float64 ``[4]``."""
        center, half = self.mean[:2, 0], self.mean[2:, 0] / 2
        return np.concatenate([center - half, center + half])

    def distances(self, boxes: Values) -> Values:
        """Return the squared Mahalanobis distances of the centers of boxes ``[D, 4]``, ``[D]``."""
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        found: Values = ((centers - self.mean[:2, 0]) ** 2 / self._innovation[:2]).sum(axis=1)
        return found

    @property
    def _innovation(self) -> Values:
        """The variance of what is found around the estimate, ``[4]``."""
        variance: Values = self.covariance[:, 0, 0] + (_PLACE_NOISE * self.mean[3, 0]) ** 2
        return variance


def _coded(box: Values) -> Values:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
