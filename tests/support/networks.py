"""Networks by ``support.networks:NAME``, and weights with which a network recognizes a dataset at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from distillab.data.dataset import Dataset
from distillab.modalities import normalization_of
from distillab.models import InputSpec, build_model


class Returning(nn.Module):
    """A linear network that wraps its logits in what a test gives it."""

    def __init__(self, inputs: InputSpec, classes: int, wrap: Any, wrap_training: Any = None) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(int(np.prod(inputs.shape)), classes)
        self.wrap, self.wrap_training = wrap, wrap_training or wrap

    def forward(self, x: Tensor) -> Any:
        logits = self.fc(self.flatten(x))
        return (self.wrap_training if self.training else self.wrap)(logits)


class WithAuxiliary(NamedTuple):
    """What networks with an auxiliary head return in training."""

    logits: Tensor
    aux_logits: Tensor


def _same(x: Tensor) -> Tensor:
    return x


def linear(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, _same)


def softmax(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: x.softmax(dim=1))


def sigmoid(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: torch.sigmoid(x).unsqueeze(1).squeeze(1))


def log_softmax(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: x.log_softmax(dim=1))


def first_of_tuple(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: (x, x.detach()[:, :1]))


def first_of_list(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: [x, [x]])


def mapping(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: {"features": x[:, :1], "logits": x})


def output_object(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: WithAuxiliary(aux_logits=x[:, :1], logits=x))


def auxiliary_in_training(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, _same, lambda x: WithAuxiliary(x, x * 2))


def tuple_in_training(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, _same, lambda x: (x, x * 2))


def features_first(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: (x.repeat(1, 5), x))


def loss_in_training(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, _same, lambda x: {"loss": x.sum()})


def features_in_training(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, _same, lambda x: x.repeat(1, 2))


def fails_in_training(classes: int, inputs: InputSpec) -> nn.Module:
    def fail(x: Tensor) -> Tensor:
        raise ValueError("targets are needed")

    return Returning(inputs, classes, _same, fail)


def recognizing(name: str, dataset: Dataset, classes: int | None = None) -> nn.Module:
    """Return a network whose last layer is a least-squares fit to the classes of a dataset.

    What comes before keeps its initial weights, which are enough for accuracies far above chance.
    """
    spec = InputSpec(*dataset.train.shape)
    width = classes or len(dataset.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(name, classes=width, inputs=spec).eval()
    layer = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    train = dataset.train
    x = normalization_of(dataset)(torch.from_numpy(train.items(np.arange(len(train)))))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:  # so that activations neither vanish nor explode with depth
            norm.train().momentum = None
        network(x)
        network.eval()
        for norm in norms:  # channels that hardly vary are not blown up for other inputs
            assert norm.running_var is not None
            norm.running_var.clamp_(min=float(norm.running_var.mean()))
        network(x)
    handle.remove()
    features = seen[-1].double()
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    targets = torch.from_numpy(train.targets.members.astype(np.float64)) * 2 - 1
    scale = features.square().mean() * len(features) * 1e-3
    solved = torch.linalg.solve(
        features.T @ features + scale * torch.eye(features.shape[1]), features.T @ targets
    )
    with torch.no_grad():
        layer.weight[: targets.shape[1]] = 5 * solved[:-1].T.float()
        layer.bias[: targets.shape[1]] = 5 * solved[-1].float()
    return network


def not_finite(classes: int, inputs: InputSpec) -> nn.Module:
    return Returning(inputs, classes, lambda x: x * float("nan"))


def frozen(classes: int, inputs: InputSpec) -> nn.Module:
    return linear(classes, inputs).requires_grad_(False)
