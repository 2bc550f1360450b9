"""Agreement, faithfulness and places of maps: values that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from distillab.explain import (
    ExplainedNetwork,
    agreement_of,
    attribute,
    border_area,
    border_share,
    box_iou,
    faithfulness,
    pearson,
    pointing_game,
    random_maps,
    ssim,
    top_iou,
    top_region,
)
from distillab.models import InputSpec
from support.explained import planted


def spot(row: int, column: int, side: int = 20) -> np.ndarray:
    maps = np.zeros((1, side, side), np.float32)
    maps[0, row, column] = 1
    return maps


def test_identical_maps_agree_fully() -> None:
    maps = random_maps(3, 20, 20)
    for values in agreement_of(maps, maps.copy()).values():
        assert values.tolist() == pytest.approx([1, 1, 1])


def test_disjoint_maps_do_not_agree() -> None:
    left = np.zeros((1, 20, 20), np.float32)
    left[:, :, :4] = 1
    found = agreement_of(left, left[:, :, ::-1].copy())
    assert found["iou"].tolist() == [0.0]
    assert found["pearson"].tolist() == pytest.approx([-0.25])
    assert found["ssim"][0] < 0.5


def test_agreement_of_half_overlapping_regions_is_a_third() -> None:
    first, second = np.zeros((2, 1, 10, 10), np.float32)
    first[:, 0:2], second[:, 1:3] = 1, 1
    assert top_iou(first, second).tolist() == pytest.approx([1 / 3])


def test_blank_maps_have_no_agreement_and_match_nothing() -> None:
    blank, maps = np.zeros((1, 10, 10), np.float32), random_maps(1, 10, 10)
    assert np.isnan(top_iou(blank, blank)).all()
    assert np.isnan(pearson(blank, maps)).all()
    assert top_iou(blank, maps).tolist() == [0.0]
    assert np.isnan(border_share(blank)).all()


def test_top_region_is_a_fifth_and_ties_belong_to_it() -> None:
    assert top_region(random_maps(1, 20, 20)).sum() == 80
    half = np.zeros((1, 10, 10), np.float32)
    half[:, :5] = 1
    assert top_region(half).sum() == 50
    assert top_region(spot(3, 3)).sum() == 1


def test_ssim_is_that_of_torchmetrics() -> None:
    first, second = random_maps(2, 24, 24, seed=1), random_maps(2, 24, 24, seed=2)
    reference = structural_similarity_index_measure(
        torch.from_numpy(first)[:, None].double(),
        torch.from_numpy(second)[:, None].double(),
        data_range=1.0,
        reduction="none",
    )
    inner = slice(5, -5)  # libraries differ in what they do at the border
    assert ssim(first, second)[0] == pytest.approx(float(reference[0]), abs=0.01)
    assert ssim(first[:, inner, inner], first[:, inner, inner])[0] == pytest.approx(1)


def test_one_pixel_that_decides_is_found_at_the_first_step() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        logit = 1000 * (x[:, 0, 5, 7] - 0.5)
        return torch.stack([logit, -logit], dim=1)

    network = ExplainedNetwork("one pixel", InputSpec(1, 16, 16), forward)
    x, classes = torch.ones(1, 1, 16, 16), torch.tensor([0])
    found = faithfulness(network, x, classes, spot(5, 7, 16), steps=16)
    assert found.deletion[0].tolist() == pytest.approx([1] + 16 * [0], abs=1e-6)
    assert found.deletion_auc.tolist() == pytest.approx([1 / 32])
    assert found.insertion_auc.tolist() == pytest.approx([31 / 32])
    last = 1 - spot(5, 7, 16)
    worst = faithfulness(network, x, classes, last, steps=16)
    assert worst.deletion_auc.tolist() == pytest.approx([31 / 32])


def test_removed_pixels_have_the_mean_of_the_training_images() -> None:
    seen: list[torch.Tensor] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.flatten(1)[:, :2]

    network = ExplainedNetwork("seen", InputSpec(1, 8, 8), forward)
    faithfulness(network, torch.ones(1, 1, 8, 8), torch.tensor([0]), random_maps(1, 8, 8), steps=2)
    assert [int(each.sum()) for each in seen] == [64, 0, 32, 32, 0, 64]


def test_true_attribution_is_more_faithful_than_a_random_map() -> None:
    network, _ = planted()
    x, classes = torch.full((1, 1, 16, 16), 0.05), torch.tensor([0])
    maps = attribute("integrated_gradients", network, x, classes)
    own, other = (faithfulness(network, x, classes, each) for each in (maps, random_maps(1, 16, 16)))
    assert own.deletion_auc[0] < other.deletion_auc[0] - 0.05
    assert own.insertion_auc[0] > other.insertion_auc[0] + 0.05


def test_perfect_pointing_scores_one_and_its_neighbour_zero() -> None:
    maps = np.concatenate([spot(5, 5), spot(9, 9), spot(1, 1), spot(3, 3)])
    boxes = [[[4, 4, 8, 8]], [[0, 0, 2, 2], [9, 9, 10, 10]], [[4, 4, 8, 8]], []]
    assert pointing_game(maps, boxes)[:3].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(pointing_game(maps, boxes)[3])
    assert pointing_game(maps, boxes, tolerance=3)[2] == 1.0


def test_several_maxima_count_by_their_share_inside() -> None:
    assert pointing_game(np.ones((1, 10, 10), np.float32), [[[0, 0, 5, 10]]]).tolist() == [0.5]


def test_box_iou_compares_the_top_region_with_all_boxes() -> None:
    maps = np.zeros((1, 10, 10), np.float32)
    maps[:, :2], maps[:, 8:] = 1, 1
    assert box_iou(maps, [[[0, 0, 10, 2], [0, 8, 10, 10]]], share=0.4).tolist() == [1.0]
    assert box_iou(maps, [[[0, 0, 10, 2]]], share=0.4).tolist() == [0.5]
    assert np.isnan(box_iou(maps, [[]])).all()


@pytest.mark.parametrize("box", [[5, 5, 4, 8], [0, 0, 0, 3], [0, 0, float("nan"), 3]])
def test_boxes_without_an_area_are_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="right > left"):
        pointing_game(spot(5, 5), [[box]])


def test_border_share_of_an_even_map_is_the_area_of_the_border() -> None:
    assert border_share(np.ones((1, 32, 48), np.float32)).tolist() == pytest.approx([border_area(32, 48)])
    assert border_share(spot(0, 10)).tolist() == [1.0]
    assert border_share(spot(10, 10)).tolist() == [0.0]
