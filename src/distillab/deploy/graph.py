"""The graph that is exported: from items as they are stored to probabilities or cells, in one module."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from distillab.data.examples import IMAGE, Items
from distillab.deploy.description import ModelDescription
from distillab.models import InputSpec
from distillab.models.dry_run import logits_of
from distillab.models.input_transforms import ResizingHook
from distillab.tasks import Classification, Task


class FixedResize(nn.Module):
    """Resizes images of one known size: the same linear map as antialiased interpolation, as two products.

    Exporters lack operators for antialiased resizing, and runtimes differ in them.

    Args:
        before: Height and width of the images.
        after: Height and width that they are resized to.
        mode: ``bilinear`` or ``bicubic``.

    Example:
        >>> FixedResize((8, 6), (4, 3))(torch.ones(2, 3, 8, 6)).shape
        torch.Size([2, 3, 4, 3])
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int], mode: str = "bilinear") -> None:
        super().__init__()
        self.register_buffer("rows", _resizing_matrix(before[0], after[0], mode), persistent=False)
        columns = _resizing_matrix(before[1], after[1], mode).T.contiguous()
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[N, C, h, w]`` for float ``[N, C, H, W]``."""
        return torch.matmul(self.rows, torch.matmul(x, self.columns))


def _resizing_matrix(before: int, after: int, mode: str) -> Tensor:
    """Return the matrix ``[after, before]`` by which one side of an image is resized."""
    if before == after:
        return torch.eye(before)
    basis = torch.eye(before, dtype=torch.float64)[None, None]
    resized = interpolate(basis, (after, before), mode=mode, align_corners=False, antialias=True)
    return resized[0, 0].float().contiguous()


class DeployedNetwork(nn.Module):
    """A network with its preprocessing before it and its probabilities behind it.

    Of a detector, what comes out are its raw outputs for all cells, float32 ``[N, A, K + 10]``.

    Images enter as uint8 ``[N, H, W, C]``, spectrograms as float32 ``[N, C, F, T]``.

    Args:
        network: The network as it was trained, with its hooks; it is copied.
        description: What it is.

    Example:
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> deployed = DeployedNetwork(description.build(), description)
        >>> deployed(torch.zeros(2, 8, 8, 1, dtype=torch.uint8)).shape
        torch.Size([2, 2])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        super().__init__()
        self.network = _with_fixed_sizes(network, description.network_input).eval()
        self.takes_images = description.modality == IMAGE
        range_ = 255.0 if self.takes_images else 1.0
        mean = torch.from_numpy(description.mean) * range_
        scale = 1.0 / (torch.from_numpy(description.std) * range_)
        shape = (*mean.shape, *[1] * (3 - mean.ndim))
        self.register_buffer("mean", mean.reshape(shape))
        self.register_buffer("scale", scale.reshape(shape))
        self.transforms = nn.Sequential(*_student_resizes(description))
        task = description.task_config()
        self.softmax, self.dense = isinstance(task, Classification), task.dense

    @property
    def output_name(self) -> str:
        """The name of what comes out."""
        return "cells" if self.dense else "probabilities"

    def logits(self, items: Tensor) -> Tensor:
        """Return the logits ``[N, classes]``."""
        x = items.permute(0, 3, 1, 2) if self.takes_images else items
        x = (x.float() - self.mean) * self.scale
        return logits_of(self.network(self.transforms(x)))

    def forward(self, items: Tensor) -> Tensor:
        """Return the probabilities ``[N, classes]``, or the raw outputs of a detector."""
        logits = self.logits(items)
        if self.dense:
            return logits
        return logits.softmax(1) if self.softmax else logits.sigmoid()


def graph_items(items: Items, description: ModelDescription) -> Items:
    """Return items of a pool as the graph takes them.

    Args:
        items: uint8 ``[N, C, H, W]`` for images, float16 ``[N, C, F, T]`` for spectrograms.
        description: What the model is.

    Returns:
        uint8 ``[N, H, W, C]`` for images, float32 ``[N, C, F, T]`` for spectrograms.
    """
    if description.modality == IMAGE:
        return np.ascontiguousarray(items.transpose(0, 2, 3, 1))
    return np.ascontiguousarray(items, dtype=np.float32)


def graph_shape(description: ModelDescription) -> tuple[int, int, int]:
    """Return the shape of one item as the graph takes it."""
    channels, height, width = description.item.shape
    return (height, width, channels) if description.modality == IMAGE else (channels, height, width)


def logits_from(probabilities: Items, task: Task) -> Items:
    """Return logits whose probabilities these are, float64 ``[N, C]``: the network's own up to a constant."""
    p = np.asarray(probabilities, dtype=np.float64)
    tiny = float(np.finfo(np.float32).tiny)
    if isinstance(task, Classification):
        return np.log(np.maximum(p, tiny))
    below_one = 1 - float(np.finfo(np.float32).epsneg)
    p = np.clip(p, tiny, below_one)
    return np.log(p) - np.log1p(-p)


def _student_resizes(description: ModelDescription) -> list[nn.Module]:
    transform = description.student_transform
    if transform is None:
        return []
    size = description.item.height, description.item.width
    small = transform.side, transform.side
    return [FixedResize(size, small), *([FixedResize(small, size)] if transform.back else [])]


def _with_fixed_sizes(network: nn.Module, inputs: InputSpec) -> nn.Module:
    """Return a copy of a network whose hooks resize inputs of the known size by fixed products."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, ResizingHook):
                resize = FixedResize(
                    (inputs.height, inputs.width), (hook.pixels, hook.pixels), hook.interpolation
                )
                module._forward_pre_hooks[key] = _Applied(resize)
    return copied


class _Applied:
    """A hook that applies a module to the input of another one."""

    def __init__(self, transform: nn.Module) -> None:
        self.transform = transform

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        return (self.transform(arguments[0]),)
