"""EEEA-Net-C2, a mobile network found by architecture search, and a small relative for small images.

The network is that of Termritthikun et al., "EEEA-Net: an early exit evolutionary neural architecture
search", Engineering Applications of Artificial Intelligence 2021: inverted bottlenecks with kernels of 3, 5
and 7, squeeze-and-excitation in part of the stages, as MobileNetV3 and once-for-all networks have them
(Howard et al., ICCV 2019; Cai et al., ICLR 2020). Kernels and widths are those that its authors publish in
the package ``darmo``; the code is not theirs, and their weights are not read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from distillab.models.input_spec import InputSpec
from distillab.models.registry import models, register_for_small_images
from distillab.models.stems import fit_stem, stem_pooling, stem_stride

_WIDEN = 6  # times the channels of the last stage, by the convolution behind it
_REDUCE = 4  # squeeze-and-excitation has so many times fewer channels in the middle


@dataclass(frozen=True)
class MobileStage:
    """Inverted bottlenecks of one width.

    Attributes:
        outputs: Channels of their outputs.
        kernels: Side of the depthwise kernel of each.
        expansions: How many times the channels of its input each has in the middle.
        stride: Stride of the first one.
        excites: Whether they have squeeze-and-excitation.
        hard_swish: Whether their activations are h-swish, else ReLU.
    """

    outputs: int
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    stride: int
    excites: bool = False
    hard_swish: bool = False


_C2_STEM, _C2_FEATURES = 16, 1280
_C2 = (
    (MobileStage(16, (3,), (1,), 1), MobileStage(24, (3, 5, 3), (3, 4, 3), 2)),
    (MobileStage(40, (7, 3, 7), (4, 3, 3), 2, excites=True),),
    (
        MobileStage(80, (5, 7, 5, 3), (6, 6, 3, 3), 2, hard_swish=True),
        MobileStage(112, (7, 5, 3, 3), (6, 4, 3, 3), 1, excites=True, hard_swish=True),
    ),
    (MobileStage(160, (5, 3, 5, 7), (6, 6, 6, 3), 2, excites=True, hard_swish=True),),
)
_MINI_STEM = 16
_MINI = (
    (MobileStage(16, (3,), (1,), 1),),
    (MobileStage(24, (5, 3), (3, 3), 2),),
    (MobileStage(40, (7, 5, 3, 3), (3, 3, 3, 3), 2, excites=True, hard_swish=True),),
)


class SqueezeExcitation(nn.Module):
    """Weights channels by what they hold on average: ``[N, C, H, W]`` -> the same shape.

    Source: Hu et al., "Squeeze-and-excitation networks", CVPR 2018.

    Args:
        channels: Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = _multiple_of_eight(channels // _REDUCE)
        self.reduce, self.expand = nn.Conv2d(channels, middle, 1), nn.Conv2d(middle, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu())
        return x * nn.functional.hardsigmoid(weights)


class MobileBlock(nn.Module):
    """An inverted bottleneck: wide and depthwise in the middle, linear at its end.

    Args:
        inputs: Channels of the input.
        stage: The stage it belongs to.
        place: Its place in the stage.
    """

    def __init__(self, inputs: int, stage: MobileStage, place: int) -> None:
        super().__init__()
        kernel, expansion = stage.kernels[place], stage.expansions[place]
        stride, middle = 1 if place else stage.stride, expansion * inputs
        active = nn.Hardswish if stage.hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), active()]
        depthwise = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle, bias=False)
        layers += [depthwise, nn.BatchNorm2d(middle), active()]
        layers += [SqueezeExcitation(middle)] if stage.excites else []
        layers += [nn.Conv2d(middle, stage.outputs, 1, bias=False), nn.BatchNorm2d(stage.outputs)]
        self.layers = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and inputs == stage.outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.has_shortcut else y


class MobileNetwork(nn.Module):
    """A stem, stages of inverted bottlenecks, a widening convolution and a classifier.

    Args:
        stem: Channels of the stem.
        stages: The stages; those in one bracket make up one stage of the network.
        features: Channels that the classifier reads, mixed from the widened ones; None to read these.
        classes: Number of logits.
        channels: Channels of the input.
        stride: Stride of the stem.
        pool: What follows the stem.

    Example:
        >>> from distillab.models import build_model
        >>> build_model("eeea_mini", classes=14, inputs=InputSpec(1, 96, 96)).fc
        Linear(in_features=240, out_features=14, bias=True)
    """

    def __init__(
        self,
        stem: int,
        stages: tuple[tuple[MobileStage, ...], ...],
        features: int | None,
        *,
        classes: int,
        channels: int,
        stride: int,
        pool: nn.Module,
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d(channels, stem, 3, stride, 1, bias=False)
        self.stem = nn.Sequential(convolution, nn.BatchNorm2d(stem), nn.Hardswish())
        self.pool = pool
        inputs, made = stem, list[nn.Module]()
        for parts in stages:
            blocks: list[nn.Module] = []
            for part in parts:
                for place in range(len(part.kernels)):
                    blocks.append(MobileBlock(inputs, part, place))
                    inputs = part.outputs
            made.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*made)
        wide = _WIDEN * inputs
        self.widen = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish()
        )
        self.mix = nn.Linear(wide, features, bias=False) if features else None
        self.fc = nn.Linear(features or wide, classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.widen(self.stages(self.pool(self.stem(x)))).mean((2, 3))
        mixed = wide if self.mix is None else nn.functional.hardswish(self.mix(wide))
        logits: Tensor = self.fc(mixed)
        return logits


def _initialize(network: nn.Module) -> None:
    """Draw the weights of convolutions by the fan-out per group: by that of all groups, as usual elsewhere,
    signals vanish in depthwise convolutions."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            fan_out = height * width * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))


def _multiple_of_eight(number: float) -> int:
    """Return the nearest multiple of 8, not below nine tenths of the number, as mobile networks round."""
    found = max(8, int(number + 4) // 8 * 8)
    return found + 8 if found < 0.9 * number else found


@models.register("eeea_c2")
def eeea_c2(*, classes: int, inputs: InputSpec) -> nn.Module:
    """EEEA-Net-C2, a mobile network for images of 224 pixels, 4.7 M parameters"""
    network = MobileNetwork(
        _C2_STEM,
        _C2,
        _C2_FEATURES,
        classes=classes,
        channels=inputs.channels,
        stride=2,
        pool=nn.Identity(),
    )
    fit_stem(network, "eeea_c2", inputs)
    return network


@register_for_small_images("eeea_mini")
def eeea_mini(*, classes: int, inputs: InputSpec) -> nn.Module:
    """small relative of EEEA-Net-C2, three stages of inverted bottlenecks, 0.1 M parameters"""
    return MobileNetwork(
        _MINI_STEM,
        _MINI,
        None,
        classes=classes,
        channels=inputs.channels,
        stride=stem_stride(inputs),
        pool=stem_pooling(inputs),
    )
