"""The CIFAR ResNets of the distillation literature.

He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2: a 3x3 stem and three
stages of basic blocks. The widened ``resnetNx4`` and the 1x1 convolution on shortcuts that change shape are
those of Tian et al., "Contrastive representation distillation", ICLR 2020, the usual tables of comparison.
"""

from __future__ import annotations

from torch import Tensor, nn

from distillab.models.cpu_kernels import norm_relu
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

STANDARD_WIDTHS = (16, 16, 32, 64)  # of the stem and of the three stages
FOURFOLD_WIDTHS = (32, 64, 128, 256)
DEPTHS = (8, 14, 20, 32, 44, 56, 110)
WIDE_DEPTHS = (8, 32)


def initialize(model: nn.Module) -> None:
    """Initialize the convolutions of a network (He, fan out), from torch's global generator."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ``[N, inputs, H, W]`` -> ``[N, outputs, H/stride, W/stride]``.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = norm_relu(self.bn1, self.conv1(x))
        return norm_relu(self.bn2, self.conv2(y), self.shortcut(x), self.activation)


class CifarResNet(nn.Module):
    """A ResNet for small images: ``[N, channels, H, W]`` -> ``[N, classes]``.

    Args:
        depth: 6n + 2 for n blocks per stage.
        widths: Channels of the stem and of the three stages.
        classes: Number of logits.
        inputs: Shape of one input, which decides on the stem (:mod:`distillab.models.stems`).

    Example:
        >>> import torch
        >>> network = CifarResNet(8, (16, 16, 32, 64), classes=10, inputs=InputSpec(3, 32, 32))
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, depth: int, widths: tuple[int, int, int, int], classes: int, inputs: InputSpec
    ) -> None:
        super().__init__()
        stem, *stages = widths
        self.conv1 = nn.Conv2d(inputs.channels, stem, 3, stem_stride(inputs), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.pool = stem_pooling(inputs)
        blocks = (depth - 2) // 6
        self.stages = nn.Sequential()
        channels = stem
        for index, width in enumerate(stages):
            first = BasicBlock(channels, width, stride=1 if index == 0 else 2)
            rest = [BasicBlock(width, width, stride=1) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            channels = width
        self.fc = nn.Linear(channels, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(norm_relu(self.bn1, self.conv1(x)))
        logits: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return logits


def _register(name: str, depth: int, widths: tuple[int, int, int, int]) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return CifarResNet(depth, widths, classes, inputs)

    build.__doc__ = f"CIFAR ResNet, depth {depth}, stages of {widths[1]}, {widths[2]}, {widths[3]} channels"
    register_for_small_images(name)(build)


for _depth in DEPTHS:
    _register(f"resnet{_depth}", _depth, STANDARD_WIDTHS)
for _depth in WIDE_DEPTHS:
    _register(f"resnet{_depth}x4", _depth, FOURFOLD_WIDTHS)
