"""Attributions by name: maps of where an input supports a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillab.errors import RequestError
from distillab.explain.networks import ExplainedNetwork
from distillab.extras import import_extra
from distillab.registry import Registry

Maps = npt.NDArray[np.float32]
"""Attribution maps, float32 ``[N, H, W]``, at the size of the inputs."""
Compute = Callable[[ExplainedNetwork, Tensor, Tensor], Tensor]
Reads = Literal["outputs", "gradients", "maps"]
_BATCH = 32  # inputs that are explained at a time


@dataclass(frozen=True)
class Attribution:
    """A way to compute where an input supports a class.

    Attributes:
        name: Its registered name.
        reads: What it reads of a network: ``outputs`` alone, ``gradients`` or feature ``maps``.
        source: The paper.
        passes: How many forward passes per input it costs, a backward pass counted as two.
        package: The module of the extra ``explain`` that computes it; None for none.
        compute: Returns signed maps float ``[N, H, W]`` for a network, normalized inputs and one class of
            each.

    Example:
        >>> attributions["occlusion"].reads
        'outputs'
    """

    name: str
    reads: Reads
    source: str
    passes: int
    package: str | None
    compute: Compute


attributions: Registry[Attribution] = Registry("attribution")


def attribution(
    name: str, *, reads: Reads, source: str, passes: int, package: str | None = None
) -> Callable[[Compute], Compute]:
    """Return a decorator that registers a function as an attribution.

    Args:
        name: Its name.
        reads: What it reads of a network.
        source: The paper.
        passes: How many forward passes per input it costs, a backward pass counted as two.
        package: The module of the extra ``explain`` that computes it.

    Example:
        >>> first = Attribution("first", "outputs", "", 0, None, lambda network, x, classes: x[:, 0])
        >>> with attributions.temporarily("first", first):
        ...     "first" in attributions
        True
    """

    def register(compute: Compute) -> Compute:
        attributions.register(name)(Attribution(name, reads, source, passes, package, compute))
        return compute

    return register


def attribute(name: str, network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Maps:
    """Return where each input supports a class, float32 ``[N, H, W]`` at the size of the inputs.

    The maps are normalized by :func:`normalize_maps`. A network gives the same maps for the same inputs:
    what is drawn at random is drawn with fixed seeds.

    Args:
        name: Name of a registered attribution.
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class that is explained of each input, int64 ``[N]``. To compare networks, take the same
            class for all of them, such as the prediction of the teacher.

    Raises:
        RequestError: There is no such attribution, or the network lacks what it reads.

    Example:
        >>> from distillab.models import InputSpec, build_model
        >>> inputs = InputSpec(1, 16, 16)
        >>> module = build_model("resnet8", classes=3, inputs=inputs)
        >>> network, x = ExplainedNetwork.of(module, inputs, name="resnet8"), torch.rand(2, 1, 16, 16)
        >>> attribute("grad_cam", network, x, network.predicted(x)).shape
        (2, 16, 16)
    """
    chosen = attributions[name]
    require_readable(name, network)
    parts = [
        chosen.compute(network, x[start : start + _BATCH], classes[start : start + _BATCH])
        for start in range(0, len(x), _BATCH)
    ]
    return normalize_maps(torch.cat(parts).detach().cpu().numpy())


def require_readable(name: str, network: ExplainedNetwork) -> None:
    """Raise RequestError unless a network has what an attribution reads, and its package is installed.

    Example:
        >>> from distillab.models import InputSpec
        >>> graph = ExplainedNetwork("model.onnx", InputSpec(1, 8, 8), lambda x: x.flatten(1))
        >>> try:
        ...     require_readable("grad_cam", graph)
        ... except RequestError as error:
        ...     print(error.what)
        grad_cam needs gradients, and this file is a graph, which gives outputs alone
    """
    chosen = attributions[name]
    reads = chosen.reads
    if reads == "maps":
        network.require_maps(name)
    elif reads == "gradients":
        network.require_gradients(name)
    if chosen.package:
        import_extra(chosen.package, "explain", name)


def normalize_maps(maps: npt.ArrayLike) -> Maps:
    """Return maps of positive evidence with a maximum of 1: evidence against the class is set to 0.

    A map without any evidence for the class stays 0 everywhere.

    Args:
        maps: Signed maps, float ``[N, H, W]``.

    Raises:
        RequestError: A value is NaN or infinite.

    Example:
        >>> normalize_maps([[[-1.0, 0.0], [1.0, 4.0]]]).tolist()
        [[[0.0, 0.0], [0.25, 1.0]]]
    """
    found = np.asarray(maps, dtype=np.float64)
    if not np.isfinite(found).all():
        raise RequestError("a map holds NaN or infinity: the network's outputs are not finite")
    positive = np.maximum(found, 0.0)
    largest = positive.max(axis=(1, 2), keepdims=True)
    scaled: Maps = (positive / np.where(largest > 0, largest, 1.0)).astype(np.float32)
    return scaled
