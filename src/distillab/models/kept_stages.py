"""The first stages of a network, which keep their weights while the others are trained."""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.dry_run import blank_input, evaluating
from distillab.models.input_spec import InputSpec
from distillab.models.inspection import inspect_network

KEEP = "keep"  # of a student in a study


@dataclass(frozen=True)
class KeptStages:
    """The first stages of a network, with what comes before them.

    Attributes:
        stages: Their number.
        parameters: The parameters that their output depends on, by name.
        modules: The modules that hold nothing but such parameters, those within them left out.
        size: The number of values in these parameters.
        total: The same of the whole network.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(3, 32, 32)
        >>> network = build_model("vgg5", classes=10, inputs=inputs)
        >>> KeptStages.of(network, inputs, 2, name="vgg5").modules
        ('stages.0', 'stages.1')
    """

    stages: int
    parameters: frozenset[str]
    modules: tuple[str, ...]
    size: int
    total: int

    @classmethod
    def of(cls, model: nn.Module, inputs: InputSpec, stages: int, *, name: str) -> KeptStages:
        """Return the first stages of a network; a stem before them belongs to the first.

        Which parameters are theirs follows from the gradient of their output, so that it does not matter how
        a network names or holds them.

        Args:
            model: The network, none of whose parameters is kept yet.
            inputs: Shape of one input.
            stages: Their number, at least 1.
            name: The network's name, for errors.

        Raises:
            RequestError: The network has no stages or fewer, or nothing else.
        """
        found = inspect_network(model, inputs, name=name).taps.stages
        if not found:
            raise RequestError(
                f"has no stages that `{KEEP}` could keep",
                where=name,
                allowed=f"a network with stages, such as resnet8, or a student without `{KEEP}`",
            )
        if stages > len(found):
            raise RequestError(
                f"`{KEEP}: {stages}` is more than its {len(found)} stages",
                where=name,
                allowed=f"1 to {len(found)}",
            )
        sizes = {key: value.numel() for key, value in model.named_parameters()}
        read = _read_by(model, inputs, found[stages - 1].path)
        if read == sizes.keys():
            raise RequestError(
                f"`{KEEP}: {stages}` keeps all of its weights, and nothing is left to train",
                where=name,
                allowed="fewer stages",
            )
        modules = tuple(_whole(model, read))
        return cls(stages, read, modules, sum(sizes[key] for key in read), sum(sizes.values()))

    @property
    def text(self) -> str:
        """What is kept, in a few words."""
        first = "stage" if self.stages == 1 else f"{self.stages} stages"
        return f"its first {first} ({self.size:,} of {self.total:,} parameters)"

    def state_keys(self, model: nn.Module) -> frozenset[str]:
        """Return the names of the parameters and of the buffers of the modules."""
        held = (f"{each}." for each in self.modules)
        buffers = {key for prefix in held for key in model.state_dict() if key.startswith(prefix)}
        return self.parameters | buffers

    def keep(self, model: nn.Module) -> None:
        """Take the stages out of training for good: their parameters have no gradients, and their modules
        stay in evaluation mode, so that neither weights nor channel statistics change."""
        for key, parameter in model.named_parameters():
            if key in self.parameters:
                parameter.requires_grad_(False)
        for path in self.modules:
            module = model.get_submodule(path)
            vars(module)["train"] = MethodType(_evaluate, module)
            module.eval()


def keep_stages(model: nn.Module, inputs: InputSpec, stages: int, *, name: str) -> KeptStages:
    """Take the first stages of a network out of training for good, and return them.

    Args:
        model: The network, with the weights that they keep.
        inputs: Shape of one input.
        stages: Their number, at least 1.
        name: The network's name, for errors.

    Raises:
        RequestError: The network has no stages or fewer, or nothing else.

    Example:
        >>> from distillab.models import build_model
        >>> inputs = InputSpec(3, 32, 32)
        >>> network = build_model("resnet8", classes=10, inputs=inputs)
        >>> keep_stages(network, inputs, 1, name="resnet8").text
        'its first stage (5,136 of 78,042 parameters)'
        >>> network.train().bn1.training, network.stages[1].training
        (False, True)
    """
    kept = KeptStages.of(model, inputs, stages, name=name)
    kept.keep(model)
    return kept


def _evaluate(module: nn.Module, mode: bool = True) -> nn.Module:
    """Put a module in evaluation mode, whichever mode is requested of the network around it."""
    return nn.Module.train(module, False)


def _read_by(model: nn.Module, inputs: InputSpec, stage: str) -> frozenset[str]:
    """Return the names of the parameters that the output of a stage depends on."""
    caught: list[Tensor] = []
    handle = model.get_submodule(stage).register_forward_hook(lambda _, __, made: caught.append(made))
    parameters = {key: value for key, value in model.named_parameters() if value.requires_grad}
    try:
        with evaluating(model), torch.enable_grad():
            model(blank_input(model, inputs))
            found = torch.autograd.grad(caught[-1].sum(), [*parameters.values()], allow_unused=True)
    finally:
        handle.remove()
    return frozenset(key for key, each in zip(parameters, found, strict=True) if each is not None)


def _whole(module: nn.Module, parameters: frozenset[str], prefix: str = "") -> list[str]:
    """Return the modules that hold parameters, and none but the given ones."""
    found = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        held = {f"{path}.{key}" for key, _ in child.named_parameters()}
        if held and held <= parameters:
            found.append(path)
        else:
            found += _whole(child, parameters, f"{path}.")
    return found
