"""Grad-CAM on the last feature map that taps find."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from distillab.explain.attribution import attribution
from distillab.explain.networks import ExplainedNetwork
from distillab.models.stages import Stage


@attribution("grad_cam", reads="maps", source="Selvaraju et al., Grad-CAM, ICCV 2017", passes=3)
def grad_cam(network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Tensor:
    """Return the rectified sum of the feature maps, weighted by the mean gradient of the logit per channel.

    The maps are those of the deepest stage that the logit depends on. In a vision transformer, the patches of
    the last block are not read any more, so that it is an earlier one. It is computed here and not by captum,
    whose Grad-CAM takes the second dimension for the channels, which holds the patches of a transformer.

    The map of an ensemble is the sum of those of its members, each at its own deepest stage: the gradient of
    the common logit has their weights.

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.

    Returns:
        float32 ``[N, H, W]``, bilinearly resized from the feature map.
    """
    parts = network.require_maps("grad_cam")
    with torch.enable_grad(), ExitStack() as opened:
        caught = [opened.enter_context(_Caught(module, taps.stages)) for module, taps in parts]
        logits = network.forward(x.detach().clone().requires_grad_(True))
        score = logits.gather(1, classes[:, None]).sum()
        found = [[each.outputs.get(stage.path) for stage in each.stages] for each in caught]
        known = [output for outputs in found for output in outputs if output is not None]
        gradients = iter(torch.autograd.grad(score, known, allow_unused=True))
    total = torch.zeros(len(x), network.inputs.height, network.inputs.width)
    for each, outputs in zip(caught, found, strict=True):
        used = [
            (stage.as_map(output.detach()), stage.as_map(gradient))
            for stage, output in zip(each.stages, outputs, strict=True)
            if output is not None and (gradient := next(gradients)) is not None
        ]
        if used:  # a member of an ensemble may have no weight
            total = total + _weighted(used, total.shape[1:])
    return total


def _weighted(used: list[tuple[Tensor, Tensor]], size: torch.Size) -> Tensor:
    """Return the map of the deepest stage with a gradient, float32 ``[N, H, W]``."""
    maps, gradient = next((pair for pair in reversed(used) if bool(pair[1].any())), used[-1])
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    return nn.functional.interpolate(cam.float(), size=size, mode="bilinear", align_corners=False)[:, 0]


class _Caught:
    """The outputs of the stages of a network during a ``with`` block."""

    def __init__(self, network: nn.Module, stages: tuple[Stage, ...]) -> None:
        self.outputs: dict[str, Tensor] = {}
        self.stages = stages
        self._network = network
        self._handles: list[Any] = []

    def __enter__(self) -> _Caught:
        for stage in self.stages:
            module = self._network.get_submodule(stage.path)
            self._handles.append(module.register_forward_hook(self._catch(stage.path)))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _catch(self, path: str) -> Any:
        def catch(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
            self.outputs[path] = output
            return output.clone()  # what follows may work in place

        return catch
