"""Checks of what a network returns: logits, not probabilities, in evaluation and in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dense_network import DenseNetwork
from distillab.models.dry_run import logits_of
from distillab.models.input_spec import InputSpec

Ending = Literal["softmax", "sigmoid", "log_softmax"]

TRIED_INPUTS: Final = 3
# Operations that hand on their first argument, in another shape or place.
_HANDED_ON: Final = frozenset(
    {"View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Clone", "ToCopy", "Alias", "Slice"}
    | {"Select", "T", "Transpose", "Permute", "Clamp", "ClampMin", "ClampMax", "SWhere"}
)
_ENDINGS: Final[dict[str, Ending]] = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "sigmoid",
    "LogSoftmax": "log_softmax",
}


def check_outputs(model: nn.Module, inputs: InputSpec, *, name: str, classes: int, trained: bool) -> None:
    """Raise RequestError unless a network returns logits.

    Its modes, buffers, gradients and the random state are left as they were.

    Args:
        model: The network.
        inputs: Shape of one input.
        name: Its name in errors.
        classes: The number of logits.
        trained: Whether it is trained, so that its outputs in training matter as well.

    Raises:
        RequestError: It has no weights to train, its outputs are not finite, it ends in a softmax or sigmoid,
            or its outputs in training are no logits.

    Example:
        >>> inputs = InputSpec(1, 8, 8)
        >>> layers = nn.Flatten(), nn.Linear(64, 10)
        >>> check_outputs(nn.Sequential(*layers), inputs, name="linear", classes=10, trained=True)
        >>> softened = nn.Sequential(*layers, nn.Softmax(dim=1))
        >>> check_outputs(softened, inputs, name="softened", classes=10, trained=True)
        Traceback (most recent call last):
        distillab.errors.RequestError: softened: ends in a softmax: ...
    """
    if trained and not any(weight.requires_grad for weight in model.parameters()):
        raise RequestError(
            "has no weights to train: none of its parameters requires a gradient",
            where=name,
            allowed="a network with parameters of `requires_grad=True`",
        )
    logits = _tried(model, inputs)
    if not logits.isfinite().all():
        raise RequestError(
            "gives outputs that are not finite for random inputs", where=name, allowed="a network without NaN"
        )
    found = _ending_of(logits)
    if found in ("softmax", "sigmoid"):
        raise ends_in_probabilities(name, found)
    if trained:
        _check_training(model, inputs, name, classes)


def ends_in_probabilities(name: str, ending: Ending) -> RequestError:
    """Return the error for a network that returns probabilities.

    Example:
        >>> print(ends_in_probabilities("my:net", "sigmoid"))
        my:net: ends in a sigmoid: it returns probabilities, and losses and methods need logits (allowed: ...
    """
    return RequestError(
        f"ends in a {ending}: it returns probabilities, and losses and methods need logits",
        where=name,
        allowed=f"the same network without its last {ending}, such as with torch.nn.Identity in its place",
    )


def find_ending(model: nn.Module, inputs: InputSpec) -> Ending | None:
    """Return the activation function that a network ends in, or None if its outputs are logits.

    A softmax shows in the outputs themselves, which are not negative and sum to one for every input; other
    functions show in the operation that computed the outputs. Logarithms of probabilities are logits.

    Example:
        >>> find_ending(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), InputSpec(1, 8, 8)) is None
        True
    """
    return _ending_of(_tried(model, inputs))


def _tried(model: nn.Module, inputs: InputSpec) -> Tensor:
    """Return the outputs of a network for a few random inputs, with the operations that computed them."""
    like = next(model.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((TRIED_INPUTS, *inputs.shape), generator=generator).to(like)
    with unchanged(model), torch.enable_grad():
        model.eval()
        return logits_of(model(x.requires_grad_()))


def _ending_of(logits: Tensor) -> Ending | None:
    if sums_to_one(logits):
        return "softmax"
    operation = logits.grad_fn
    while operation is not None:
        kind = operation.name().rpartition("Backward")[0].removeprefix("_")
        if kind in _ENDINGS:
            return _ENDINGS[kind]
        handed_on = kind in _HANDED_ON and operation.next_functions
        operation = operation.next_functions[0][0] if handed_on else None
    return None


def sums_to_one(outputs: Tensor, tolerance: float = 1e-3) -> bool:
    """Return True if every row ``[N, classes]`` is a distribution: no negative value, and a sum of one.

    Example:
        >>> sums_to_one(torch.tensor([[0.2, 0.8], [1.0, 0.0]])), sums_to_one(torch.tensor([[0.2, -0.8]]))
        (True, False)
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return False
    values = outputs.detach().float()
    return bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() < tolerance).all())


def _check_training(model: nn.Module, inputs: InputSpec, name: str, classes: int) -> None:
    like = next(model.parameters(), torch.empty(0))
    x = torch.zeros((2, *inputs.shape), dtype=like.dtype, device=like.device)
    try:
        with unchanged(model), torch.no_grad():
            model.train()
            logits = logits_of(model(x))
    except RequestError as error:
        raise RequestError(f"in training, {error.what}", where=name, allowed=error.allowed) from error
    except Exception as error:  # whatever a network's own code raises
        reason = (str(error).splitlines() or [""])[0]
        raise RequestError(
            f"fails in training on {inputs.size} images ({type(error).__name__}: {reason})",
            where=name,
            allowed="a network that is called with images alone",
        ) from error
    wanted = (
        (2, logits.shape[1], classes + model.columns) if isinstance(model, DenseNetwork) else (2, classes)
    )
    if logits.shape != wanted:
        raise RequestError(
            f"gives {list(logits.shape)} for two inputs in training, not [2, {classes}]",
            where=name,
            allowed=f"a classifier of {classes} classes",
        )


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Restore modes, buffers and gradients of a network, and the random state, when the block ends."""
    modes = {module: module.training for module in model.modules()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in model.named_buffers():
                    if name in buffers:
                        value.copy_(buffers[name])
            for module, training in modes.items():
                module.training = training
