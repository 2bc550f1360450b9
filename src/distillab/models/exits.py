"""Networks with classifiers at several depths: an exit at every stage but the last, and their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.cost import count_macs
from distillab.models.dry_run import blank_input, evaluating, logits_of
from distillab.models.input_spec import InputSpec
from distillab.models.outputs import OutputShapes
from distillab.models.stages import Stage
from distillab.models.taps import TappedModel, Taps

VOTE = "vote"
EXITS_NAME = re.compile(rf"(exits|{VOTE})\((.+)\)")


def exits_name(name: str, *, vote: bool) -> str:
    """Return the name by which ``build_model`` builds a network with exits.

    Example:
        >>> exits_name("alexnet_dsc", vote=True)
        'vote(alexnet_dsc)'
    """
    return f"{VOTE if vote else 'exits'}({name})"


def split_exits(name: str) -> tuple[str, bool] | None:
    """Return the arguments of :func:`exits_name`, or None for the name of a network without exits.

    Example:
        >>> split_exits("exits(alexnet_dsc@64)"), split_exits("alexnet_dsc")
        (('alexnet_dsc@64', False), None)
    """
    found = EXITS_NAME.fullmatch(name)
    return (found[2], found[1] == VOTE) if found else None


def shallow_shapes(shapes: OutputShapes, who: str) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes of the feature maps that exits read: those of all stages but the last.

    Args:
        shapes: Shapes of the outputs of a network.
        who: What needs the exits, in the error.

    Raises:
        RequestError: The network cannot be cut into two stages.
    """
    if len(shapes.maps) < 2:
        stages = {0: "it has none", 1: "it has one"}[len(shapes.maps)]
        raise RequestError(
            f"{who} needs two stages in the student, and {stages}",
            allowed="a network with more convolutional stages, such as alexnet_dsc or resnet8",
        )
    return shapes.maps[:-1]


class Exit(nn.Module):
    """A classifier on the feature maps of a stage.

    Average pooling to about the size of the last stage, a 1x1 convolution with batch normalization and a ReLU
    to its channels, the mean over space, and a linear layer.

    Args:
        stage: (channels, height, width) of the stage.
        last: (channels, height, width) of the last stage.
        classes: Number of logits.

    Example:
        >>> exit = Exit((16, 8, 8), (64, 2, 2), 10)
        >>> exit(torch.zeros(2, 16, 8, 8)).shape, exit.features(torch.zeros(2, 16, 8, 8)).shape
        (torch.Size([2, 10]), torch.Size([2, 64]))
    """

    def __init__(self, stage: tuple[int, int, int], last: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        (channels, *sides), (width, *last_sides) = stage, last
        factors = [max(side // small, 1) for side, small in zip(sides, last_sides, strict=True)]
        self.neck = nn.Sequential(
            nn.AvgPool2d((factors[0], factors[1])),
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.fc = nn.Linear(width, classes)

    def features(self, maps: Tensor) -> Tensor:
        """Return the embedding of the exit, ``[N, D]``, of maps ``[N, C, H, W]``."""
        embedding: Tensor = self.neck(maps).mean((2, 3))
        return embedding

    def forward(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(maps))
        return logits


def new_exits(shapes: OutputShapes, who: str) -> nn.ModuleList:
    """Return new exits for a network, from shallow to deep, drawn from torch's global generator.

    Args:
        shapes: Shapes of the outputs of the network.
        who: What needs the exits, in the error.

    Raises:
        RequestError: The network cannot be cut into two stages.

    Example:
        >>> len(new_exits(OutputShapes(10, 64, ((16, 8, 8), (32, 4, 4), (64, 2, 2))), "tskd"))
        2
    """
    shallow = shallow_shapes(shapes, who)
    return nn.ModuleList(Exit(stage, shapes.maps[-1], shapes.classes) for stage in shallow)


class NetworkWithExits(nn.Module):
    """A network and its exits. In training mode it returns its own logits; methods read the exits apart.

    In evaluation mode it returns the logits of the deepest exit, which are its own, or with ``vote`` the mean
    of the logits of all exits, its own included: the normalized geometric mean of their predictions. The
    exits share one forward pass.

    Args:
        network: The network, ``[N, C, H, W]`` -> ``[N, classes]``.
        stages: Where its feature maps are read, from shallow to deep.
        exits: One for each stage but the last.
        vote: Whether it returns the vote.

    Raises:
        RequestError: The network has exits already.

    Example:
        >>> from distillab.models import InputSpec, build_model
        >>> network = build_model("vote(resnet8)", classes=10, inputs=InputSpec(3, 32, 32)).eval()
        >>> with torch.no_grad():
        ...     exits = network.exit_logits(torch.ones(1, 3, 32, 32))
        ...     vote = network(torch.ones(1, 3, 32, 32))
        >>> len(exits), bool(torch.allclose(torch.stack(exits).mean(0), vote))
        (3, True)
    """

    def __init__(
        self, network: nn.Module, stages: Sequence[Stage], exits: nn.ModuleList, *, vote: bool
    ) -> None:
        super().__init__()
        if isinstance(network, NetworkWithExits):
            raise RequestError("the network has exits already", allowed="a network without")
        self.network, self.exits, self.vote = network, exits, vote
        self._stages = tuple(stages)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[N, classes]`` of inputs ``[N, C, H, W]``."""
        if self.training or not self.vote:
            return logits_of(self.network(x))
        return torch.stack(self.exit_logits(x)).mean(0)

    def exit_logits(self, x: Tensor) -> list[Tensor]:
        """Return the logits of every exit, from shallow to deep; the last are those of the network itself."""
        with TappedModel(self.network, {"maps"}, Taps(None, self._stages)) as tapped:
            outputs = tapped(x)
        return [exit(maps) for exit, maps in zip(self.exits, outputs.maps, strict=False)] + [outputs.logits]

    def parts(self) -> dict[str, nn.Module]:
        """Return modules that compute no more than one exit needs, by name, and the vote: ``exit 1``, ...

        They share the weights of the network.
        """
        deepest = f"exit {len(self.exits) + 1}"
        early: dict[str, nn.Module] = {
            f"exit {number}": _UpToExit(self, number - 1) for number in range(1, len(self.exits) + 1)
        }
        return {**early, deepest: self.network, VOTE: _Vote(self)}


class AllExits(nn.Module):
    """The logits of every exit of a network side by side, ``[N, exits * classes]``, from shallow to deep.

    Args:
        network: The network with exits.
    """

    def __init__(self, network: NetworkWithExits) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.network.exit_logits(x), dim=1)


@dataclass(frozen=True)
class ExitCost:
    """What an exit costs, if nothing beyond it is computed.

    Attributes:
        params: Number of parameters.
        macs: Multiply-accumulates of one forward pass on one example.
    """

    params: int
    macs: int


def exit_costs(network: NetworkWithExits, inputs: InputSpec) -> dict[str, ExitCost]:
    """Return the cost of each exit and of the vote, by name.

    Parameters are those that the logits of the exit depend on.

    Example:
        >>> from distillab.models import build_model
        >>> network = build_model("exits(convnet3)", classes=10, inputs=InputSpec(3, 32, 32))
        >>> {name: cost.params for name, cost in exit_costs(network, InputSpec(3, 32, 32)).items()}
        {'exit 1': 2266, 'exit 2': 8010, 'exit 3': 24234, 'vote': 29070}
    """
    return {
        name: ExitCost(_count_used(part, inputs), count_macs(part, inputs))
        for name, part in network.parts().items()
    }


def _count_used(part: nn.Module, inputs: InputSpec) -> int:
    """Return how many parameters the logits of a module depend on."""
    parameters = list(part.parameters())
    frozen = [each for each in parameters if not each.requires_grad]
    try:
        part.requires_grad_(True)
        with evaluating(part), torch.enable_grad():
            total = logits_of(part(blank_input(part, inputs))).sum()
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    finally:
        for each in frozen:
            each.requires_grad_(False)
    return sum(each.numel() for each, found in zip(parameters, gradients, strict=True) if found is not None)


class _Reached(Exception):  # noqa: N818  # it is no error
    """Ends a forward pass at the stage of an exit."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


class _UpToExit(nn.Module):
    """A network with exits that stops at one of them."""

    def __init__(self, network: NetworkWithExits, index: int) -> None:
        super().__init__()
        self.network, self._stage, self.exit = network.network, network._stages[index], network.exits[index]

    def forward(self, x: Tensor) -> Tensor:
        handle = self.network.get_submodule(self._stage.path).register_forward_hook(_stop)
        try:
            self.network(x)
        except _Reached as reached:
            logits: Tensor = self.exit(self._stage.as_map(reached.output))
            return logits
        finally:
            handle.remove()
        raise RuntimeError(f"the stage {self._stage.path} was not reached")


def _stop(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> NoReturn:
    raise _Reached(output)


class _Vote(nn.Module):
    """The mean of the logits of all exits, whatever the mode of the network."""

    def __init__(self, network: NetworkWithExits) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(self.network.exit_logits(x)).mean(0)
