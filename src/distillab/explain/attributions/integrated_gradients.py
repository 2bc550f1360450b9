"""Integrated gradients from the baseline to the input."""

from __future__ import annotations

from torch import Tensor

from distillab.explain.attribution import attribution
from distillab.explain.networks import BASELINE, ExplainedNetwork
from distillab.extras import import_extra

_STEPS = 32
_AT_ONCE = 256  # points of paths per forward pass


@attribution(
    "integrated_gradients",
    reads="gradients",
    source="Sundararajan et al., Axiomatic attribution, ICML 2017",
    passes=3 * _STEPS,
    package="captum.attr",
)
def integrated_gradients(network: ExplainedNetwork, x: Tensor, classes: Tensor) -> Tensor:
    """Return the integral of the logit's gradient along the line from the baseline, summed over channels.

    The baseline is the mean of the training images. The integral has 32 points (Gauss-Legendre).

    Args:
        network: The network.
        x: Normalized inputs, float32 ``[N, C, H, W]``.
        classes: The class of each, int64 ``[N]``.

    Returns:
        Signed maps, float32 ``[N, H, W]``.
    """
    captum = import_extra("captum.attr", "explain", "integrated_gradients")
    network.require_gradients("integrated_gradients")
    found: Tensor = captum.IntegratedGradients(network.forward).attribute(
        x.detach().clone(),
        target=classes,
        baselines=BASELINE,
        n_steps=_STEPS,
        internal_batch_size=max(len(x), _AT_ONCE),
    )
    return found.detach().sum(dim=1).float()
