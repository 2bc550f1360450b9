"""Methods on detectors: each learns from the pyramid or from cells, or is refused in one line."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from distillab.data import Boxes
from distillab.errors import RequestError
from distillab.methods import Pair, build_method, methods, parse_method
from distillab.methods.batch import Batch
from distillab.models import InputSpec, NetworkInfo, TappedModel, build_model, inspect_network
from distillab.tasks import Detection

INPUTS = InputSpec(3, 64, 64)
OBJECTS = [[(0, 5, 5, 25, 30)], [(1, 20, 20, 50, 60), (0, 1, 1, 12, 12)], [], [(1, 30, 3, 44, 14)]]
LABELS = torch.from_numpy(Boxes.of(OBJECTS, 2).values)
ON_DETECTORS = {
    *("ab", "at", "ce", "ce_long", "ce_throughout", "cosine_guided", "ctkd", "dot", "fitnet", "fsp", "ft"),
    *(
        "ickd",
        "kd",
        "mgd",
        "mskd",
        "mutual_learning",
        "nst",
        "ofd",
        "random_teacher",
        "self",
        "semckd",
        "sp",
        "vid",
    ),
    "wkd_features",
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=2, inputs=INPUTS)


@cache
def info_of(name: str) -> NetworkInfo:
    return inspect_network(network(name), INPUTS, classes=2, name=name)


def pair_of(kind: str, teacher: str, labels: torch.Tensor | None = LABELS) -> Pair:
    shapes = {"none": None, "self": info_of("fcos_dwnet_s").shapes}.get(kind, info_of(teacher).shapes)
    return Pair(
        info_of("fcos_dwnet_s").shapes,
        shapes,
        n_train=len(OBJECTS),
        labels=labels,
        task=Detection(),
        new_student=lambda number: network("fcos_dwnet_s"),
        teacher_network=network(teacher),
        student_taps=info_of("fcos_dwnet_s").taps,
    )


@pytest.mark.parametrize("name", sorted(methods))
def test_every_method_learns_from_detectors_or_is_refused(name: str) -> None:
    spec = parse_method(name, "methods")
    try:
        method = build_method(spec, pair_of(spec.teacher, "fcos_resnet_s"))
        spec.kind.check_networks(network("fcos_dwnet_s"), network("fcos_resnet_s"), INPUTS, name)
    except RequestError as error:
        assert name not in ON_DETECTORS and "\n" not in str(error)
        return
    assert name in ON_DETECTORS
    images = torch.randn(len(OBJECTS), *INPUTS.shape)
    student = network("fcos_dwnet_s")
    with TappedModel(student, spec.needs, info_of("fcos_dwnet_s").taps) as tapped:
        outputs = tapped(images)
    taught_by = "fcos_dwnet_s" if spec.teacher == "self" else "fcos_resnet_s"
    with (
        TappedModel(network(taught_by), spec.teacher_needs, info_of(taught_by).taps) as tapped,
        torch.no_grad(),
    ):
        taught = tapped(images)
    places = torch.arange(len(OBJECTS))
    batch = Batch(LABELS, places, places, epoch=0, progress=0.0, epoch_length=1, inputs=images)
    terms = method.total(outputs, None if spec.teacher == "none" else taught, batch)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    gradients = [weight.grad for weight in student.parameters() if weight.grad is not None]
    assert loss.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_a_student_equal_to_its_teacher_has_no_transfer_loss() -> None:
    method = build_method(parse_method("kd", "methods"), pair_of("self", "fcos_dwnet_s"))
    with TappedModel(network("fcos_dwnet_s"), {"logits"}, info_of("fcos_dwnet_s").taps) as tapped:
        outputs = tapped(torch.randn(len(OBJECTS), *INPUTS.shape))
    places = torch.arange(len(OBJECTS))
    batch = Batch(LABELS, places, places, epoch=0, progress=0.0, epoch_length=1)
    assert method.transfer(outputs, outputs, batch)["kd"] == 0


def test_cells_of_other_detectors_are_not_compared() -> None:
    with pytest.raises(
        RequestError, match="compares outputs cell by cell, and the student has 84 cells, the"
    ):
        build_method(parse_method("kd", "methods"), pair_of("study", "retinanet_dwnet_s"))
    build_method(parse_method("cosine_guided", "methods"), pair_of("study", "retinanet_dwnet_s"))
