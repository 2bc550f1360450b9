"""Shapes: the same seed gives the same pixels, and what is said about a picture is true of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data import storage
from distillab.data.duplicates import content
from distillab.data.storage import FileItems
from distillab.errors import RequestError
from distillab.modalities.image.decoding import decode_images
from distillab.sources import parse_source
from distillab.sources.drawing import FAMILIES, FAMILY_OF, VARIABLES, draw
from distillab.sources.drawing.compose import TURN
from distillab.sources.drawing.figures import FIGURES
from distillab.sources.drawing.patterns import BACKGROUNDS, TEXTURES
from distillab.sources.ingest import load_dataset
from distillab.sources.shapes import Shapes

STILL = {"rotation": 0, "tilt": 0, "scale": [0.8, 0.8], "position": 0, "contrast": [1, 1], "noise": 0}


def shapes(**keys: Any) -> Shapes:
    found = parse_source({"source": "shapes", **keys}, Path(), "study.yaml: data")
    assert isinstance(found, Shapes)
    return found


def pictures(source: Shapes, count: int, *, side: int = 32, channels: int = 3, split: str = "train") -> Any:
    """The first ``count`` pictures of a split in the order in which they are read."""
    rows = np.arange(count)
    classes = len(source.tree.classes)
    return draw(source.scene.sketch(split, rows % classes, rows // classes), side, channels)


def digest(pixels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def cramers_v(a: Any, b: Any) -> float:
    table = np.histogram2d(a, b, bins=(a.max() + 1, b.max() + 1))[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / (min(table.shape) - 1)))


# ------------------------------------------------------------------------------- the same pixels anywhere

GOLDEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "02a1483ce8c0abf3": ({}, {"count": 320}),
    "bbc7ba5ee8be12a2": (
        {"seed": 7, "define": ["shape", "texture"]},
        {"count": 256, "side": 28, "channels": 1},
    ),
    "9a76dbdf8ef82e29": (
        {
            "seed": -1,
            "define": "colour",
            "cues": {"background": 0.8},
            "nuisances": {"rotation": 180, "noise": 0.1},
        },
        {"count": 40, "side": 64, "split": "test"},
    ),
    "8ee09c47dec8a616": ({"seed": 2**40}, {"count": 16, "side": 224}),
}


@pytest.mark.parametrize("expected", GOLDEN)
def test_pixels_are_those_of_every_machine(expected: str) -> None:
    keys, size = GOLDEN[expected]
    assert digest(pictures(shapes(**keys), **size)) == expected


def test_pixels_do_not_depend_on_what_the_processor_can_do() -> None:
    """NumPy and the matrix products without the wide instructions that this machine happens to have."""
    source = shapes(seed=3)
    script = (
        "import numpy as np, hashlib; from distillab.sources.drawing import draw;"
        "from distillab.sources.shapes import Shapes;"
        "rows = np.arange(400);"
        "pixels = draw(Shapes(seed=3).scene.sketch('train', rows % 16, rows // 16), 32, 3);"
        "print(hashlib.sha256(pixels.tobytes()).hexdigest()[:16])"
    )
    features = " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
    plain = {"NPY_DISABLE_CPU_FEATURES": features, "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | plain, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest(pictures(source, 400))


def test_no_sine_of_the_table_hangs_on_a_last_digit() -> None:
    sines = np.sin(np.arange(TURN) * (2 * np.pi / TURN)) * 2**14
    assert np.abs(sines % 1 - 0.5).min() > 1e-6


@settings(max_examples=25, deadline=None)
@given(data=st.data(), side=st.sampled_from([8, 28, 33]), channels=st.sampled_from([1, 3]))
def test_a_picture_does_not_depend_on_its_company(data: st.DataObject, side: int, channels: int) -> None:
    source = shapes(define=["shape", "texture"], seed=data.draw(st.integers(-(2**40), 2**70)))
    labels = np.array(data.draw(st.lists(st.integers(0, 127), min_size=2, max_size=9)))
    numbers = np.array(data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=9, max_size=9)))[: len(labels)]
    together = draw(source.scene.sketch("train", labels, numbers), side, channels)
    for row in range(len(labels)):
        alone = draw(source.scene.sketch("train", labels[[row]], numbers[[row]]), side, channels)
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("side", [28, 32, 224])
@pytest.mark.parametrize("channels", [1, 3, None])
def test_what_is_read_is_what_is_drawn(side: int, channels: int | None) -> None:
    """In any order, across blocks, and without being resized."""
    count = 3 * 2**18 // side**2
    source = shapes(images=-(-count // 16), test_images=1, resolution=side, channels=channels)
    raw = source.read().train
    drawn = pictures(source, count, side=side, channels=channels or 3)
    for row in (count - 1, 0, count // 2, 1):
        found = decode_images([raw.items[row]], ["x"], resolution=side, channels=channels)
        np.testing.assert_array_equal(found.pixels[:], drawn[[row]])


def test_a_set_that_is_too_large_for_memory_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shapes(images=6, test_images=2)
    usual = load_dataset(source)
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(storage, "LARGE", 0)
    large = load_dataset(source)
    assert isinstance(large.train.pool.items, FileItems)
    assert large.digest == usual.digest


def test_nothing_is_drawn_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def count(sketch: Any, side: int, channels: int) -> Any:
        drawn.append(len(sketch))
        return draw(sketch, side, channels)

    monkeypatch.setattr("distillab.sources.shapes.draw", count)
    raw = shapes(images=1000, test_images=1).read()
    assert drawn == []
    images: Any = raw.train.items
    for row in (5000, 5001, 4999):
        images[row]()
    assert drawn == [256]


# ------------------------------------------------------------------------------------------- what is where


@settings(max_examples=15, deadline=None)
@given(few=st.integers(1, 5), more=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_the_first_images_stay_when_more_are_asked_for(few: int, more: int, seed: int) -> None:
    keys = {"values": {"shape": 4}, "seed": seed, "resolution": 8, "group": "texture"}
    small, large = (shapes(images=n, **keys).read().train for n in (few, few + more))
    n = len(small.labels)
    assert n == 4 * few and len(large.labels) == 4 * (few + more)
    np.testing.assert_array_equal(small.labels, large.labels[:n])
    np.testing.assert_array_equal(small.groups, large.groups[:n])
    for ours, theirs in zip(small.items, large.items, strict=False):
        assert ours().tobytes() == theirs().tobytes()  # type: ignore[operator]


def test_pictures_of_a_class_stay_when_classes_are_added() -> None:
    few, all_of_them = shapes(values={"shape": ["star", "drop"]}), shapes()
    for label, name in enumerate(few.tree.classes):
        other = all_of_them.tree.classes.index(name)
        numbers = np.arange(20)
        ours = draw(few.scene.sketch("test", np.full(20, label), numbers), 28, 3)
        theirs = draw(all_of_them.scene.sketch("test", np.full(20, other), numbers), 28, 3)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_picture_stands_in_two_splits_or_twice_in_one(channels: int) -> None:
    dataset = load_dataset(shapes(images=60, test_images=30, resolution=28, channels=channels))
    assert dataset.report.duplicates == {"train/val": 0, "train/test": 0, "val/test": 0}
    assert len(np.unique(content(dataset.train.pool.items)[1])) == 16 * 90
    assert dataset.train.shape == (channels, 28, 28)


def test_another_seed_or_split_is_another_picture() -> None:
    base = pictures(shapes(), 64)
    for other in (pictures(shapes(seed=1), 64), pictures(shapes(), 64, split="test")):
        assert (base != other).any(axis=(1, 2, 3)).all()


# ---------------------------------------------------------------------------------- variables and their cues


def test_every_value_comes_equally_often() -> None:
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
def test_the_strength_of_a_cue_is_cramers_v(strength: float) -> None:
    source = shapes(define="texture", cues={"background": strength}, images=1000, test_images=1000)
    labels = source.read().train.labels
    assert cramers_v(labels, source.variables("train")["background"]) == pytest.approx(strength, abs=0.04)
    assert cramers_v(labels, source.variables("test")["background"]) < 0.04
    assert cramers_v(labels, source.variables("train")["colour"]) < 0.04


def test_cues_by_split_aligned_and_conflicting() -> None:
    keys = {"values": {"shape": 8, "ground": 2}, "images": 1000, "test_images": 1000}
    source = shapes(cues={"colour": {"train": 0.5, "test": -1}, "ground": {"test": 1}}, **keys)
    labels = source.read().train.labels
    train, test = source.variables("train"), source.variables("test")
    assert (train["colour"] == labels).mean() == pytest.approx(0.5 + 0.5 / 8, abs=0.02)
    assert not (test["colour"] == labels).any()
    others = np.bincount((test["colour"] - labels) % 8, minlength=8)[1:] / len(labels)
    np.testing.assert_allclose(others, 1 / 7, atol=0.02)
    assert (test["ground"] == labels % 2).all()
    assert (train["ground"] == labels % 2).mean() == pytest.approx(0.5, abs=0.02)


def test_a_cue_changes_nothing_but_its_variable() -> None:
    plain, cued = shapes(images=50), shapes(images=50, cues={"background": 1})
    before, after = plain.variables("train"), cued.variables("train")
    assert [name for name in VARIABLES if (before[name] != after[name]).any()] == ["background"]


@pytest.mark.parametrize("group", VARIABLES)
def test_a_variable_is_recorded_as_the_group(group: str) -> None:
    source = shapes(group=group, images=20, test_images=10, values={"ground": ["dark"]})
    dataset = load_dataset(source)
    assert dataset.train.group_names == VARIABLES[group]
    test, train = dataset.eval["test"], source.variables("train")[group]
    assert test.groups is not None and dataset.train.groups is not None
    np.testing.assert_array_equal(test.groups, source.variables("test")[group])
    np.testing.assert_array_equal(dataset.train.groups, train[dataset.train.ids])
    shown = source.scene.choices("train", dataset.train.labels, dataset.train.ids // 16)
    np.testing.assert_array_equal(dataset.train.groups, shown[group])


# ------------------------------------------------------------------------------------------- the class tree


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
def test_the_tree_is_as_deep_and_as_wide_as_it_says(
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
    for row, label in enumerate(raw.train.labels):
        for name, value in zip(tree.levels, tree.paths[label], strict=True):
            assert VARIABLES[name][found[name][row]] == value
        assert FAMILY_OF[VARIABLES["shape"][found["shape"][row]]] == VARIABLES["family"][found["family"][row]]


def test_the_catalogue_is_whole() -> None:
    assert sorted(FAMILY_OF) == sorted(FIGURES) == sorted(VARIABLES["shape"])
    assert all(len(members) == 4 for members in FAMILIES.values())
    assert {FAMILY_OF[name] for name in VARIABLES["shape"][:4]} == set(FAMILIES), "first ones differ most"


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
        ({"values": {"shape": 17}}, "values.shape: 17 values are asked for (allowed: 1 to 16)"),
        ({"values": {"shape": 1}}, "there is one class only, 'disc' (allowed: at least two classes)"),
        ({"values": {"shape": ["disc", "disc"]}}, "values.shape: ['disc', 'disc'] is not a choice"),
        ({"values": {"shape": ["disc"], "family": ["star"]}}, "none of these shapes is of these families"),
        ({"values": {"size": 2}}, "study.yaml: data.values"),
        ({"cues": {"shape": 0.5}}, "cues.shape: shape cannot be a cue"),
        ({"cues": {"family": 0.5}, "define": "texture"}, "cues.family: family cannot be a cue"),
        ({"cues": {"texture": 1.5}}, "data: cues.texture: 1.5 is not a strength (allowed: -1 to 1)"),
        ({"cues": {"texture": {"test": float("nan")}}}, "cues.texture: nan is not a strength"),
        ({"values": {"shape": 0}}, "values.shape: 0 values are asked for (allowed: 1 to 16)"),
        ({"cues": {"texture": 1}, "values": {"texture": 1}}, "cues.texture: texture has one value only"),
        ({"cues": {"texture": {"val": 1}}}, "study.yaml: data.cues.texture"),
        ({"define": "colour", "channels": 1}, "channels: grey pictures have no colour (allowed: 3)"),
        ({"nuisances": {"rotation": 200}}, "data.nuisances.rotation: 200 is not accepted (allowed: "),
        ({"nuisances": {"scale": [0.9, 0.5]}}, "nuisances.scale: [0.9, 0.5] is not a range"),
        ({"nuisances": {"blur": 1}}, "data.nuisances: unknown key 'blur'"),
        ({"images": 0}, "data.images: 0 is not accepted (allowed: at least 1)"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        shapes(**keys)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- how it looks


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", np.pi * 0.82**2),
        ("square", 1.4**2),
        ("ring", 4 * np.pi * 0.68 * 0.22),
        ("oval", np.pi * 0.98**2 / 1.9),
        ("triangle", 0.75 * np.sqrt(3)),
        ("pentagon", 5 * 0.74**2 * np.tan(np.pi / 5)),
        ("hexagon", 6 * 0.79**2 * np.tan(np.pi / 6)),
        ("cross", 4 * 0.29 * (2 * 0.88 - 0.29)),
        ("star", 5 * 0.42 * np.sin(np.pi / 5)),
        ("spark", 4 * 0.32),
    ],
)
def test_a_figure_is_as_large_as_geometry_has_it(name: str, area: float) -> None:
    axis = ((np.arange(800) + 0.5) / 400 - 1).astype(np.float32)
    inside = FIGURES[name](axis[None, None, :], axis[None, :, None]) < 0
    assert inside.mean() * 4 == pytest.approx(area, rel=5e-3)


@pytest.mark.parametrize("name", FIGURES)
@given(angle=st.floats(0, 2 * np.pi), radius=st.floats(1.001, 14))
def test_a_figure_lies_in_the_unit_circle(name: str, angle: float, radius: float) -> None:
    x, y = (np.full((1, 1, 1), radius * f(angle), np.float32) for f in (np.cos, np.sin))
    value = FIGURES[name](x, y)
    assert value.dtype == np.float32
    assert value > 0


@pytest.mark.parametrize("name", [name for name, pattern in (TEXTURES | BACKGROUNDS).items() if pattern])
def test_a_pattern_is_a_share(name: str) -> None:
    pattern = (TEXTURES | BACKGROUNDS)[name]
    assert pattern is not None
    axis = np.linspace(-4, 4, 257, dtype=np.float32)
    share = pattern(axis[None, None, :], axis[None, :, None], np.full((1, 1, 1), 8, np.float32))
    assert share.dtype == np.float32
    assert share.min() >= 0 and share.max() <= 1
    assert name in ("solid", "plain") or 0.2 < share.mean() < 0.8


@pytest.mark.parametrize("side", [28, 32, 56])
def test_small_pictures_are_large_ones_seen_from_afar(side: int) -> None:
    """Smooth edges: a pixel is the mean of what it covers."""
    source = shapes(nuisances={"noise": 0}, values={"background": ["plain"]})
    large, small = pictures(source, 64, side=224), pictures(source, 64, side=side)
    step = 224 // side
    means = large.reshape(64, 3, side, step, side, step).mean(axis=(3, 5))
    assert np.abs(means - small).mean() < 1.5


def test_grey_pictures_are_the_coloured_ones_without_colour() -> None:
    source = shapes(nuisances={"noise": 0})
    grey, colour = pictures(source, 128, channels=1), pictures(source, 128, channels=3)
    luma = np.tensordot(colour, np.array([0.299, 0.587, 0.114]), axes=(1, 0))
    assert np.abs(luma - grey[:, 0]).max() < 2


@pytest.mark.parametrize("channels", [1, 3])
def test_figures_stand_out_from_their_background(channels: int) -> None:
    """Of every colour, on every ground, also without colour: the least difference is over 25 levels."""
    values = {"texture": ["solid", "dots"], "shape": ["disc", "square"], "background": ["plain", "horizon"]}
    source = shapes(nuisances=STILL, values=values, images=100)
    found = pictures(source, 4000, channels=channels).astype(int)
    centre, border = found[:, :, 14:18, 14:18], found[:, :, [0, 0, 31, 31], [0, 31, 0, 31]]
    apart = np.abs(centre[:, :, :, :, None] - border[:, :, None, None, :]).mean(axis=1)
    assert apart.min() > 25


def test_noise_is_as_strong_as_asked() -> None:
    quiet, loud = (shapes(nuisances={**STILL, "noise": noise}) for noise in (0, 0.05))
    difference = (pictures(loud, 200).astype(float) - pictures(quiet, 200)) / 255
    middle = (pictures(quiet, 200) > 60) & (
        pictures(quiet, 200) < 195
    )  # where nothing is cut off at the ends
    assert difference[middle].std() == pytest.approx(0.05, rel=0.05)
    assert abs(difference[middle].mean()) < 0.002


def test_poses_keep_to_their_ranges() -> None:
    rows = np.arange(4000)
    drawn = {"rotation": 90, "tilt": 0.4, "scale": [0.3, 0.5], "position": 0.5, "contrast": [0.5, 0.6]}
    sketch = shapes(nuisances=drawn).scene.sketch("train", rows % 16, rows // 16)
    for values, low, high in (
        (sketch.rotation, -0.25, 0.25),
        (sketch.tilt, 0, 0.4),
        (sketch.scale, 0.3, 0.5),
        (sketch.x / (1 - sketch.scale), -0.5, 0.5),
        (sketch.y / (1 - sketch.scale), -0.5, 0.5),
        (sketch.contrast, 0.5, 0.6),
    ):
        assert low <= values.min() and values.max() <= high
        assert values.min() < low + (high - low) / 100 and values.max() > high - (high - low) / 100
        assert values.mean() == pytest.approx((low + high) / 2, abs=(high - low) / 40)


def test_a_turned_picture_is_turned() -> None:
    """A quarter turn counter-clockwise is NumPy's, and a figure moved to the right lies to the right."""
    source = shapes(nuisances=STILL, values={"background": ["plain"], "texture": ["solid", "stripes"]})
    sketch = source.scene.sketch("train", np.arange(16), np.arange(16))
    turned = draw(replace(sketch, rotation=sketch.rotation + 0.25), 32, 1)
    np.testing.assert_allclose(turned[:, 0], np.rot90(draw(sketch, 32, 1)[:, 0], axes=(1, 2)), atol=1)
    still = draw(replace(sketch, scale=sketch.scale / 2), 32, 1)
    moved = draw(replace(sketch, scale=sketch.scale / 2, x=sketch.x + 0.25, y=sketch.y + 0.5), 32, 1)
    np.testing.assert_allclose(moved[:, :, :-8, 4:], still[:, :, 8:, :-4], atol=1)
