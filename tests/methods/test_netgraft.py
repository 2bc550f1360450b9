"""Grafting: which weights it trains, when, and that its adapters are merged into an ordinary student."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import Batch, Method, Pair, build_method, parse_method
from distillab.methods.adapted_layers import AdaptedConv, AdaptedLinear, Adapter
from distillab.methods.features.netgraft import NetworkGrafting
from distillab.models import Ensemble, InputSpec, Outputs, OutputShapes, build_model, inspect_network
from distillab.models.blocks import BlockNetwork
from distillab.models.kept_stages import keep_stages
from distillab.models.starting import keep_fitting
from support.studies import plan

INPUTS = InputSpec(3, 16, 16)
N, C = 6, 4
PAIRS = [
    ("vgg5_half", "vgg5", 3),
    ("vgg5_half", "vgg5", 0),
    ("resnet8", "resnet14", 0),
    ("convnet3", "convnet3", 1),
]


def network(name: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(name, classes=C, inputs=INPUTS)


def teacher_of(name: str) -> nn.Module:
    return network(name, 1).eval().requires_grad_(False)


def begun(student: str, teacher: nn.Module, keep: int = 0) -> nn.Module:
    """Return a student with the weights of its teacher that fit, some of whose stages keep them."""
    own = network(student, 0)
    keep_fitting(own, teacher.state_dict(), name=student, head="fc")
    if keep:
        keep_stages(own, INPUTS, keep, name=student)
    return own


def grafted(student: nn.Module, teacher: nn.Module, keep: int = 0, **keys: Any) -> NetworkGrafting:
    shapes = inspect_network(student, INPUTS, classes=C, name="student").shapes
    method = build_method(
        parse_method({"netgraft": keys}, "methods"),
        Pair(shapes, OutputShapes(C), n_train=N, teacher_network=teacher, kept_stages=keep),
    )
    assert isinstance(method, NetworkGrafting)
    return method


def images(seed: int = 3) -> Tensor:
    return torch.randn(N, *INPUTS.shape, generator=torch.Generator().manual_seed(seed))


def train(student: nn.Module, method: Method, teacher: nn.Module, *, steps: int, upto: float) -> None:
    parts = (student, method)
    weights = [each for part in parts for each in part.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.05)
    places = torch.arange(N)
    for step in range(steps):
        student.train()
        outputs = Outputs(student(images()))
        progress = upto * step / steps
        batch = Batch(places % C, places, places, 0, progress, steps, inputs=images())
        optimizer.zero_grad()
        torch.stack(list(method.total(outputs, Outputs(teacher(images())), batch).values())).sum().backward()
        optimizer.step()


def test_netgraft_has_its_golden_value() -> None:
    """Rows of unit length: (3, 4) and (0, 2) give (0.6, 0.8) and (0, 1), whose squared distance is 0.4."""
    shapes = OutputShapes(2)
    method = build_method(
        parse_method({"netgraft": {"graft_weight": 2}}, ""), Pair(shapes, shapes, n_train=2)
    )
    places = torch.arange(2)
    batch = Batch(torch.tensor([0, 1]), places, places, 0, 0.9, 1)
    student, teacher = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0]])
    terms = method.transfer(Outputs(student), Outputs(teacher), batch)
    assert terms["net"].item() == pytest.approx(2 * 0.4 / 2)


@pytest.mark.parametrize(("student", "teacher", "keep"), PAIRS)
def test_merged_student_is_ordinary_and_gives_the_same_outputs(student: str, teacher: str, keep: int) -> None:
    host = teacher_of(teacher)
    own = begun(student, host, keep)
    method = grafted(own, host, keep)
    made = method.network(own)
    train(made, method, host, steps=6, upto=1.0)
    before = made.eval()(images())
    saved = {key: value.clone() for key, value in made.state_dict().items()}
    finished = method.finished(made).eval()
    assert torch.allclose(finished(images()), before, atol=1e-5)
    ordinary = network(student, 5)
    assert not any(isinstance(each, AdaptedConv | AdaptedLinear) for each in finished.modules())
    assert list(finished.state_dict()) == list(ordinary.state_dict())
    ordinary.load_state_dict(saved)  # what is selected on val is saved before the end
    assert torch.allclose(ordinary.eval()(images()), before, atol=1e-5)


def test_blocks_alone_change_no_weight_of_the_teacher_nor_the_stages_kept() -> None:
    host = teacher_of("vgg5")
    own = begun("vgg5_half", host, keep=3)
    given = {key: value.clone() for key, value in host.state_dict().items()}
    method = grafted(own, host, keep=3)
    made = method.network(own)
    started = {key: value.clone() for key, value in made.state_dict().items()}
    train(made, method, host, steps=4, upto=0.4)
    state = made.state_dict()
    assert all(torch.equal(value, given[key]) for key, value in host.state_dict().items())
    changed = {key.rpartition(".")[0] for key, value in state.items() if not torch.equal(value, started[key])}
    assert changed == {f"stages.{place}.{part}" for place in (3, 4) for part in ("conv", "bn")} | {"fc"}
    for key, value in state.items():
        if key.startswith(("stages.0.", "stages.1.", "stages.2.")):
            assert torch.equal(value, given[key])


def test_block_stands_in_the_place_of_the_teachers() -> None:
    """A block with the teacher's own weights leaves the teacher's logits as they are."""
    host = teacher_of("resnet8")
    own = network("resnet8", 0)
    own.load_state_dict(host.state_dict())
    method = grafted(own, host)
    made = method.network(own).eval()
    places = torch.arange(N)
    batch = Batch(places % C, places, places, 0, 0.0, 9, inputs=images())
    found = method.transfer(Outputs(made(images())), Outputs(host(images())), batch)
    assert found["blocks"].item() == pytest.approx(0.0, abs=1e-9)


def test_chain_grows_from_two_blocks_to_all() -> None:
    own, host = network("vgg5_half", 0), teacher_of("vgg5")
    method = grafted(own, host, keep=3, block_share=0.5)
    method.network(own)
    assert [method._length(progress) for progress in (0.5, 0.74, 0.76, 0.99)] == [2, 2, 3, 3]


def test_adapters_depend_on_the_seed_of_the_run_alone() -> None:
    def adapter(seed: int, noise: int) -> Tensor:
        own = network("vgg5_half", 0)
        torch.manual_seed(seed)
        method = grafted(own, teacher_of("vgg5"), keep=3)
        torch.manual_seed(noise)
        method.network(own)
        found = method.adapters["4"]
        assert isinstance(found, Adapter)
        return found.to_student.detach()

    assert torch.equal(adapter(1, 2), adapter(1, 3)) and not torch.equal(adapter(1, 2), adapter(4, 2))


def test_best_of_several_teachers_takes_the_blocks() -> None:
    members = [network("vgg5", seed) for seed in (1, 2)]
    host = Ensemble(members, "accuracy").eval().requires_grad_(False)
    host.weights.copy_(torch.tensor([0.3, 0.7]))
    own = network("vgg5_half", 0)
    method = grafted(own, host, keep=3)
    method.network(own)
    assert method._inside and method._inside[1].model is members[1]


def test_method_itself_copies_nothing_of_the_teacher() -> None:
    """What the grafted student starts from and keeps is decided for all methods alike, and not here."""
    own = network("resnet8", 0)
    before = {key: value.clone() for key, value in own.state_dict().items()}
    made = grafted(own, teacher_of("resnet14")).network(own)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert all(each.requires_grad for each in made.parameters())


@pytest.mark.parametrize("name", ["resnet8", "vgg5", "convnet3x2"])
def test_network_computes_the_same_block_by_block(name: str) -> None:
    BlockNetwork.of(network(name, 0), name).check(INPUTS, name)


STUDY: dict[str, Any] = {"factors": {}, "seeds": 1, "methods": ["ce", "netgraft"]}


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("resnet8", "vgg5", "no block of one can stand in the other"),
        ("wrn16-1", "wrn16-2", "cannot be cut into blocks"),
        ("resnet8", "torchvision:resnet18", "cannot be cut into blocks"),
    ],
)
def test_networks_that_cannot_be_grafted_are_refused(student: str, teacher: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        plan(**STUDY, students=[student], teacher={"model": teacher, "provenance": "full"})
    assert str(caught.value).startswith("study.yaml: method netgraft: ") and "\n" not in str(caught.value)
