"""The training loop: equal seeds give equal networks, and methods differ in the loss alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from distillab.data.examples import Examples
from distillab.methods import Batch, Method, MethodSpec, Need, Pair, methods, parse_method
from distillab.models import CifarResNet, InputSpec, Outputs, build_model, inspect_network
from distillab.training.checkpoints import StateDict, snapshot
from distillab.training.evaluation import predict
from distillab.training.loop import cohort, member
from distillab.training.loop.cohort import train
from distillab.training.loop.member import CohortMember, Seeds, new_model
from distillab.training.loop.member_training import MemberTraining
from distillab.training.loop.results import DivergenceError, TrainedNetwork
from distillab.training.recipe import ResolvedRecipe
from distillab.training.teachers.feed import LiveTeacher
from support.methods import OF_CLASSIFIERS
from support.training import CPU, MODEL, SEEDS, equal, examples_of, normalization, recipe, recorded, role_sets

NORMALIZE = normalization()


def network(channels: int = 1, seed: int = 7) -> nn.Module:
    """A teacher with running statistics other than those of a new network."""
    model = new_model(MODEL, examples_of(channels=channels), seed, CPU).train()
    with torch.no_grad():
        model(torch.randn(16, channels, 8, 8, generator=torch.Generator().manual_seed(seed)))
    return model.eval()


def live(model: nn.Module, needs: frozenset[Need] = frozenset()) -> LiveTeacher:
    info = inspect_network(model, InputSpec(next(model.parameters()).shape[1], 8, 8))
    return LiveTeacher(model, info.taps, needs, CPU, "fp32")


def run(
    method: str | dict[str, Any] = "ce",
    *,
    data: Examples | None = None,
    val: Examples | None = None,
    chosen: ResolvedRecipe | None = None,
    seeds: Seeds = SEEDS,
    teacher: nn.Module | None = None,
    **keys: Any,
) -> TrainedNetwork:
    """Train a student; methods with a teacher learn from ``teacher``, which is live."""
    spec, kind, shapes = parse_method(method, "methods"), None, None
    sets = role_sets()
    data, val = data or sets.train, val or sets.val
    channels = data.shape[0]
    if methods[spec.name].teacher != "none":
        kind = teacher or network(channels)
        keys["teacher"] = live(kind, spec.teacher_needs)
        shapes = inspect_network(kind, InputSpec.square(channels, 8), classes=3).shapes
    chosen = chosen or recipe(data)
    return train(
        CohortMember(MODEL, spec, data, val, chosen, seeds, shapes),
        normalization(channels),
        device=CPU,
        **keys,
    )


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Fingerprints of all batches during the test."""
    batches: list[tuple[Any, ...]] = []
    real = cohort.training_batches
    monkeypatch.setattr(
        cohort, "training_batches", lambda *args, **keys: recorded(real(*args, **keys), batches)
    )
    return batches


@pytest.fixture
def initial_states(monkeypatch: pytest.MonkeyPatch) -> list[StateDict]:
    """The initial weights of all networks built during the test."""
    states: list[StateDict] = []
    real = member.new_model

    def spy(*args: Any, **keys: Any) -> nn.Module:
        model = real(*args, **keys)
        states.append(snapshot(model))
        return model

    monkeypatch.setattr(member, "new_model", spy)
    return states


# -- seeds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", ["ce", "dkd"])
def test_equal_seeds_give_equal_weights_to_the_bit(channels: int, method: str) -> None:
    data, val = examples_of(channels=channels), examples_of(20, channels, first_id=500)
    torch.manual_seed(5)
    first = run(method, data=data, val=val)
    torch.manual_seed(6)  # the global random state has no effect
    second = run(method, data=data, val=val)
    assert equal(first.last, second.last)
    assert equal(first.selected, second.selected)
    assert first.curve == second.curve
    assert first.model(torch.zeros(1, channels, 8, 8)).shape == (1, 3)


@pytest.mark.parametrize("method", ["ce", "fitnet", "simkd"])
def test_a_network_is_dry_run_once(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shapes and taps are found in one forward pass; another one only if the method reshapes it."""
    passes: list[int] = []
    real = CifarResNet.forward

    def count(self: CifarResNet, x: Tensor) -> Tensor:
        passes.append(len(x))
        return real(self, x)

    teacher = network()
    info = inspect_network(teacher, InputSpec.square(1, 8))
    sets, classifier = role_sets(), info.taps.classifier_of(teacher)
    spec = parse_method(method, "methods")
    made = CohortMember(MODEL, spec, sets.train, sets.val, recipe(sets.train), SEEDS, info.shapes, classifier)
    monkeypatch.setattr(CifarResNet, "forward", count)
    MemberTraining(made, NORMALIZE, CPU)
    assert passes == ([1, 1] if method == "simkd" else [1])


def test_training_does_not_change_the_global_random_state() -> None:
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    run("kd")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("part", ["init", "order", "views"])
def test_every_seed_changes_the_result(part: str) -> None:
    other = replace(SEEDS, **{part: 99})
    assert not equal(run(seeds=other).last, run().last)


def test_initial_weights_depend_on_the_init_seed_alone(initial_states: list[StateDict]) -> None:
    for seeds in (SEEDS, replace(SEEDS, order=8, views=9), replace(SEEDS, init=8)):
        run(seeds=seeds, chosen=recipe(steps=1))
    assert equal(initial_states[0], initial_states[1])
    assert not equal(initial_states[0], initial_states[2])


def test_order_and_views_have_separate_seeds(seen: list[tuple[Any, ...]]) -> None:
    run()
    base = seen.copy()
    seen.clear()
    run(seeds=replace(SEEDS, init=50))
    assert seen == base
    seen.clear()
    run(seeds=replace(SEEDS, views=50))
    assert [step[:4] for step in seen] == [step[:4] for step in base]  # the same images in the same order
    assert [step[4] for step in seen] != [step[4] for step in base]
    seen.clear()
    run(seeds=replace(SEEDS, order=50))
    assert [step[2] for step in seen] != [step[2] for step in base]


# -- methods -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [name for name in OF_CLASSIFIERS if name not in ("ce", "ce_long", "ce_throughout")]
)
def test_methods_differ_in_the_loss_alone(
    method: str, seen: list[tuple[Any, ...]], initial_states: list[StateDict]
) -> None:
    steps: list[int] = []
    plain = run("ce", on_step=steps.append)
    plain_seen, plain_steps = seen.copy(), steps.copy()
    seen.clear(), steps.clear()
    distilled = run(method, on_step=steps.append)
    assert plain_steps == steps == list(range(8))
    assert seen == plain_seen  # images, order, labels and the very pixels of the views
    assert equal(initial_states[0], initial_states[1])
    assert [point.epoch for point in plain.curve] == [point.epoch for point in distilled.curve]
    assert not equal(plain.last, distilled.last)


class Connected(Method):
    """A method with a projector that needs all outputs of a network."""

    name: ClassVar[str] = "connected"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "embedding", "maps"})
    built: ClassVar[list[Connected]] = []

    class Config(BaseModel):
        weight: float = 1.0

    def __init__(self, config: Any, pair: Pair) -> None:
        super().__init__(config, pair)
        assert pair.teacher
        self.projector = nn.Linear(pair.student.embedding or 0, pair.teacher.embedding or 0)
        self.initial = snapshot(self)
        self.seen: list[tuple[Outputs, Outputs]] = []
        Connected.built.append(self)

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        assert teacher is not None
        self.seen.append((student, teacher))
        apart = self.projector(student.embedding) - teacher.embedding
        maps = [(own - target).pow(2).mean() for own, target in zip(student.maps, teacher.maps, strict=True)]
        ce = nn.functional.cross_entropy(student.logits, batch.labels)
        return {"ce": ce, "embedding": apart.pow(2).mean(), "maps": torch.stack(maps).sum()}


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[MethodSpec]:
    monkeypatch.setitem(methods._entries, "connected", Connected)
    Connected.built.clear()
    yield MethodSpec("connected", Connected.Config())  # type: ignore[arg-type]
    Connected.built.clear()


@pytest.mark.usefixtures("connected")
def test_the_result_is_the_bare_student() -> None:
    trained = run({"connected": {}})
    method = Connected.built[-1]
    assert not equal(method.initial, snapshot(method))  # the connector was trained ...
    fresh = build_model(MODEL, classes=3, inputs=InputSpec.square(1, 8)).state_dict()
    for state in (trained.last, trained.selected):  # ... and is not part of the result
        assert {name: value.shape for name, value in state.items()} == {
            name: value.shape for name, value in fresh.items()
        }
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trained.model.modules())


@pytest.mark.usefixtures("connected")
def test_a_connector_does_not_change_the_initial_weights(initial_states: list[StateDict]) -> None:
    run("ce", chosen=recipe(steps=1))
    run({"connected": {}}, chosen=recipe(steps=1))
    assert equal(*initial_states)


@pytest.mark.usefixtures("connected")
def test_connectors_depend_on_the_seeds_alone() -> None:
    torch.manual_seed(1)
    first = run({"connected": {}})
    torch.manual_seed(2)
    second = run({"connected": {}})
    assert equal(*(method.initial for method in Connected.built))
    assert equal(first.last, second.last)


@pytest.mark.usefixtures("connected")
def test_a_live_teacher_is_not_changed() -> None:
    teacher = network()
    before = snapshot(teacher)
    trained = run({"connected": {}}, teacher=teacher)
    assert equal(before, snapshot(teacher))  # running statistics among them
    assert not any(module.training for module in teacher.modules())
    assert not any(
        parameter.requires_grad or parameter.grad is not None for parameter in teacher.parameters()
    )
    seen = Connected.built[-1].seen
    assert len(seen) == 8
    for student, given in seen:
        tensors = [given.logits, given.embedding, *given.maps]
        assert len(given.maps) == len(student.maps) > 1
        assert not any(tensor.requires_grad for tensor in tensors if tensor is not None)
        assert student.logits.requires_grad
    assert trained.curve[-1].losses.keys() == {"ce", "embedding", "maps"}


# -- selection -----------------------------------------------------------------------------------------------


def test_the_selected_weights_are_the_best_on_val() -> None:
    """Val labels that contradict the training labels make an early epoch the best."""
    sets = role_sets()
    val = sets.val.relabel((sets.val.labels + 1) % 3)
    trained = run(val=val, chosen=recipe(epochs=8, lr=0.3))
    scores = {point.epoch: point.val_accuracy for point in trained.curve}
    best = max(scores.values())
    assert trained.selected_epoch == max(epoch for epoch, score in scores.items() if score == best)
    assert trained.selected_epoch < 8  # or this test would show nothing
    assert not equal(trained.selected, trained.last)
    assert equal(trained.last, snapshot(trained.model))
    for state, epoch in ((trained.selected, trained.selected_epoch), (trained.last, 8)):
        trained.model.load_state_dict(state)
        logits = predict(trained.model, val, NORMALIZE, CPU, "fp32")
        assert float((logits.argmax(axis=1) == val.labels).mean()) == scores[epoch]


def test_val_selects_and_does_not_train() -> None:
    val = role_sets().val
    chosen = recipe(epochs=6)
    first, second = (run(val=each, chosen=chosen) for each in (val, val.relabel((val.labels + 1) % 3)))
    assert equal(first.last, second.last)
    assert [point.val_accuracy for point in first.curve] != [point.val_accuracy for point in second.curve]


def test_the_curve_has_a_point_per_validation() -> None:
    chosen = recipe(epochs=12)
    trained = run(chosen=chosen)
    assert tuple(point.epoch for point in trained.curve) == chosen.val_epochs
    assert trained.curve[-1].losses["ce"] < trained.curve[0].losses["ce"]  # training works, too


# -- divergence and evaluation
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys", [{"lr": 1e30}, {"lr": 1e30, "steps": 1}, {"lr": 1e30, "steps": 3}, {"lr": 1e38, "epochs": 3}]
)
def test_divergence_is_an_error(keys: dict[str, Any]) -> None:
    """Also in the last step, after which no loss is computed."""
    with pytest.raises(DivergenceError, match="not finite"):
        run(chosen=recipe(**keys))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(self: Method, student: Outputs, teacher: Any, batch: Batch) -> dict[str, Tensor]:
        return {"ce": student.logits.sum() * 0 + (value if batch.progress == 0.5 else 1.0)}

    monkeypatch.setattr(methods["ce"], "forward", spoiled)
    with pytest.raises(DivergenceError, match="epoch 2"):
        run(chosen=recipe(epochs=2))


def test_finite_logits_stay_finite_in_half_precision() -> None:
    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[1e9, -1e9, 1.0]]).expand(len(x), 3)

    logits = predict(Large(), examples_of(5), NORMALIZE, CPU, "fp32")
    assert logits.dtype == np.float16
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == 0).all()


def test_logits_are_found_in_a_mapping() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build_model(MODEL, classes=3, inputs=InputSpec.square(1, 8))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.inner(x)}

    wrapped, images = Wrapped().eval(), examples_of(5)
    assert np.array_equal(
        predict(wrapped, images, NORMALIZE, CPU, "fp32"),
        predict(wrapped.inner, images, NORMALIZE, CPU, "fp32"),
    )


@pytest.mark.parametrize("training", [True, False])
def test_prediction_does_not_change_the_network(training: bool) -> None:
    model = network().train(training)
    before = snapshot(model)
    predict(model, examples_of(5), NORMALIZE, CPU, "fp32")
    assert model.training is training
    assert equal(before, snapshot(model))


def test_predictions_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = network(), examples_of(31)
    whole = predict(model, images, NORMALIZE, CPU, "fp32")
    monkeypatch.setattr("distillab.training.evaluation.inference_batch_size", lambda device: 7)
    parts = predict(model, images, NORMALIZE, CPU, "fp32")
    np.testing.assert_allclose(parts.astype(float), whole.astype(float), rtol=2e-3, atol=1e-3)
