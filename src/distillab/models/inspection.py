"""One dry run per network, from which everything about its outputs is learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dense_network import DenseNetwork
from distillab.models.dry_run import blank_input, evaluating, logits_of
from distillab.models.ensemble import Ensemble
from distillab.models.exits import NetworkWithExits
from distillab.models.input_spec import InputSpec
from distillab.models.orbit import OrbitMean
from distillab.models.outputs import OutputShapes
from distillab.models.stages import Event, find_stages
from distillab.models.taps import Taps
from distillab.tasks.dense_outputs import CELL_COLUMNS


@dataclass(frozen=True)
class NetworkInfo:
    """The result of a dry run of a network.

    Attributes:
        shapes: Shapes of its outputs for one input; without an embedding or maps where it has none.
        taps: Where its embedding and feature maps are read.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(1, 64, 101)
        >>> info = inspect_network(build_model("resnet8", classes=10, inputs=inputs), inputs)
        >>> info.shapes.attention, info.taps.classifier
        (((64, 101), (32, 51), (16, 26)), 'fc')
    """

    shapes: OutputShapes
    taps: Taps


def inspect_network(
    model: nn.Module, inputs: InputSpec, *, classes: int | None = None, name: str | None = None
) -> NetworkInfo:
    """Send one blank input through a network and return the shapes of its outputs and where to read them.

    The classifier is the linear layer that gave ``[N, classes]`` last, and the embedding its input. The
    stages are found by :func:`distillab.models.stages.find_stages`. An ensemble has neither; a network with
    exits has those of the network without. The network's mode, buffers and gradients and the random state
    are left as they were.

    Args:
        model: The network, ``[N, C, H, W]`` -> ``[N, classes]``.
        inputs: Shape of one input.
        classes: The number of logits that the network must give; any if None.
        name: The network's name in errors; by default that of its class.

    Raises:
        RequestError: The network does not take such inputs, or gives another number of logits.

    Example:
        >>> from distillab.models import InputSpec, build_model
        >>> inputs = InputSpec(3, 32, 32)
        >>> inspect_network(build_model("resnet8", classes=10, inputs=inputs), inputs).shapes.maps
        ((16, 32, 32), (32, 16, 16), (64, 8, 8))
    """
    if isinstance(model, NetworkWithExits):
        found = inspect_network(model.network, inputs, classes=classes, name=name)
        return replace(found, taps=found.taps.inside("network"))
    name = name or type(model).__name__
    logits, events = _dry_run(model, inputs, name)
    if isinstance(model, DenseNetwork):
        return _inspect_dense(model, logits, events, classes, name)
    if logits.ndim != 2 or logits.shape != (1, classes or logits.shape[1]):
        raise RequestError(
            f"gives {list(logits.shape)} for one input, not [1, {classes or 'classes'}]",
            where=name,
            allowed=f"a classifier of {classes} classes" if classes else "a classifier",
        )
    if isinstance(model, Ensemble | OrbitMean):  # what is computed inside is not what they give together
        return NetworkInfo(OutputShapes(logits.shape[1]), Taps(None, ()))
    classifiers = [
        event
        for event in events
        if isinstance(event.module, nn.Linear)
        and event.shape == tuple(logits.shape)
        and len(event.input_shape) == 2
    ]
    stages = find_stages(model, events, inputs)
    last = {event.path: event.shape for event in events}
    maps = tuple(stage.map_shape(last[stage.path]) for stage in stages)
    shapes = OutputShapes(
        logits.shape[1],
        classifiers[-1].input_shape[1] if classifiers else None,
        maps,
        tuple((height, width) for _, height, width in maps),
    )
    return NetworkInfo(shapes, Taps(classifiers[-1].path if classifiers else None, stages))


def _inspect_dense(
    model: DenseNetwork, logits: Tensor, events: list[Event], classes: int | None, name: str
) -> NetworkInfo:
    """The shapes of a network that gives outputs for many cells, and the taps that it declares."""
    width = logits.shape[-1] - model.columns
    if logits.ndim != 3 or width != (classes or width):
        raise RequestError(
            f"gives {list(logits.shape)} for one input, not [1, cells, {(classes or width) + model.columns}]",
            where=name,
        )
    last = {event.path: event.shape for event in events}
    maps = tuple(stage.map_shape(last[stage.path]) for stage in model.taps.stages)
    attention = tuple((height, width) for _, height, width in maps)
    backbone = tuple(stage.map_shape(last[stage.path]) for stage in model.taps.backbone)
    towers = tuple(tuple(last[path][1] for path in paths) for paths in model.taps.towers)
    identities = model.columns > CELL_COLUMNS
    shapes = OutputShapes(width, None, maps, attention, logits.shape[1], backbone, towers, identities)
    return NetworkInfo(shapes, model.taps)


def _dry_run(model: nn.Module, inputs: InputSpec, name: str) -> tuple[Tensor, list[Event]]:
    """The logits for one blank input, and the modules in the order in which they returned."""
    events: list[Event] = []
    handles = [
        module.register_forward_hook(_recorder(path, events))
        for path, module in model.named_modules()
        if path
    ]
    try:
        with evaluating(model):
            return logits_of(model(blank_input(model, inputs))), events
    except RequestError as error:
        raise error.within(name) from error
    except Exception as error:
        raise RequestError(
            f"cannot take {inputs.size} images of {inputs.channels} channels: {error}", where=name
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def _recorder(path: str, events: list[Event]) -> Any:
    def record(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            first = arguments[0] if arguments else None
            input_shape = tuple(first.shape) if isinstance(first, Tensor) else ()
            events.append(Event(path, module, input_shape, tuple(output.shape)))

    return record
