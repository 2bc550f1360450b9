"""Several networks that speak as one: their logits, averaged with weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from distillab.models.dry_run import logits_of

Combine = Literal["mean", "accuracy", "confidence", "correctness", "best"]
NAME = re.compile(rf"({'|'.join(get_args(Combine))})\((.+)\)")


def ensemble_name(combine: Combine, members: Sequence[str]) -> str:
    """The name that ``build_model`` builds an ensemble by: ``mean(resnet8+resnet14)``."""
    return f"{combine}({'+'.join(members)})"


def ensemble_parts(name: str) -> tuple[Combine, tuple[str, ...]] | None:
    """What :func:`ensemble_name` was given, or None for the name of a single network."""
    found = NAME.fullmatch(name)
    return (found[1], tuple(found[2].split("+"))) if found else None  # type: ignore[return-value]


class Ensemble(nn.Module):
    """Networks for the same images and classes; logits are sum_k w_k z_k, the w_k sum to one.

    A weighted mean of logits is the normalised geometric mean of the networks' predictions, at whatever
    temperature it is read (Hinton et al., 2015, section 1). The weights are a network's own (``weights``), or
    an image's: under ``confidence`` in proportion to exp(-H), H the entropy of a network's prediction at T =
    1. Under ``correctness`` they depend on the label, which a network does not know: with ``apart`` the
    logits of all members come side by side, ``[N, members * classes]``, to be weighed by whoever knows it.

    It has no features of its own: methods that learn from an embedding or from maps need one network.

    Attributes:
        weights: float32 ``[members]``, 1 / members at first.
        apart: whether the logits are left side by side.
    """

    weights: Tensor

    def __init__(self, members: Sequence[nn.Module], combine: Combine) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine: Combine = combine
        self.apart = False
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` -> logits ``[N, classes]``, or side by side."""
        if self.combine == "best":
            return logits_of(self.members[int(self.weights.argmax())](x))
        logits = torch.stack([logits_of(member(x)) for member in self.members], dim=1)
        if self.apart:
            return logits.flatten(1)
        weights = confidence(logits) if self.combine == "confidence" else self.weights.to(logits)[None]
        return (weights[:, :, None] * logits).sum(1)


def confidence(logits: Tensor) -> Tensor:
    """Weights of an image's networks by how sure they are: ``[N, members, classes]`` -> ``[N, members]``."""
    log_p = logits.float().log_softmax(2)
    negative_entropy: Tensor = (log_p.exp() * log_p).sum(2)
    return negative_entropy.softmax(1).to(logits)
