"""Networks whose construction has changed: runs with them have other ids than before. Light to import."""

from __future__ import annotations

from distillab.canonical import JsonObject

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


def network_revision(model: str) -> JsonObject:
    """Return what a job's specification states of the revision of its network: nothing for the first.

    Args:
        model: The network by name, also of several, or followed by a size or stem.

    Example:
        >>> network_revision("torchvision:mobilenet_v3_small#original"), network_revision("resnet8")
        ({'network_revision': 2}, {})
    """
    changed = any(f"torchvision:{name}" in model for name in _SLOW_STATISTICS)
    return {"network_revision": 2} if changed else {}
