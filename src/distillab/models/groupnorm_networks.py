"""Residual networks with GroupNorm: the backbones of detectors, and classifiers of the same names of weights.

Batches of detectors are small, so that they have GroupNorm (Wu and He, "Group normalization", ECCV 2018). A
detector can start from a classifier: the weights of both have the same names up to the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from distillab.models.input_spec import InputSpec
from distillab.models.registry import models

_GROUPS = 8


@dataclass(frozen=True)
class DetectorSize:
    """The size of a detector.

    Attributes:
        width: Channels of the first stage; each further one has twice as many.
        blocks: Residual blocks per stage.
        channels: Channels of the pyramid and of the heads.
        convolutions: Layers of each of the two towers of a head.
        depthwise: Whether convolutions of the stages are depthwise and pointwise ones.
    """

    width: int
    blocks: int
    channels: int
    convolutions: int
    depthwise: bool = False

    @property
    def widths(self) -> list[int]:
        """Channels of the four stages."""
        return [self.width * 2**stage for stage in range(4)]


DETECTOR_SIZES = {
    "resnet_s": DetectorSize(16, 1, 32, 2),
    "resnet_m": DetectorSize(24, 1, 48, 2),
    "resnet_l": DetectorSize(32, 2, 64, 4),
    "dwnet_s": DetectorSize(16, 1, 32, 2, depthwise=True),
    "dwnet_m": DetectorSize(24, 2, 48, 2, depthwise=True),
}
"""The sizes of detectors by the second part of their names."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of eight groups.

    Example:
        >>> group_norm(32).num_groups
        8
    """
    return nn.GroupNorm(_GROUPS, channels)


def _convolution(inside: int, outside: int, stride: int, *, depthwise: bool) -> list[nn.Module]:
    """A 3x3 convolution, or a depthwise one and a pointwise one, without bias."""
    if not depthwise:
        return [nn.Conv2d(inside, outside, 3, stride, 1, bias=False)]
    return [
        nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False),
        nn.Conv2d(inside, outside, 1, bias=False),
    ]


class NormalizedBlock(nn.Module):
    """A residual block of two convolutions with GroupNorm.

    Args:
        inside: Channels of its input.
        outside: Channels of its output.
        stride: Stride of its first convolution.
        depthwise: Whether convolutions are depthwise and pointwise ones.

    Example:
        >>> import torch
        >>> NormalizedBlock(8, 16, 2, depthwise=True)(torch.zeros(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])
    """

    def __init__(self, inside: int, outside: int, stride: int, *, depthwise: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(inside, outside, stride, depthwise=depthwise),
            group_norm(outside),
            nn.ReLU(),
            *_convolution(outside, outside, 1, depthwise=depthwise),
            group_norm(outside),
        )
        same = stride == 1 and inside == outside
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), group_norm(outside))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return out


def stem_and_stages(size: DetectorSize, channels: int) -> tuple[nn.Sequential, nn.ModuleList]:
    """Return new layers: a stem and four stages, each of which halves the sides.

    Args:
        size: Their size.
        channels: Channels of the images.

    Example:
        >>> import torch
        >>> stem, stages = stem_and_stages(DETECTOR_SIZES["resnet_s"], 3)
        >>> stages[0](stem(torch.zeros(1, 3, 64, 96))).shape
        torch.Size([1, 16, 16, 24])
    """
    stem = nn.Sequential(
        nn.Conv2d(channels, size.width, 3, 2, 1, bias=False), group_norm(size.width), nn.ReLU()
    )
    stages = nn.ModuleList(
        nn.Sequential(
            NormalizedBlock(inside, outside, 2, depthwise=size.depthwise),
            *(NormalizedBlock(outside, outside, 1, depthwise=size.depthwise) for _ in range(1, size.blocks)),
        )
        for inside, outside in zip([size.width, *size.widths], size.widths, strict=False)
    )
    return stem, stages


class GroupNormClassifier(nn.Module):
    """The backbone of a detector with a classifier: ``[N, channels, H, W]`` to ``[N, classes]``.

    Args:
        size: The size of the detector.
        classes: Number of logits.
        channels: Channels of the images.

    Example:
        >>> import torch
        >>> network = GroupNormClassifier(DETECTOR_SIZES["dwnet_s"], classes=10, channels=3)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, size: DetectorSize, *, classes: int, channels: int) -> None:
        super().__init__()
        self.stem, self.stages = stem_and_stages(size, channels)
        self.fc = nn.Linear(size.widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.stem(x)
        for stage in self.stages:
            out = stage(out)
        logits: Tensor = self.fc(out.mean((2, 3)))
        return logits


def _register(size: str) -> None:
    made = DETECTOR_SIZES[size]

    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return GroupNormClassifier(made, classes=classes, channels=inputs.channels)

    body = "depthwise" if made.depthwise else "residual"
    channels = f"{made.width} to {8 * made.width} channels"
    build.__doc__ = f"{body} network with GroupNorm, {channels}: the backbone of detectors"
    models.register(f"groupnorm_{size}")(build)


for _size in DETECTOR_SIZES:
    _register(_size)
