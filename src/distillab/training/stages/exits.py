"""The scores of every exit of a network that answers at several depths."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from distillab.artefacts import ExitRecord
from distillab.models import InputSpec, NetworkWithExits
from distillab.models.exits import AllExits, exit_costs
from distillab.training.checkpoints import StateDict
from distillab.training.evaluation import predict
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.roles import RoleSets


def exit_records(
    network: nn.Module, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device, weights: StateDict
) -> tuple[ExitRecord, ...] | None:
    """Return what every exit of a network costs and scores on each test set, and their vote.

    Args:
        network: The network.
        sets: The test sets, with the task.
        recipe: The precision of the forward pass.
        device: Where the network is.
        weights: The weights that are evaluated.

    Returns:
        The exits from shallow to deep, then the vote; None for a network without exits.
    """
    if not isinstance(network, NetworkWithExits):
        return None
    network.load_state_dict(weights)
    costs = exit_costs(network, InputSpec(*sets.train.student_shape))
    scores: dict[str, dict[str, float]] = {name: {} for name in costs}
    for test, examples in sets.eval.items():
        side_by_side = predict(AllExits(network), examples, sets.normalize, device, recipe.precision)
        logits = np.split(side_by_side, len(costs) - 1, axis=1)
        vote = np.stack(logits).mean(axis=0, dtype=np.float32).astype(np.float16)
        for name, each in zip(costs, [*logits, vote], strict=True):
            scores[name][test] = sets.task.on_logits.score(each, examples.targets)
    return tuple(ExitRecord(name, cost.params, cost.macs, scores[name]) for name, cost in costs.items())
