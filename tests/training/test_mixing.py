"""Training under augmentation that mixes two images: labels and shares in batches and methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distillab.methods import Batch, parse_method
from distillab.methods.controls.ce import PlainTraining
from distillab.training.batches import TrainingBatch, training_batches
from distillab.training.loop.cohort import train_cohort
from distillab.training.loop.member import CohortMember
from distillab.training.recipe import ResolvedRecipe
from support.training import CPU, MODEL, SEEDS, examples_of, normalization, recipe, role_sets

CHAINS: list[Any] = [["crop", "flip", "mixup"], ["random_resized_crop", {"cutmix": {"alpha": 0.5}}]]
every_chain = pytest.mark.parametrize("chain", CHAINS, ids=["mixup", "cutmix"])


def batches_of(chosen: ResolvedRecipe, *, order: int = 1) -> list[TrainingBatch]:
    images = examples_of(40, 3)
    return list(training_batches(images, chosen, normalization(3), order_seed=order, view_seed=2, device=CPU))


@every_chain
def test_a_batch_contains_its_mixture(chain: Any) -> None:
    images, normalize = examples_of(40, 3), normalization(3)
    chosen = recipe(images, steps=8, views=chain)
    for step in batches_of(chosen):
        batch = chosen.view_spec.batch(images, step.positions, step.epoch, 2, CPU)
        assert step.mixture is not None
        assert batch.mixture is not None
        assert torch.equal(step.inputs, normalize(batch.items))
        assert (step.mixture.partners == batch.mixture.partners).all()
        assert torch.equal(step.mixture.share, batch.mixture.share)


def test_other_views_have_no_mixture() -> None:
    assert all(step.mixture is None for step in batches_of(recipe(examples_of(40, 3), views="crop_flip")))


@every_chain
def test_mixtures_do_not_depend_on_the_order(chain: Any) -> None:
    chosen = recipe(examples_of(40, 3), epochs=1, views=chain)
    orders = []
    for order in (1, 2):
        found = batches_of(chosen, order=order)
        positions = np.concatenate([step.positions for step in found])
        inputs = torch.cat([step.inputs for step in found])
        orders.append((positions, inputs[np.argsort(positions)]))
    assert (orders[0][0] != orders[1][0]).any()
    assert torch.equal(orders[0][1], orders[1][1])


def test_each_student_of_a_cohort_gets_its_own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Students share pixels and partners; the label of a partner is that in the student's data."""
    batches: list[Batch] = []
    real = PlainTraining.forward

    def spy(self: PlainTraining, student: Any, teacher: Any, batch: Batch) -> Any:
        batches.append(batch)
        return real(self, student, teacher, batch)

    monkeypatch.setattr(PlainTraining, "forward", spy)
    sets = role_sets(3)
    turned = sets.train.relabel((sets.train.labels + 1) % 3)
    chosen = recipe(sets.train, steps=3, views=["mixup"])
    members = [
        CohortMember(MODEL, parse_method("ce", "methods"), data, sets.val, chosen, SEEDS, None)
        for data in (sets.train, turned)
    ]
    train_cohort(members, sets.normalize, device=CPU)
    assert len(batches) == 6
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert first.mixed is not None
        assert second.mixed is not None
        assert torch.equal(second.labels, (first.labels + 1) % 3)
        assert torch.equal(second.mixed.labels, (first.mixed.labels + 1) % 3)
        assert torch.equal(second.mixed.share, first.mixed.share)
