"""A network as attributions use it: from normalized inputs at the size of the data to logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import Ensemble, InputSpec, Taps, inspect_network
from distillab.models.dry_run import logits_of
from distillab.tasks import Classification, Task

BASELINE = 0.0
"""The value of removed pixels in normalized inputs: the mean of the training images, per channel."""


@dataclass(frozen=True, eq=False)
class ExplainedNetwork:
    """A network whose decisions are explained.

    Attributes:
        name: Its name in messages.
        inputs: Shape of one input, which is the size of the maps.
        forward: Returns the logits float ``[N, classes]`` for normalized inputs float32 ``[N, C, H, W]``.
        task: The task, which turns logits into probabilities.
        network: The module whose feature maps and gradients are read; None for a graph such as an ONNX file.
        network_inputs: Shape of one input of the module itself, if it is another one.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(1, 8, 8)
        >>> module = build_model("resnet8", classes=3, inputs=inputs)
        >>> network = ExplainedNetwork.of(module, inputs, name="resnet8")
        >>> network.predicted(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2])
    """

    name: str
    inputs: InputSpec
    forward: Callable[[Tensor], Tensor]
    task: Task = field(default_factory=Classification)
    network: nn.Module | None = None
    network_inputs: InputSpec | None = None

    @classmethod
    def of(
        cls,
        network: nn.Module,
        inputs: InputSpec,
        *,
        name: str,
        task: Task | None = None,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
        network_inputs: InputSpec | None = None,
    ) -> ExplainedNetwork:
        """Return a module as an explained network. It is put into evaluation mode.

        Args:
            network: The module.
            inputs: Shape of one input.
            name: Its name in messages.
            task: The task; classification by default.
            before: Applied to normalized inputs first, such as the downsampling of a student.
            after: Applied to logits, such as a class mapping.
            network_inputs: Shape of one input of the module, if ``before`` changes it.
        """
        network.eval()

        def forward(x: Tensor) -> Tensor:
            logits = logits_of(network(before(x) if before else x))
            return (after(logits) if after else logits).float()

        return cls(name, inputs, forward, task or Classification(), network, network_inputs)

    @cached_property
    def taps(self) -> Taps:
        """Where the feature maps of the module are read."""
        if self.network is None:
            return Taps(None, ())
        return inspect_network(self.network, self.network_inputs or self.inputs, name=self.name).taps

    @cached_property
    def mapped_parts(self) -> tuple[tuple[nn.Module, Taps], ...]:
        """The modules that have feature maps, with where they are read: the members of an ensemble, each."""
        if isinstance(self.network, Ensemble):
            inputs = self.network_inputs or self.inputs
            members = [each for each in self.network.members if isinstance(each, nn.Module)]
            return tuple((each, inspect_network(each, inputs, name=self.name).taps) for each in members)
        return () if self.network is None else ((self.network, self.taps),)

    def require_gradients(self, method: str) -> nn.Module:
        """Return the module.

        Raises:
            RequestError: There is none: a graph gives outputs and no gradients.
        """
        if self.network is None:
            raise RequestError(
                f"{method} needs gradients, and this file is a graph, which gives outputs alone",
                where=self.name,
                allowed="occlusion or lime, or model.safetensors of the same folder",
            )
        return self.network

    def require_maps(self, method: str) -> tuple[tuple[nn.Module, Taps], ...]:
        """Return :attr:`mapped_parts`.

        Raises:
            RequestError: There is no module, or one without a feature map.
        """
        self.require_gradients(method)
        if not all(taps.stages for _, taps in self.mapped_parts):
            raise RequestError(
                f"{method} needs a feature map, and this network has none",
                where=self.name,
                allowed="occlusion, lime or integrated_gradients",
            )
        return self.mapped_parts

    def scores(self, x: Tensor) -> Tensor:
        """Return what attributions that read outputs explain, float32 ``[N, classes]``.

        For one class per input, it is the logit less the mean of all logits: probabilities determine it, so
        that files that give probabilities alone have the same maps. For several labels it is the logit.

        Args:
            x: Normalized inputs, float32 ``[N, C, H, W]``.
        """
        logits = self.forward(x)
        return logits - logits.mean(dim=1, keepdim=True) if self._has_one_class else logits

    @property
    def _has_one_class(self) -> bool:
        return isinstance(self.task, Classification)

    @torch.no_grad()
    def predicted(self, x: Tensor, *, among: Tensor | None = None, batch: int = 64) -> Tensor:
        """Return the class with the largest logit of each input, int64 ``[N]``.

        Args:
            x: Normalized inputs, float32 ``[N, C, H, W]``.
            among: The classes that are compared of each input, bool ``[N, classes]``; all where it has none.
            batch: Inputs per forward pass.
        """
        logits = torch.cat([self.forward(x[start : start + batch]) for start in range(0, len(x), batch)])
        if among is not None:
            compared = among | ~among.any(dim=1, keepdim=True)
            logits = logits.masked_fill(~compared, -torch.inf)
        return logits.argmax(dim=1)

    @torch.no_grad()
    def probability(self, x: Tensor, classes: Tensor, *, batch: int = 64) -> Tensor:
        """Return the probability of one class of each input, float32 ``[N]``.

        Args:
            x: Normalized inputs, float32 ``[N, C, H, W]``.
            classes: The class of each, int64 ``[N]``.
            batch: Inputs per forward pass.
        """
        parts = []
        for start in range(0, len(x), batch):
            logits = self.forward(x[start : start + batch])
            chosen = classes[start : start + batch, None]
            probabilities = logits.softmax(dim=1) if self._has_one_class else logits.sigmoid()
            parts.append(probabilities.gather(1, chosen)[:, 0])
        return torch.cat(parts)
