"""The layers of a network that pruning may change, and how many of their weights are left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from distillab.errors import RequestError
from distillab.models import InputSpec
from distillab.models.inspection import inspect_network

PRUNED_TYPES = (nn.Conv1d, nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class PrunableLayers:
    """The convolutions and linear layers of a network without its last layer, which is never pruned.

    Attributes:
        names: Their places in the network.
        last: The place of the last layer.

    Example:
        >>> layers = PrunableLayers.of(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 2)),
        ...                            InputSpec(1, 8, 8), classes=2)
        >>> layers.names, layers.last
        (('1',), '2')
    """

    names: tuple[str, ...]
    last: str

    @classmethod
    def of(
        cls, network: nn.Module, inputs: InputSpec, classes: int, *, name: str = "network"
    ) -> PrunableLayers:
        """Return the layers of a network.

        Args:
            network: The network; it is not changed.
            inputs: Shape of one input.
            classes: Number of logits.
            name: The network's name, for messages.

        Raises:
            RequestError: It has no convolution or linear layer before its last one.
        """
        found = [path for path, layer in network.named_modules() if isinstance(layer, PRUNED_TYPES)]
        last = inspect_network(network, inputs, classes=classes, name=name).taps.classifier
        if last is None and found:
            last = found[-1]  # a convolution with one channel per class, say
        before = tuple(path for path in found if path != last)
        if last is None or not before:
            raise RequestError(
                "has no layer to prune",
                where=name,
                allowed="a network with convolutions or linear layers before its last one",
            )
        return cls(before, last)

    def count(self, network: nn.Module) -> int:
        """Return the number of weights of these layers; biases and normalization are not counted."""
        return sum(_weight(network, name).numel() for name in self.names)

    def count_nonzero(self, network: nn.Module) -> int:
        """Return the number of these weights that are not zero."""
        return sum(int(_weight(network, name).count_nonzero()) for name in self.names)


def _weight(network: nn.Module, name: str) -> torch.Tensor:
    weight = network.get_submodule(name).weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def count_nonzero_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network that are not zero.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = nn.init.zeros_(layer.bias)
        >>> count_nonzero_parameters(layer)
        4
    """
    return sum(int(parameter.detach().count_nonzero()) for parameter in network.parameters())


def require_sparsity(sparsity: float, where: str = "--prune") -> None:
    """Raise RequestError unless a number is a sparsity.

    Args:
        sparsity: The share of weights that is removed.
        where: Its place, for the message.

    Raises:
        RequestError: It is not in [0, 1).

    Example:
        >>> require_sparsity(1.0)
        Traceback (most recent call last):
        distillab.errors.RequestError: --prune: 1 is not a share of the weights ...
    """
    if not 0 <= sparsity < 1:
        raise RequestError(
            f"{sparsity:g} is not a share of the weights", where=where, allowed="0 or more, less than 1"
        )
