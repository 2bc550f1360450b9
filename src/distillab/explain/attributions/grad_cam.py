"""Grad-CAM on the last feature map that taps find."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from distillab.explain.attribution import attribution
from distillab.explain.networks import ExplainedNetwork
from distillab.models.stages import Stage


@attribution("grad_cam", reads="maps", source="Selvaraju et al., Grad-CAM, ICCV 2017")
def grad_cam(network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Tensor:
    """Return the rectified sum of the feature maps, weighted by the mean gradient of the logit per channel.

    The maps are those of the deepest stage that the logit depends on. In a vision transformer, the patches of
    the last block are not read any more, so that it is an earlier one. It is computed here and not by captum,
    whose Grad-CAM takes the second dimension for the channels, which holds the patches of a transformer.

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.

    Returns:
        float32 ``[N, H, W]``, bilinearly resized from the feature map.
    """
    module, stages = network.require_maps("grad_cam"), network.taps.stages
    with torch.enable_grad(), _Caught(module, stages) as caught:
        logits = network.forward(x.detach().clone().requires_grad_(True))
        score = logits.gather(1, classes[:, None]).sum()
        found = [caught.outputs[stage.path] for stage in stages]
        gradients = torch.autograd.grad(score, found, allow_unused=True)
    used = [
        (stage.as_map(output.detach()), stage.as_map(gradient))
        for stage, output, gradient in zip(stages, found, gradients, strict=True)
        if gradient is not None
    ]
    maps, gradient = next((pair for pair in reversed(used) if bool(pair[1].any())), used[-1])
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    size = (network.inputs.height, network.inputs.width)
    return nn.functional.interpolate(cam.float(), size=size, mode="bilinear", align_corners=False)[:, 0]


class _Caught:
    """The outputs of the stages of a network during a ``with`` block."""

    def __init__(self, network: nn.Module, stages: tuple[Stage, ...]) -> None:
        self.outputs: dict[str, Tensor] = {}
        self._network, self._stages = network, stages
        self._handles: list[Any] = []

    def __enter__(self) -> _Caught:
        for stage in self._stages:
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
