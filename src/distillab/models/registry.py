"""Models by name: registered networks, timm, torchvision, and a factory in anyone's module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from distillab.errors import RequestError, unknown_name
from distillab.models.dry_run import trial_logits
from distillab.models.ensemble import Ensemble, ensemble_parts
from distillab.models.inputs import resizing, seen_at
from distillab.registry import Registry

# The smallest image that three stages still leave at least 2x2 positions of.
SMALLEST_RESOLUTION = 8

FORMS = {
    "timm:NAME": "a network of timm (extra 'timm'), untrained, its stem fitted to the resolution",
    "torchvision:NAME": "a classifier of torchvision, untrained, its stem fitted to the resolution",
    "MODULE:FACTORY": "a function in a Python module, called with classes=, channels=, resolution=",
    "NAME@PIXELS": "any of these, seeing the images resized to so many pixels a side",
}


class ModelFactory(Protocol):
    """Builds an untrained network; its docstring is the line that ``distillab list models`` prints."""

    def __call__(self, *, classes: int, channels: int, resolution: int) -> nn.Module: ...


models: Registry[ModelFactory] = Registry("model")


@dataclass(frozen=True)
class ModelInfo:
    """A line of ``distillab list models``."""

    name: str
    summary: str


def list_models() -> list[ModelInfo]:
    """Every registered network, then the other forms that :func:`build_model` accepts."""
    registered = [ModelInfo(name, (models[name].__doc__ or "").strip().split("\n")[0]) for name in models]
    return registered + [ModelInfo(form, summary) for form, summary in FORMS.items()]


def build_model(name: str, *, classes: int, channels: int, resolution: int) -> nn.Module:
    """An untrained network for square images, ``[N, channels, resolution, resolution]`` -> ``[N, classes]``.

    ``name`` is a registered name (``resnet8x4``), ``timm:NAME``, ``torchvision:NAME`` or ``MODULE:FACTORY``,
    where MODULE may also be a file of the current directory; any of these with ``@64`` behind it, which is
    built for 64 pixels and sees the images resized to them; or that of several networks that speak as one
    (:class:`distillab.models.ensemble.Ensemble`), ``mean(NAME+NAME)``.

    Initial weights are drawn from torch's global generator: seed it (inside ``torch.random.fork_rng``) to
    get the same network again. In images of at most 64 pixels a side the stems of timm and torchvision
    networks are fitted: see :mod:`distillab.models.stems`.

    Raises:
        RequestError: the name is not known, its package is not installed, or the network cannot take images
            of this size.
    """
    if classes < 2:
        raise RequestError(f"a classifier needs at least 2 classes, not {classes}")
    if channels not in (1, 3):
        raise RequestError(f"images have 1 or 3 channels, not {channels}")
    if resolution < SMALLEST_RESOLUTION:
        raise RequestError(
            f"{resolution}x{resolution} images are too small for {name!r}",
            allowed=f"a resolution of at least {SMALLEST_RESOLUTION}",
        )
    several = ensemble_parts(name)
    if several:
        combine, members = several
        size = {"classes": classes, "channels": channels, "resolution": resolution}
        return Ensemble([build_model(member, **size) for member in members], combine)
    network, pixels = seen_at(name)
    if pixels is not None:
        return resizing(build_model(network, classes=classes, channels=channels, resolution=pixels), pixels)
    library, colon, rest = name.partition(":")
    if not colon:
        if name not in models:
            raise unknown_name("model", name, [*models, *FORMS])
        return models[name](classes=classes, channels=channels, resolution=resolution)
    model = _external(library, rest, classes=classes, channels=channels, resolution=resolution)
    trial_logits(model, name, classes=classes, channels=channels, resolution=resolution)
    return model


def _external(library: str, name: str, *, classes: int, channels: int, resolution: int) -> nn.Module:
    # Imported here: these files use the registry's neighbours, and two of them large libraries.
    from distillab.models import external

    build = {"timm": external.from_timm, "torchvision": external.from_torchvision}.get(library)
    if build is None:
        return external.from_module(library, name, classes=classes, channels=channels, resolution=resolution)
    return build(name, classes=classes, channels=channels, resolution=resolution)
