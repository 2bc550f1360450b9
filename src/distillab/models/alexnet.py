"""AlexNet for small images, and the same network with depthwise-separable convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from distillab.models.cifar_resnet import initialize
from distillab.models.input_spec import InputSpec
from distillab.models.minis import ConvNormReLU
from distillab.models.registry import register_for_small_images
from distillab.models.stems import stem_pooling, stem_stride

STEM_WIDTH = 64
# (kernel, channels) of the convolutions of the second and of the third stage, as in AlexNet.
CONVOLUTIONS = (((5, 192),), ((3, 384), (3, 256), (3, 256)))


class SeparableConv(nn.Sequential):
    """A depthwise convolution, then a pointwise one: k^2 C_in + C_in C_out weights.

    Each is followed by batch normalization and a ReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        size: Side of the depthwise kernel.

    Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017, section 3.1.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        depthwise = ConvNormReLU(inputs, inputs, size, groups=inputs)
        super().__init__(depthwise, ConvNormReLU(inputs, outputs, 1))


class AlexNet(nn.Module):
    """AlexNet for small images: ``[N, channels, H, W]`` -> ``[N, classes]``.

    Five convolutions with the published widths, and 3x3 max pooling with a stride of 2: after the first,
    before the second and before the third. A stage ends before each pooling but the first. The classifier
    reads the mean over all positions.

    Deviations: the first convolution is 3x3 without a stride, and a pooling follows it, in place of 11x11
    with a stride of 4, which leave nothing of 32 pixels (:mod:`distillab.models.stems`); batch normalization
    in place of local response normalization; one linear layer in place of three with dropout, which hold 94 %
    of the published network and nothing that 32 pixels need.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", NeurIPS 2012; widths of the single-tower version (Krizhevsky, "One weird trick for
    parallelizing convolutional neural networks", 2014).

    Args:
        classes: Number of logits.
        inputs: Shape of one input.
        separable: Whether the convolutions behind the first are depthwise-separable.

    Example:
        >>> import torch
        >>> AlexNet(10, InputSpec(3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int, inputs: InputSpec, *, separable: bool = False) -> None:
        super().__init__()
        layer = SeparableConv if separable else ConvNormReLU
        stem = ConvNormReLU(inputs.channels, STEM_WIDTH, 3, stem_stride(inputs))
        self.stages = nn.Sequential(nn.Sequential(stem, stem_pooling(inputs), _pooling()))
        channels = STEM_WIDTH
        for convolutions in CONVOLUTIONS:
            stage = nn.Sequential(_pooling())
            for kernel, width in convolutions:
                stage.append(layer(channels, width, kernel))
                channels = width
            self.stages.append(stage)
        self.fc = nn.Linear(channels, classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return logits


def _pooling() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, padding=1)


@register_for_small_images("alexnet")
def _alexnet(*, classes: int, inputs: InputSpec) -> nn.Module:
    """AlexNet for small images: five convolutions with 64, 192, 384, 256, 256 channels, 2.5 M parameters"""
    return AlexNet(classes, inputs)


@register_for_small_images("alexnet_dsc")
def _alexnet_dsc(*, classes: int, inputs: InputSpec) -> nn.Module:
    """alexnet with depthwise-separable convolutions behind the first, 0.3 M parameters"""
    return AlexNet(classes, inputs, separable=True)
