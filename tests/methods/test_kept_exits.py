"""Methods whose exits stay in the student: exits and tskd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from distillab.errors import RequestError
from distillab.methods import Method, Pair, build_method, parse_method
from distillab.methods.kept_exits import KeptExits
from distillab.models import InputSpec, NetworkWithExits, TappedModel, build_model, inspect_network
from support.methods import LABELS, STUDENT, STUDENT_RAW, TEACHER_RAW, N, batch, make, outputs

INPUTS = InputSpec(3, 16, 16)


def given(entry: str | dict[str, object], student: str = "resnet8") -> tuple[nn.Module, Method]:
    """Return a student and a method that is built for it."""
    torch.manual_seed(0)
    network = build_model(student, classes=5, inputs=INPUTS)
    info = inspect_network(network, INPUTS)
    pair = Pair(info.shapes, info.shapes, N, labels=LABELS, student_taps=info.taps)
    return network, build_method(parse_method(entry, "methods"), pair)


def softened(logits: torch.Tensor, other: torch.Tensor, temperature: float = 4.0) -> float:
    """Return T^2 times the mean divergence from ``other``, by its definition."""
    p, log_p = (other / temperature).softmax(1), (logits / temperature).log_softmax(1)
    return temperature**2 * (p * (p.log() - log_p)).sum(1).mean().item()


def test_tskd_has_its_golden_value() -> None:
    settings: dict[str, object] = {"self_weight": 0.3, "feature_weight": 0.5, "hint_weight": 2.0}
    method = make({"tskd": settings})
    assert isinstance(method, KeptExits)
    student, teacher = outputs(STUDENT_RAW, 3), outputs(TEACHER_RAW, 3)
    terms = method.total(student, teacher, batch())
    embeddings, logits = method.exit_outputs(student)
    every = [*logits, student.logits]
    ce = [0.1 * F.cross_entropy(z, LABELS).item() for z in every]
    assert terms["ce"].item() == pytest.approx(ce[-1])
    assert terms["exits"].item() == pytest.approx(sum(ce[:-1]))
    assert terms["kd"].item() == pytest.approx(0.9 * sum(softened(z, teacher.logits) for z in every))
    assert terms["self"].item() == pytest.approx(0.3 * sum(softened(z, student.logits) for z in logits))
    deepest = student.maps[-1].mean((2, 3))
    distance = sum((each - deepest).square().mean().item() for each in embeddings)
    assert terms["features"].item() == pytest.approx(0.5 * distance)
    assert isinstance(method.connector, nn.Module)
    hint = (method.connector(student.maps[-2]) - teacher.maps[-2]).square().mean().item()
    assert terms["hint"].item() == pytest.approx(2 * hint)


def test_the_last_exit_of_tskd_learns_as_in_kd() -> None:
    student, teacher = outputs(STUDENT_RAW, 3), outputs(TEACHER_RAW, 3)
    kd = make("kd").total(student, teacher, batch())
    method = make({"tskd": {"hint_weight": 0}})
    logits = STUDENT.clone().requires_grad_()
    own = method.total(replace(student, logits=logits), teacher, batch())
    torch.stack(list(own.values())).sum().backward()
    other = STUDENT.clone().requires_grad_()
    terms = make("kd").total(replace(student, logits=other), teacher, batch())
    torch.stack(list(terms.values())).sum().backward()
    assert own["ce"].item() == pytest.approx(kd["ce"].item())
    assert logits.grad is not None and other.grad is not None
    assert torch.allclose(logits.grad, other.grad), "the deepest exit is not taught by the shallow ones"


def test_without_a_hint_the_teachers_outputs_can_be_stored() -> None:
    assert "maps" in parse_method("tskd", "methods").teacher_needs
    assert parse_method({"tskd": {"hint_weight": 0}}, "methods").teacher_needs == {"logits", "labels"}


def test_exits_has_its_golden_value() -> None:
    method = make({"exits": {"exit_weight": 0.5}})
    assert isinstance(method, KeptExits)
    student = outputs(STUDENT_RAW, 3)
    terms = method.total(student, None, batch())
    _, logits = method.exit_outputs(student)
    assert terms["exits"].item() == pytest.approx(
        0.5 * sum(F.cross_entropy(z, LABELS).item() for z in logits)
    )
    assert set(terms) == {"ce", "exits"} and not parse_method("exits", "methods").distils


@pytest.mark.parametrize("vote", [True, False])
@pytest.mark.parametrize("name", ["exits", "tskd"])
def test_exits_belong_to_the_student_alone(name: str, vote: bool) -> None:
    student, method = given({name: {"vote": vote}})
    network = method.finished(method.network(student))
    assert isinstance(network, NetworkWithExits) and network.vote is vote and network.network is student
    exits = {id(each) for each in network.exits.parameters()}
    assert exits and not exits & {id(each) for each in method.parameters()}, "they would be updated twice"


def test_the_loss_reaches_the_exits_of_the_student() -> None:
    student, method = given("exits")
    network = method.network(student).train()
    info = inspect_network(network, INPUTS)
    with TappedModel(network, {"maps"}, info.taps) as tapped:
        terms = method.total(tapped(torch.rand(N, *INPUTS.shape)), None, batch())
    torch.stack(list(terms.values())).sum().backward()
    assert all(each.grad is not None for each in network.parameters())


def test_reused_classifier_takes_the_place_of_the_last_exit() -> None:
    torch.manual_seed(0)
    student = build_model("resnet8", classes=5, inputs=INPUTS)
    info = inspect_network(student, INPUTS)
    pair = Pair(
        info.shapes,
        info.shapes,
        N,
        labels=LABELS,
        student_taps=info.taps,
        teacher_classifier=nn.Linear(64, 5),
    )
    method = build_method(parse_method({"tskd": {}, "simkd": {}}, "methods"), pair)
    network = method.network(student)
    assert isinstance(network, NetworkWithExits)
    assert type(network.network.fc).__name__ == "Graft"
    assert all(type(each.fc) is nn.Linear for each in network.exits)
    assert type(method.finished(network).network.fc) is nn.Linear


@pytest.mark.parametrize("entry", [{"exits": {}, "tskd": {}}, {"kd": {}, "exits": {}, "tskd": {}}])
def test_exits_are_given_by_one_method(entry: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=r"exits and tskd both give the student exits.*one of them"):
        parse_method(entry, "methods")


@pytest.mark.parametrize("name", ["exits", "tskd"])
def test_a_student_of_one_stage_is_refused(name: str) -> None:
    shapes = inspect_network(build_model("resnet8", classes=5, inputs=INPUTS), INPUTS).shapes
    one = replace(shapes, maps=shapes.maps[:1], attention=shapes.attention[:1])
    with pytest.raises(RequestError, match=f"method {name} needs two stages in the student"):
        build_method(parse_method(name, "methods"), Pair(one, shapes, N))
