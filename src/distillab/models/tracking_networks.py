"""Networks for tracking: centers, boxes and identities of objects on one grid with a cell per 4 pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillab.errors import RequestError
from distillab.models.dense_network import DenseNetwork
from distillab.models.groupnorm_networks import NormalizedBlock
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_tracking_network
from distillab.models.stages import Stage
from distillab.models.taps import Taps
from distillab.tasks.dense_outputs import CELL_COLUMNS, CENTERS, EMBEDDING_SIZE, DenseOutputs

CENTER_STRIDE = 4
"""Pixels per cell."""
SMALLEST_TRACKED_SIDE = 32
"""Pixels per side below which the deepest stage has less than two cells."""
_GROUPS = 8
_PRIOR = -4.6  # logit of the probability of a center that the initial weights give, 0.01


@dataclass(frozen=True)
class TrackingSize:
    """The size of a network for tracking.

    Attributes:
        width: Channels of the first stage; each further one has twice as many.
        blocks: Residual blocks per stage.
        channels: Channels of the map that all heads read.
        head: Channels inside a head.
    """

    width: int
    blocks: int
    channels: int
    head: int


TRACKING_SIZES = {
    "resnet_s": TrackingSize(16, 1, 32, 32),
    "resnet_m": TrackingSize(24, 1, 48, 48),
    "resnet_l": TrackingSize(40, 1, 64, 64),
}
"""The sizes of networks for tracking by the second part of their names."""


class TrackingNetwork(DenseNetwork):
    """A network in the manner of FairMOT: images ``[N, C, H, W]`` to ``[N, cells, classes + 42]``.

    The columns are those of :mod:`distillab.tasks.dense_outputs`: centers of objects, boxes coded by their
    cell, and an embedding of unit length of the identity. The one feature map that methods learn from is what
    all heads read.

    Sources: Zhou et al., "Objects as points" (CenterNet), 2019; Zhang et al., "FairMOT", IJCV 2021.
    Deviations: a small residual network whose stages are added up from coarse to fine, GroupNorm, logarithms
    of the sides of a box.

    Args:
        size: Its size.
        classes: Number of classes of objects.
        channels: Channels of the images.

    Example:
        >>> network = TrackingNetwork(TRACKING_SIZES["resnet_s"], classes=1, channels=3)
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 384, 43])
    """

    columns: ClassVar[int] = CELL_COLUMNS + EMBEDDING_SIZE

    def __init__(self, size: TrackingSize, *, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, size.width, 3, 2, 1, bias=False),
            nn.GroupNorm(_GROUPS, size.width),
            nn.ReLU(),
        )
        widths = [size.width * 2**stage for stage in range(4)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                NormalizedBlock(inside, outside, 2, depthwise=False),
                *(NormalizedBlock(outside, outside, 1, depthwise=False) for _ in range(1, size.blocks)),
            )
            for inside, outside in zip([size.width, *widths], widths, strict=False)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, size.channels, 1) for width in widths)
        self.fused = nn.Sequential(
            nn.Conv2d(size.channels, size.channels, 3, 1, 1, bias=False),
            nn.GroupNorm(_GROUPS, size.channels),
            nn.ReLU(),
        )
        self.centers = _head(size, classes)
        self.boxes = _head(size, 4)
        self.identities = _head(size, EMBEDDING_SIZE)
        last = self.centers[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.constant_(last.bias, _PRIOR)

    @property
    def taps(self) -> Taps:
        """Where the map that all heads read is read."""
        return Taps(None, (Stage("fused"),))

    def forward(self, x: Tensor) -> Tensor:
        out, found = self.stem(x), []
        for stage in self.stages:
            out = stage(out)
            found.append(out)
        total: Tensor | None = None
        for lateral, features in zip(reversed(self.laterals), reversed(found), strict=True):
            here: Tensor = lateral(features)
            if total is not None:
                here = here + F.interpolate(total, size=here.shape[2:], mode="nearest")
            total = here
        fused = self.fused(total)
        scores, boxes, looks = (
            head(fused).flatten(2).transpose(1, 2).float()
            for head in (self.centers, self.boxes, self.identities)
        )
        cells = center_grid(fused.shape[2], fused.shape[3]).to(x.device)
        embedding = F.normalize(looks, dim=2)
        return DenseOutputs(
            scores, boxes, torch.zeros_like(scores[..., 0]), cells, CENTERS, embedding
        ).tensor()


def center_grid(rows: int, columns: int) -> Tensor:
    """Return the cells of a grid, row by row, float32 ``[rows * columns, 4]``.

    Example:
        >>> center_grid(1, 2).tolist()
        [[0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 8.0, 4.0]]
    """
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = torch.stack([x, y], dim=2).reshape(-1, 2).float() * CENTER_STRIDE
    return torch.cat([corner, corner + CENTER_STRIDE], dim=1)


def _head(size: TrackingSize, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(size.channels, size.head, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(size.head, outside, 1),
    )


def build_tracking_network(size: str, *, classes: int, inputs: InputSpec) -> TrackingNetwork:
    """Return a new network for tracking.

    Raises:
        RequestError: The images are too small.

    Example:
        >>> len(build_tracking_network("resnet_s", classes=1, inputs=InputSpec(3, 64, 64)).stages)
        4
    """
    if inputs.shorter_side < SMALLEST_TRACKED_SIDE:
        raise RequestError(
            f"{inputs.size} images are too small for fairmot_{size}",
            allowed=f"a resolution of at least {SMALLEST_TRACKED_SIDE}",
        )
    return TrackingNetwork(TRACKING_SIZES[size], classes=classes, channels=inputs.channels)


def _register(size: str) -> None:
    made = TRACKING_SIZES[size]
    build = partial(build_tracking_network, size)

    def factory(*, classes: int, inputs: InputSpec) -> nn.Module:
        return build(classes=classes, inputs=inputs)

    factory.__doc__ = (
        f"centers, boxes and identities in the manner of FairMOT, residual network of {made.width} to "
        f"{8 * made.width} channels (task tracking)"
    )
    register_tracking_network(f"fairmot_{size}")(factory)


for _size in TRACKING_SIZES:
    _register(_size)
