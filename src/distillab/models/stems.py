"""Stems that fit the resolution: small images are not thrown away, and large ones do not cost a fortune.

Networks made for 224-pixel images shrink their input four times or more before the first stage, which leaves
1x1 of a 32x32 image at the end. For inputs whose shorter side has at most 64 pixels, as usual in the
literature on CIFAR,

- a 3x3 stem convolution gets stride 1;
- a 7x7 stem convolution with stride 2 that is followed by pooling becomes 3x3 with stride 1;
- the pooling after the stem is removed;
- the patches of a transformer shrink until there are at least 7 per side.

Stems of other kinds are refused.

Networks made for small images (the CIFAR ResNets and others of this package) have no stride in their stem: at
224 pixels they would cost 49 times what they cost at 32. Above 64 pixels their stem has a stride of 2 and is
followed by 3x3 max pooling with a stride of 2, as in the ResNets for 224 pixels (He et al., CVPR 2016). The
shapes of their weights stay the same.

``NAME#original`` keeps the published stem, which given weights may need.
"""

from __future__ import annotations

from torch import nn

from distillab.errors import RequestError
from distillab.models.input_spec import InputSpec

FITTED_UP_TO = 64  # pixels of the shorter side
MADE_FOR_SMALL_IMAGES: set[str] = set()  # names of networks, filled as they are registered
# The coarsest of the published vision transformers have 7 patches per side (of 32 in 224 pixels). Twice as
# many as the usual 14 cost 16 times the attention: then the resolution does not suit the network.
FEWEST_PATCHES, MOST_PATCHES = 7, 28
POOLINGS = ("maxpool", "maxpool1", "features.pool0", "stem.pool")
FITTING_NETWORKS = (
    "images above 64 pixels, networks such as resnet8x4, torchvision:resnet18 or timm:resnet18, or "
    "NAME#original, which keeps the stem as it is"
)


ORIGINAL_STEM = "#original"


def stem_stride(inputs: InputSpec) -> int:
    """Return the stride of the first convolution of a network made for small images.

    Example:
        >>> stem_stride(InputSpec.square(3, 32)), stem_stride(InputSpec.square(3, 128))
        (1, 2)
    """
    return 1 if inputs.shorter_side <= FITTED_UP_TO else 2


def stem_pooling(inputs: InputSpec) -> nn.Module:
    """Return what follows the stem of a network made for small images: pooling where inputs are large.

    Example:
        >>> stem_pooling(InputSpec.square(3, 32))
        Identity()
    """
    return nn.Identity() if inputs.shorter_side <= FITTED_UP_TO else nn.MaxPool2d(3, stride=2, padding=1)


def split_stem(name: str) -> tuple[str, bool]:
    """Return a network's name without ``#original``, and whether it had it.

    Example:
        >>> split_stem("torchvision:mobilenet_v2#original")
        ('torchvision:mobilenet_v2', True)
    """
    return name.removesuffix(ORIGINAL_STEM), name.endswith(ORIGINAL_STEM)


def with_original_stem(name: str) -> str:
    """Return the name of the same network with the stem of its package.

    Example:
        >>> with_original_stem("torchvision:resnet18@64")
        'torchvision:resnet18#original@64'
    """
    network, mark, pixels = name.partition("@")
    return name if split_stem(network)[1] else f"{network}{ORIGINAL_STEM}{mark}{pixels}"


def stem_is_never_fitted(name: str) -> RequestError:
    """Return the error for ``#original`` after the name of a network that has one stem."""
    return RequestError(
        "the stem of this network is never changed",
        where=f"{name}{ORIGINAL_STEM}",
        allowed=name,
    )


def describe_stem(fitted: nn.Module, original: nn.Module | None) -> str:
    """Return how a fitted stem differs from that of the package, or ``""`` if it does not.

    Args:
        fitted: The network as it is built.
        original: The network with its published stem; None if it cannot take such inputs.
    """
    here, there = first_convolution(fitted), first_convolution(original) if original is not None else None
    parts = []
    if here and there and _sizes(here[1]) != _sizes(there[1]):
        parts.append(f"{here[0]} is {_sizes(here[1])}, not {_sizes(there[1])}")
    elif here and original is None:
        parts.append(f"{here[0]} is {_sizes(here[1])}")
    removed = [pool for pool in POOLINGS if original is not None and _pools(original, pool)]
    parts += [f"{pool} is left out" for pool in removed if not _pools(fitted, pool)]
    if original is not None and _n_max_pools(fitted) > _n_max_pools(original):
        parts.append("max pooling with stride 2 follows")
    return ", ".join(parts)


def _sizes(conv: nn.Conv2d) -> str:
    return f"{'x'.join(map(str, conv.kernel_size))} with stride {max(conv.stride)}"


def _n_max_pools(model: nn.Module) -> int:
    return sum(isinstance(each, nn.MaxPool2d) for each in model.modules())


def _pools(model: nn.Module, path: str) -> bool:
    return _has(model, path) and not isinstance(model.get_submodule(path), nn.Identity)


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Return path and module of the first convolution that the network defines, or None."""
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return path, module
    return None


def fit_stem(model: nn.Module, name: str, inputs: InputSpec) -> None:
    """Fit the stem of a freshly built convolutional network to small inputs, in place.

    Raises:
        RequestError: Its first layer shrinks the input in a way that has no customary small-image form.
    """
    found = first_convolution(model)
    if inputs.shorter_side > FITTED_UP_TO or found is None:
        return
    path, conv = found
    pooling = [pool for pool in POOLINGS if _has(model, pool)]
    size, stride = max(conv.kernel_size), max(conv.stride)
    if stride > 1:
        if size == 3:
            conv.stride = (1, 1)
        elif size == 7 and stride == 2 and pooling and type(conv) is nn.Conv2d:
            replace_module(model, path, _convolution_3x3(conv))
        else:
            raise unfit_stem(name, inputs, f"its first layer is {size}x{size} with a stride of {stride}")
    for pool in pooling:
        replace_module(model, pool, nn.Identity())


def unfit_stem(name: str, inputs: InputSpec, why: str) -> RequestError:
    """Return the error of a network that cannot take inputs of this size, with what can."""
    return RequestError(
        f"is made for larger images than {inputs.size}: {why}", where=name, allowed=FITTING_NETWORKS
    )


def fitting_patch(name: str, patch: int, inputs: InputSpec) -> int:
    """Return the side of the patches into which a transformer cuts its inputs.

    For inputs whose shorter side has at most 64 pixels: the largest divisor of both sides, at most ``patch``,
    that leaves 7 patches along the shorter one. For others: ``patch`` itself, which must divide both sides.

    Args:
        name: The network's name in errors.
        patch: The side of the published patches.
        inputs: Shape of one input.

    Raises:
        RequestError: There is no such patch.
    """
    shorter, longer = inputs.shorter_side, max(inputs.height, inputs.width)
    if shorter > FITTED_UP_TO:
        if inputs.height % patch or inputs.width % patch:
            below = shorter // patch * patch
            raise RequestError(
                f"cuts images into patches of {patch}x{patch} pixels, which do not divide {inputs.size}",
                where=name,
                allowed=f"multiples of {patch} pixels, such as a resolution of {below} or {below + patch}",
            )
        return patch
    for side in range(min(patch, shorter // FEWEST_PATCHES), 0, -1):
        if inputs.height % side == 0 and inputs.width % side == 0:
            if longer // side > MOST_PATCHES:
                break
            return side
    raise RequestError(
        f"has no patches that divide {inputs.size} pixels into {FEWEST_PATCHES} to {MOST_PATCHES} per side",
        where=name,
        allowed="a resolution such as 28, 32, 48 or 64",
    )


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the one at ``path``."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def with_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return a convolution like ``conv`` with other input channels, freshly initialized (He, fan out)."""
    return _like(conv, channels, conv.kernel_size, conv.stride, conv.padding)


def _convolution_3x3(conv: nn.Conv2d) -> nn.Conv2d:
    return _like(conv, conv.in_channels, (3, 3), (1, 1), (1, 1))


def _like(
    conv: nn.Conv2d,
    channels: int,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
) -> nn.Conv2d:
    new = nn.Conv2d(
        channels,
        conv.out_channels,
        (kernel_size[0], kernel_size[1]),
        (stride[0], stride[1]),
        padding if isinstance(padding, str) else (padding[0], padding[1]),
        bias=conv.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new


def _has(model: nn.Module, path: str) -> bool:
    return path in dict(model.named_modules())
