"""Stems that fit the resolution: small images are not thrown away by the first layer.

Networks made for 224-pixel images shrink their input four times or more before the first stage, which leaves
a 32x32 image 1x1 at the end. In images of at most 64 pixels a side, as the literature on CIFAR does it,

- a 3x3 stem convolution gets stride 1;
- a 7x7 stem convolution with stride 2 that is followed by pooling becomes 3x3 with stride 1;
- the pooling after the stem is taken out;
- a transformer's patches shrink until there are at least 7 a side.

Stems of other kinds are refused rather than met silently.
"""

from __future__ import annotations

from torch import nn

from distillab.errors import RequestError

FITTED_UP_TO = 64  # pixels a side
# 7 a side is what the coarsest of the published vision transformers see (patches of 32 in 224 pixels). Twice
# as many as the usual 14 cost 16 times the attention: then the resolution does not suit the network.
FEWEST_PATCHES, MOST_PATCHES = 7, 28
POOLINGS = ("maxpool", "maxpool1", "features.pool0", "stem.pool")
WHAT_SERVES = "images above 64 pixels, or a network such as resnet8x4, torchvision:resnet18, timm:resnet18"


def first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Path and module of the convolution that meets the image: the first one that the network defines."""
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return path, module
    return None


def fit_stem(model: nn.Module, name: str, resolution: int) -> None:
    """Fit the stem of a freshly built convolutional network to small images, in place.

    Raises:
        RequestError: its first layer shrinks the image in a way that has no customary small-image form.
    """
    found = first_convolution(model)
    if resolution > FITTED_UP_TO or found is None:
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
            raise unfit_stem(
                name, resolution, f"its first layer takes {size}x{size} pixels in steps of {stride}"
            )
    for pool in pooling:
        replace_module(model, pool, nn.Identity())


def unfit_stem(name: str, resolution: int, why: str) -> RequestError:
    """The RequestError that says why ``name`` does not serve images of this size, and what would."""
    return RequestError(
        f"is made for larger images than {resolution}x{resolution}: {why}", where=name, allowed=WHAT_SERVES
    )


def fitting_patch(name: str, patch: int, resolution: int) -> int:
    """The side of the patches that a transformer, published with ``patch``, cuts its images into.

    In images of at most 64 pixels: the largest divisor of the resolution, ``patch`` at most, that leaves 7
    patches a side. Above: ``patch`` itself, which must divide the resolution.

    Raises:
        RequestError: no such patch.
    """
    if resolution > FITTED_UP_TO:
        if resolution % patch:
            below = resolution // patch * patch
            raise RequestError(
                f"cuts images into patches of {patch}x{patch} pixels, which do not divide {resolution}",
                where=name,
                allowed=f"a resolution of {below} or {below + patch}",
            )
        return patch
    for side in range(min(patch, resolution // FEWEST_PATCHES), 0, -1):
        if resolution % side == 0:
            if resolution // side > MOST_PATCHES:
                break
            return side
    raise RequestError(
        f"finds no patches that divide {resolution} pixels into {FEWEST_PATCHES} to {MOST_PATCHES} a side",
        where=name,
        allowed="a resolution such as 28, 32, 48 or 64",
    )


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put ``module`` where ``path`` points."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def with_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A convolution like ``conv`` for images of ``channels`` channels, freshly initialised (He, fan out)."""
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
