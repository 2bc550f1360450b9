"""The shapes source: images, variables, cues and the class tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.duplicates import content
from distillab.errors import RequestError
from distillab.sources.drawing import FAMILY_OF, SHAPE_FAMILIES, VARIABLES, draw
from distillab.sources.drawing.figures import FIGURES
from distillab.sources.ingest import load_dataset
from support.drawn import cramers_v, pictures, shapes


@settings(max_examples=15, deadline=None)
@given(few=st.integers(1, 5), more=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_smaller_set_is_a_prefix_of_a_larger_one(few: int, more: int, seed: int) -> None:
    keys = {"values": {"shape": 4}, "seed": seed, "resolution": 8, "group": "texture"}
    small, large = (shapes(images=n, **keys).read().train for n in (few, few + more))
    n = len(small.targets.values)
    assert n == 4 * few and len(large.targets.values) == 4 * (few + more)
    np.testing.assert_array_equal(small.targets.values, large.targets.values[:n])
    np.testing.assert_array_equal(small.groups, large.groups[:n])
    for one, other in zip(small.items, large.items, strict=False):
        assert one().tobytes() == other().tobytes()  # type: ignore[operator]


def test_images_of_a_class_do_not_depend_on_other_classes() -> None:
    few, all_of_them = shapes(values={"shape": ["star", "drop"]}), shapes()
    for label, name in enumerate(few.tree.classes):
        other = all_of_them.tree.classes.index(name)
        numbers = np.arange(20)
        one = draw(few.scene.sketch("test", np.full(20, label), numbers), 28, 3)
        same = draw(all_of_them.scene.sketch("test", np.full(20, other), numbers), 28, 3)
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_images_are_different(channels: int) -> None:
    dataset = load_dataset(shapes(images=60, test_images=30, resolution=28, channels=channels))
    assert dataset.report.duplicates == {"train/val": 0, "train/test": 0, "val/test": 0}
    assert len(np.unique(content(dataset.train.pool.items)[1])) == 16 * 90
    assert dataset.train.shape == (channels, 28, 28)


def test_seed_and_split_change_every_image() -> None:
    base = pictures(shapes(), 64)
    for other in (pictures(shapes(seed=1), 64), pictures(shapes(), 64, split="test")):
        assert (base != other).any(axis=(1, 2, 3)).all()


def test_values_are_uniform_and_independent() -> None:
    source = shapes(images=500)
    found = source.variables("train")
    for name, values in VARIABLES.items():
        counts = np.bincount(found[name], minlength=len(values))
        expected = len(found[name]) / len(values)
        assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all(), name
    free = [name for name in VARIABLES if name not in ("family", "shape")]
    for place, one in enumerate(free):
        for other in ["shape", *free[:place]]:
            assert cramers_v(found[one], found[other]) < 0.05, (one, other)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.9, 1.0])
def test_strength_of_a_cue_is_cramers_v(strength: float) -> None:
    source = shapes(define="texture", cues={"background": strength}, images=1000, test_images=1000)
    labels = source.read().train.targets.values
    assert cramers_v(labels, source.variables("train")["background"]) == pytest.approx(strength, abs=0.04)
    assert cramers_v(labels, source.variables("test")["background"]) < 0.04
    assert cramers_v(labels, source.variables("train")["colour"]) < 0.04


def test_cues_can_differ_by_split() -> None:
    keys = {"values": {"shape": 8, "ground": 2}, "images": 1000, "test_images": 1000}
    source = shapes(cues={"colour": {"train": 0.5, "test": -1}, "ground": {"test": 1}}, **keys)
    labels = source.read().train.targets.values
    train, test = source.variables("train"), source.variables("test")
    assert (train["colour"] == labels).mean() == pytest.approx(0.5 + 0.5 / 8, abs=0.02)
    assert not (test["colour"] == labels).any()
    others = np.bincount((test["colour"] - labels) % 8, minlength=8)[1:] / len(labels)
    np.testing.assert_allclose(others, 1 / 7, atol=0.02)
    assert (test["ground"] == labels % 2).all()
    assert (train["ground"] == labels % 2).mean() == pytest.approx(0.5, abs=0.02)


def test_cue_changes_only_its_variable() -> None:
    plain, cued = shapes(images=50), shapes(images=50, cues={"background": 1})
    before, after = plain.variables("train"), cued.variables("train")
    assert [name for name in VARIABLES if (before[name] != after[name]).any()] == ["background"]


@pytest.mark.parametrize("group", VARIABLES)
def test_variable_is_recorded_as_the_group(group: str) -> None:
    source = shapes(group=group, images=20, test_images=10, values={"ground": ["dark"]})
    dataset = load_dataset(source)
    assert dataset.train.group_names == VARIABLES[group]
    test, train = dataset.eval["test"], source.variables("train")[group]
    assert test.groups is not None and dataset.train.groups is not None
    np.testing.assert_array_equal(test.groups, source.variables("test")[group])
    np.testing.assert_array_equal(dataset.train.groups, train[dataset.train.ids])
    shown = source.scene.choices("train", dataset.train.labels, dataset.train.ids // 16)
    np.testing.assert_array_equal(dataset.train.groups, shown[group])


@pytest.mark.parametrize(
    ("keys", "classes", "depth", "parents"),
    [
        ({}, 16, 2, 4),
        ({"define": "family"}, 4, 1, 0),
        ({"define": "texture"}, 8, 1, 0),
        ({"define": ["family", "shape"]}, 16, 2, 4),
        ({"define": ["shape", "texture"]}, 128, 3, 16),
        ({"define": ["shape", "texture"], "coarse": "family"}, 128, 3, 4),
        ({"define": ["texture", "shape"]}, 128, 3, 32),
        ({"define": ["texture", "shape"], "coarse": "texture"}, 128, 3, 8),
        ({"define": ["family", "colour"]}, 32, 2, 4),
        ({"define": ["shape", "texture", "colour"], "values": {"colour": 2, "shape": 3}}, 48, 4, 24),
        ({"values": {"shape": ["disc", "ring", "star"]}}, 3, 2, 2),
        ({"values": {"family": ["sign"]}}, 4, 2, 1),
    ],
)
def test_class_tree_has_the_expected_size(
    keys: dict[str, Any], classes: int, depth: int, parents: int
) -> None:
    source = shapes(images=2, test_images=1, **keys)
    tree, raw = source.tree, source.read()
    assert (len(tree.classes), tree.depth, len(set(tree.parents))) == (classes, depth, parents)
    assert len(set(tree.classes)) == classes
    assert len(tree.parents) == (classes if parents else 0)
    assert (raw.classes, raw.parents) == (tree.classes, tree.parents)
    assert len(np.unique(tree.codes)) == classes and tree.codes.max() < 2**30
    found = source.variables("train")
    for row, label in enumerate(raw.train.targets.values):
        for name, value in zip(tree.levels, tree.paths[label], strict=True):
            assert VARIABLES[name][found[name][row]] == value
        assert FAMILY_OF[VARIABLES["shape"][found["shape"][row]]] == VARIABLES["family"][found["family"][row]]


def test_every_shape_belongs_to_a_family() -> None:
    assert sorted(FAMILY_OF) == sorted(FIGURES) == sorted(VARIABLES["shape"])
    assert all(len(members) == 4 for members in SHAPE_FAMILIES.values())
    assert {FAMILY_OF[name] for name in VARIABLES["shape"][:4]} == set(SHAPE_FAMILIES), (
        "the first ones are of different families"
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"define": []}, "define: no variable defines the classes (allowed: family, shape, "),
        ({"define": ["shape", "shape"]}, "define: a variable is named twice"),
        ({"define": ["shape", "family"]}, "a shape belongs to one family (allowed: family before shape)"),
        ({"define": "size"}, "study.yaml: data.define"),
        (
            {"coarse": "texture"},
            "coarse: 'texture' is not above the last level of the tree (allowed: family)",
        ),
        ({"values": {"shape": ["disk"]}}, "values.shape: unknown shape 'disk', did you mean 'disc'?"),
        ({"values": {"shape": 17}}, "values.shape: 17 values are requested (allowed: 1 to 16)"),
        ({"values": {"shape": 1}}, "there is only one class, 'disc' (allowed: at least two classes)"),
        ({"values": {"shape": ["disc", "disc"]}}, "values.shape: ['disc', 'disc'] is not a choice"),
        (
            {"values": {"shape": ["disc"], "family": ["star"]}},
            "none of these shapes belongs to these families",
        ),
        ({"values": {"size": 2}}, "study.yaml: data.values"),
        ({"cues": {"shape": 0.5}}, "cues.shape: shape cannot be a cue"),
        ({"cues": {"family": 0.5}, "define": "texture"}, "cues.family: family cannot be a cue"),
        ({"cues": {"texture": 1.5}}, "data.cues.texture: 1.5 is not a strength (allowed: -1 to 1)"),
        ({"cues": {"texture": {"test": float("nan")}}}, "cues.texture: nan is not a strength"),
        ({"values": {"shape": 0}}, "values.shape: 0 values are requested (allowed: 1 to 16)"),
        ({"cues": {"texture": 1}, "values": {"texture": 1}}, "cues.texture: texture has only one value"),
        ({"cues": {"texture": {"val": 1}}}, "study.yaml: data.cues.texture"),
        ({"define": "colour", "channels": 1}, "channels: gray images have no color (allowed: 3)"),
        ({"nuisances": {"rotation": 200}}, "data.nuisances.rotation: 200 is not accepted (allowed: "),
        ({"nuisances": {"scale": [0.9, 0.5]}}, "nuisances.scale: [0.9, 0.5] is not a range"),
        ({"nuisances": {"blur": 1}}, "data.nuisances: unknown key 'blur'"),
        ({"images": 0}, "data.images: 0 is not accepted (allowed: at least 1)"),
    ],
)
def test_invalid_keys_are_refused_in_one_line(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        shapes(**keys)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
