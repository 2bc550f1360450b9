"""Ensembles: several networks whose logits are averaged with weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dry_run import logits_of

Combine = Literal["mean", "accuracy", "confidence", "correctness", "best", "greedy"]
SOFTMAX_COMBINES: frozenset[Combine] = frozenset({"confidence", "correctness"})
"""Combinations whose weights are made of softmax probabilities: for one class per example."""
NAME = re.compile(rf"({'|'.join(get_args(Combine))})\((.+)\)")


def ensemble_name(combine: Combine, members: Sequence[str]) -> str:
    """Return the name by which ``build_model`` builds an ensemble.

    Example:
        >>> ensemble_name("mean", ["resnet8", "resnet14"])
        'mean(resnet8+resnet14)'
    """
    return f"{combine}({'+'.join(members)})"


def ensemble_parts(name: str) -> tuple[Combine, tuple[str, ...]] | None:
    """Return the arguments of :func:`ensemble_name`, or None for the name of a single network.

    Example:
        >>> ensemble_parts("mean(resnet8+resnet14)")
        ('mean', ('resnet8', 'resnet14'))

    Raises:
        RequestError: It is an ensemble of one.
    """
    found = NAME.fullmatch(name)
    if not found:
        return None
    members = tuple(found[2].split("+"))
    if len(members) < 2:
        raise RequestError(
            "an ensemble consists of at least two networks", where=name, allowed=f"{found[1]}(NAME+NAME)"
        )
    return found[1], members  # type: ignore[return-value]


class Ensemble(nn.Module):
    """Networks for the same inputs and classes. The logits are sum_k w_k z_k, where the w_k sum to one.

    A weighted mean of logits is the normalized geometric mean of the networks' predictions, at any
    temperature (Hinton et al., 2015, section 1). A weight belongs to a network (``weights``), or to a network
    and an
    example: under ``confidence`` in proportion to exp(-H), with H the entropy of the network's prediction at
    T = 1. Under ``correctness`` it depends on the label, which a network does not have: then the logits are
    left side by side, to be weighted where labels are known. Under ``greedy`` those that were chosen on val
    have equal weights, and the others none.

    An ensemble has no features of its own: methods that learn from an embedding or from maps need one
    network.

    Args:
        members: The networks.
        combine: How their logits are weighted; ``best`` uses the network of the largest weight alone.

    Attributes:
        weights: float32 ``[members]``, 1 / members at first.
        side_by_side: Whether the logits are returned side by side, ``[N, members * classes]``.

    Example:
        >>> ensemble = Ensemble([nn.Flatten(), nn.Flatten()], "mean")
        >>> ensemble(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """

    weights: Tensor

    def __init__(self, members: Sequence[nn.Module], combine: Combine) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine: Combine = combine
        self.side_by_side = False
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[N, classes]`` of inputs ``[N, C, H, W]``, or all of them side by side."""
        if self.combine == "best":
            return logits_of(self.members[int(self.weights.argmax())](x))
        if self.combine == "greedy":
            chosen = [member for member, weight in zip(self.members, self.weights, strict=True) if weight > 0]
            return torch.stack([logits_of(member(x)) for member in chosen]).mean(0)
        logits = torch.stack([logits_of(member(x)) for member in self.members], dim=1)
        if self.side_by_side:
            return logits.flatten(1)
        by_confidence = self.combine == "confidence"
        weights = confidence_weights(logits) if by_confidence else self.weights.to(logits)[None]
        return (weights[:, :, None] * logits).sum(1)


def best_member(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the weights of the network of the largest ensemble weight; those of one network as they are.

    Args:
        state: The weights of an ensemble, or of one network.

    Example:
        >>> two = {"members.0.w": torch.zeros(1), "members.1.w": torch.ones(1)}
        >>> best_member({**two, "weights": torch.tensor([0.4, 0.6])})
        {'w': tensor([1.])}
    """
    if not any(key.startswith("members.") for key in state):
        return state
    prefix = f"members.{int(state['weights'].argmax())}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def confidence_weights(logits: Tensor) -> Tensor:
    """Return the weights of an ensemble's networks by the entropy of their predictions, per example.

    Args:
        logits: float ``[N, members, classes]``.

    Returns:
        float ``[N, members]``, of sum 1.
    """
    log_p = logits.float().log_softmax(2)
    negative_entropy: Tensor = (log_p.exp() * log_p).sum(2)
    return negative_entropy.softmax(1).to(logits)
