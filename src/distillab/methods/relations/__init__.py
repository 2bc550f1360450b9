"""Methods that learn the relations among the examples of a batch or of a memory."""

from distillab.methods.relations import (
    cc,
    crd,
    infonce,
    multilayer_pkt,
    pkt,
    queue_similarity,
    rkd,
    sp,
    srd,
    vkd,
)

__all__ = [
    "cc",
    "crd",
    "infonce",
    "multilayer_pkt",
    "pkt",
    "queue_similarity",
    "rkd",
    "sp",
    "srd",
    "vkd",
]
