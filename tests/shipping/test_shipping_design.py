"""How the time of a budget is spent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.errors import RequestError
from distillab.shipping.design import (
    ShippingDesign,
    StepCosts,
    fitting_design,
    too_short,
    training_seconds,
)

COSTS = StepCosts(student=0.01, teacher=0.03, batch=0.01)


@given(
    seconds=st.floats(1, 1e5),
    student=st.floats(1e-4, 1.0),
    teacher=st.floats(0, 5.0),
    arms=st.integers(2, 8),
    workers=st.integers(1, 16),
)
def test_a_design_fits_into_its_time(
    seconds: float, student: float, teacher: float, arms: int, workers: int
) -> None:
    costs = StepCosts(student, teacher, student / 2)
    design = fitting_design(seconds, costs, 800, arms, workers=workers)
    if design is not None:
        assert design.seconds(costs.of_batch(design.batch_size / 64), arms, workers) <= seconds
        assert design.pairs >= 5 and design.settings >= 3
        assert (design.teacher_steps == 0) == (teacher == 0)


@given(seconds=st.floats(20, 1e4), factor=st.floats(1, 20))
def test_more_time_never_means_fewer_pairs_or_shorter_training(seconds: float, factor: float) -> None:
    less, more = (fitting_design(each, COSTS, 800, 3) for each in (seconds, seconds * factor))
    if less is not None:
        assert more is not None
        assert (more.steps, more.batch_size, more.pairs) >= (less.steps, less.batch_size, less.pairs)


def test_fixed_pairs_are_kept() -> None:
    design = fitting_design(1e4, COSTS, 800, 3, pairs=20)
    assert design is not None and design.pairs == 20


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_budget_that_is_named_as_long_enough_is_long_enough(workers: int) -> None:
    error = too_short(30.0, 2.0, COSTS, 800, 3, workers=workers, pairs=None)
    minutes = int(str(error.allowed).split("about ")[1].split("m")[0])
    assert fitting_design(training_seconds(60.0 * minutes, 2.0), COSTS, 800, 3, workers=workers)


def test_a_given_teacher_is_not_trained() -> None:
    design = fitting_design(900.0, StepCosts(0.01, 0.0, 0.01), 800, 3)
    assert design is not None and design.teacher_steps == 0


def test_a_design_is_read_back() -> None:
    design = ShippingDesign(800, 400, 6, 7, 1.0, 32)
    assert ShippingDesign.from_dict(design.as_dict()) == design


def test_the_error_names_the_option_and_what_would_do() -> None:
    error = too_short(30.0, 2.0, COSTS, 800, 3, workers=2, pairs=None)
    assert isinstance(error, RequestError)
    assert "--budget 30s" in str(error) and "--size" in str(error)
