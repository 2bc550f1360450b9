"""Plain networks of convolutional layers; the smallest has less than a quarter of a ResNet-8's MACs."""

from __future__ import annotations

from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.cpu_kernels import norm_relu
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

WIDTHS = (16, 32, 64)  # of the three layers
WIDENINGS = (1, 2, 4)
SMALL_WIDTHS = (12, 24, 48)  # some 14,000 parameters
# Networks of five layers, and the strides of the layers after the first.
FIVE = {"vgg5": (32, 64, 128, 256, 256), "vgg5_half": (32, 64, 128, 128, 128)}
STRIDES_OF_FIVE = (2, 2, 2, 1)


class ConvLayer(nn.Module):
    """A 3x3 convolution, batch normalization, a ReLU and perhaps pooling.

    Maps ``[N, inputs, H, W]`` to ``[N, outputs, H/stride, W/stride]`` before pooling.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the convolution.
        pool: What follows; nothing by default.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.pool = pool or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(norm_relu(self.bn, self.conv(x)))
        return y


class ConvNet(nn.Module):
    """Convolutional layers and a linear classifier: ``[N, channels, H, W]`` -> ``[N, classes]``.

    The classifier reads the mean over all positions.

    Args:
        widths: Channels of the layers.
        classes: Number of logits.
        inputs: Shape of one input, which decides on the first layer (:mod:`distillab.models.stems`).
        strides: Strides of the layers after the first; by default 2 each.

    Example:
        >>> import torch
        >>> ConvNet((16, 32, 64), classes=10, inputs=InputSpec(1, 14, 14))(torch.zeros(2, 1, 14, 14)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, widths: tuple[int, ...], classes: int, inputs: InputSpec, strides: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        first, *rest = widths
        self.stages = nn.Sequential(
            ConvLayer(inputs.channels, first, stem_stride(inputs), stem_pooling(inputs))
        )
        channels = first
        for width, stride in zip(rest, strides or [2] * len(rest), strict=True):
            self.stages.append(ConvLayer(channels, width, stride))
            channels = width
        self.fc = nn.Linear(channels, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return logits


def _register(name: str, widths: tuple[int, ...]) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return ConvNet(widths, classes, inputs)

    build.__doc__ = (
        f"plain network of three 3x3 convolutions with {widths[0]}, {widths[1]}, {widths[2]} channels"
    )
    register_for_small_images(name)(build)


def _register_five(name: str, widths: tuple[int, ...]) -> None:
    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return ConvNet(widths, classes, inputs, STRIDES_OF_FIVE)

    build.__doc__ = f"plain network of five 3x3 convolutions with {', '.join(map(str, widths))} channels"
    register_for_small_images(name)(build)


for _widening in WIDENINGS:
    _suffix = f"x{_widening}" if _widening > 1 else ""
    _register(f"convnet3{_suffix}", tuple(_widening * width for width in WIDTHS))
_register("convnet3_small", SMALL_WIDTHS)
for _name, _widths in FIVE.items():
    _register_five(_name, _widths)
