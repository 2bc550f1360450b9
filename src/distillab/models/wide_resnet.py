"""Wide residual networks: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016."""

from __future__ import annotations

from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.cpu_kernels import norm_relu
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

SIZES = ((16, 1), (16, 2), (40, 1), (40, 2))  # (depth, widening factor)


class PreActivationBlock(nn.Module):
    """Normalize, activate, convolve, twice: ``[N, inputs, H, W]`` -> ``[N, outputs, H/stride, W/stride]``.

    A shortcut that changes the width starts from the activated input, as in He et al., "Identity mappings in
    deep residual networks", ECCV 2016.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = norm_relu(self.bn1, x)
        y = norm_relu(self.bn2, self.conv1(active))
        kept: Tensor = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = kept + self.conv2(y)
        return out


class WideResNet(nn.Module):
    """A wide ResNet for small images: ``[N, channels, H, W]`` -> ``[N, classes]``.

    Args:
        depth: 6n + 4 for n blocks per stage.
        widen: Widening factor.
        classes: Number of logits.
        inputs: Shape of one input, which decides on the stem (:mod:`distillab.models.stems`).

    Example:
        >>> import torch
        >>> WideResNet(16, 1, classes=10, inputs=InputSpec(3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int, widen: int, classes: int, inputs: InputSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs.channels, 16, 3, stem_stride(inputs), 1, bias=False)
        self.pool = stem_pooling(inputs)
        blocks = (depth - 4) // 6
        self.stages = nn.Sequential()
        channels = 16
        for index in range(3):
            width = 16 * widen * 2**index
            first = PreActivationBlock(channels, width, stride=1 if index == 0 else 2)
            rest = [PreActivationBlock(width, width, stride=1) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            channels = width
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)
        initialize(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = norm_relu(self.bn, self.stages(self.pool(self.conv1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def _register(depth: int, widen: int) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return WideResNet(depth, widen, classes, inputs)

    build.__doc__ = f"wide ResNet, depth {depth}, {widen} times as wide as a CIFAR ResNet, pre-activation"
    register_for_small_images(f"wrn{depth}-{widen}")(build)


for _depth, _widen in SIZES:
    _register(_depth, _widen)
