"""Small relatives of well-known networks, for small images and a few processor cores.

Each has the building block of its namesake, with few and narrow layers and a stem without a stride for images
of up to 64 pixels:

- DenseNet-BC: Huang et al., "Densely connected convolutional networks", CVPR 2017; the depths of the blocks
  are about a third of those of DenseNet-121 and DenseNet-169;
- MobileNetV2: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018;
- ResNet with bottlenecks: He et al., "Deep residual learning for image recognition", CVPR 2016;
- Inception: Szegedy et al., "Rethinking the inception architecture for computer vision", CVPR 2016, with the
  modules of its first stage;
- Xception: Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.cpu_kernels import norm_relu
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

GROWTH = 12  # channels that a dense layer adds
DENSE_BLOCKS = {"densenet121_mini": (2, 4, 8, 5), "densenet169_mini": (2, 4, 11, 11)}
STAGES = (16, 32, 64, 128)  # channels of the other networks


class ConvNormReLU(nn.Module):
    """A convolution, batch normalization and a ReLU: ``[N, inputs, H, W]`` -> ``[N, outputs, H/s, W/s]``.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        size: Side of the kernel.
        stride: Stride s.
        groups: Groups of channels.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.bn, self.conv(x))


class DenseLayer(nn.Module):
    """A bottleneck and a 3x3 convolution whose output is appended to the input.

    Args:
        inputs: Channels of the input; the output has ``GROWTH`` more.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 2 * GROWTH, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * GROWTH)
        self.conv2 = nn.Conv2d(2 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(norm_relu(self.bn1, x))
        return torch.cat([x, self.conv2(norm_relu(self.bn2, y))], dim=1)


class DenseTransition(nn.Module):
    """Halves channels and sides.

    Args:
        inputs: Channels of the input.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, inputs // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(self.conv(norm_relu(self.bn, x)))
        return y


class Bottleneck(nn.Module):
    """Three convolutions, the middle one 3x3, and a shortcut.

    It is that of ResNet-50 (narrow in the middle), or the inverted one of MobileNetV2 (wide and depthwise in
    the middle, without a ReLU at its end).

    Args:
        inputs: Channels of the input.
        middle: Channels of the middle convolution.
        outputs: Channels of the output.
        stride: Stride of the middle convolution.
        inverted: Whether it is the inverted one.
    """

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, *, inverted: bool) -> None:
        super().__init__()
        self.reduce = ConvNormReLU(inputs, middle, 1)
        self.spatial = ConvNormReLU(middle, middle, 3, stride, middle if inverted else 1)
        self.expand = nn.Conv2d(middle, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.linear, same = inverted, stride == 1 and inputs == outputs
        self.shortcut: nn.Module | None = nn.Identity() if same else None
        if not same and not inverted:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.spatial(self.reduce(x)))
        plus = None if self.shortcut is None else self.shortcut(x)
        if not self.linear:
            return norm_relu(self.bn, y, plus)
        normed: Tensor = self.bn(y)
        return normed if plus is None else normed + plus


class InceptionModule(nn.Module):
    """Four parallel branches: 1x1, 3x3, two 3x3, and a mean over 3x3 positions.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output, a multiple of 4.
        stride: Stride of the last layer of each branch.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        part, narrow = outputs // 4, outputs // 8
        self.one = ConvNormReLU(inputs, part, 1, stride)
        self.three = nn.Sequential(ConvNormReLU(inputs, narrow, 1), ConvNormReLU(narrow, part, 3, stride))
        self.twice = nn.Sequential(
            ConvNormReLU(inputs, narrow, 1),
            ConvNormReLU(narrow, part, 3),
            ConvNormReLU(part, part, 3, stride),
        )
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvNormReLU(inputs, part, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.twice(x), self.pool(x)], dim=1)


class SeparableBlock(nn.Module):
    """Two depthwise separable convolutions and a shortcut.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the second one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depth1 = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
        self.point1 = ConvNormReLU(inputs, outputs, 1)
        self.depth2 = nn.Conv2d(outputs, outputs, 3, stride, 1, groups=outputs, bias=False)
        self.point2 = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.point2(self.depth2(self.point1(self.depth1(x))))
        return norm_relu(self.bn, y, self.shortcut(x))


class MiniNetwork(nn.Module):
    """A stem, stages of blocks and a linear classifier: ``[N, channels, H, W]`` -> ``[N, classes]``.

    Args:
        stem: Channels of the stem.
        stages: The stages, one module each.
        features: Channels of the last stage.
        classes: Number of logits.
        inputs: Shape of one input, which decides on the stem (:mod:`distillab.models.stems`).

    Example:
        >>> from distillab.models import build_model
        >>> build_model("xception_mini", classes=3, inputs=InputSpec(3, 32, 32)).fc
        Linear(in_features=128, out_features=3, bias=True)
    """

    def __init__(
        self, stem: int, stages: list[nn.Module], features: int, classes: int, inputs: InputSpec
    ) -> None:
        super().__init__()
        self.stem = ConvNormReLU(inputs.channels, stem, stride=stem_stride(inputs))
        self.pool = stem_pooling(inputs)
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(features, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stages(self.pool(self.stem(x))).mean((2, 3)))
        return logits


def _dense(depths: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    """Return the stages of a DenseNet and the channels of the last one."""
    stages: list[nn.Module] = []
    channels = 2 * GROWTH
    for number, depth in enumerate(depths):
        layers: list[nn.Module] = []
        if number:
            layers.append(DenseTransition(channels))
            channels //= 2
        for _ in range(depth):
            layers.append(DenseLayer(channels))
            channels += GROWTH
        stages.append(nn.Sequential(*layers))
    return stages, channels


def _stages(block: Callable[[int, int, int], nn.Module], repeats: int) -> list[nn.Module]:
    """Return a stage per entry of ``STAGES``, whose first block has stride 2 from the second stage on."""
    stages: list[nn.Module] = []
    inputs = STAGES[0]
    for number, outputs in enumerate(STAGES):
        blocks: list[nn.Module] = []
        for place in range(repeats):
            blocks.append(block(inputs, outputs, 2 if number and not place else 1))
            inputs = outputs
        stages.append(nn.Sequential(*blocks))
    return stages


def _register(name: str, summary: str, make: Callable[[], tuple[int, list[nn.Module], int]]) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        stem, stages, features = make()
        return MiniNetwork(stem, stages, features, classes, inputs)

    build.__doc__ = summary
    register_for_small_images(name)(build)


def _register_all() -> None:
    for name, depths in DENSE_BLOCKS.items():
        listed = ", ".join(map(str, depths))
        _register(
            name,
            f"small DenseNet, blocks of {listed} layers that add {GROWTH} channels each",
            lambda depths=depths: (2 * GROWTH, *_dense(depths)),  # type: ignore[misc]
        )
    blocks: dict[str, tuple[str, int, Callable[[int, int, int], nn.Module]]] = {
        "mobilenet_mini": (
            "small MobileNetV2, stages of two inverted bottlenecks",
            2,
            lambda i, o, s: Bottleneck(i, 4 * i, o, s, inverted=True),
        ),
        "resnet50_mini": (
            "small ResNet of bottlenecks, two per stage",
            2,
            lambda i, o, s: Bottleneck(i, o // 2, o, s, inverted=False),
        ),
        "inception_mini": ("small Inception, stages of two modules", 2, InceptionModule),
        "xception_mini": ("small Xception, stages of two separable convolutions", 1, SeparableBlock),
    }
    for name, (summary, repeats, block) in blocks.items():
        _register(
            name,
            summary,
            lambda block=block, repeats=repeats: (STAGES[0], _stages(block, repeats), STAGES[-1]),  # type: ignore[misc]
        )


_register_all()
