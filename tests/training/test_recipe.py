"""Recipes: their values, what ``auto`` resolves to, and the learning rate of each step."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from distillab.training.numerics.config import NumericsConfig
from distillab.training.recipe import AUTO_EPOCHS, AUTO_STEPS, VALIDATIONS, Recipe, ResolvedRecipe
from support.training import examples_of, recipe

KEYS = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["cosine", "step", "constant"]),
        "warmup": st.floats(0, 0.9),
        "batch_size": st.integers(2, 100),
        "lr": st.floats(1e-5, 10),
        "optimiser": st.sampled_from(["sgd", "adamw"]),
    }
)
LENGTHS = st.one_of(
    st.builds(lambda n: {"steps": n}, st.integers(1, 500)),
    st.builds(lambda n: {"epochs": n}, st.integers(1, 60)),
)


@pytest.mark.parametrize(
    ("n", "batch"),
    [(3, 3), (9, 8), (40, 8), (159, 8), (160, 16), (319, 16), (320, 32), (640, 64), (5000, 64)],
)
def test_the_batch_size_follows_the_size_of_the_set(n: int, batch: int) -> None:
    """A tenth of the set rounded down to a power of two, between 8 and 64, and never more than there are."""
    assert Recipe().resolve(examples_of(n)).batch_size == batch


@pytest.mark.parametrize(("n", "steps"), [(40, AUTO_STEPS), (6400, 1000), (640, AUTO_STEPS)])
def test_auto_length_serves_small_and_large_sets(n: int, steps: int) -> None:
    resolved = Recipe().resolve(examples_of(n))
    assert resolved.steps == steps
    assert resolved.steps >= AUTO_STEPS
    assert resolved.epochs >= AUTO_EPOCHS
    assert Recipe(epochs="auto").resolve(examples_of(n)) == resolved


@pytest.mark.parametrize(
    ("keys", "lr"),
    [
        ({"batch_size": 64}, 0.05),
        ({"batch_size": 16}, 0.025),
        ({"batch_size": 256}, 0.1),
        ({"batch_size": 256, "optimiser": "adamw"}, 0.001),
        ({"batch_size": 16, "lr": 0.3}, 0.3),
        ({"batch_size": 16, "lr": 1}, 1.0),
    ],
)
def test_the_learning_rate_scales_with_the_root_of_the_batch(keys: dict[str, Any], lr: float) -> None:
    assert Recipe(**keys).resolve(examples_of(640)).lr == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize(
    ("requested", "bf16", "used"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_a_requested_precision_overrides_the_device(requested: Any, bf16: bool, used: str) -> None:
    faster = NumericsConfig(precision="bf16" if bf16 else "fp32")
    assert Recipe(precision=requested).resolve(examples_of(), faster).precision == used


@pytest.mark.parametrize(("channels", "views"), [(1, "crop"), (3, "crop_flip")])
def test_views_follow_the_images(channels: int, views: str) -> None:
    resolved = Recipe().resolve(examples_of(channels=channels))
    assert (resolved.views, resolved.pad) == (views, 1)
    assert resolved.view_spec.kind == views
    assert resolved.view_spec.pad == 1


def test_epochs_are_counted_in_full_batches() -> None:
    resolved = recipe(examples_of(45), epochs=3, batch_size=10)
    assert (resolved.steps_per_epoch, resolved.steps, resolved.epochs) == (4, 12, 3)


def test_the_last_epoch_is_cut_short_by_steps() -> None:
    resolved = recipe(examples_of(45), steps=9, batch_size=10)
    assert (resolved.steps, resolved.epochs) == (9, 3)


def test_a_batch_is_never_larger_than_the_set() -> None:
    resolved = recipe(examples_of(12), epochs=2, batch_size=64)
    assert (resolved.batch_size, resolved.steps_per_epoch, resolved.steps) == (12, 1, 2)


@pytest.mark.parametrize(
    ("keys", "about"),
    [
        ({"epochs": 3, "steps": 3}, "not both"),
        ({"epochs": "auto", "steps": 3}, "not both"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"steps": 0}, "steps"),
        ({"steps": "auto"}, "steps"),
        ({"lr": 0}, "lr"),
        ({"lr": -0.1}, "lr"),
        ({"lr": math.inf}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"lr": "fast"}, "lr"),
        ({"batch_size": 1}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"momentum": 1}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"momentum": math.nan}, "momentum"),
        ({"momentum": 0, "nesterov": True}, "nesterov"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"weight_decay": math.inf}, "weight_decay"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"warmup": 1}, "warmup"),
        ({"warmup": -0.1}, "warmup"),
        ({"milestones": [150, 180]}, "milestones"),  # epochs where shares are meant would never decay
        ({"milestones": [0.5, 0.0]}, "milestones"),
        ({"schedule": "linear"}, "schedule"),
        ({"optimiser": "adam"}, "optimiser"),
        ({"views": "rotate"}, "views"),
        ({"precision": "fp16"}, "precision"),
        ({"learning_rate": 0.1}, "learning_rate"),
    ],
)
def test_invalid_values_are_refused(keys: dict[str, Any], about: str) -> None:
    with pytest.raises(ValidationError, match=about):
        Recipe(**keys)


# -- schedules -----------------------------------------------------------------------------------------------


def test_cosine_falls_from_the_full_rate_to_zero() -> None:
    resolved = recipe(steps=100, lr=0.4)
    assert resolved.lr_at(0) == pytest.approx(0.4)
    assert resolved.lr_at(50) == pytest.approx(0.2)
    assert resolved.lr_at(25) == pytest.approx(0.4 * math.cos(math.pi / 8) ** 2)
    assert resolved.lr_at(99) == pytest.approx(0.4 * math.sin(math.pi / 200) ** 2)
    assert resolved.lr_at(100) == pytest.approx(0, abs=1e-15)


def test_step_divides_by_ten_at_milestones() -> None:
    resolved = recipe(steps=240, lr=0.1, schedule="step")  # the 240 epochs of the usual CIFAR recipe
    expected = {0: 0.1, 149: 0.1, 150: 0.01, 179: 0.01, 180: 0.001, 209: 0.001, 210: 1e-4, 239: 1e-4}
    for step, lr in expected.items():
        assert resolved.lr_at(step) == pytest.approx(lr)


def test_constant_is_constant() -> None:
    resolved = recipe(steps=7, lr=0.3, schedule="constant")
    assert [resolved.lr_at(step) for step in range(7)] == [0.3] * 7


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_warmup_rises_linearly_to_the_full_rate(schedule: Any) -> None:
    resolved = recipe(steps=20, lr=0.8, schedule=schedule, warmup=0.2)
    rates = [resolved.lr_at(step) for step in range(5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


@settings(max_examples=60)
@given(keys=KEYS, length=LENGTHS)
def test_the_learning_rate_falls_after_warmup(keys: dict[str, Any], length: dict[str, int]) -> None:
    resolved = recipe(examples_of(90), **keys, **length)
    rates = [resolved.lr_at(step) for step in range(resolved.steps)]
    assert all(0 < rate <= resolved.lr * (1 + 1e-12) for rate in rates)
    warm = int(resolved.warmup * resolved.steps)
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    assert rates[warm] == resolved.lr


# -- validation --------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(n=st.integers(4, 300), length=LENGTHS, batch=st.integers(2, 64))
def test_validations_are_evenly_spread(n: int, length: dict[str, int], batch: int) -> None:
    resolved = recipe(examples_of(n), batch_size=batch, **length)
    epochs = resolved.val_epochs
    assert list(epochs) == sorted(set(epochs))
    assert epochs[-1] == resolved.epochs
    assert epochs[0] >= 1
    assert len(epochs) == min(VALIDATIONS, resolved.epochs)
    gaps = [after - before for before, after in zip((0, *epochs), epochs, strict=False)]
    assert max(gaps) - min(gaps) <= 1


# -- JSON ------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(keys=KEYS, length=LENGTHS)
def test_a_recipe_is_read_from_its_json(keys: dict[str, Any], length: dict[str, int]) -> None:
    resolved = recipe(examples_of(90), **keys, **length)
    assert ResolvedRecipe.from_dict(json.loads(json.dumps(resolved.as_dict()))) == resolved
