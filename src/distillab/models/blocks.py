"""Networks cut into blocks: a stem, stages one after the other, the mean over positions, a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.input_spec import InputSpec

_STAGES = "stages"
_SAME = 1e-4  # of the largest logit: what two orders of addition may differ by


@dataclass(frozen=True)
class BlockNetwork:
    """A network as blocks, which can be run from any of them on.

    Attributes:
        model: The network.
        stages: Its stages.
        head: The name of its classifier.

    Example:
        >>> from distillab.models import build_model
        >>> cut = BlockNetwork.of(build_model("resnet8", classes=5, inputs=InputSpec(3, 32, 32)), "resnet8")
        >>> len(cut.stages), cut.head
        (3, 'fc')
    """

    model: nn.Module
    stages: nn.Sequential
    head: str

    @classmethod
    def of(cls, model: nn.Module, name: str) -> BlockNetwork:
        """Return a network as blocks.

        Args:
            model: The network.
            name: Its name, for errors.

        Raises:
            RequestError: It has no ``stages``, or does not end in a linear layer.
        """
        stages = getattr(model, _STAGES, None)
        heads = [path for path, module in model.named_children() if isinstance(module, nn.Linear)]
        if not isinstance(stages, nn.Sequential) or len(stages) < 2 or not heads:
            raise _uncut(name, "it has no stages one after the other with a linear layer at the end")
        return cls(model, stages, heads[-1])

    @property
    def classifier(self) -> nn.Linear:
        """The last layer."""
        layer = self.model.get_submodule(self.head)
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def stem(self) -> dict[str, Tensor]:
        """The weights of what comes before the stages, by name."""
        state = self.model.state_dict()
        return {key: value for key, value in state.items() if key.split(".")[0] not in (_STAGES, self.head)}

    def maps(self, inputs: Tensor) -> list[Tensor]:
        """Return the feature maps that go into the stages, and those that come out of the last one."""
        found: list[Tensor] = []
        hooks = [
            stage.register_forward_pre_hook(lambda _, given: found.append(given[0])) for stage in self.stages
        ]
        hooks.append(self.stages.register_forward_hook(lambda _, __, made: found.append(made)))
        try:
            self.model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def after(self, maps: Tensor, place: int) -> Tensor:
        """Return the logits of feature maps that go into the stage at a place."""
        for stage in self.stages[place:]:
            maps = stage(maps)
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits

    @torch.no_grad()
    def check(self, inputs: InputSpec, name: str) -> None:
        """Raise RequestError unless the network computes the same block by block, on two random inputs.

        Args:
            inputs: The shape of an input.
            name: The network's name.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            examples = torch.randn(2, *inputs.shape)
        was = self.model.training
        self.model.eval()
        if any(each.ndim != len(examples.shape) for each in self.maps(examples)):
            self.model.train(was)
            raise _uncut(name, "its stages give no feature maps")
        whole = self.model(examples)
        parts = self.after(self.maps(examples)[0], 0)
        self.model.train(was)
        if parts.shape != whole.shape or (parts - whole).abs().max() > _SAME * max(1.0, whole.abs().max()):
            raise _uncut(name, "between its stages and its last layer is more than the mean over positions")


def _uncut(name: str, why: str) -> RequestError:
    return RequestError(
        f"cannot be cut into blocks: {why}",
        where=name,
        allowed="a plain or residual network of this library, such as vgg5 or resnet20",
    )


def reading_layers(stage: nn.Module, maps: Tensor) -> list[str]:
    """Return the convolutions of a stage that read its input, by path.

    Args:
        stage: The stage.
        maps: Feature maps that it takes.

    Example:
        >>> reading_layers(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)), torch.zeros(1, 3, 2, 2))
        ['0']
    """
    found: list[str] = []
    paths: dict[nn.Module, str] = {
        module: path for path, module in stage.named_modules() if isinstance(module, nn.Conv2d)
    }

    def note(module: nn.Module, given: Sequence[Tensor]) -> None:
        if given[0].data_ptr() == maps.data_ptr() and given[0].shape == maps.shape:
            found.append(paths[module])

    hooks = [module.register_forward_pre_hook(note) for module in paths]
    was = stage.training
    stage.eval()
    try:
        with torch.no_grad():
            stage(maps)
    finally:
        stage.train(was)
        for hook in hooks:
            hook.remove()
    return found
