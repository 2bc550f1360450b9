"""Detectors: dense outputs, a declared pyramid, shared anchors, GroupNorm alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.models import InputSpec, TappedModel, build_model, count_macs, inspect_network
from distillab.models.detectors import STRIDES, anchors_of
from distillab.models.output_checks import check_outputs
from distillab.models.registry import DETECTORS
from distillab.tasks.dense_outputs import CELL_COLUMNS, DISTANCES, OFFSETS, DenseOutputs

INPUTS = InputSpec(3, 64, 96)
every_detector = pytest.mark.parametrize("name", sorted(DETECTORS))


def build(name: str, inputs: InputSpec = INPUTS, classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=classes, inputs=inputs).eval()


@every_detector
def test_outputs_are_one_row_per_cell(name: str) -> None:
    detector, images = build(name), torch.randn(2, *INPUTS.shape)
    outputs = detector(images)
    cells = (8 * 12 + 4 * 6 + 2 * 3) * (9 if name.startswith("retinanet") else 1)
    assert outputs.shape == (2, cells, 4 + CELL_COLUMNS) and outputs.isfinite().all()
    found = DenseOutputs.of(outputs)
    assert found.code == (OFFSETS if name.startswith("retinanet") else DISTANCES)
    assert torch.equal(found.anchors, DenseOutputs.of(outputs[1:]).anchors)
    # The prior of objects of the initial weights.
    assert 0.001 < found.scores.sigmoid().mean() < 0.1


@every_detector
def test_pyramid_is_read_by_declared_paths(name: str) -> None:
    detector = build(name)
    info = inspect_network(detector, INPUTS, classes=4, name=name)
    assert info.shapes.embedding is None and info.taps.classifier is None
    assert [shape[1:] for shape in info.shapes.maps] == [(8, 12), (4, 6), (2, 3)]
    assert info.shapes.cells == detector(torch.zeros(1, *INPUTS.shape)).shape[1]
    with TappedModel(detector, {"maps"}, info.taps) as tapped:
        outputs = tapped(torch.randn(2, *INPUTS.shape))
    assert tuple(tuple(each.shape[1:]) for each in outputs.maps) == info.shapes.maps
    outputs.maps[0].sum().backward()
    assert next(detector.parameters()).grad is not None


@every_detector
def test_backbone_and_towers_are_read_by_declared_paths(name: str) -> None:
    detector: Any = build(name)
    info = inspect_network(detector, INPUTS, classes=4, name=name)
    sizes = [shape[1:] for shape in info.shapes.maps]
    assert [shape[1:] for shape in info.shapes.backbone] == sizes
    assert len(info.shapes.towers) == 2 and len(set(info.shapes.towers)) == 1
    with TappedModel(detector, {"maps", "backbone", "towers"}, info.taps) as tapped:
        for images in (torch.randn(2, *INPUTS.shape), torch.randn(1, *INPUTS.shape)):
            outputs = tapped(images)
    assert tuple(tuple(each.shape[1:]) for each in outputs.backbone) == info.shapes.backbone
    # What the pyramid is made from, and what the towers make of its levels.
    assert [tuple(each.shape[2:]) for each in outputs.towers[0][-1]] == sizes
    levels = list(detector.pyramid({str(i): each for i, each in enumerate(outputs.backbone)}).values())
    assert all(torch.equal(*pair) for pair in zip(levels, outputs.maps, strict=True))
    for tower, found in zip((detector.classification, detector.regression), outputs.towers, strict=True):
        assert [each.shape[1] for layer in found for each in layer[:1]] == list(info.shapes.towers[0])
        assert all(
            torch.equal(tower.conv(level), last) for level, last in zip(levels, found[-1], strict=True)
        )


@every_detector
def test_detectors_have_no_batch_normalization(name: str) -> None:
    kinds = {type(module) for module in build(name).modules()}
    assert nn.GroupNorm in kinds and not kinds & {nn.BatchNorm2d, nn.SyncBatchNorm}


@every_detector
def test_every_parameter_of_a_detector_has_a_gradient(name: str) -> None:
    detector = build(name)
    outputs = DenseOutputs.of(detector(torch.randn(2, *INPUTS.shape)))
    weights = torch.randn(outputs.boxes.shape)
    (outputs.scores.square().mean() + (outputs.boxes * weights).mean() + outputs.quality.mean()).backward()
    dead = [path for path, each in detector.named_parameters() if each.grad is None]
    assert dead == []


@pytest.mark.parametrize("kind", ["fcos", "retinanet"])
def test_detectors_of_a_kind_share_cells_and_anchors(kind: str) -> None:
    made = [
        DenseOutputs.of(build(name)(torch.zeros(1, *INPUTS.shape)))
        for name in sorted(DETECTORS)
        if name.startswith(kind)
    ]
    assert all(torch.equal(each.anchors, made[0].anchors) and each.code == made[0].code for each in made)


def test_anchors_cover_the_image_once() -> None:
    anchors = anchors_of([(4, 6), (2, 3), (1, 2)], "fcos")
    finest = anchors[: 4 * 6]
    assert (finest[:, 2:] - finest[:, :2] == STRIDES[0]).all()
    assert finest[:, :2].amin(0).tolist() == [0, 0] and finest[:, 2:].amax(0).tolist() == [48, 32]
    nine = anchors_of([(1, 1)] * 3, "retinanet")
    areas = (nine[:, 2:] - nine[:, :2]).prod(1).sqrt()[:9] / STRIDES[0]
    assert areas.tolist() == pytest.approx([2 * 2 ** (third / 3) for third in range(3)] * 3)


def test_students_cost_less_than_the_teacher() -> None:
    inputs = InputSpec(3, 160, 208)
    macs = {name: count_macs(build(name, inputs), inputs) for name in DETECTORS if name.startswith("fcos")}
    assert macs["fcos_dwnet_s"] < macs["fcos_resnet_s"] < macs["fcos_resnet_m"] < 0.3e9
    assert macs["fcos_resnet_l"] > 3 * macs["fcos_resnet_m"]


@every_detector
def test_detectors_pass_the_checks_of_networks(name: str) -> None:
    check_outputs(build(name), INPUTS, name=name, classes=4, trained=True)


def test_one_class_is_enough_for_a_detector() -> None:
    assert build("fcos_dwnet_s", classes=1)(torch.zeros(1, *INPUTS.shape)).shape[2] == 1 + CELL_COLUMNS


@pytest.mark.parametrize(
    "name", ["mean(fcos_resnet_s+fcos_resnet_m)", "fcos_resnet_s@64", "orbit(fcos_resnet_s)"]
)
def test_detectors_are_part_of_no_other_network(name: str) -> None:
    with pytest.raises(RequestError, match="is made of detectors, whose boxes are not averaged"):
        build(name)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(RequestError, match=r"24x64 images are too small for fcos_resnet_s \(allowed"):
        build("fcos_resnet_s", InputSpec(3, 24, 64))
