"""Layers that read feature maps of another width through a trained 1x1 adapter, which is merged into them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(nn.Module):
    """Two 1x1 convolutions at the place where blocks of two networks meet: linear, without a bias.

    Args:
        student: Channels of the student's feature maps there.
        teacher: Channels of the teacher's.
        generator: Draws the initial weights; by default torch's own.

    Attributes:
        to_teacher: ``[teacher, student]``.
        to_student: ``[student, teacher]``.
        inside_teacher: Whether the layer behind it reads the teacher's maps, and not the student's, which
            then go through both convolutions.

    Example:
        >>> Adapter(2, 5).matrix.shape
        torch.Size([2, 2])
    """

    def __init__(self, student: int, teacher: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.to_teacher = nn.Parameter(torch.empty(teacher, student))
        self.to_student = nn.Parameter(torch.empty(student, teacher))
        for weight in (self.to_teacher, self.to_student):
            nn.init.orthogonal_(weight, generator=generator)
        self.inside_teacher = False

    @property
    def matrix(self) -> Tensor:
        """What the layer behind it reads its input through, ``[student, channels read]``."""
        return self.to_student if self.inside_teacher else self.to_student @ self.to_teacher

    def widened(self, maps: Tensor) -> Tensor:
        """Return the student's feature maps as the teacher's."""
        return F.conv2d(maps, self.to_teacher[:, :, None, None])


class AdaptedConv(nn.Conv2d):
    """A convolution behind an adapter. Its weight is the product, and belongs to the method.

    Args:
        layer: The convolution.
        adapter: The adapter.
    """

    def __init__(self, layer: nn.Conv2d, adapter: Adapter) -> None:
        nn.Module.__init__(self)
        self._parts = (layer, adapter)  # a tuple, so that they do not count as the network's own
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        self.kernel_size, self.groups = layer.kernel_size, layer.groups

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The merged weight, ``[outputs, channels read, height, width]``."""
        layer, adapter = self._parts
        return torch.einsum("oshw,sc->ochw", layer.weight, adapter.matrix)

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps of feature maps."""
        layer, _ = self._parts
        return F.conv2d(x, self.weight, layer.bias, layer.stride, layer.padding, layer.dilation)

    def merged(self) -> nn.Conv2d:
        """Return the convolution with the adapter in its weight."""
        layer, _ = self._parts
        with torch.no_grad():
            layer.weight.copy_(self.weight)
        return layer

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        _save(self, self._parts[0].bias, destination, prefix, keep_vars)


class AdaptedLinear(nn.Linear):
    """A linear layer behind an adapter and the mean over positions, with which the adapter commutes.

    Args:
        layer: The linear layer.
        adapter: The adapter.
    """

    def __init__(self, layer: nn.Linear, adapter: Adapter) -> None:
        nn.Module.__init__(self)
        self._parts = (layer, adapter)
        self.in_features, self.out_features = layer.in_features, layer.out_features

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The merged weight, ``[outputs, features read]``."""
        layer, adapter = self._parts
        return layer.weight @ adapter.matrix

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """The bias of the layer."""
        return self._parts[0].bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of features."""
        return F.linear(x, self.weight, self.bias)

    def merged(self) -> nn.Linear:
        """Return the layer with the adapter in its weight."""
        layer, _ = self._parts
        with torch.no_grad():
            layer.weight.copy_(self.weight)
        return layer

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        _save(self, self.bias, destination, prefix, keep_vars)


def _save(layer: nn.Module, bias: Tensor | None, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Enter the merged weight, and the bias, under the names of an ordinary layer."""
    named = {"weight": layer.weight, "bias": bias}
    for name, value in named.items():
        if isinstance(value, Tensor):
            destination[f"{prefix}{name}"] = value if keep_vars else value.detach()
