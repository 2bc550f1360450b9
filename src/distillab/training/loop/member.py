"""What the training of one network is made from, and how the network and its method are built."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from distillab.canonical import seed_from
from distillab.data.examples import Examples
from distillab.methods import Method, MethodSpec, Pair, build_method
from distillab.models import InputSpec, NetworkInfo, OutputShapes, build_model, inspect_network
from distillab.tasks import Classification, Task
from distillab.training.loop.initial_weights import InitialWeights
from distillab.training.numerics.config import MemoryFormat, place_model
from distillab.training.numerics.device import deterministic
from distillab.training.recipe import ResolvedRecipe


@dataclass(frozen=True)
class Seeds:
    """The seeds of a run.

    Attributes:
        init: Seed of the initial weights.
        order: Seed of the order of the examples.
        views: Seed of the augmentation.

    Example:
        >>> Seeds(init=1, order=2, views=3).order
        2
    """

    init: int
    order: int
    views: int


@dataclass(frozen=True, eq=False)
class CohortMember:
    """What one network of a cohort is trained from.

    The members of a cohort share inputs, order, views and steps. Targets, validation set, initial weights,
    network and method are each member's own.

    Attributes:
        model: Name of the network.
        method: How it learns.
        data: Its training set.
        val: Its validation set.
        recipe: How it is trained.
        seeds: Its seeds.
        teacher_shapes: Shapes of its teacher's outputs; None without a teacher.
        teacher_classifier: The teacher's last linear layer, if the method needs it.
        teacher_network: The teacher itself, if the method needs it.
        teachers: Number of teachers whose logits are side by side, to be weighted by their correctness.
        task: What it is trained to predict.
        start: The trained weights that it starts from; None for random ones.

    Example:
        >>> import numpy as np
        >>> from distillab.methods import parse_method
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> recipe = Recipe(steps=2).resolve(images)
        >>> member = CohortMember(
        ...     "resnet8", parse_method("ce", "methods"), images, images, recipe, Seeds(1, 2, 3)
        ... )
        >>> member.task.primary
        'accuracy'
    """

    model: str
    method: MethodSpec
    data: Examples
    val: Examples
    recipe: ResolvedRecipe
    seeds: Seeds
    teacher_shapes: OutputShapes | None = None
    teacher_classifier: nn.Linear | None = None
    teacher_network: nn.Module | None = None
    teachers: int = 1
    task: Task = field(default_factory=Classification)
    start: InitialWeights | None = None


def new_model(
    name: str,
    images: Examples,
    init_seed: int,
    device: torch.device,
    memory_format: MemoryFormat = "channels_last",
    *,
    logits: int | None = None,
) -> nn.Module:
    """Return an untrained network for some examples as a student sees them.

    Args:
        name: A name that :func:`distillab.models.build_model` takes.
        images: The examples.
        init_seed: The seed on which, alone, the initial weights depend; they are drawn on the CPU.
        device: Where the network is put.
        memory_format: Memory format of the weights of its convolutions.
        logits: Number of logits; by default one per class of the examples.

    Raises:
        RequestError: The network cannot be built for such inputs.

    Example:
        >>> import numpy as np
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> new_model("resnet8", images, 0, torch.device("cpu")).fc
        Linear(in_features=64, out_features=2, bias=True)
    """
    inputs = InputSpec(*images.student_shape)
    with deterministic(torch.device("cpu"), init_seed):
        model = build_model(name, classes=logits or len(images.classes), inputs=inputs)
    return place_model(model, device, memory_format)


def build_member(member: CohortMember, device: torch.device) -> tuple[nn.Module, Method, NetworkInfo]:
    """Return the network that is trained, the method, and the shapes and taps of the network.

    The method's connectors are initialized from a random stream of their own, so they never move the initial
    weights of the network. Trained weights that it starts from replace all of these that fit.

    Raises:
        RequestError: The network cannot be built for these examples, or the method cannot serve the pair.
    """
    network = _new_network(member, member.seeds.init, device)
    info = _inspect(member, network)
    with deterministic(torch.device("cpu"), member.seeds.init + 1):
        method = build_method(member.method, _pair(member, info)).to(device)
    modules = tuple(network.modules())
    network = method.network(network)
    if tuple(network.modules()) != modules:
        info = _inspect(member, network)
    return network, method, info


def _new_network(
    member: CohortMember, init_seed: int, device: torch.device, *, fresh_classifier: bool = False
) -> nn.Module:
    name, logits = member.model, member.task.head_width(len(member.data.classes))
    network = new_model(name, member.data, init_seed, device, member.recipe.memory_format, logits=logits)
    if member.start:
        inputs = InputSpec(*member.data.student_shape)
        member.start.load(network, inputs, name=name, classes=logits, fresh_classifier=fresh_classifier)
    return network


def _inspect(member: CohortMember, network: nn.Module) -> NetworkInfo:
    logits = member.task.head_width(len(member.data.classes))
    return inspect_network(network, InputSpec(*member.data.student_shape), classes=logits, name=member.model)


def _pair(member: CohortMember, info: NetworkInfo) -> Pair:
    data = member.data
    return Pair(
        info.shapes,
        member.teacher_shapes,
        len(data),
        labels=torch.from_numpy(data.targets.values),
        groups=None if data.groups is None else torch.from_numpy(data.groups),
        teacher_classifier=member.teacher_classifier,
        teacher_network=member.teacher_network,
        new_student=lambda number: _new_peer(member, number),
        task=member.task,
        student_taps=info.taps,
        kept_stages=member.start.keep if member.start else 0,
    )


def _new_peer(member: CohortMember, number: int) -> nn.Module:
    """Return a network like the member's with other initial weights (trained ones: another classifier)."""
    seed = seed_from("peer", member.seeds.init, number)
    return _new_network(member, seed, torch.device("cpu"), fresh_classifier=True)
