"""Plain networks of three convolutional layers; the smallest has less than a quarter of a ResNet-8's MACs."""

from __future__ import annotations

from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.cpu_kernels import norm_relu
from distillab.models.input_spec import InputSpec
from distillab.models.registry import models

WIDTHS = (16, 32, 64)  # of the three layers
WIDENINGS = (1, 2, 4)


class ConvLayer(nn.Module):
    """A 3x3 convolution, batch normalization and a ReLU.

    Maps ``[N, inputs, H, W]`` to ``[N, outputs, H/stride, W/stride]``.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.bn, self.conv(x))


class ConvNet(nn.Module):
    """Three convolutional layers and a linear classifier: ``[N, channels, H, W]`` -> ``[N, classes]``.

    The second and the third layer have stride 2; the classifier reads the mean over all positions.

    Args:
        widths: Channels of the layers.
        classes: Number of logits.
        channels: Channels of the images.

    Example:
        >>> import torch
        >>> ConvNet((16, 32, 64), classes=10, channels=1)(torch.zeros(2, 1, 14, 14)).shape
        torch.Size([2, 10])
    """

    def __init__(self, widths: tuple[int, ...], classes: int, channels: int) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        inputs = channels
        for index, width in enumerate(widths):
            self.stages.append(ConvLayer(inputs, width, stride=1 if index == 0 else 2))
            inputs = width
        self.fc = nn.Linear(inputs, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return logits


def _register(name: str, widths: tuple[int, ...]) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return ConvNet(widths, classes, inputs.channels)

    build.__doc__ = (
        f"plain network of three 3x3 convolutions with {widths[0]}, {widths[1]}, {widths[2]} channels"
    )
    models.register(name)(build)


for _widening in WIDENINGS:
    _suffix = f"x{_widening}" if _widening > 1 else ""
    _register(f"convnet3{_suffix}", tuple(_widening * width for width in WIDTHS))
