"""The optimizer of a recipe."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distillab.training.loop.plain_state import TrainingState
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
        if loss.requires_grad:  # that of a phase which compares kept stages alone moves nothing
            loss.backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Update the parameters by their gradients."""
        self._optimizer.step()

    def state(self) -> TrainingState:
        """Return what is kept of each parameter, such as its momentum."""
        return {"of": [self._optimizer.state.get(each, {}) for each in self._parameters()]}

    def restore(self, state: TrainingState) -> None:
        """Go on with the :meth:`state` of an optimizer of the same parameters."""
        for parameter, kept in zip(self._parameters(), state["of"], strict=True):
            if kept:
                self._optimizer.state[parameter] = {
                    key: placed_like(parameter, value) if key != "step" and value is not None else value
                    for key, value in kept.items()
                }

    def _parameters(self) -> list[Tensor]:
        return [each for group in self._optimizer.param_groups for each in group["params"]]


def placed_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a copy of a value with the device and memory format of a parameter of its shape.

    Example:
        >>> placed_like(torch.zeros(2), torch.ones(2))
        tensor([1., 1.])
    """
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


# torch's optimizers import its compiler, which takes more than a second, in decorators that only matter where
# optimizers are compiled. Only forward passes are compiled here, so the methods are used without decorators.


class _SGD(torch.optim.SGD):
    """torch's SGD, which does not import the compiler."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class _AdamW(torch.optim.AdamW):
    """torch's AdamW, which does not import the compiler."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def _torch_optimizer(parameters: list[nn.Parameter], recipe: ResolvedRecipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return _AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return _SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
