"""Mixup and CutMix: two examples in one, and the weight of each label."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy.special import betaincinv
from torch import Tensor

from distillab.data.examples import Indices
from distillab.modalities.views.operation import Operation, as_stored, operation, per_example

Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True)
class Mixture:
    """What the examples of a batch were mixed with.

    Attributes:
        partners: int64 ``[N]``, positions in the training set of the examples mixed in.
        share: float32 ``[N]`` in [0, 1], the weight of an example's own label; the partner's has the rest.

    Example:
        >>> Mixture(np.array([4, 2]), torch.tensor([0.9, 0.5])).partners
        array([4, 2])
    """

    partners: Indices
    share: Tensor


class Mixing(Operation):
    """An operation that mixes a second example in. It ends a chain: both examples are views already.

    The partner of an example is drawn from the whole training set by (id, epoch, seed), not from the batch,
    so that the view can be rendered again anywhere. It may be the example itself, as in the papers.
    """

    mixes: ClassVar[bool] = True
    alpha: Alpha

    def partners(self, ids: Indices, epoch: int, seed: int, size: int) -> Indices:
        """Return positions in a training set of ``size`` examples, int64 ``[N]``."""
        return (self.bits("partner", ids, epoch, seed) % np.uint64(size)).astype(np.int64)

    def shares(self, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.float64]:
        """Return a draw from Beta(alpha, alpha) per example, float64 ``[N]``, by inverse transform."""
        uniform = self.uniform("share", ids, epoch, seed)
        return np.asarray(betaincinv(self.alpha, self.alpha, uniform), dtype=np.float64)

    @abstractmethod
    def mix(
        self, items: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return the mixed views, like ``items`` and ``others`` [N, C, H, W], and the share of ``items`` in
        them, float32 ``[N]``."""

    def render(self, items: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Raise ValueError: the views need the items of the partners, see :meth:`mix`."""
        raise ValueError(f"{self.name} needs the partners of the examples: use mix")


@operation("mixup")
class MixUp(Mixing):
    """Mixup: the mean of two examples, weighted by a share from Beta(alpha, alpha), and of their labels.

    Paper: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, which
    uses alpha 0.1 to 0.4 on ImageNet.

    Attributes:
        alpha: Parameter of the Beta distribution; larger values mix more.

    Example:
        >>> ids = np.arange(2)
        >>> white, black = torch.full((2, 1, 4, 4), 200.0), torch.zeros(2, 1, 4, 4)
        >>> mixed, share = MixUp(alpha=1.0).mix(white, black, ids, epoch=0, seed=0)
        >>> torch.allclose(mixed.mean(dim=(1, 2, 3)), 200 * share)
        True
    """

    alpha: Alpha = 0.2

    def mix(
        self, items: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return share x + (1 - share) x', rounded to the nearest gray level for images."""
        share = per_example(self.shares(ids, epoch, seed), items)
        other = others.float()
        return as_stored(other + share * (items.float() - other), items), share.flatten()


@operation("cutmix")
class CutMix(Mixing):
    """CutMix: a rectangle of one example pasted into another; labels are weighted by area.

    A rectangle with the proportions of the item and a part 1 - share of its area, share from Beta(alpha,
    alpha), is centered on a random pixel and clipped at the border; the share is then that of the remaining
    pixels.

    Paper: Yun, Han, Oh, Chun, Choe and Yoo, "CutMix", ICCV 2019, equation 2; alpha is 1 throughout.

    Attributes:
        alpha: Parameter of the Beta distribution.

    Example:
        >>> ids = np.arange(2)
        >>> white, black = torch.full((2, 1, 8, 8), 200.0), torch.zeros(2, 1, 8, 8)
        >>> mixed, share = CutMix().mix(white, black, ids, epoch=0, seed=0)
        >>> torch.allclose(mixed.mean(dim=(1, 2, 3)), 200 * share)
        True
    """

    alpha: Alpha = 1.0

    def mix(
        self, items: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return the items with the rectangle from the others."""
        _, _, height, width = items.shape
        side = np.sqrt(1 - self.shares(ids, epoch, seed))
        down = self._within("row", height, side, ids, epoch, seed)
        across = self._within("column", width, side, ids, epoch, seed)
        pasted = torch.from_numpy(down[:, None, :, None] & across[:, None, None, :]).to(items.device)
        area = down.sum(axis=1) * across.sum(axis=1) / (height * width)
        share = torch.from_numpy((1 - area).astype(np.float32)).to(items.device)
        return torch.where(pasted, others, items), share

    def _within(
        self, part: str, length: int, side: npt.NDArray[np.float64], ids: Indices, epoch: int, seed: int
    ) -> npt.NDArray[np.bool_]:
        """Return which of ``length`` rows or columns lie in the rectangle, bool ``[N, length]``."""
        center = (self.bits(part, ids, epoch, seed) % np.uint64(length)).astype(np.int64)[:, None]
        half = (side * length).astype(np.int64)[:, None] // 2
        at = np.arange(length)
        return np.asarray((at >= center - half) & (at < center + half))
