"""Whether the pixels that a map marks are those that the network's output depends on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.explain.agreement import PerImage
from distillab.explain.attribution import Maps
from distillab.explain.networks import BASELINE, ExplainedNetwork

_STEPS = 16  # steps in which all pixels are removed or added
CURVE_PASSES = 2 * (_STEPS + 1)
"""Forward passes per image of the two curves of a map."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How the probability of a class changes as pixels are removed and added in the order of a map.

    Attributes:
        deletion: float64 ``[N, steps + 1]``, the probability while pixels are removed, the most important
            first, from the whole image to none of it.
        insertion: float64 ``[N, steps + 1]``, the probability while they are added to an empty image.

    Example:
        >>> curves = Faithfulness(np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 1.0]]))
        >>> curves.deletion_auc.tolist(), curves.insertion_auc.tolist()
        ([0.25], [0.75])
    """

    deletion: npt.NDArray[np.float64]
    insertion: npt.NDArray[np.float64]

    @property
    def deletion_auc(self) -> PerImage:
        """Area below the deletion curve, float64 ``[N]``; low for a faithful map."""
        return _area(self.deletion)

    @property
    def insertion_auc(self) -> PerImage:
        """Area below the insertion curve, float64 ``[N]``; high for a faithful map."""
        return _area(self.insertion)


def faithfulness(
    network: ExplainedNetwork, x: Tensor, classes: Tensor, maps: Maps, *, steps: int = _STEPS
) -> Faithfulness:
    """Return the deletion and insertion curves of maps.

    A removed pixel has the baseline value in all channels: the mean of the training images, which is 0 in
    normalized inputs. The areas depend on that choice, so compare them with those of other maps of the same
    network only, such as :func:`random_maps`. Pixels of equal value are ordered at random, with a fixed seed.
    Source: Petsiuk et al., "RISE", BMVC 2018, section 4.2, which inserts into a blurred image instead.

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.
        maps: The map of each, float32 ``[N, H, W]``.
        steps: In how many equal steps all pixels are removed.

    Example:
        >>> from distillab.models import InputSpec
        >>> share = lambda x: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1).log()
        >>> network = ExplainedNetwork("share", InputSpec(1, 8, 8), share)
        >>> x, maps = torch.ones(1, 1, 8, 8), np.random.default_rng(0).random((1, 8, 8), np.float32)
        >>> found = faithfulness(network, x, torch.tensor([0]), maps)
        >>> found.deletion_auc.round(6).tolist(), found.insertion_auc.round(6).tolist()
        ([0.5], [0.5])
    """
    n, _, height, width = x.shape
    ranks = torch.from_numpy(_ranks(maps)).reshape(n, 1, height, width)
    removed, curves = x.new_full((), BASELINE), []
    for step in range(steps + 1):
        changed = ranks < round(step / steps * height * width)
        both = (torch.where(changed, removed, x), torch.where(changed, x, removed))
        curves.append([network.probability(each, classes).double().numpy() for each in both])
    deletion, insertion = (np.stack([each[place] for each in curves], axis=1) for place in (0, 1))
    return Faithfulness(deletion, insertion)


def random_maps(count: int, height: int, width: int, *, seed: int = 0) -> Maps:
    """Return maps of independent uniform values, float32 ``[N, H, W]``: what any map should be better than.

    Example:
        >>> random_maps(2, 4, 4).shape
        (2, 4, 4)
    """
    return np.random.default_rng(seed).random((count, height, width), dtype=np.float32)


def _ranks(maps: Maps) -> npt.NDArray[np.int64]:
    """Return the place of each pixel in the order of importance, int64 ``[N, H W]``."""
    flat = maps.reshape(len(maps), -1)
    rng = np.random.default_rng(0)
    ranks = np.empty(flat.shape, np.int64)
    for row, values in enumerate(flat):
        order = np.lexsort((rng.random(len(values)), -values))
        ranks[row, order] = np.arange(len(values))
    return ranks


def _area(curves: npt.NDArray[np.float64]) -> PerImage:
    """Return the area below curves over [0, 1] by the trapezoidal rule."""
    found: PerImage = ((curves[:, 1:] + curves[:, :-1]) / 2).mean(axis=1)
    return found
