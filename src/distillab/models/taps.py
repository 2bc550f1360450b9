"""Read what a network computes at its stages by forward hooks, leaving the network itself as it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distillab.errors import RequestError
from distillab.models.dry_run import logits_of
from distillab.models.outputs import OF_STAGES, TAPPED, Outputs, TowerMaps, attention_map
from distillab.models.stages import Stage

Depth = Literal["embedding", "maps", "preactivations", "backbone"]


@dataclass(frozen=True)
class Taps:
    """Where the embedding and the feature maps of a network are read.

    Attributes:
        classifier: Path of the last linear layer, whose input is the embedding; None if there is none.
        stages: The modules whose outputs are the feature maps, from shallow to deep.
        backbone: Of a detector: the modules whose outputs its pyramid is made from.
        towers: Of a detector: paths of the layers of each tower, which is called once per level.

    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> Taps("1", ()).classifier_of(network)
        Linear(in_features=64, out_features=10, bias=True)
    """

    classifier: str | None
    stages: tuple[Stage, ...]
    backbone: tuple[Stage, ...] = ()
    towers: tuple[tuple[str, ...], ...] = ()

    def classifier_of(self, model: nn.Module) -> nn.Linear | None:
        """Return the last linear layer of the network itself, or None."""
        found = model.get_submodule(self.classifier) if self.classifier else None
        return found if isinstance(found, nn.Linear) else None

    def inside(self, path: str) -> Taps:
        """Return where the same outputs are read of a network that holds this one at a path."""

        def under(own: str | None) -> str | None:
            return own and f"{path}.{own}"

        stages = (
            replace(stage, path=f"{path}.{stage.path}", relu=under(stage.relu)) for stage in self.stages
        )
        backbone = (replace(stage, path=f"{path}.{stage.path}") for stage in self.backbone)
        towers = (tuple(f"{path}.{own}" for own in paths) for paths in self.towers)
        return Taps(under(self.classifier), tuple(stages), tuple(backbone), tuple(towers))


class TappedModel:
    """A network whose calls return :class:`Outputs` with everything that ``needs`` names.

    Only what is needed is hooked; :meth:`close` (or leaving a ``with`` block) removes the hooks. Gradients
    flow through everything that is returned.

    Args:
        model: The network.
        needs: Which of ``embedding``, ``maps``, ``attention``, ``preactivations``, ``classifier``,
            ``backbone`` and ``towers`` to return besides the logits. The last two are empty of all networks
            but detectors. Others (``labels``, ``ids``, ...) are no outputs of a network and are ignored.
        taps: Where they are read, from :func:`distillab.models.inspect_network`. Logits alone need none.

    Raises:
        RequestError: The network has no classifier or no stages, and they are needed.

    Example:
        >>> import torch
        >>> from distillab.models import InputSpec, build_model, inspect_network
        >>> inputs = InputSpec(1, 8, 8)
        >>> network = build_model("resnet8", classes=10, inputs=inputs)
        >>> with TappedModel(network, {"embedding"}, inspect_network(network, inputs).taps) as tapped:
        ...     outputs = tapped(torch.zeros(2, 1, 8, 8))
        >>> outputs.logits.shape, outputs.embedding.shape
        (torch.Size([2, 10]), torch.Size([2, 64]))
    """

    def __init__(self, model: nn.Module, needs: Iterable[str], taps: Taps | None = None) -> None:
        self.model = model
        self.needs = frozenset(needs) & TAPPED
        self._caught: dict[tuple[Depth, int], Tensor] = {}
        self._levels: dict[str, list[Tensor]] = {}
        self._handles: list[RemovableHandle] = []
        self._stages: tuple[Stage, ...] = ()
        self._backbone: tuple[Stage, ...] = ()
        self._towers: tuple[tuple[str, ...], ...] = ()
        self._classifier: nn.Linear | None = None
        self._closed = False
        if self.needs:
            if taps is None:
                raise ValueError(f"taps are needed to read {', '.join(sorted(self.needs))}")
            self._hook(taps)

    def __call__(self, x: Tensor) -> Outputs:
        """Return the outputs for ``x``, float ``[N, C, H, W]``."""
        if self._closed:
            raise RuntimeError("this TappedModel is closed")
        self.forget()
        logits = logits_of(self.model(x))
        maps = tuple(stage.as_map(self._caught["maps", index]) for index, stage in enumerate(self._stages))
        outputs = Outputs(
            logits,
            self._caught.get(("embedding", 0)),
            maps if "maps" in self.needs else (),
            tuple(attention_map(found) for found in maps) if "attention" in self.needs else (),
            tuple(self._before_relu(index, maps) for index in range(len(maps)))
            if "preactivations" in self.needs
            else (),
            self._classifier if "classifier" in self.needs else None,
            tuple(
                stage.as_map(self._caught["backbone", index]) for index, stage in enumerate(self._backbone)
            ),
            tuple(self._tower_maps(paths) for paths in self._towers),
        )
        self.forget()
        return outputs

    def forget(self) -> None:
        """Drop what the hooks caught while the network was used without this object.

        A call does so first. Code that compiles the call does so before, outside of what is compiled.
        """
        self._caught.clear()
        self._levels.clear()

    def close(self) -> None:
        """Remove the hooks. Closing twice is allowed, calling afterwards is not."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._closed = [], True

    def __enter__(self) -> TappedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hook(self, taps: Taps) -> None:
        network = type(self.model).__name__
        if self.needs & {"embedding", "classifier"}:
            if taps.classifier is None:
                raise RequestError(f"{network} ends in no linear layer, so it has no embedding to learn from")
            self._classifier = taps.classifier_of(self.model)
        if self.needs & OF_STAGES:
            if not taps.stages:
                raise RequestError(f"{network} has no stages that give feature maps to learn from")
            self._stages = taps.stages
        modules = dict(self.model.named_modules())
        if "embedding" in self.needs and taps.classifier:
            classifier = modules[taps.classifier]
            self._handles.append(classifier.register_forward_pre_hook(self._catch_input))
        for index, stage in enumerate(self._stages):
            self._handles.append(modules[stage.path].register_forward_hook(self._catch_output("maps", index)))
            if "preactivations" in self.needs and stage.relu:
                catch = self._catch_before(index)
                self._handles.append(modules[stage.relu].register_forward_pre_hook(catch))
        self._hook_detector(taps, modules)

    def _hook_detector(self, taps: Taps, modules: dict[str, nn.Module]) -> None:
        self._backbone = taps.backbone if "backbone" in self.needs else ()
        self._towers = taps.towers if "towers" in self.needs else ()
        for index, stage in enumerate(self._backbone):
            catch = self._catch_output("backbone", index)
            self._handles.append(modules[stage.path].register_forward_hook(catch))
        for path in [path for paths in self._towers for path in paths]:
            self._handles.append(modules[path].register_forward_hook(self._catch_level(path)))

    def _tower_maps(self, paths: tuple[str, ...]) -> TowerMaps:
        return tuple(tuple(self._levels[path]) for path in paths)

    def _before_relu(self, index: int, maps: tuple[Tensor, ...]) -> Tensor:
        return self._caught.get(("preactivations", index), maps[index])

    def _catch_input(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._caught["embedding", 0] = arguments[0]

    def _catch_before(self, index: int) -> Any:
        def catch(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            # A ReLU may work in place, and one may be used several times: a copy, and the last one counts.
            self._caught["preactivations", index] = arguments[0].clone()

        return catch

    def _catch_output(self, depth: Depth, index: int) -> Any:
        def catch(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            self._caught[depth, index] = output

        return catch

    def _catch_level(self, path: str) -> Any:
        def catch(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            # All levels share a tower: its layers are called once for each of them, from fine to coarse.
            self._levels.setdefault(path, []).append(output)

        return catch
