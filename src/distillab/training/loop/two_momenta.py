"""Stochastic gradient descent with a momentum for each of two gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distillab.training.loop.optimizer import placed_like
from distillab.training.loop.plain_state import TrainingState
from distillab.training.recipe import ResolvedRecipe


class TwoMomenta:
    """Updates weights by the gradients of labels and of transfer, each with a momentum of its own.

    v <- (m - shift) v + first + decay theta; u <- (m + shift) u + second; theta <- theta - rate (v + u). A
    weight without one of the two gradients has momentum m in the other, with its weight decay.

    Source: Zhao et al., "DOT: a distillation-oriented trainer", ICCV 2023, algorithm 1.

    Args:
        modules: The network, and what its method trains with it.
        recipe: Learning rate and its schedule, momentum and weight decay.
        shift: Half the difference of the momenta.

    Example:
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((20, 1, 8, 8), np.uint8), [0, 1] * 10, ("a", "b"))
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> recipe = Recipe(lr=0.1, schedule="constant", weight_decay=0).resolve(images)
        >>> optimizer, before = TwoMomenta([layer], recipe, shift=0.075), layer.weight.item()
        >>> optimizer.set_step(0)
        >>> outputs = layer(torch.ones(1, 1))
        >>> optimizer.backward(outputs.sum(), 2 * outputs.sum())
        >>> optimizer.update()
        >>> round(before - layer.weight.item(), 6)
        0.3
    """

    def __init__(self, modules: Iterable[nn.Module], recipe: ResolvedRecipe, shift: float) -> None:
        self._recipe, self._shift, self._rate = recipe, shift, recipe.lr
        self._weights = [each for module in modules for each in module.parameters() if each.requires_grad]
        self._momenta: list[dict[int, Tensor]] = [{}, {}]
        self._gradients: list[tuple[Tensor | None, ...]] = []

    def set_step(self, step: int) -> None:
        """Set the learning rate of a step, from 0."""
        self._rate = self._recipe.lr_at(step)

    def backward(self, supervised: Tensor, transfer: Tensor) -> None:
        """Compute the gradients of the supervised term and of the sum of the transfer terms."""
        self._gradients = [
            torch.autograd.grad(supervised, self._weights, retain_graph=True, allow_unused=True),
            torch.autograd.grad(transfer, self._weights, allow_unused=True),
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Update the weights by their gradients."""
        middle, decay = self._recipe.momentum, self._recipe.weight_decay
        for place, weight in enumerate(self._weights):
            first, second = (gradients[place] for gradients in self._gradients)
            shift = 0.0 if first is None or second is None else self._shift
            steps = []
            if first is not None:
                gradient = first.add(weight, alpha=decay)
                steps.append(self._accumulate(0, place, gradient, middle - shift))
            if second is not None:
                gradient = second if first is not None else second.add(weight, alpha=decay)
                steps.append(self._accumulate(1, place, gradient, middle + shift))
            for step in steps:
                weight.add_(step, alpha=-self._rate)

    def state(self) -> TrainingState:
        """Return the accumulated gradients by the place of their weight."""
        return {"momenta": self._momenta}

    def restore(self, state: TrainingState) -> None:
        """Go on with the :meth:`state` of an optimizer of the same weights."""
        self._momenta = [
            {place: placed_like(self._weights[place], value) for place, value in held.items()}
            for held in state["momenta"]
        ]

    def _accumulate(self, number: int, place: int, gradient: Tensor, momentum: float) -> Tensor:
        """Add a gradient to one of the two accumulated ones of a weight, and return that."""
        held = self._momenta[number].get(place)
        held = gradient.clone() if held is None else held.mul_(momentum).add_(gradient)
        self._momenta[number][place] = held
        return held
