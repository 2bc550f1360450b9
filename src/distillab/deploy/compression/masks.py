"""Unstructured pruning: the smallest weights of all layers together are zero, and stay so in training.

A masked layer has a buffer of zeros and ones, and a hook that sets its masked weights to zero before each
forward pass, so that a masked network trains like any other. :func:`without_masks` takes both away again.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from distillab.deploy.compression.layers import PrunableLayers, require_sparsity
from distillab.models import InputSpec

MASK = "pruning_mask"  # the buffer of a masked layer


def keep_zero(layer: nn.Module, _: tuple[Any, ...]) -> None:
    """Set the masked weights of a layer to zero: what a masked layer does before each forward pass.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> layer.register_buffer(MASK, torch.tensor([[0.0, 1.0]]))
        >>> keep_zero(layer, ())
        >>> int(layer.weight.count_nonzero())
        1
    """
    # The data alone: backward passes of a layer that is used twice must not take it for another tensor.
    cast(Tensor, layer.weight).data.mul_(cast(Tensor, layer._buffers[MASK]))


def mask_smallest(
    network: nn.Module, inputs: InputSpec, classes: int, sparsity: float, *, name: str = "network"
) -> nn.Module:
    """Return a copy of a network in which a share of the weights is masked: those closest to zero.

    The weights of all convolutions and linear layers are ranked together, the last layer aside (Han et al.,
    "Learning both weights and connections for efficient neural networks", NeurIPS 2015). Exactly the nearest
    whole number of weights is masked. Weights that are zero already, such as those of an earlier stage,
    come first.

    Args:
        network: The network, masked or not; it is not changed.
        inputs: Shape of one input.
        classes: Number of logits.
        sparsity: The share of weights to mask, in [0, 1).
        name: The network's name, for messages.

    Raises:
        RequestError: The sparsity is outside [0, 1), or no layer can be pruned.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 2))
        >>> masked = mask_smallest(network, InputSpec(1, 8, 8), 2, 0.9)
        >>> int(masked[1].pruning_mask.sum()), int(masked[1].weight.count_nonzero())
        (64, 64)
    """
    require_sparsity(sparsity)
    copied = without_masks(network)
    found = PrunableLayers.of(copied, inputs, classes, name=name)
    layers = [copied.get_submodule(path) for path in found.names]
    weights = [cast(Tensor, layer.weight).detach() for layer in layers]
    sizes = torch.cat([weight.abs().flatten() for weight in weights])
    kept = torch.ones_like(sizes)
    kept[torch.argsort(sizes, stable=True)[: round(sparsity * len(sizes))]] = 0.0
    parts = torch.split(kept, [weight.numel() for weight in weights])
    for layer, weight, mask in zip(layers, weights, parts, strict=True):
        layer.register_buffer(MASK, mask.view_as(weight).clone())
        layer.register_forward_pre_hook(keep_zero)
        keep_zero(layer, ())
    return copied


def without_masks(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which masked weights are zero, and layers are ordinary ones.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 2))
        >>> plain = without_masks(mask_smallest(network, InputSpec(1, 8, 8), 2, 0.5))
        >>> int(plain[1].weight.count_nonzero()), dict(plain[1].named_buffers())
        (320, {})
    """
    copied = copy.deepcopy(network)
    for layer in copied.modules():
        if MASK in layer._buffers:
            keep_zero(layer, ())
            del layer._buffers[MASK]
            hooks = layer._forward_pre_hooks
            for key in [key for key, hook in hooks.items() if hook is keep_zero]:
                del hooks[key]
    return copied
