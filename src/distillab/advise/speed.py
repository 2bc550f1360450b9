"""How long a training step takes here, measured on random images before a race is planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from distillab.models import InputSpec
from distillab.training.numerics.benchmark import Workload, forward_step, training_step
from distillab.training.numerics.device import compute_clock, empty_device_cache, single_threaded
from distillab.training.numerics.selection import default_numerics

TIMED_STEPS = 3
OVERHEAD_SECONDS = 0.6  # of a run besides its steps: building, testing, writing


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of one step of one network on one worker.

    Attributes:
        training: Of a training step.
        forward: Of a forward pass on a batch.

    Example:
        >>> StepSeconds(training=0.02, forward=0.005).forward
        0.005
    """

    training: float
    forward: float


def time_given(network: nn.Module, inputs: InputSpec, batch_size: int, device: torch.device) -> StepSeconds:
    """Return how long the forward passes of a given network take, which is not trained.

    Args:
        network: The network.
        inputs: Shape of its inputs.
        batch_size: Images per step.
        device: Where it computes.

    Example:
        >>> from distillab.models import build_model
        >>> network = build_model("convnet3", classes=10, inputs=InputSpec(1, 8, 8))
        >>> time_given(network, InputSpec(1, 8, 8), 8, torch.device("cpu")).training
        0.0
    """
    images = torch.rand(batch_size, *inputs.shape, device=device)
    return StepSeconds(0.0, _best(lambda: _forward(network.to(device).eval(), images), device))


def time_steps(
    model: str, classes: int, inputs: InputSpec, batch_size: int, device: torch.device
) -> StepSeconds:
    """Return how long the steps of a network take under the usual numerics, the best of a few.

    One compute thread is used on a CPU, as by workers, and its processor time is counted: a race on a machine
    that is busy with other work gets less far, and its deadline ends it.

    Args:
        model: Name of the network.
        classes: Width of its classifier.
        inputs: Shape of its inputs.
        batch_size: Images per step.
        device: Where it computes.

    Example:
        >>> time_steps("convnet3", 10, InputSpec(1, 8, 8), 8, torch.device("cpu")).training > 0
        True
    """
    workload, numerics = Workload(model, classes, inputs, batch_size), default_numerics(device)
    with single_threaded():
        training = _best(training_step(workload, numerics, device), device)
        forward = _best(forward_step(workload, numerics, device), device)
    empty_device_cache(device)
    return StepSeconds(training, forward)


@torch.inference_mode()
def _forward(network: nn.Module, images: torch.Tensor) -> None:
    network(images)


def _best(work: Callable[[], None], device: torch.device) -> float:
    clock = compute_clock(device)
    work()  # fills caches
    times = []
    for _ in range(TIMED_STEPS):
        started = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - started)
    return min(times)
