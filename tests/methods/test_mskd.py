"""Losses of detectors by masks, attention and context, and the multistage method that is made of them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.ops import complete_box_iou_loss

from distillab.data import Boxes
from distillab.errors import RequestError
from distillab.methods import Batch, Method, Pair, build_method, parse_method
from distillab.methods.detection.attention import channel_attention, spatial_attention
from distillab.methods.detection.global_context import GlobalContext
from distillab.methods.detection.masks import box_edges, object_masks
from distillab.methods.detection.predictions import (
    complete_iou_loss,
    level_maps,
    object_regions,
    response_losses,
)
from distillab.models import InputSpec, NetworkInfo, Outputs, TappedModel, build_model, inspect_network
from distillab.tasks import Detection
from distillab.tasks.dense_outputs import DenseOutputs
from support.methods import STUDENT_RAW, TEACHER_RAW, batch, make, outputs

INPUTS = InputSpec(3, 64, 96)
OBJECTS = [[(0, 5, 5, 25, 30)], [(1, 20, 20, 50, 60), (0, 1, 1, 12, 12)], []]
LABELS = torch.from_numpy(Boxes.of(OBJECTS, 2).values)
IMAGES = torch.sin(torch.arange(3 * 3 * 64 * 96).reshape(3, 3, 64, 96) * 0.37)
STAGES = ("backbone", "neck", "head")
FGD: dict[str, Any] = {
    "backbone_weight": 0.0,
    "head_weight": 0.0,
    "mskd_weight": 1.0,
    "temperature": 0.5,
    "foreground_weight": 0.001,
    "background_weight": 0.0005,
    "attention_weight": 0.001,
    "global_weight": 0.000005,
    "squash": "none",
    "per": "image",
    "context": "trained",
}


def network(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, classes=2, inputs=INPUTS)


@cache
def info_of(name: str) -> NetworkInfo:
    return inspect_network(network(name), INPUTS, classes=2, name=name)


def found_by(name: str, seed: int = 0) -> Outputs:
    needs = {"logits", "maps", "backbone", "towers"}
    with TappedModel(network(name, seed), needs, info_of(name).taps) as tapped, torch.no_grad():
        return tapped(IMAGES)


def with_sides(outputs: Outputs) -> Outputs:
    """Return outputs whose boxes all have an area: two boxes without one do not overlap."""
    found = DenseOutputs.of(outputs.logits)
    return replace(outputs, logits=replace(found, boxes=found.boxes + 0.5).tensor())


def built(config: dict[str, Any], student: str = "fcos_dwnet_s", teacher: str = "fcos_resnet_s") -> Method:
    torch.manual_seed(0)
    shapes = info_of(student).shapes, info_of(teacher).shapes
    pair = Pair(shapes[0], shapes[1], n_train=3, labels=LABELS, task=Detection())
    return build_method(parse_method({"mskd": config}, "methods"), pair)


def of_images(labels: Tensor = LABELS, progress: float = 0.0) -> Batch:
    places = torch.arange(len(labels))
    return Batch(labels, places, places, epoch=0, progress=progress, epoch_length=1, inputs=IMAGES)


boxes_in_images = st.lists(
    st.tuples(*[st.integers(0, 7)] * 2, *[st.integers(1, 8)] * 2).map(
        lambda box: (
            0,
            8 * box[0],
            8 * box[1],
            min(8 * (box[0] + box[2]), 96),
            min(8 * (box[1] + box[3]), 64),
        )
    ),
    max_size=4,
)


# Masks


@given(objects=boxes_in_images)
@settings(max_examples=40, deadline=None)
def test_masks_are_what_a_loop_over_places_gives(objects: list[tuple[float, ...]]) -> None:
    labels = torch.from_numpy(Boxes.of([objects], 1).values)
    made = object_masks(labels, grid=(8, 12), image=(64, 96))
    foreground = np.zeros((8, 12))
    for _, left, top, right, bottom in objects:
        for row in range(int(top) // 8, int(bottom) // 8):
            for column in range(int(left) // 8, int(right) // 8):
                area = (right - left) * (bottom - top) / 64
                foreground[row, column] = max(foreground[row, column], 1 / area)
    np.testing.assert_allclose(made.foreground[0].numpy(), foreground, rtol=1e-6)
    outside = foreground == 0
    np.testing.assert_allclose(made.background[0].numpy(), outside / max(outside.sum(), 1), rtol=1e-6)


@pytest.mark.parametrize("grid", [(8, 12), (4, 6), (2, 3)])
def test_every_object_and_the_background_weigh_one_at_every_level(grid: tuple[int, int]) -> None:
    labels = torch.from_numpy(Boxes.of([[(0, 0, 0, 31, 30)], [(1, 40, 33, 90, 60)], []], 2).values)
    masks = object_masks(labels, grid=grid, image=(64, 96))
    assert masks.foreground.sum((1, 2)).tolist() == pytest.approx([1, 1, 0])
    assert masks.background.sum((1, 2)).tolist() == pytest.approx([1, 1, 1])
    assert not (masks.foreground * masks.background).any()


def test_an_object_weighs_by_its_area_on_the_map_and_the_smallest_one_counts() -> None:
    labels = torch.from_numpy(Boxes.of([[(0, 0, 0, 64, 64), (0, 8, 8, 16, 24)]], 1).values)
    masks = object_masks(labels, grid=(8, 12), image=(64, 96))
    assert masks.foreground[0, 1, 1] == masks.foreground[0, 2, 1] == 1 / 2
    assert masks.foreground[0, 0, 0] == 1 / 64 and masks.background[0, 0, 8] == 1 / 32


def test_what_is_not_counted_is_background_and_what_is_unknown_has_no_weight() -> None:
    crowd = torch.tensor([[[-2.0, 0, 0, 32, 32], [-1, 0, 0, 0, 0]], [[-1, -1, -1, -1, -1]] * 2])
    masks = object_masks(crowd, grid=(2, 2), image=(64, 64))
    assert not masks.foreground.any()
    assert masks.background[0].sum() == 1 and not masks.background[1].any()


def test_objects_everywhere_leave_no_background() -> None:
    masks = object_masks(torch.tensor([[[0.0, 0, 0, 64, 64]]]), grid=(2, 2), image=(64, 64))
    assert (masks.foreground == 1 / 4).all() and not masks.background.any()


def test_a_box_covers_a_place_at_least_and_none_outside() -> None:
    edges = box_edges(
        torch.tensor([[[0.0, 63.5, 63.5, 64, 64], [0, 0, 0, 1, 1]]]), grid=(2, 2), image=(64, 64)
    )
    assert edges.tolist() == [[[1, 1, 2, 2], [0, 0, 1, 1]]]


# Attention


@given(seed=st.integers(0, 1000), temperature=st.floats(0.05, 5))
@settings(max_examples=20, deadline=None)
def test_attentions_sum_to_places_and_channels(seed: int, temperature: float) -> None:
    maps = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 5, 4, 6)))
    assert spatial_attention(maps, temperature).sum((1, 2)).tolist() == pytest.approx([24] * 3)
    assert channel_attention(maps, temperature).sum(1).tolist() == pytest.approx([5] * 3)
    over_batch = spatial_attention(maps, temperature, "batch"), channel_attention(maps, temperature, "batch")
    torch.testing.assert_close(over_batch[0].sum(0), torch.full((4, 6), 24.0, dtype=maps.dtype))
    torch.testing.assert_close(over_batch[1].sum(0), torch.full((5,), 5.0, dtype=maps.dtype))


def test_attention_has_its_closed_form() -> None:
    maps = torch.tensor([[[[math.log(3), 0.0]], [[-math.log(3), 0.0]]]])
    torch.testing.assert_close(spatial_attention(maps, 1.0), torch.tensor([[[1.5, 0.5]]]))
    torch.testing.assert_close(spatial_attention(maps, 0.5), torch.tensor([[[1.8, 0.2]]]))
    torch.testing.assert_close(channel_attention(maps, 1.0), torch.tensor([[1.0, 1.0]]))


# Context


def test_a_fixed_context_is_not_trained_and_a_trained_one_begins_as_nothing() -> None:
    maps = torch.randn(2, 6, 3, 4)
    fixed, trained = GlobalContext(6, fixed=True), GlobalContext(6, fixed=False)
    assert not list(fixed.parameters()) and len(fixed.state_dict()) == len(trained.state_dict())
    assert torch.equal(trained(maps), maps) and not torch.equal(fixed(maps), maps)


def test_a_context_adds_one_vector_per_image() -> None:
    maps = torch.randn(2, 6, 3, 4)
    added = (GlobalContext(6, fixed=True)(maps) - maps).flatten(2)
    torch.testing.assert_close(added, added[..., :1].expand_as(added))


# Predictions


def test_cells_return_to_the_places_of_their_levels() -> None:
    grids = [(3, 4), (2, 2)]
    cells = torch.arange(2 * (12 + 4) * 3 * 5).reshape(2, 48, 5)
    first, second = level_maps(cells, grids)
    assert first.shape == (2, 15, 3, 4) and second.shape == (2, 15, 2, 2)
    assert torch.equal(first[1, 5:10, 2, 1], cells[1, 3 * (2 * 4 + 1) + 1])
    assert torch.equal(second[0, 10:, 1, 0], cells[0, 36 + 3 * 2 + 2])


def test_regions_are_what_lies_under_a_box() -> None:
    columns = torch.arange(12.0).expand(1, 1, 8, 12)
    labels = torch.tensor([[[0.0, 16, 16, 72, 48], [-1, 0, 0, 0, 0], [-2, 0, 0, 32, 32]]])
    [region] = object_regions(columns, labels, (64, 96))
    # Of a ramp over columns: the centers of seven equal parts of the columns 2 to 9, less half a place.
    torch.testing.assert_close(region[0, 0], torch.arange(7) + 2.0)


def test_equal_predictions_have_no_response_loss() -> None:
    found = DenseOutputs.of(with_sides(found_by("fcos_resnet_s")).logits)
    cells = torch.zeros(found.quality.shape, dtype=torch.bool)
    assert [each.item() for each in response_losses(found, found, cells)] == [0, 0, 0]
    cells[0, 3] = True
    assert [each.item() for each in response_losses(found, found, cells)] == pytest.approx(
        [0, 0, 0], abs=1e-6
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_complete_iou_loss_is_that_of_torchvision(seed: int) -> None:
    corners = torch.from_numpy(np.random.default_rng(seed).uniform(0, 40, (2, 6, 2, 2))).sort(dim=2).values
    first, second = (corners.flatten(2) + torch.tensor([0, 0, 2, 2])).unbind()
    expected = complete_box_iou_loss(first, second)
    torch.testing.assert_close(complete_iou_loss(first, second), expected, rtol=1e-5, atol=1e-6)


def test_boxes_without_an_area_have_a_finite_response_loss() -> None:
    boxes = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 9]], requires_grad=True)
    loss = complete_iou_loss(boxes, boxes.detach())
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite().all() and boxes.grad is not None and boxes.grad.isfinite().all()


# The method


def test_mskd_has_its_golden_value() -> None:
    """Of one channel and two places: every term by hand."""
    compare = built({"foreground_weight": 0.3, "background_weight": 0.7, "attention_weight": 0.2}).stages
    [comparison, *_] = compare["neck"]  # type: ignore[index]
    comparison.align = nn.Identity()
    comparison.contexts = nn.ModuleList([nn.Identity()])
    masks = object_masks(torch.tensor([[[0.0, 0, 0, 8, 8]]]), grid=(1, 2), image=(8, 16))
    own, other = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[2.0, -1.0]]]])
    found = comparison(own, other, masks)
    s = [1 / (1 + math.exp(-x)) for x in (0.0, 1.0)]
    t = [1 / (1 + math.exp(-x)) for x in (2.0, -1.0)]
    attention = [[2 * math.exp(x) / sum(map(math.exp, of)) for x in of] for of in (s, t)]
    squares = [(a - b) ** 2 for a, b in zip(s, t, strict=True)]
    expected = (
        (0.3 * squares[0] * attention[1][0] + 0.7 * squares[1] * attention[1][1]) / 2
        + 0.2 * sum(abs(a - b) for a, b in zip(*attention, strict=True))
        + 0.5 * sum(squares) / 2
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_equal_networks_have_no_transfer_loss() -> None:
    found = with_sides(found_by("fcos_resnet_s"))
    terms = built({}, student="fcos_resnet_s").transfer(found, found, of_images())
    assert set(terms) == set(STAGES)
    assert [value.item() for value in terms.values()] == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("kept", [{"backbone"}, {"neck"}, {"head"}, {"backbone", "head"}, set(STAGES)])
def test_stages_are_switched_by_their_weights(kept: set[str]) -> None:
    weights = {f"{stage}_weight": float(stage in kept) for stage in STAGES}
    method = built(weights)
    whole = built({}).transfer(found_by("fcos_dwnet_s"), found_by("fcos_resnet_s"), of_images())
    terms = method.transfer(found_by("fcos_dwnet_s"), found_by("fcos_resnet_s"), of_images())
    assert set(terms) == kept and terms.get("head", whole["head"]) == whole["head"]
    assert all(value > 0 for value in terms.values())
    needs = method.requirements(method.config).needs
    assert ("backbone" in needs) == ("backbone" in kept) and ("logits" in needs) == ("head" in kept)


def test_stages_are_weighted_and_fade_with_decay() -> None:
    pair = found_by("fcos_dwnet_s"), found_by("fcos_resnet_s")
    usual = built({}).transfer(*pair, of_images(progress=0.5))
    doubled = built({"neck_weight": 2.0}).transfer(*pair, of_images())
    faded = built({"decay": True}).transfer(*pair, of_images(progress=0.5))
    torch.testing.assert_close(doubled["neck"], 2 * usual["neck"])
    for stage in STAGES:
        torch.testing.assert_close(faded[stage], usual[stage] / 4)


def test_without_any_stage_there_is_nothing_to_learn() -> None:
    for of in ({f"{stage}_weight": 0.0 for stage in STAGES},):
        with pytest.raises(RequestError, match="method mskd has no stage to compare in the task detection"):
            built(of)
    with pytest.raises(RequestError, match="has no stage to compare in the task classification"):
        make({"mskd": {"backbone_weight": 0}})


def test_detectors_of_two_kinds_learn_without_the_head() -> None:
    with pytest.raises(RequestError, match="compares outputs cell by cell"):
        built({}, teacher="retinanet_dwnet_s")
    method = built({"head_weight": 0.0}, teacher="retinanet_dwnet_s")
    terms = method.transfer(found_by("fcos_dwnet_s"), found_by("retinanet_dwnet_s"), of_images())
    assert set(terms) == {"backbone", "neck"}


def test_images_without_objects_are_all_background() -> None:
    empty = torch.full_like(LABELS, 0)
    empty[..., 0] = -1
    config = {"attention_weight": 0.0, "global_weight": 0.0, "head_weight": 0.0}
    pair = found_by("fcos_dwnet_s"), found_by("fcos_resnet_s")
    for weight, is_zero in (("background_weight", True), ("foreground_weight", False)):
        terms = built({**config, weight: 0.0}).transfer(*pair, of_images(empty))
        assert (terms["neck"] == 0) == is_zero


def test_attention_over_the_batch_is_another_loss() -> None:
    pair = found_by("fcos_dwnet_s"), found_by("fcos_resnet_s")
    over_image, over_batch = (
        built({"softmax_over": over}).transfer(*pair, of_images())["neck"] for over in ("image", "batch")
    )
    assert not torch.isclose(over_image, over_batch)


def test_without_boxes_attention_and_context_remain() -> None:
    terms = make("mskd").transfer(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert set(terms) == {"backbone"} and terms["backbone"] > 0
    off = {"attention_weight": 0, "global_weight": 0}
    none = make({"mskd": off}).transfer(outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch())
    assert none["backbone"] == 0


def test_fgd_is_a_setting_of_the_same_parts() -> None:
    """Against the formula of Yang et al. (CVPR 2022, equations 8 to 13), written image by image."""
    method = built(FGD, student="fcos_resnet_s")
    assert method.requirements(method.config).needs == {"labels", "maps", "inputs"}
    student, teacher = found_by("fcos_resnet_s", 1), found_by("fcos_resnet_s", 2)
    terms = method.transfer(student, teacher, of_images())
    expected = 0.0
    for own, other in zip(student.maps, teacher.maps, strict=True):
        grid = (own.shape[2], own.shape[3])
        for image, objects in enumerate(OBJECTS):
            s, t = own[image].numpy(), other[image].numpy()
            masks = object_masks(LABELS[image : image + 1], grid=grid, image=(64, 96))
            spatial = [_softmax(np.abs(f).mean(0) / 0.5) * s[0].size for f in (s, t)]
            channel = [_softmax(np.abs(f).mean((1, 2)) / 0.5) * len(s) for f in (s, t)]
            weighted = (s - t) ** 2 * spatial[1] * channel[1][:, None, None]
            expected += 0.001 * (weighted * masks.foreground[0].numpy()).sum()
            expected += 0.0005 * (weighted * masks.background[0].numpy()).sum()
            expected += 0.001 * (
                np.abs(spatial[0] - spatial[1]).sum() + np.abs(channel[0] - channel[1]).sum()
            )
            expected += 0.000005 * ((s - t) ** 2).sum()  # contexts begin as nothing
            assert bool(objects) == bool(masks.foreground.any())
    assert terms["neck"].item() == pytest.approx(expected / len(OBJECTS), rel=1e-4)


def test_contexts_of_fgd_are_trained_apart() -> None:
    method = built(FGD)
    student = found_by("fcos_dwnet_s")
    terms = method.transfer(student, found_by("fcos_resnet_s"), of_images())
    terms["neck"].backward()  # type: ignore[no-untyped-call]
    reached = [name for name, each in method.named_parameters() if each.grad is not None and each.grad.any()]
    assert any("contexts.0.expand" in name for name in reached)
    assert any("contexts.1.expand" in name for name in reached)


def test_labels_of_a_batch_without_inputs_are_refused() -> None:
    pair = found_by("fcos_dwnet_s"), found_by("fcos_resnet_s")
    with pytest.raises(ValueError, match="method mskd needs the inputs of the batch"):
        built({}).transfer(*pair, replace(of_images(), inputs=None))


def _softmax(values: Any) -> Any:
    powers = np.exp(values - values.max())
    return powers / powers.sum()
