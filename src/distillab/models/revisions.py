"""Networks whose construction has changed: runs with them have other ids than before."""

from __future__ import annotations

from distillab.models.components import component_networks
from distillab.models.input_spec import InputSpec
from distillab.models.stems import FITTED_UP_TO, MADE_FOR_SMALL_IMAGES

# Their batch normalization averages over 100 steps and more, or thousands; since revision 2 over ten, as in
# other networks (distillab.models.external).
_SLOW_STATISTICS = (
    "mobilenet_v3_",
    "mnasnet",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "maxvit_t",
)


def network_revision(name: str, inputs: InputSpec) -> int:
    """Return the number of a network's construction, which is part of the ids of its runs if it is not 1.

    Since revision 2, networks made for small images have a stem with a stride above 64 pixels.

    Args:
        name: A name that :func:`~distillab.models.build_model` takes.
        inputs: Shape of one input.

    Example:
        >>> network_revision("torchvision:mobilenet_v3_small#original", InputSpec.square(3, 32))
        2
        >>> [network_revision("resnet8", InputSpec.square(3, side)) for side in (32, 128)]
        [1, 2]
        >>> network_revision("resnet8@32", InputSpec.square(3, 128))
        1
    """
    return max(_revision(each.name, each.seen(inputs)) for each in component_networks(name))


def _revision(network: str, inputs: InputSpec) -> int:
    if network in MADE_FOR_SMALL_IMAGES and inputs.shorter_side > FITTED_UP_TO:
        return 2
    return 2 if network.startswith(tuple(f"torchvision:{slow}" for slow in _SLOW_STATISTICS)) else 1
