"""Cosine-guided distillation of detectors: objects, regions, towers, predictions and the assistant branch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillab.data import Boxes
from distillab.errors import RequestError
from distillab.methods import Batch, Pair, build_method, parse_method
from distillab.methods.detection.guided_parts import ALL_PARTS, AssistantBranch
from distillab.methods.features.cosine_guided import CosineGuided, guided_losses
from distillab.models import InputSpec, NetworkInfo, Outputs, TappedModel, build_model, inspect_network
from distillab.tasks import Detection
from distillab.tasks.dense_outputs import DenseOutputs
from distillab.tasks.detection_losses import focal_loss
from support.methods import make

INPUTS = InputSpec(3, 64, 64)
OBJECTS = [[(0, 5, 5, 25, 30)], [(1, 20, 20, 50, 60), (0, 1, 1, 12, 12)], []]
LABELS = torch.from_numpy(Boxes.of(OBJECTS, 2).values)
IMAGES = torch.sin(torch.arange(3 * 3 * 64 * 64).reshape(3, 3, 64, 64) * 0.37)
KINDS = pytest.mark.parametrize("kind", ["fcos", "retinanet"])


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=2, inputs=INPUTS)


@cache
def info_of(name: str) -> NetworkInfo:
    return inspect_network(network(name), INPUTS, classes=2, name=name)


@cache
def found_by(name: str) -> Outputs:
    needs = {"logits", "maps", "towers"}
    with TappedModel(network(name), needs, info_of(name).taps) as tapped, torch.no_grad():
        return tapped(IMAGES)


def built(student: str, teacher: str, **config: Any) -> CosineGuided:
    torch.manual_seed(0)
    pair = Pair(info_of(student).shapes, info_of(teacher).shapes, n_train=3, labels=LABELS, task=Detection())
    made = build_method(parse_method({"cosine_guided": config}, "methods"), pair)
    assert isinstance(made, CosineGuided)
    return made


def of_images(labels: Tensor = LABELS) -> Batch:
    places = torch.arange(len(labels))
    return Batch(labels, places, places, epoch=0, progress=0.0, epoch_length=1, inputs=IMAGES)


def with_directions(outputs: Outputs) -> Outputs:
    """Return outputs without zeros: a channel that is zero in all places has no direction."""
    dense = DenseOutputs.of(outputs.logits)
    return replace(
        outputs,
        logits=replace(dense, boxes=dense.boxes.abs() + 0.5).tensor(),
        maps=tuple(each.abs() + 1 for each in outputs.maps),
        towers=tuple(tuple(tuple(x + 1 for x in layer) for layer in tower) for tower in outputs.towers),
    )


def identical(method: CosineGuided) -> CosineGuided:
    """Let the 1x1 convolutions of a method between equal networks return their inputs."""
    for layer in method.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            nn.init.dirac_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return method


@KINDS
def test_equal_detectors_have_no_loss_but_that_of_the_assistant(kind: str) -> None:
    name = f"{kind}_resnet_s"
    method, found = identical(built(name, name, also="all")), with_directions(found_by(name))
    terms = method.transfer(found, found, of_images())
    assert set(terms) == {"values", "cosines", "assistant"} and terms["assistant"] > 0
    assert [terms[name].item() for name in ("values", "cosines")] == pytest.approx([0, 0], abs=1e-5)


@KINDS
@pytest.mark.parametrize("part", ALL_PARTS)
def test_every_part_adds_to_the_loss_and_needs_what_it_reads(part: str, kind: str) -> None:
    names = f"{kind}_dwnet_s", f"{kind}_resnet_l"
    student, teacher = map(found_by, names)
    pyramid = built(*names).transfer(student, teacher, of_images())
    method = built(*names, also=[part])
    terms = method.transfer(student, teacher, of_images())
    assert ("assistant" in terms) == (part == "assistant")
    assert (terms["cosines"] > pyramid["cosines"]) == (part != "assistant")
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in method.parameters())
    needs = method.requirements(method.config).needs - {"labels", "maps"}
    wanted = {"towers": {"towers"}, "predictions": {"logits"}, "assistant": {"towers", "logits"}}
    assert needs == wanted.get(part, {"inputs"})


def test_all_is_every_part_and_nothing_is_the_pyramid() -> None:
    names = "fcos_dwnet_s", "fcos_resnet_s"
    pair = found_by(names[0]), found_by(names[1])
    for one, other in (("all", list(ALL_PARTS)), ("nothing", [])):
        terms = [built(*names, also=also).transfer(*pair, of_images()) for also in (one, other)]
        assert terms[0].keys() == terms[1].keys()
        for name, value in terms[0].items():
            torch.testing.assert_close(value, terms[1][name])


def test_objects_and_background_share_the_places_of_the_pyramid() -> None:
    """Without guidance, the squares of all places are those inside and outside of boxes."""
    names = "fcos_dwnet_s", "fcos_resnet_s"
    pair = found_by(names[0]), found_by(names[1])
    usual: dict[str, Any] = {"guided": False, "cosine_weight": 0.0}
    whole = built(*names, **usual).transfer(*pair, of_images())["values"]
    for part in ("foreground", "background"):
        labels = torch.tensor([[[0.0, 0, 0, 64, 64]]] * 3)
        if part == "background":
            labels[..., 0] = -1
        terms = built(*names, also=[part], **usual).transfer(*pair, of_images(labels))
        torch.testing.assert_close(terms["values"], 2 * whole)


def test_images_without_objects_have_neither_foreground_nor_regions() -> None:
    empty = torch.zeros_like(LABELS)
    empty[..., 0] = -1
    names = "fcos_dwnet_s", "fcos_resnet_s"
    pair = found_by(names[0]), found_by(names[1])
    terms = built(*names, also=["foreground", "regions"]).transfer(*pair, of_images(empty))
    pyramid = built(*names).transfer(*pair, of_images(empty))
    assert terms == pyramid


def test_without_guidance_it_is_the_mean_squared_error() -> None:
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    ones = torch.ones(2, 1, 4, 5)
    values, _ = guided_losses(student, teacher, ones, guided=False)
    torch.testing.assert_close(values, (student - teacher).square().mean())
    terms = make({"cosine_guided": {"guided": False, "cosine_weight": 0}}).Config().model_dump()
    assert terms["guided"] is True and terms["also"] == "nothing", "the defaults are as they were"


def test_directions_do_not_depend_on_scale_and_guide_to_where_they_differ() -> None:
    student, teacher = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    ones = torch.ones(2, 1, 4, 5)
    torch.testing.assert_close(
        guided_losses(student, teacher, ones)[1], guided_losses(3 * student, 0.5 * teacher, ones)[1]
    )


def test_cosine_guided_values_have_their_golden_value() -> None:
    """The first place differs in length alone, and does not count; the second one has another direction."""
    student = torch.tensor([[[[2.0, 1.0]], [[2.0, 1.0]]]])
    teacher = torch.tensor([[[[1.0, 1.0]], [[1.0, -1.0]]]])
    values, cosines = guided_losses(student, teacher, torch.ones(1, 1, 1, 2))
    across = [1 - 3 / 10**0.5, 1 - 1 / 10**0.5]
    assert values.item() == pytest.approx(across[1] * 1 * 2**2 / 4)
    assert cosines.item() == pytest.approx(sum(across) / 2 + 1 / 2)


def test_the_assistant_learns_the_teacher_in_the_cells_of_objects_alone() -> None:
    names = "fcos_dwnet_s", "fcos_resnet_s"
    torch.manual_seed(0)
    branch = AssistantBranch(info_of(names[0]).shapes)
    student, teacher = found_by(names[0]), found_by(names[1])
    classes, boxes = branch(student, teacher, LABELS)
    empty = torch.zeros_like(LABELS)
    empty[..., 0] = -1
    background, none = branch(student, teacher, empty)
    assert none == 0 and boxes > 0
    # Without objects, all cells are to be background: focal loss with targets of 0.
    maps = [branch.classes(each) for each in student.towers[0][-1]]
    logits = torch.cat([each.flatten() for each in maps])
    torch.testing.assert_close(background, focal_loss(logits, torch.zeros_like(logits)).sum())
    assert classes != background


def test_the_student_that_is_saved_has_no_assistant() -> None:
    method = built("fcos_dwnet_s", "fcos_resnet_s", also="all")
    student = network("fcos_dwnet_s")
    assert method.finished(method.network(student)) is student
    assert method.detector is not None and method.detector.branch is not None
    own = {id(each) for each in method.parameters()}
    assert own and own.isdisjoint(id(each) for each in student.parameters())


def test_detectors_of_two_kinds_have_no_predictions_in_common() -> None:
    names = "fcos_dwnet_s", "retinanet_dwnet_s"
    for part in ("predictions", "assistant"):
        with pytest.raises(RequestError, match="compares outputs cell by cell"):
            built(*names, also=[part])
    method = built(*names, also=["foreground", "background", "regions", "towers"])
    terms = method.transfer(found_by(names[0]), found_by(names[1]), of_images())
    assert all(value.isfinite() and value > 0 for value in terms.values())


def test_parts_of_detectors_are_refused_for_classifiers() -> None:
    with pytest.raises(RequestError, match="compares foreground of detectors, not in classification"):
        make({"cosine_guided": {"also": "all"}})


def test_runs_of_the_pyramid_alone_keep_their_ids() -> None:
    written = parse_method("cosine_guided", "methods").as_dict()
    assert not {"guided", "also"} & set(str(written).replace("'", " ").split())
    spec = parse_method({"cosine_guided": {"also": "all", "guided": False}}, "methods")
    assert spec.label == "cosine_guided(also=all, guided=False)"
    assert type(spec).from_dict(spec.as_dict()) == spec
    listed = parse_method({"cosine_guided": {"also": ["regions", "towers"]}}, "methods")
    assert type(listed).from_dict(listed.as_dict()) == listed
    assert listed.needs == {"labels", "maps", "inputs", "towers"}
