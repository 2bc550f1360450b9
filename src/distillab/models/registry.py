"""Models by name: registered networks, timm, torchvision, and a factory in any Python module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from distillab.errors import RequestError
from distillab.modalities.views.dihedral import require_square
from distillab.models.black_box import build_black_box, is_black_box
from distillab.models.components import component_networks
from distillab.models.ensemble import Ensemble, ensemble_parts
from distillab.models.exits import NetworkWithExits, new_exits, split_exits
from distillab.models.input_spec import InputSpec
from distillab.models.input_transforms import resize_inputs, split_input_size
from distillab.models.inspection import inspect_network
from distillab.models.names import FORMS, require_known_name, unknown_model
from distillab.models.orbit import OrbitMean, split_orbit
from distillab.models.stems import (
    FITTED_UP_TO,
    MADE_FOR_SMALL_IMAGES,
    ORIGINAL_STEM,
    describe_stem,
    split_stem,
    stem_is_never_fitted,
)
from distillab.registry import Registry

SMALLEST_INPUT_SIDE = 8  # three stages leave at least 2x2 positions of it


class ModelFactory(Protocol):
    """A function that builds an untrained network; ``distillab list models`` prints its docstring.

    Example:
        >>> def linear(*, classes: int, inputs: InputSpec) -> nn.Module:
        ...     return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
        >>> factory: ModelFactory = linear
    """

    def __call__(self, *, classes: int, inputs: InputSpec) -> nn.Module: ...


models: Registry[ModelFactory] = Registry("model")


def register_for_small_images(name: str) -> Callable[[ModelFactory], ModelFactory]:
    """Return a decorator that registers a network made for small images.

    Its factory fits the stem to larger ones (:func:`~distillab.models.stems.stem_stride`), and
    ``NAME#original`` is the same network with the stem for small images.

    Raises:
        ValueError: The name is taken.
    """

    return _registered_among(MADE_FOR_SMALL_IMAGES, name)


TEXT_NETWORKS: set[str] = set()
"""Names of the networks that take texts, ``[N, 1, 1, L]``; all others take images and spectrograms."""


def register_for_text(name: str) -> Callable[[ModelFactory], ModelFactory]:
    """Return a decorator that registers a network for texts.

    Raises:
        ValueError: The name is taken.
    """

    return _registered_among(TEXT_NETWORKS, name)


DETECTORS: set[str] = set()
"""Names of the networks that find objects, ``[N, cells, classes + 10]``, for the task detection."""


def register_detector(name: str) -> Callable[[ModelFactory], ModelFactory]:
    """Return a decorator that registers a detector.

    Raises:
        ValueError: The name is taken.
    """

    return _registered_among(DETECTORS, name)


TRACKING_NETWORKS: set[str] = set()
"""Names of the networks that find objects and embed their identities, for the task tracking."""


def register_tracking_network(name: str) -> Callable[[ModelFactory], ModelFactory]:
    """Return a decorator that registers a network for tracking.

    Raises:
        ValueError: The name is taken.
    """

    return _registered_among(TRACKING_NETWORKS, name)


def _registered_among(kind: set[str], name: str) -> Callable[[ModelFactory], ModelFactory]:
    """Return a decorator that registers a network and enters its name into a set of one kind."""

    def enter(build: ModelFactory) -> ModelFactory:
        models.register(name)(build)
        kind.add(name)
        return build

    return enter


@dataclass(frozen=True)
class ModelInfo:
    """A line of ``distillab list models``.

    Attributes:
        name: A name that :func:`build_model` takes, or the form of one.
        summary: One line about it.

    Example:
        >>> next(info.summary for info in list_models() if info.name == "wrn16-2")
        'wide ResNet, depth 16, 2 times as wide as a CIFAR ResNet, pre-activation'
    """

    name: str
    summary: str


def list_models() -> list[ModelInfo]:
    """Return every registered network, then the other forms that :func:`build_model` accepts.

    Example:
        >>> next(info for info in list_models() if info.name == "resnet110")
        ModelInfo(name='resnet110', summary='CIFAR ResNet, depth 110, stages of 16, 32, 64 channels')
    """
    registered = [ModelInfo(name, (models[name].__doc__ or "").strip().split("\n")[0]) for name in models]
    return registered + [ModelInfo(form, summary) for form, summary in FORMS.items()]


def build_model(
    name: str,
    *,
    classes: int,
    inputs: InputSpec | None = None,
    channels: int = 3,
    resolution: int | None = None,
) -> nn.Module:
    """Return an untrained network by its name, ``[N, C, H, W]`` -> ``[N, classes]``.

    Initial weights are drawn from torch's global generator: seed it (inside ``torch.random.fork_rng``) to
    get the same network again. The stems of networks are fitted to the size of the inputs: see
    :mod:`distillab.models.stems`.

    Args:
        name: A registered name (``resnet8x4``), ``timm:NAME``, ``torchvision:NAME`` or ``MODULE:FACTORY``,
            where MODULE may also be a file of the current directory; any of these followed by ``@64``, which
            is built for 64x64 pixels and resizes its inputs to them; or an ensemble of several
            (:class:`Ensemble`), such as ``mean(NAME+NAME)``; or a network with exits (``exits(NAME)``,
            ``vote(NAME)``), as methods make them.
        classes: Number of logits.
        inputs: Shape of one input.
        channels: Number of channels of square inputs, in place of ``inputs``.
        resolution: Side of square inputs, in place of ``inputs``.

    Raises:
        ValueError: Neither ``inputs`` nor ``resolution`` is given, or both are.
        RequestError: The name is not known, its package is not installed, or the network cannot take inputs
            of this shape.

    Example:
        >>> network = build_model("resnet8", classes=10, inputs=InputSpec(3, 32, 32))
        >>> network.fc
        Linear(in_features=64, out_features=10, bias=True)
    """
    if (inputs is None) == (resolution is None):
        raise ValueError("give either the shape of the inputs, or their resolution")
    inputs = inputs or InputSpec.square(channels, resolution or 0)
    _must_be_possible(name, classes, inputs)
    with_exits = split_exits(name)
    if with_exits:
        return _with_exits(*with_exits, classes, inputs)
    turned = split_orbit(name)
    if turned:
        require_square(inputs.height, inputs.width, name)
        return OrbitMean(build_model(turned, classes=classes, inputs=inputs))
    several = ensemble_parts(name)
    if several:
        combine, members = several
        return Ensemble([build_model(each, classes=classes, inputs=inputs) for each in members], combine)
    network, pixels = split_input_size(name)
    if pixels is not None:
        resized = InputSpec.square(inputs.channels, pixels)
        return resize_inputs(build_model(network, classes=classes, inputs=resized), pixels)
    if is_black_box(name):
        return build_black_box(name, classes)
    library, colon, rest = name.partition(":")
    if split_stem(network)[1] and library not in _BUILDERS:
        return _with_stem_for_small_images(split_stem(network)[0], classes, inputs)
    if not colon:
        if name not in models:
            raise unknown_model(name, models)
        return models[name](classes=classes, inputs=inputs)
    model = _external(library, rest, classes, inputs)
    inspect_network(model, inputs, classes=classes, name=name)  # external networks are checked
    return model


def _with_stem_for_small_images(name: str, classes: int, inputs: InputSpec) -> nn.Module:
    if name not in MADE_FOR_SMALL_IMAGES:
        raise stem_is_never_fitted(name)
    small = InputSpec(inputs.channels, *(min(side, FITTED_UP_TO) for side in (inputs.height, inputs.width)))
    return models[name](classes=classes, inputs=small)


def _with_exits(name: str, vote: bool, classes: int, inputs: InputSpec) -> nn.Module:
    network = build_model(name, classes=classes, inputs=inputs)
    info = inspect_network(network, inputs, name=name)
    return NetworkWithExits(network, info.taps.stages, new_exits(info.shapes, name), vote=vote)


def _must_be_possible(name: str, classes: int, inputs: InputSpec) -> None:
    """Raise RequestError if no network is a classifier of so many classes, or takes such inputs."""
    parts, dense = {each.name for each in component_networks(name)}, DETECTORS | TRACKING_NETWORKS
    if parts & dense and name not in dense:
        raise RequestError(
            f"{name!r} is made of detectors, whose boxes are not averaged, resized or read early",
            allowed=", ".join(sorted(TRACKING_NETWORKS if parts & TRACKING_NETWORKS else DETECTORS)),
        )
    if classes < 1 + (name not in dense):
        raise RequestError(f"a classifier needs at least 2 classes, not {classes}")
    if inputs.channels not in (1, 3):
        raise RequestError(f"images have 1 or 3 channels, not {inputs.channels}")
    if inputs.is_text != (name in TEXT_NETWORKS) and name in models:
        takes, these = ("images and spectrograms", "texts") if inputs.is_text else ("texts", "no texts")
        fitting = sorted(each for each in models if (each in TEXT_NETWORKS) == inputs.is_text)
        raise RequestError(
            f"{name!r} takes {takes}, and these are {these}", allowed=", ".join([*fitting, "..."])
        )
    if not inputs.is_text and inputs.shorter_side < SMALLEST_INPUT_SIDE:
        raise RequestError(
            f"{inputs.size} inputs are too small for {name!r}",
            allowed=f"a resolution of at least {SMALLEST_INPUT_SIDE}",
        )


def stem_change(name: str, inputs: InputSpec) -> str:
    """Return how the stem of a network is changed for inputs of this size, or ``""`` if it is not.

    Only shapes are looked at: no memory is used and no random number drawn.

    Args:
        name: A name that :func:`build_model` accepts.
        inputs: Shape of one input.

    Example:
        >>> stem_change("torchvision:mobilenet_v2", InputSpec.square(3, 64))
        'features.0.0 is 3x3 with stride 1, not 3x3 with stride 2'
        >>> stem_change("torchvision:mobilenet_v2#original", InputSpec.square(3, 64))
        ''
    """
    components = component_networks(name)
    changes = {each.label: _stem_change(each.name, each.seen(inputs)) for each in components}
    if len(components) == 1:
        return changes[components[0].label]
    return "; ".join(f"{label}: {change}" for label, change in changes.items() if change)


def _stem_change(network: str, seen: InputSpec) -> str:
    if not has_fitted_stem(network, seen):
        return ""
    library, colon, rest = network.partition(":")
    with torch.device("meta"):
        if not colon:
            fitted = models[network](classes=SHAPE_CLASSES, inputs=seen)
            return describe_stem(fitted, _with_stem_for_small_images(network, SHAPE_CLASSES, seen))
        fitted = _external(library, rest, SHAPE_CLASSES, seen)
        try:
            original = _external(library, f"{rest}{ORIGINAL_STEM}", SHAPE_CLASSES, seen)
        except RequestError:
            original = None
    return describe_stem(fitted, original)


def has_fitted_stem(network: str, inputs: InputSpec) -> bool:
    """Return True if a network may have another stem than the published one, for inputs of this size.

    Args:
        network: Its name, without a size.
        inputs: Shape of one input.

    Example:
        >>> [has_fitted_stem(name, InputSpec.square(3, 128)) for name in ("resnet8", "resnet8#original")]
        [True, False]
    """
    large = inputs.shorter_side > FITTED_UP_TO
    made_for_small = network in MADE_FOR_SMALL_IMAGES
    made_for_large = network.partition(":")[0] in _BUILDERS and not split_stem(network)[1]
    return made_for_small if large else made_for_large


SHAPE_CLASSES = 2  # of networks whose stem alone is looked at
_BUILDERS = ("timm", "torchvision")


def check_model_name(name: str) -> None:
    """Raise RequestError if no network has this name. Takes no data, and builds nothing.

    Args:
        name: A name as :func:`build_model` takes it.

    Raises:
        RequestError: The name is not known, or its package or module cannot be imported.

    Example:
        >>> check_model_name("resnet8x4")
        >>> check_model_name("mobilenet_v3_small")
        Traceback (most recent call last):
        distillab.errors.RequestError: unknown model 'mobilenet_v3_small', did you mean 'torchvision:...
    """
    require_known_name(name, models)


def _external(library: str, name: str, classes: int, inputs: InputSpec) -> nn.Module:
    # Imported here: these files use the registry's neighbors, and two of them large libraries.
    from distillab.models import external, objects

    if library == "object":
        return objects.build_object(name, classes=classes, inputs=inputs)
    build = {"timm": external.from_timm, "torchvision": external.from_torchvision}.get(library)
    if build is None:
        return external.from_module(library, name, classes=classes, inputs=inputs)
    network, original = split_stem(name)
    return build(network, classes=classes, inputs=inputs, original_stem=original)
