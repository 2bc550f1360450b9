"""Which modules of a network are its stages, and how their outputs read as feature maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from distillab.models.input_spec import InputSpec

Layout = Literal["NCHW", "NHWC", "tokens"]
Shape = tuple[int, ...]

# A plain transformer has no stages: its depth is divided into this many equal parts.
PARTS_OF_A_TRANSFORMER = 4
MOST_PREFIX_TOKENS = 2  # a class token, a distillation token


@dataclass(frozen=True)
class Event:
    """One module returning in a forward pass.

    Attributes:
        path: Path of the module in the network.
        module: The module.
        input_shape: Shape of its first argument, empty if that is no tensor.
        shape: Shape of its output.
    """

    path: str
    module: nn.Module
    input_shape: Shape
    shape: Shape


@dataclass(frozen=True)
class Stage:
    """A module whose output is a feature map, perhaps laid out otherwise than ``[N, C, H, W]``.

    Attributes:
        path: Path of the module in the network.
        layout: Order of the dimensions of its output; ``tokens`` is ``[N, prefix + patches, C]``.
        prefix: Tokens (class, distillation) before the patches, for ``tokens``.
        grid: Rows and columns of the patches, for ``tokens``; None for a square of them.
        relu: Path of the activation that ends the stage, if that is a ReLU.
    """

    path: str
    layout: Layout = "NCHW"
    prefix: int = 0
    grid: tuple[int, int] | None = None
    relu: str | None = None

    def as_map(self, output: Tensor) -> Tensor:
        """Return the output as ``[N, C, H, W]``, a view where possible."""
        if self.layout == "NHWC":
            return output.permute(0, 3, 1, 2)
        if self.layout == "tokens":
            patches = output[:, self.prefix :].transpose(1, 2)
            return patches.reshape(*patches.shape[:2], *self._grid(patches.shape[2]))
        return output

    def map_shape(self, shape: Shape) -> tuple[int, int, int]:
        """Return (channels, height, width) of the map in an output of ``shape``."""
        if self.layout == "NHWC":
            return shape[3], shape[1], shape[2]
        if self.layout == "tokens":
            return shape[2], *self._grid(shape[1] - self.prefix)
        return shape[1], shape[2], shape[3]

    def _grid(self, patches: int) -> tuple[int, int]:
        side = math.isqrt(patches)
        return self.grid or (side, side)


def find_stages(model: nn.Module, events: Sequence[Event], inputs: InputSpec) -> tuple[Stage, ...]:
    """Return the stages of a network, shallow to deep; empty if none are found.

    Known families come first: the children of ``stages`` (the CIFAR networks here), ``layer1``... (ResNets of
    torchvision and timm), the blocks of torchvision's vision transformers, and timm's ``feature_info``. Among
    the ``_blocks`` of an EfficientNet-Lite, the last of every spatial size is a stage. Otherwise every
    spatial size is a stage, and its map the last one of that size, outside of blocks if that gives at least
    two stages. A feature map is recognized by having the proportions of the input.

    Args:
        model: The network.
        events: Its modules in one forward pass, in the order in which they returned.
        inputs: Shape of the input of that pass.
    """
    proportions = Proportions.of(inputs, events)
    last = {event.path: event for event in events}
    for paths in (
        _children(model, "stages"),
        _numbered_layers(model),
        _torchvision_blocks(model),
        _timm(model),
    ):
        stages = [_stage(model, last[path], proportions) for path in paths if path in last]
        if known := [stage for stage in stages if stage]:
            return _with_relu(_thinned(known), events)
    blocks = set(_children(model, "_blocks"))
    if found := _by_size([event for event in events if event.path in blocks], proportions):
        return _with_relu(found, events)
    spine = _by_size([event for event in events if _on_spine(model, event.path)], proportions)
    return _with_relu(spine if len(spine) > 1 else _by_size(events, proportions), events)


@dataclass(frozen=True)
class Proportions:
    """The sides of the input of the layers of a network.

    A map of a square input is square. One of another input has lost the same factor in height and in width,
    up to the rounding of a layer that divides by two.
    """

    height: int
    width: int

    @classmethod
    def of(cls, inputs: InputSpec, events: Sequence[Event]) -> Proportions:
        """Return those of ``inputs``, or of the input of the first layer if that is resized."""
        seen = next((event.input_shape[2:] for event in events if len(event.input_shape) == 4), None)
        if inputs.is_square or seen is None:
            return cls(inputs.height, inputs.width)
        return cls(*seen)

    def fit(self, height: int, width: int) -> bool:
        """Return True if a map of these sides has the proportions of the input."""
        if self.height == self.width:
            return height == width
        least = max(self.height / (height + 1), self.width / (width + 1))
        most = min(self.height / max(height - 1, 0.5), self.width / max(width - 1, 0.5))
        return least < most

    def grid(self, patches: int) -> tuple[int, int] | None:
        """Return rows and columns of so many patches, or None if no grid of them has the proportions."""
        rows = (rows for rows in range(1, patches + 1) if patches % rows == 0)
        grids = [(each, patches // each) for each in rows if self.fit(each, patches // each)]
        ratio = math.log(self.height / self.width)
        return min(grids, key=lambda grid: abs(math.log(grid[0] / grid[1]) - ratio), default=None)


def _with_relu(stages: tuple[Stage, ...], events: Sequence[Event]) -> tuple[Stage, ...]:
    """Return the stages, each with the ReLU whose output is its own: the last module that ends inside it."""
    return tuple(replace(stage, relu=_last_relu(stage, events)) for stage in stages)


def _last_relu(stage: Stage, events: Sequence[Event]) -> str | None:
    end = _last(list(events), lambda event: event.path == stage.path)
    if isinstance(events[end].module, nn.ReLU):
        return stage.path
    inside = [
        event
        for event in events[:end]
        if event.path.startswith(f"{stage.path}.") and not any(event.module.children())
    ]
    ends = inside and isinstance(inside[-1].module, nn.ReLU) and inside[-1].shape == events[end].shape
    return inside[-1].path if ends else None


def _children(model: nn.Module, path: str) -> list[str]:
    """Paths of the children of a container, or nothing if there is no such container."""
    found: Any = model
    for part in path.split("."):
        found = getattr(found, part, None)
    container = isinstance(found, nn.Sequential | nn.ModuleList)
    return [f"{path}.{name}" for name, _ in found.named_children()] if container else []


def _numbered_layers(model: nn.Module) -> list[str]:
    return [f"layer{i}" for i in range(1, 10) if isinstance(getattr(model, f"layer{i}", None), nn.Module)]


def _torchvision_blocks(model: nn.Module) -> list[str]:
    return _children(model, "encoder.layers")


def _timm(model: nn.Module) -> list[str]:
    """Paths in timm's ``feature_info``, without the stem that often comes first."""
    info = getattr(model, "feature_info", None)
    entries = getattr(info, "info", info)
    if not isinstance(entries, Iterable) or isinstance(entries, Tensor | nn.Module):
        return []
    paths = [str(entry["module"]) for entry in entries if isinstance(entry, dict) and "module" in entry]
    modules = dict(model.named_modules())
    first = modules.get(paths[0]) if paths else None
    # The entry of a stem has that name, or that of the normalization or activation at its end.
    stem = first is not None and ("stem" in paths[0] or all(p.ndim < 2 for p in first.parameters()))
    return paths[1:] if stem and len(paths) > 1 else paths


def _stage(model: nn.Module, event: Event, proportions: Proportions) -> Stage | None:
    """Return the stage that a module is, by how its output reads as a map; None if it does not."""
    shape = event.shape
    if len(shape) == 4:
        channels_last = proportions.fit(shape[1], shape[2])
        if channels_last and getattr(model, "output_fmt", None) == "NHWC":
            return Stage(event.path, "NHWC")
        if proportions.fit(shape[2], shape[3]):
            return Stage(event.path)
        return Stage(event.path, "NHWC") if channels_last else None
    if len(shape) == 3:
        for prefix in (getattr(model, "num_prefix_tokens", 0), *range(MOST_PREFIX_TOKENS + 1)):
            grid = proportions.grid(shape[1] - prefix)
            if grid:
                return Stage(event.path, "tokens", prefix, None if grid[0] == grid[1] else grid)
    return None


def _thinned(stages: list[Stage]) -> tuple[Stage, ...]:
    """Return all stages of a staged network; of a transformer, the blocks at equal parts of its depth."""
    if any(stage.layout != "tokens" for stage in stages) or len(stages) <= PARTS_OF_A_TRANSFORMER:
        return tuple(stages)
    parts = PARTS_OF_A_TRANSFORMER
    return tuple(stages[math.ceil(len(stages) * part / parts) - 1] for part in range(1, parts + 1))


def _on_spine(model: nn.Module, path: str) -> bool:
    """Return True if a module belongs to the network or its containers, not to the inside of a block.

    There the channels are often expanded, or split over branches.
    """
    parent, dot, _ = path.rpartition(".")
    return not dot or (isinstance(model.get_submodule(parent), nn.Sequential) and _on_spine(model, parent))


def _by_size(events: Sequence[Event], proportions: Proportions) -> tuple[Stage, ...]:
    """Return the last map of every spatial size, found from the end of the network backwards.

    Going backwards, only growing sizes count: the 1x1 maps inside squeeze-and-excitation are skipped. So is a
    global pooling at the end, with all that follows it.
    """
    maps = [
        event
        for event in events
        if len(event.shape) == 4 and proportions.fit(event.shape[2], event.shape[3]) and not _resizes(event)
    ]
    end = _last(maps, lambda event: _area(event) > 1) + 1
    if end and any("pool" in type(event.module).__name__.lower() for event in maps[end:]):
        maps = maps[:end]
    found: list[Event] = []
    for event in reversed(maps):
        if not found or _area(event) > _area(found[-1]):
            found.append(event)
    return tuple(Stage(event.path) for event in reversed(found))


def _area(event: Event) -> int:
    """Number of positions of the output ``[N, C, H, W]`` of a module."""
    return event.shape[2] * event.shape[3]


def _resizes(event: Event) -> bool:
    """Return True for a pooling as in VGG, which gives any map the size that the classifier takes."""
    return "adaptive" in type(event.module).__name__.lower() and _area(event) > 1


def _last(events: list[Event], accept: Callable[[Event], bool]) -> int:
    """Index of the last accepted event, or -1."""
    return max((index for index, event in enumerate(events) if accept(event)), default=-1)
