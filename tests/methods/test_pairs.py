"""Every method between real networks: families, widths, depths, strides and input sizes that differ.

A pair that a method cannot serve is refused when the method is built, which is at the plan, in one line with
the reason and the remedy.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import Batch, Method, Pair, StrongView, build_method, parse_method
from distillab.models import (
    InputSpec,
    NetworkWithExits,
    Outputs,
    OutputShapes,
    TappedModel,
    Taps,
    build_model,
    inspect_network,
)
from distillab.models.outputs import OF_STAGES
from distillab.study.planning.costs import ModelCosts, check_pair
from distillab.tasks import Classification
from support.methods import OF_CLASSIFIERS

N, CLASSES, SIDE = 6, 4, 16
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
GROUPS = torch.tensor([0, 0, 1, 1, 0, 1])
IMAGES = torch.sin(torch.arange(N * 3 * SIDE * SIDE, dtype=torch.float32) ** 1.5).view(N, 3, SIDE, SIDE)
# teacher, student
PAIRS = [
    ("resnet14", "resnet8"),
    ("wrn16-2", "resnet8"),
    ("resnet8x4", "timm:test_resnet"),
    ("resnet8", "timm:test_vit"),
    ("timm:test_vit", "resnet8"),
    ("timm:test_vit", "timm:test_vit"),
    ("timm:test_resnet@32", "resnet8"),
    ("resnet8", "test_pairs:perceptron"),
    ("test_pairs:perceptron", "resnet8"),
]
IDS = [f"{teacher}-{student}" for teacher, student in PAIRS]
COSTS = ModelCosts(CLASSES, InputSpec.square(3, SIDE))


def perceptron(*, classes: int, channels: int, resolution: int) -> nn.Module:
    """A network without a single feature map."""
    hidden = nn.Linear(channels * resolution**2, 8)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(8, classes))


def planned(name: str, teacher: str, student: str) -> None:
    """Raise RequestError, as a plan does, if a method cannot serve a pair."""
    shapes = COSTS.shapes(student), COSTS.shapes(teacher)
    check_pair([parse_method(name, "methods")], *shapes, task=Classification(), merged=False)


def refused(name: str, teacher: str, student: str) -> str | None:
    """Return why a method cannot serve a pair: those that learn from maps need networks with maps."""
    spec = parse_method(name, "methods")
    if "perceptron" in student and spec.needs.intersection(OF_STAGES):
        return f"method {name} needs feature maps, and the student has no stages that give them"
    if "perceptron" in teacher and spec.teacher_needs.intersection(OF_STAGES):
        return f"method {name} needs feature maps, and the teacher has no stages that give them"
    return None


@dataclass(frozen=True)
class Network:
    model: nn.Module
    shapes: OutputShapes
    taps: Taps


@cache
def network(name: str) -> Network:
    torch.manual_seed(0)
    model = build_model(name, classes=CLASSES, inputs=InputSpec.square(3, SIDE))
    info = inspect_network(model, InputSpec.square(3, SIDE), classes=CLASSES)
    return Network(model, info.shapes, info.taps)


def new_student(seed: int, name: str) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, classes=CLASSES, inputs=InputSpec.square(3, SIDE))


def built(name: str, teacher: str, student: str) -> Method:
    other = network(teacher)
    taught = parse_method(name, "methods").teacher != "none"
    pair = Pair(
        network(student).shapes,
        other.shapes if taught else None,
        N,
        labels=LABELS,
        groups=GROUPS,
        teacher_classifier=other.taps.classifier_of(other.model),
        new_student=lambda seed: new_student(seed, student),
        student_taps=network(student).taps,
    )
    torch.manual_seed(1)
    return build_method(parse_method(name, "methods"), pair)


def batch(progress: float) -> Batch:
    of = torch.arange(N)
    return Batch(LABELS, of, of, 1, progress, 10, groups=GROUPS, inputs=IMAGES)


def teacher_outputs(teacher: str, method: Method) -> Outputs | None:
    if method.teacher == "none":
        return None
    model, needs = network(teacher).model.eval(), method.requirements(method.config).teacher_needs
    with torch.no_grad(), TappedModel(model, needs, network(teacher).taps) as tapped:
        return tapped(IMAGES)


def loss(method: Method, model: nn.Module, teacher_given: Outputs | None, progress: float) -> Tensor:
    torch.manual_seed(2)
    taps = inspect_network(model, InputSpec.square(3, SIDE)).taps
    needs, known = method.requirements(method.config).needs, batch(progress)
    with TappedModel(model, needs, taps) as tapped:
        if "strong_view" in needs:
            known = replace(known, strong=StrongView(tapped(IMAGES.flip(3)), teacher_given))
        terms = method.total(tapped(IMAGES), teacher_given, known)
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize(("teacher", "student"), PAIRS, ids=IDS)
@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_every_method_serves_a_pair_or_is_refused_at_the_plan(name: str, teacher: str, student: str) -> None:
    message = refused(name, teacher, student)
    if message:
        with pytest.raises(RequestError, match=message) as caught:
            planned(name, teacher, student)
        assert caught.value.allowed and "\n" not in str(caught.value)
        return
    planned(name, teacher, student)
    method = built(name, teacher, student).train()
    before = copy.deepcopy(network(teacher).model.state_dict())
    teacher_given = teacher_outputs(teacher, method)
    model = method.network(copy.deepcopy(network(student).model).train())
    reached: set[str] = set()
    for progress in (0.05, 0.5):  # methods in two stages teach early what they do not teach late
        value = loss(method, model, teacher_given, progress)
        value.backward()
        assert value.isfinite()
        grads = {key: p.grad for key, p in [*model.named_parameters(), *method.named_parameters()]}
        assert all(grad is None or grad.isfinite().all() for grad in grads.values())
        reached |= {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    first = next(key for key, _ in model.named_parameters())
    assert first in reached or student.startswith("timm")  # down to the first layer
    assert reached or (name == "netgraft" and teacher == student)  # equal logits are at no distance
    unused = [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, "what a method owns is trained"
    alone = network(student).model.state_dict()
    finished = method.finished(model)
    if isinstance(finished, NetworkWithExits):  # which stay; the network inside is an ordinary student
        assert method.keeps_exits
        finished = finished.network
    kept = finished.state_dict()
    assert {key: x.shape for key, x in kept.items()} == {key: x.shape for key, x in alone.items()}
    after = network(teacher).model
    assert not any(module.training for module in after.modules()) or teacher_given is None
    assert all(torch.equal(value, after.state_dict()[key]) for key, value in before.items())
    assert all(p.grad is None for p in after.parameters())


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_gradient_step_lowers_the_loss_of_real_networks(name: str) -> None:
    """Of the student and of what the method owns, along the gradient; memories as they were before it."""
    teacher, student = PAIRS[0]
    method = built(name, teacher, student).train()
    teacher_given = teacher_outputs(teacher, method)
    model = method.network(copy.deepcopy(network(student).model).train())
    progress = 0.05 if "initial" in type(method.config).model_fields else 0.5
    before = copy.deepcopy((method, model))
    value = loss(method, model, teacher_given, progress)
    value.backward()
    learning = [p for p in (*model.parameters(), *method.parameters()) if p.grad is not None]
    length = torch.cat([p.grad.flatten() for p in learning]).norm()  # type: ignore[union-attr]
    assert length > 0
    names = {
        **{f"0.{k}": p.grad for k, p in method.named_parameters()},
        **{f"1.{k}": p.grad for k, p in model.named_parameters()},
    }
    old_method, old_model = before
    with torch.no_grad():
        for place, module in enumerate((old_method, old_model)):
            for key, p in module.named_parameters():
                grad = names.get(f"{place}.{key}")
                if grad is not None:
                    p -= 1e-3 * grad / length
    assert loss(old_method, old_model, teacher_given, progress) < value


def test_multi_exit_needs_an_exit() -> None:
    shapes = OutputShapes(CLASSES, 8, ((8, 4, 4),), ((4, 4),))
    with pytest.raises(RequestError, match=r"multi_exit needs two stages in the student.*allowed"):
        build_method(parse_method("multi_exit", "methods"), Pair(shapes, None, N))
