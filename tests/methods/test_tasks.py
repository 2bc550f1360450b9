"""Methods in other tasks than classification: the same formulas, or a refusal in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from distillab.errors import RequestError
from distillab.methods import Batch, Method, Pair, build_method, methods, parse_method
from distillab.tasks import Mixed, MultiLabel
from distillab.tasks.losses import bernoulli_kl
from support.methods import (
    CLASSIFIER,
    EARLY,
    GROUPS,
    STAGES,
    STUDENT,
    STUDENT_RAW,
    TEACHER,
    TEACHER_RAW,
    C,
    N,
    batch,
    leaves,
    new_student,
    outputs,
    shapes,
)

TASK = MultiLabel()
SETS = (torch.arange(N * C).reshape(N, C) % 3 == 0).to(torch.int8)
SOME = torch.where(torch.arange(N)[:, None] == 2, -1, SETS)
FOR_ALL_TASKS = [name for name in methods if "multilabel" in (methods[name].tasks or ["multilabel"])]
FOR_OTHERS = [name for name in methods if name not in FOR_ALL_TASKS]


def built(name: str, labels: Tensor = SETS) -> Method:
    there = shapes(C, STAGES.get(name, 1))
    pair = Pair(
        there,
        None if methods[name].teacher == "none" else there,
        n_train=N,
        labels=labels,
        groups=GROUPS,
        teacher_classifier=CLASSIFIER,
        new_student=new_student,
        task=TASK,
    )
    torch.manual_seed(0)
    return build_method(parse_method(name, "methods"), pair).double()


def of(name: str, labels: Tensor) -> Batch:
    made = batch(labels, progress=EARLY.get(name, 0.5))
    assert made.inputs is not None
    return replace(made, inputs=made.inputs.double())


@pytest.mark.parametrize("labels", [SETS, SOME], ids=["labelled", "some"])
@pytest.mark.parametrize("name", FOR_ALL_TASKS)
def test_methods_of_all_tasks_learn_label_sets(name: str, labels: Tensor) -> None:
    method, stages = built(name, labels), STAGES.get(name, 1)
    student = leaves(STUDENT_RAW)
    teacher = None if method.learns_from == "none" else outputs(TEACHER_RAW, stages)
    terms = method.total(outputs(student, stages), teacher, of(name, labels))
    torch.stack(list(terms.values())).sum().backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in student)
    config = method.config.of.config if hasattr(method.config, "of") else method.config
    weight = getattr(config, "ce_weight", 1.0) if name not in EARLY else 0.0
    smoothing = getattr(method.config, "smoothing", 0.0)
    expected = weight * TASK.loss(STUDENT, labels, smoothing=smoothing).mean()
    torch.testing.assert_close(terms["ce"].detach(), expected)


@pytest.mark.parametrize("name", FOR_OTHERS)
def test_methods_of_one_task_are_refused_in_others(name: str) -> None:
    [task] = methods[name].tasks or ()
    message = rf"^method {name} is defined for {task} alone, not for multilabel .allowed: [^\n]*$"
    with pytest.raises(RequestError, match=message):
        built(name)


def test_kd_learns_each_label_from_the_teacher() -> None:
    terms = built("kd").total(outputs(STUDENT_RAW), outputs(TEACHER_RAW), of("kd", SETS))
    expected = 0.9 * 4.0**2 * bernoulli_kl(STUDENT, TEACHER, 4.0).mean()
    torch.testing.assert_close(terms["kd"], expected)


def test_sums_hold_for_the_tasks_that_all_parts_hold_for() -> None:
    pair = Pair(shapes(), shapes(), n_train=N, task=TASK)
    build_method(parse_method({"kd": {}, "rkd": {}}, "methods"), pair)
    with pytest.raises(RequestError, match="method dkd is defined for classification alone"):
        build_method(parse_method({"kd": {}, "dkd": {}}, "methods"), pair)


def test_mixed_label_sets_share_the_supervised_term() -> None:
    mixed = Mixed(SETS.roll(1, 0), torch.full((N,), 0.25, dtype=torch.float64))
    terms = built("ce").total(outputs(STUDENT_RAW), None, replace(of("ce", SETS), mixed=mixed))
    expected = 0.25 * TASK.loss(STUDENT, SETS) + 0.75 * TASK.loss(STUDENT, SETS.roll(1, 0))
    torch.testing.assert_close(terms["ce"], expected.mean())
