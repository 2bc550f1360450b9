"""Methods on networks for tracking: each learns from the map or from places, or is refused in one line."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.methods import Pair, build_method, methods, parse_method
from distillab.methods.features.attention_guided import guided_attention
from distillab.models import InputSpec, NetworkInfo, TappedModel, build_model, inspect_network
from distillab.tasks import Tracking
from distillab.tasks.dense_outputs import DenseOutputs
from support.tracked import (
    CHANNELS,
    LABELS,
    OF_TRACKERS,
    tracked_batch,
    tracked_method,
    tracked_outputs,
    tracked_shapes,
)

INPUTS = InputSpec(3, 32, 32)
ON_TRACKERS = {
    *OF_TRACKERS,
    *("ab", "at", "ce", "ce_long", "ce_throughout", "cosine_guided", "ctkd", "dot", "fitnet", "ft", "ickd"),
    *("kd", "mgd", "mutual_learning", "nst", "ofd", "random_teacher", "self", "semckd", "sp", "vid"),
    "wkd_features",
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=1, inputs=INPUTS)


@cache
def info_of(name: str) -> NetworkInfo:
    return inspect_network(network(name), INPUTS, classes=1, name=name)


def pair_of(kind: str) -> Pair:
    student = info_of("fairmot_resnet_s")
    shapes = {"none": None, "self": student.shapes}.get(kind, info_of("fairmot_resnet_m").shapes)
    return Pair(
        student.shapes,
        shapes,
        n_train=len(LABELS),
        labels=LABELS,
        task=Tracking(),
        new_student=lambda number: network("fairmot_resnet_s"),
        teacher_network=network("fairmot_resnet_m"),
        student_taps=student.taps,
    )


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_learns_from_trackers_or_is_refused(name: str) -> None:
    spec = parse_method(name, "methods")
    try:
        method = build_method(spec, pair_of(spec.teacher))
        spec.kind.check_networks(network("fairmot_resnet_s"), network("fairmot_resnet_m"), INPUTS, name)
    except RequestError as error:
        assert name not in ON_TRACKERS and "\n" not in str(error)
        return
    assert name in ON_TRACKERS
    images = torch.randn(len(LABELS), *INPUTS.shape)
    student, taught_by = network("fairmot_resnet_s"), "fairmot_resnet_" + "ms"[spec.teacher == "self"]
    with TappedModel(student, spec.needs, info_of("fairmot_resnet_s").taps) as tapped:
        outputs = tapped(images)
    with (
        TappedModel(network(taught_by), spec.teacher_needs, info_of(taught_by).taps) as tapped,
        torch.no_grad(),
    ):
        taught = tapped(images)
    batch = replace(tracked_batch(), inputs=images)
    terms = method.total(outputs, None if spec.teacher == "none" else taught, batch)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    gradients = [weight.grad for weight in student.parameters() if weight.grad is not None]
    assert loss.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_the_supervised_term_has_the_identities_and_a_classifier_that_learns() -> None:
    method = tracked_method("ce")
    student = tracked_outputs("student", CHANNELS["student"])
    plain = Tracking().loss(student.logits, LABELS).mean()
    [term] = method.total(student, None, tracked_batch()).values()
    # Before it has learned anything, each of four objects in four images costs log 3, weighted by a half.
    assert float((term - plain).detach()) == pytest.approx(0.5 * math.log(3))
    term.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in method.parameters())


def test_a_sum_of_methods_counts_the_labels_once() -> None:
    both = tracked_method({"attention_guided": {}, "foreground_soft_labels": {}})
    outputs = tracked_outputs("student", 2), tracked_outputs("teacher", 3)
    terms = both.total(*outputs, tracked_batch())
    assert set(terms) == {
        "ce",
        "features",
        *(f"foreground_soft_labels.{term}" for term in ("classes", "boxes", "identities")),
    }
    torch.testing.assert_close(
        terms["ce"], tracked_method("ce").total(outputs[0], None, tracked_batch())["ce"]
    )


def test_attention_guided_has_its_golden_value() -> None:
    method = tracked_method("attention_guided", "student")
    with torch.no_grad():
        method.connector.weight.copy_(torch.eye(2)[..., None, None])
        method.connector.bias.zero_()
    student, teacher = tracked_outputs("student", 2), tracked_outputs("teacher", 2)
    found = method(student, teacher, tracked_batch())["features"]
    f_s, f_t = student.maps[0].numpy(), teacher.maps[0].numpy()
    p = DenseOutputs.of(teacher.logits).scores.sigmoid().amax(2).view(4, 3, 4).numpy()
    losses = []
    for image in range(4):
        distance = np.abs(f_t[image] - f_s[image]).mean(0)
        scaled = (distance - distance.min()) / (distance.max() - distance.min())
        attention = np.minimum(1, p[image] + scaled)
        errors = ((f_t[image] - f_s[image]) ** 2).mean(0)
        losses.append((attention * errors).sum() / attention.sum())
    assert float(found) == pytest.approx(np.mean(losses))
    assert method(student, student, tracked_batch())["features"] == 0


def test_attention_is_on_objects_and_on_disagreement() -> None:
    foreground = torch.tensor([[[0.9, 0.0, 0.0]]])
    difference = torch.tensor([[[[0.0, 0.0, 2.0]]]])
    assert guided_attention(foreground, difference).flatten().tolist() == pytest.approx([0.9, 0.0, 1.0])
    assert guided_attention(foreground, torch.zeros(1, 4, 1, 3)).flatten().tolist() == pytest.approx(
        [0.9, 0.0, 0.0]
    )


def test_foreground_soft_labels_has_its_golden_value() -> None:
    method = tracked_method({"foreground_soft_labels": {"threshold": 0.3, "box_weight": 2.0}})
    student, teacher = tracked_outputs("student", 2), tracked_outputs("teacher", 3)
    found = method(student, teacher, tracked_batch())
    own, other = DenseOutputs.of(student.logits), DenseOutputs.of(teacher.logits)
    p_s, p_t = (each.scores.sigmoid().numpy()[..., 0] for each in (own, other))
    mask = p_t > 0.3
    assert 0 < mask.sum() < mask.size
    divergence = p_t * np.log(p_t / p_s) + (1 - p_t) * np.log((1 - p_t) / (1 - p_s))
    assert float(found["classes"]) == pytest.approx(divergence[mask].mean())
    boxes = (own.boxes - other.boxes).abs().mean(2).numpy()
    assert float(found["boxes"]) == pytest.approx(2 * boxes[mask].mean())
    assert own.embedding is not None and other.embedding is not None
    cosines = (own.embedding * other.embedding).sum(2).numpy()
    assert float(found["identities"]) == pytest.approx(1 - cosines[mask].mean())
    unmasked = tracked_method({"foreground_soft_labels": {"mask": "none"}})
    assert float(unmasked(student, teacher, tracked_batch())["classes"]) == pytest.approx(divergence.mean())
    same = method(student, student, tracked_batch())
    assert float(sum(same.values())) == pytest.approx(0, abs=1e-9)


def test_places_behind_the_mask_are_not_learned() -> None:
    method = tracked_method({"foreground_soft_labels": {"threshold": 0.3}})
    student, teacher = tracked_outputs("student", 2), tracked_outputs("teacher", 3)
    student.logits.requires_grad_()
    torch.stack(list(method(student, teacher, tracked_batch()).values())).sum().backward()
    mask = DenseOutputs.of(teacher.logits).scores.sigmoid()[..., 0] > 0.3
    assert student.logits.grad is not None
    assert (student.logits.grad.abs().sum(2) > 0).equal(mask)


def test_other_networks_are_refused() -> None:
    shapes = tracked_shapes(2)
    with pytest.raises(
        RequestError, match="method attention_guided is defined for tracking alone, not for cl"
    ):
        build_method(parse_method("attention_guided", "methods"), Pair(shapes, shapes, n_train=2))
