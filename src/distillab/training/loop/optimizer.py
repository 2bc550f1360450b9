"""The optimizer of a recipe."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distillab.training.recipe import ResolvedRecipe


class Optimizer:
    """Updates the trainable parameters of some modules as a recipe says.

    Args:
        modules: The network, and what its method trains with it.
        recipe: Optimizer, learning rate and its schedule, momentum and weight decay.

    Example:
        >>> from distillab.training.recipe import Recipe
        >>> from distillab.data.examples import Examples
        >>> import numpy as np
        >>> images = Examples.of(np.zeros((20, 1, 8, 8), np.uint8), [0, 1] * 10, ("a", "b"))
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = Optimizer([layer], Recipe(lr=0.1, schedule="constant").resolve(images))
        >>> optimizer.set_step(0)
        >>> optimizer.backward(layer(torch.ones(1, 2)).sum())
        >>> optimizer.update()
    """

    def __init__(self, modules: Iterable[nn.Module], recipe: ResolvedRecipe) -> None:
        self._recipe = recipe
        trainable = [each for module in modules for each in module.parameters() if each.requires_grad]
        self._optimizer = _torch_optimizer(trainable, recipe)

    def set_step(self, step: int) -> None:
        """Set the learning rate of a step, from 0."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.lr_at(step)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss, in the place of those before."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Update the parameters by their gradients."""
        self._optimizer.step()


def _torch_optimizer(parameters: list[nn.Parameter], recipe: ResolvedRecipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
