"""Taps: what a network says at its stages, read by forward hooks, the network itself left as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distillab.errors import RequestError
from distillab.models.dry_run import blank, evaluating, logits_of, trial_logits
from distillab.models.ensemble import Ensemble
from distillab.models.outputs import OF_STAGES, TAPPED, Outputs, OutputShapes, attention_map
from distillab.models.stages import Event, Stage, find_stages

Depth = Literal["embedding", "maps", "preactivations"]


@dataclass(frozen=True)
class Taps:
    """Where to listen.

    Attributes:
        classifier: path of the last linear layer, whose input is the embedding; None if there is none.
        stages: the modules whose outputs are the feature maps, from shallow to deep.
    """

    classifier: str | None
    stages: tuple[Stage, ...]


def find_taps(model: nn.Module, sample: Tensor) -> Taps:
    """Find classifier and stages by sending ``sample`` (float ``[N, C, H, W]``) through once.

    The classifier is the linear layer that last gave ``[N, classes]``. Stages are found as
    :func:`distillab.models.stages.find_stages` says. The network's mode, buffers and gradients and the
    random state are left as they were.
    """
    if isinstance(model, Ensemble):
        return Taps(None, ())  # what its members hear inside is not what they say together
    events: list[Event] = []
    handles = [
        module.register_forward_hook(_recorder(path, events))
        for path, module in model.named_modules()
        if path
    ]
    try:
        with evaluating(model):
            logits = logits_of(model(sample))
    finally:
        for handle in handles:
            handle.remove()
    classifier = [
        event.path
        for event in events
        if isinstance(event.module, nn.Linear)
        and event.shape == tuple(logits.shape)
        and len(event.input_shape) == 2
    ]
    return Taps(classifier[-1] if classifier else None, find_stages(model, events))


def _recorder(path: str, events: list[Event]) -> Any:
    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            came = tuple(inputs[0].shape) if inputs and isinstance(inputs[0], Tensor) else ()
            events.append(Event(path, module, came, tuple(output.shape)))

    return record


class TappedModel:
    """Calls ``model`` and gives :class:`Outputs` with what ``needs`` names, of ``embedding``, ``maps``,
    ``attention``, ``preactivations`` and ``classifier``.

    Only what is needed is hooked, and :meth:`close` (or leaving a ``with`` block) removes the hooks. Without
    ``taps`` they are found from the first image of the first batch. Other needs (``labels``, ``ids``, ...)
    are not the network's business and are ignored. Gradients flow through everything that is returned.

    Raises:
        RequestError: on the first call, if the network has no classifier or no stages to be found and they
            are needed.
    """

    def __init__(self, model: nn.Module, needs: Iterable[str], taps: Taps | None = None) -> None:
        self.model = model
        self.needs = frozenset(needs) & TAPPED
        self._hears_stages = not self.needs.isdisjoint(OF_STAGES)
        self.taps = taps
        self._caught: dict[tuple[Depth, int], Tensor] = {}
        self._handles: list[RemovableHandle] | None = None
        self._classifier: nn.Linear | None = None
        self._closed = False

    def __call__(self, x: Tensor) -> Outputs:
        """Outputs for ``x``, float ``[N, C, H, W]``."""
        if self._closed:
            raise RuntimeError("this TappedModel is closed")
        self.listen(x)
        logits = logits_of(self.model(x))
        stages = self.taps.stages if self.taps and self._hears_stages else ()
        maps = tuple(stage.as_map(self._caught["maps", index]) for index, stage in enumerate(stages))
        outputs = Outputs(
            logits,
            self._caught.get(("embedding", 0)),
            maps if "maps" in self.needs else (),
            tuple(attention_map(found) for found in maps) if "attention" in self.needs else (),
            tuple(self._before_relu(index, maps) for index in range(len(maps)))
            if "preactivations" in self.needs
            else (),
            self._classifier if "classifier" in self.needs else None,
        )
        self._caught.clear()
        return outputs

    def _before_relu(self, index: int, maps: tuple[Tensor, ...]) -> Tensor:
        return self._caught.get(("preactivations", index), maps[index])

    def listen(self, x: Tensor) -> None:
        """What a call does first, for callers that compile the rest: find the taps on a first batch and hook
        them, and forget what the hooks heard while the network was used without this object."""
        if self._handles is None:
            self._listen(x)
        self._caught.clear()

    def _listen(self, x: Tensor) -> None:
        if self.taps is None and self.needs:
            # Older autocasts keep weights that they cast here, without gradients, for the call that follows.
            with torch.autocast(x.device.type, enabled=False):
                self.taps = find_taps(self.model, x[:1])
        network = type(self.model).__name__
        if self.needs & {"embedding", "classifier"} and self.taps and self.taps.classifier is None:
            raise RequestError(f"{network} ends in no linear layer, so it has no embedding to learn from")
        if self._hears_stages and self.taps and not self.taps.stages:
            raise RequestError(f"{network} has no stages that give feature maps to learn from")
        modules = dict(self.model.named_modules())
        self._handles = []
        if self.taps and self.taps.classifier:
            module = modules[self.taps.classifier]
            self._classifier = module if isinstance(module, nn.Linear) else None
            if "embedding" in self.needs:
                self._handles.append(module.register_forward_pre_hook(self._catch_input))
        if self._hears_stages and self.taps:
            for index, stage in enumerate(self.taps.stages):
                self._handles.append(modules[stage.path].register_forward_hook(self._catch_output(index)))
                if "preactivations" in self.needs and stage.relu:
                    catch = self._catch_before(index)
                    self._handles.append(modules[stage.relu].register_forward_pre_hook(catch))

    def _catch_input(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._caught["embedding", 0] = inputs[0]

    def _catch_before(self, index: int) -> Any:
        def catch(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            # A ReLU may work in place, and one may be used several times: a copy, and the last one counts.
            self._caught["preactivations", index] = inputs[0].clone()

        return catch

    def _catch_output(self, index: int) -> Any:
        def catch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._caught["maps", index] = output

        return catch

    def close(self) -> None:
        """Remove the hooks; the model is as it was found. Closing twice is allowed, calling after is not."""
        for handle in self._handles or ():
            handle.remove()
        self._handles, self._closed = None, True

    def __enter__(self) -> TappedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def last_layer(model: nn.Module, shape: tuple[int, int, int]) -> nn.Linear | None:
    """The linear layer that gives the logits for images of ``shape`` (C, H, W), or None."""
    path = find_taps(model, blank(model, shape)).classifier
    found = model.get_submodule(path) if path else None
    return found if isinstance(found, nn.Linear) else None


def output_shapes(model: nn.Module, *, channels: int, resolution: int, classes: int) -> OutputShapes:
    """Shapes of everything that the taps of ``model`` give for one image of this size.

    ``embedding`` is None, ``maps`` and ``attention`` are empty where the network has none to be found.

    Raises:
        RequestError: the network does not take such images, or does not tell so many classes apart.
    """
    name = type(model).__name__
    trial_logits(model, name, classes=classes, channels=channels, resolution=resolution)
    sample = blank(model, (channels, resolution, resolution))
    taps = find_taps(model, sample)
    needs = {"embedding"} if taps.classifier else set()
    if taps.stages:
        needs.add("maps")
    with TappedModel(model, needs, taps) as tapped, evaluating(model):
        outputs = tapped(sample)
    embedding = None if outputs.embedding is None else outputs.embedding.shape[1]
    maps = tuple((found.shape[1], found.shape[2], found.shape[3]) for found in outputs.maps)
    return OutputShapes(classes, embedding, maps, tuple((height, width) for _, height, width in maps))
