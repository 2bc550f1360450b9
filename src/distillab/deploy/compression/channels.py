"""Structured pruning: whole channels are removed, by torch-pruning, and the network becomes narrower.

torch-pruning finds which layers depend on each other (Fang et al., "DepGraph: towards any structural
pruning", CVPR 2023). The channels of a group of layers with the smallest norm of weights are removed, the
same share in every group.
"""

from __future__ import annotations

import copy
import math
import warnings

import torch
from torch import nn

from distillab.deploy.compression.layers import PrunableLayers, require_sparsity
from distillab.errors import RequestError
from distillab.extras import import_extra
from distillab.models import InputSpec
from distillab.models.dry_run import logits_of

TRIES = 12  # ratios of channels that are tried to reach a share of weights
CLOSE = 0.01  # a ratio that removes at most this share too much is not improved
MOST_CHANNELS = 0.98  # the largest ratio of channels that is tried
FINEST = 0.004  # difference of ratios below which layers of 250 channels stay the same


def prune_channels(
    network: nn.Module,
    inputs: InputSpec,
    classes: int,
    sparsity: float,
    *,
    weights: int | None = None,
    name: str = "network",
) -> nn.Module:
    """Return a copy of a network with fewer channels, without a share of its weights.

    The ratio of channels is chosen such that at least this share of the weights of convolutions and linear
    layers, the last one aside, is removed, and as little more as whole channels allow. The same ratio holds
    for every group of layers, so a sparsity of 0.75 keeps about half of the channels.

    Args:
        network: The network; it is not changed.
        inputs: Shape of one input.
        classes: Number of logits; the last layer keeps them.
        sparsity: The share of weights to remove, in [0, 1).
        weights: Number of weights that the share refers to, if the network was pruned before; by default
            those that it has.
        name: The network's name, for messages.

    Raises:
        RequestError: The sparsity is outside [0, 1), torch-pruning is not installed or cannot prune the
            network, or not that many weights can be removed.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(3, 32, 32)
        >>> narrow = prune_channels(build_model("convnet3", classes=5, inputs=inputs), inputs, 5, 0.5)
        >>> narrow(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5])
    """
    require_sparsity(sparsity)
    layers = PrunableLayers.of(network, inputs, classes, name=name)
    most = math.floor((1 - sparsity) * (layers.count(network) if weights is None else weights))
    present = layers.count(network)
    if present <= most:
        return copy.deepcopy(network)
    low, high = 0.0, 1.0
    ratio = 1.0 - math.sqrt(most / present)  # weights shrink with the square of the channels
    best: nn.Module | None = None
    for _ in range(TRIES):
        ratio = min(ratio, MOST_CHANNELS)
        narrow = _without_channels(network, inputs, classes, ratio, layers, name)
        left = layers.count(narrow)
        if left <= most:
            best, high = narrow, ratio
            if left >= most - CLOSE * present:
                break
        elif ratio >= MOST_CHANNELS:
            break
        else:
            low = ratio
        if high - low < FINEST:
            break
        ratio = (low + high) / 2
    if best is None:
        raise RequestError(
            f"torch-pruning leaves {left / present:.0%} of its weights at most channels removed, "
            f"not {most / present:.0%}",
            where=name,
            allowed="a smaller --prune, or `--kinds unstructured`, which prunes any network",
        )
    return best


def _without_channels(
    network: nn.Module, inputs: InputSpec, classes: int, ratio: float, layers: PrunableLayers, name: str
) -> nn.Module:
    """Return a copy without a ratio of the channels of every group of layers."""
    pruning = import_extra("torch_pruning", "deploy", "structured pruning")
    narrow = copy.deepcopy(network).cpu().float().eval()
    example = torch.zeros(1, inputs.channels, inputs.height, inputs.width)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pruner = pruning.pruner.MagnitudePruner(
                narrow,
                example,
                importance=pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=ratio,
                ignored_layers=[narrow.get_submodule(layers.last)],
            )
            pruner.step()
            narrow.zero_grad(set_to_none=True)
            with torch.inference_mode():
                shape = tuple(logits_of(narrow(example)).shape)
    except Exception as error:  # each network that it cannot take fails in its own way
        raise RequestError(
            f"torch-pruning cannot remove its channels: {type(error).__name__}: {error}",
            where=name,
            allowed="`--kinds unstructured`, which prunes any network, or another network",
        ) from error
    if shape != (1, classes):
        raise RequestError(
            f"torch-pruning changes its output to {list(shape)}",
            where=name,
            allowed="`--kinds unstructured`, which prunes any network, or another network",
        )
    for parameter, before in zip(narrow.parameters(), network.parameters(), strict=True):
        parameter.requires_grad_(before.requires_grad)
    return narrow.train(network.training)
