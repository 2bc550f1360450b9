"""``sampler: balanced``: every class as often, by a function of ids, labels, epoch and seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distillab.data.examples import Examples
from distillab.data.targets import LabelSets
from distillab.errors import RequestError
from distillab.modalities.image import PixelNormalization
from distillab.study.job import StudentJob
from distillab.training.batches import balanced_order, training_batches
from distillab.training.recipe import Recipe, ResolvedRecipe
from support.studies import plan, spec

COUNTS = (20, 7, 3)
LABELS = np.repeat(np.arange(3), COUNTS)
NORMALIZE = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))


def images(labels: np.ndarray = LABELS) -> Examples:
    return Examples.of(np.zeros((len(labels), 1, 8, 8), np.uint8), labels, ("a", "b", "c"))


def positions(train: Examples, recipe: ResolvedRecipe) -> list[np.ndarray]:
    """Return the positions of each epoch."""
    batches = training_batches(
        train, recipe, NORMALIZE, order_seed=5, view_seed=6, device=torch.device("cpu")
    )
    epochs: dict[int, list[np.ndarray]] = {}
    for batch in batches:
        epochs.setdefault(batch.epoch, []).append(batch.positions)
    return [np.concatenate(each) for each in epochs.values()]


def test_every_class_is_as_frequent_in_every_epoch() -> None:
    for epoch in range(6):
        order = balanced_order(np.arange(30), LABELS, epoch, seed=3)
        assert np.bincount(LABELS[order]).tolist() == [10, 10, 10]


def test_repetitions_of_a_rare_class_differ_by_at_most_one() -> None:
    order = balanced_order(np.arange(30), LABELS, 0, seed=3)
    for label in (1, 2):
        times = np.bincount(order, minlength=30)[label == LABELS]
        assert times.max() - times.min() <= 1
    assert np.bincount(order, minlength=30)[LABELS == 0].max() == 1


def test_no_example_of_a_frequent_class_is_left_out_for_long() -> None:
    seen = np.concatenate([balanced_order(np.arange(30), LABELS, epoch, seed=3) for epoch in range(12)])
    assert set(seen.tolist()) == set(range(30))


def test_classes_take_turns_in_having_one_more() -> None:
    labels = np.repeat(np.arange(3), (4, 3, 1))
    frequent = [
        tuple(np.bincount(labels[balanced_order(np.arange(8), labels, epoch, seed=3)])) for epoch in range(3)
    ]
    assert sorted(frequent) == [(2, 3, 3), (3, 2, 3), (3, 3, 2)]


def test_classes_are_mixed_within_an_epoch() -> None:
    order = LABELS[balanced_order(np.arange(30), LABELS, 0, seed=3)]
    assert (np.diff(order) != 0).sum() > 10


def test_steps_are_the_same_and_batches_are_balanced_on_average() -> None:
    usual, balanced = (
        Recipe(epochs=8, batch_size=10, sampler=sampler, views="none").resolve(images())
        for sampler in ("shuffle", "balanced")
    )
    assert (usual.steps, usual.steps_per_epoch) == (balanced.steps, balanced.steps_per_epoch)
    assert np.bincount(LABELS[positions(images(), usual)[0]]).tolist() == list(COUNTS)
    assert np.bincount(LABELS[positions(images(), balanced)[0]]).tolist() == [10, 10, 10]


def test_unlabelled_examples_are_not_balanced() -> None:
    labels = LABELS.copy()
    labels[::5] = -1
    train = images(labels)
    recipe = Recipe(epochs=1, batch_size=8, sampler="balanced", views="none").resolve(train)
    for epoch in positions(train, recipe):
        main = epoch.reshape(recipe.steps_per_epoch, -1)[:, :8].ravel()
        assert (labels[main] >= 0).all()
        counts = np.bincount(labels[main], minlength=3)
        assert counts.max() - counts.min() <= 2


def test_default_is_left_out_of_every_id() -> None:
    assert "balanced" not in Recipe().resolve(images()).as_dict()
    assert "sampler" not in spec().canonical()["recipe"]
    assert spec(recipe={"sampler": "shuffle"}).identity == spec().identity
    assert spec(recipe={"sampler": "balanced"}).identity != spec().identity


def test_plain_and_distilled_students_and_teachers_share_it() -> None:
    jobs = plan(recipe={"sampler": "balanced"}).jobs.values()
    students = [job for job in jobs if isinstance(job, StudentJob)]
    assert {job.method["name"] for job in students} == {"ce", "kd"}
    assert all(job.recipe["balanced"] for job in students)
    unbalanced = plan().jobs.keys()
    assert not unbalanced & {job.id for job in students}


def test_several_labels_per_example_are_refused() -> None:
    sets = LabelSets(np.array([[1, 1, 0], [0, 0, 1]], dtype=np.int8), classes=3)
    train = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), sets, ("a", "b", "c"))
    with pytest.raises(RequestError, match=r"recipe\.sampler: balanced needs one class per example"):
        Recipe(sampler="balanced").resolve(train)
