"""Relations and attention: values by hand, and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distillab.methods.features.attention_transfer import attention_distance
from distillab.methods.logits.dist import correlation
from distillab.methods.relations.rkd import relations
from distillab.models import Outputs, attention_map
from support.methods import STAGES, STUDENT, STUDENT_RAW, TEACHER_RAW, D, N, batch, make, outputs

row_pairs = st.integers(0, 2**31).map(
    lambda seed: torch.from_numpy(np.random.default_rng(seed).normal(0, 5, (2, N, 5)))
)
scales = st.floats(0.01, 100)
seeds = st.integers(0, 2**31)


@given(pair=row_pairs, scale=scales, shift=st.floats(-10, 10))
@settings(max_examples=30)
def test_correlation_is_pearsons(pair: Tensor, scale: float, shift: float) -> None:
    found = correlation(pair[0], pair[1])
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(pair[0].numpy(), pair[1].numpy(), strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(correlation(scale * pair[0] + shift, pair[1]), found)
    torch.testing.assert_close(correlation(pair[0], pair[0]), torch.ones(N, dtype=torch.float64))


@given(seed=seeds, scale=scales)
@settings(max_examples=30)
def test_rkd_is_invariant_to_similarity_transforms(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    embedding = torch.from_numpy(rng.normal(size=(N, D)))
    turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(D, D)))[0])
    moved = scale * embedding @ turn + torch.from_numpy(rng.normal(size=D))
    for before, after in zip(relations(embedding), relations(moved), strict=True):
        torch.testing.assert_close(after, before)


@pytest.mark.parametrize("name", ["at", "cat_kd", "pkt", "rkd", "sp"])
@given(student=st.floats(0.01, 100), teacher=st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_relational_losses_ignore_scale(name: str, student: float, teacher: float) -> None:
    entry = {name: {"normalise": True}} if name == "cat_kd" else name

    def terms(student_scale: float, teacher_scale: float) -> dict[str, torch.Tensor]:
        networks = []
        for scale, (logits, embedding, maps) in ((student_scale, STUDENT_RAW), (teacher_scale, TEACHER_RAW)):
            networks.append(outputs((logits, scale * embedding, scale * maps), STAGES.get(name, 1)))
        return make(entry).total(*networks, batch())

    usual, scaled = terms(1.0, 1.0), terms(student, teacher)
    for key, value in usual.items():
        torch.testing.assert_close(scaled[key], value, rtol=1e-4, atol=1e-6)


def test_relations_are_distances_and_angles() -> None:
    corner = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]])  # a right angle; sides 3, 4 and 5
    distances, angles = relations(corner)
    torch.testing.assert_close(distances, torch.tensor([[0.0, 3, 4], [3, 0, 5], [4, 5, 0]]) / 4)
    assert angles[0, 1, 2].item() == 0
    assert angles[1, 0, 2].item() == pytest.approx(3 / 5) == angles[1, 2, 0].item()
    assert angles[2, 0, 1].item() == pytest.approx(4 / 5)
    assert (angles.diagonal() == 0).all()


@given(seed=seeds, student=st.floats(0.01, 100), teacher=st.floats(0.01, 100))
@settings(max_examples=30)
def test_attention_distance_ignores_scale(seed: int, student: float, teacher: float) -> None:
    f_s, f_t = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, N, 3, 4, 4)))
    distance = attention_distance(attention_map(f_s), attention_map(f_t))
    again = attention_distance(attention_map(student * f_s), attention_map(teacher * f_t))
    torch.testing.assert_close(again, distance)
    assert attention_distance(attention_map(student * f_s), attention_map(f_s)).item() < 1e-25


def test_attention_maps_are_compared_at_the_smaller_size() -> None:
    large = torch.tensor(
        [[[1.0, 3, 0, 0], [5, 7, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]]]
    )  # means of 2x2: 4, 0, 0, 2
    small = torch.tensor([[[2.0, 0], [0, 1]]])
    norm = math.sqrt(5)
    assert attention_distance(large, small / norm).item() == pytest.approx(0, abs=1e-12)
    assert attention_distance(small / norm, large).item() == pytest.approx(0, abs=1e-12)
    other = torch.tensor([[[1.0, 0], [0, 0]]])
    expected = ((2 / norm - 1) ** 2 + (1 / norm) ** 2) / 4
    assert attention_distance(large, other).item() == pytest.approx(expected)
    wide, high = torch.rand(2, 3, 6), torch.rand(2, 6, 3)
    assert attention_distance(wide, high).isfinite()


def test_stages_are_paired_from_the_deepest_backwards() -> None:
    def network(*values: float) -> Outputs:
        return Outputs(STUDENT, attention=tuple(torch.full((N, 1, 1), float(value)) for value in values))

    at = make({"at": {"at_weight": 1}})
    assert at(network(9, 2, 5), network(2, 5), batch())["at"].item() == 0
    assert at(network(2, 5), network(9, 9, 2, 6), batch())["at"].item() == 1
    assert at(network(1, 2, 5), network(2, 2, 7), batch())["at"].item() == 1 + 0 + 4
