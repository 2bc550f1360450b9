"""Mixup and cutmix: two images in one, and the share of each in the label."""

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
from distillab.modalities.image.views.operation import Operation, a_number_each, operation, to_bytes

Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


@dataclass(frozen=True)
class Mixture:
    """What the images of a batch were mixed with.

    Attributes:
        partners: int64 ``[N]``, positions in the training set of the images mixed in.
        share: float32 ``[N]`` in [0, 1], the part of the image's own label; the partner's has the rest.
    """

    partners: Indices
    share: Tensor


class Mixing(Operation):
    """An operation that mixes a second image in. It comes last in a chain: both images are views already.

    The partner of an image is drawn from the whole training set by (id, epoch, seed), not from the batch, so
    that the view can be rendered again anywhere. It may be the image itself, as in the papers.
    """

    mixes: ClassVar[bool] = True
    alpha: Alpha

    def partners(self, ids: Indices, epoch: int, seed: int, size: int) -> Indices:
        """Positions in a training set of ``size`` images, int64 ``[N]``."""
        return (self.bits("partner", ids, epoch, seed) % np.uint64(size)).astype(np.int64)

    def shares(self, ids: Indices, epoch: int, seed: int) -> npt.NDArray[np.float64]:
        """A draw from Beta(alpha, alpha) for each image, float64 ``[N]``, by inverting its distribution."""
        uniform = self.uniform("share", ids, epoch, seed)
        return np.asarray(betaincinv(self.alpha, self.alpha, uniform), dtype=np.float64)

    @abstractmethod
    def mix(
        self, pixels: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """The mixed views, uint8 like ``pixels`` and ``others`` [N, C, H, W], and the share of ``pixels`` in
        them, float32 ``[N]``."""

    def render(self, pixels: Tensor, ids: Indices, epoch: int, seed: int) -> Tensor:
        """Not of itself: raises ValueError, as the partners' pixels are needed."""
        raise ValueError(f"{self.name} needs the partners of the images: use mix")


@operation("mixup")
class MixUp(Mixing):
    """The mean of two images, weighted by a share from Beta(alpha, alpha), and of their labels.

    Paper: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, which
    uses alpha 0.1 to 0.4 on ImageNet.
    """

    alpha: Alpha = 0.2

    def mix(
        self, pixels: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """share x + (1 - share) x', to the nearest grey level."""
        share = a_number_each(self.shares(ids, epoch, seed), pixels)
        other = others.float()
        return to_bytes(other + share * (pixels.float() - other)), share.flatten()


@operation("cutmix")
class CutMix(Mixing):
    """A rectangle of one image pasted into another; labels are shared by area.

    A rectangle with the image's proportions and a part 1 - share of its area, share from Beta(alpha, alpha),
    is centred on a random pixel and cut off at the border; the share is then that of the pixels left.

    Paper: Yun, Han, Oh, Chun, Choe and Yoo, "CutMix", ICCV 2019, equation 2; alpha is 1 throughout.
    """

    alpha: Alpha = 1.0

    def mix(
        self, pixels: Tensor, others: Tensor, ids: Indices, epoch: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """The images with the rectangle from the others."""
        _, _, height, width = pixels.shape
        side = np.sqrt(1 - self.shares(ids, epoch, seed))
        down = self._within("row", height, side, ids, epoch, seed)
        across = self._within("column", width, side, ids, epoch, seed)
        pasted = torch.from_numpy(down[:, None, :, None] & across[:, None, None, :]).to(pixels.device)
        area = down.sum(axis=1) * across.sum(axis=1) / (height * width)
        share = torch.from_numpy((1 - area).astype(np.float32)).to(pixels.device)
        return torch.where(pasted, others, pixels), share

    def _within(
        self, part: str, length: int, side: npt.NDArray[np.float64], ids: Indices, epoch: int, seed: int
    ) -> npt.NDArray[np.bool_]:
        """Which of ``length`` rows or columns lie in the rectangle, bool ``[N, length]``."""
        centre = (self.bits(part, ids, epoch, seed) % np.uint64(length)).astype(np.int64)[:, None]
        half = (side * length).astype(np.int64)[:, None] // 2
        at = np.arange(length)
        return np.asarray((at >= centre - half) & (at < centre + half))
