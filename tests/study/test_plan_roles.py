"""The sets of a condition by role: factors change the roles they name, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from distillab.canonical import canonical_json
from distillab.data.examples import Examples
from distillab.factors import factors
from distillab.study.planning.conditions import Condition, Conditions, Roles
from support.studies import dataset, plan


def roles_of(chain: Mapping[str, Any], seed: int = 0) -> Roles:
    made = tuple(factors[name].model_validate(config) for name, config in chain.items())
    return Conditions(dataset()).roles(Condition(made, seed))


def same_images(first: Examples, second: Examples) -> bool:
    return first.digest == second.digest


@pytest.mark.parametrize("seed", range(3))
def test_subsets_are_nested(seed: int) -> None:
    small, large = (roles_of({"size": {"level": level}}, seed).transfer for level in (5.0, 10.0))
    assert set(small.ids.tolist()) < set(large.ids.tolist())
    assert set(small.ids.tolist()) != set(roles_of({"size": {"level": 5.0}}, seed + 1).transfer.ids.tolist())


def test_factor_changes_the_transfer_role_by_default() -> None:
    clean = dataset()
    roles = roles_of({"size": {"level": 5.0}, "label_noise": {"level": 0.4}})
    assert len(roles.transfer) == 20
    assert same_images(roles.teacher["same"], roles.transfer)
    assert same_images(roles.teacher["full"], clean.train)
    assert same_images(roles.val, clean.val)
    assert same_images(roles.eval["test"], clean.eval["test"])


@pytest.mark.parametrize("role", ["teacher", "val", "eval"])
def test_factor_changes_only_the_roles_it_names(role: str) -> None:
    clean, roles = dataset(), roles_of({"size": {"level": 5.0, "roles": [role]}})
    sizes = {
        "transfer": len(roles.transfer),
        "teacher": len(roles.teacher["full"]),
        "val": len(roles.val),
        "eval": len(roles.eval["test"]),
    }
    untouched = {
        "transfer": len(clean.train),
        "teacher": len(clean.train),
        "val": len(clean.val),
        "eval": len(clean.eval["test"]),
    }
    assert sizes == untouched | {role: 20}
    assert len(roles.teacher["same"]) == (20 if role == "teacher" else len(clean.train))
    assert [check.factor for check in roles.checks] == ["size"]


def test_factor_of_both_roles_is_applied_once_to_a_same_teacher() -> None:
    roles = roles_of({"label_noise": {"level": 0.4, "roles": ["transfer", "teacher"]}})
    assert same_images(roles.teacher["same"], roles.transfer)
    assert same_images(roles.teacher["full"], roles.transfer)
    assert np.mean(roles.transfer.labels != dataset().train.labels) == pytest.approx(0.4, abs=0.01)


def test_teacher_factors_are_applied_on_top_of_transfer_factors() -> None:
    roles = roles_of({"size": {"level": 8.0}, "label_noise": {"level": 0.5, "roles": ["teacher"]}})
    same = roles.teacher["same"]
    assert (same.ids == roles.transfer.ids).all()
    assert np.mean(same.labels != roles.transfer.labels) == 0.5
    assert len(roles.teacher["full"]) == len(dataset().train)
    assert np.mean(roles.teacher["full"].labels != dataset().train.labels) == pytest.approx(0.5, abs=0.01)


def test_factor_of_test_sets_changes_no_training_set() -> None:
    made = plan(factors={"size": {"levels": [5, 10], "roles": ["eval"]}}, seeds=[0])
    teachers = {cell.teacher_run for cell in made.cells if cell.provenance == "full"}
    assert len(teachers) == 1
    assert len({job.sets.train for job in made.students}) == 1
    assert len({canonical_json(job.sets.eval) for job in made.students}) == 2
