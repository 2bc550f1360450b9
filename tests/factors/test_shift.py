"""Shifted images: corrupted ones, and those of another dataset."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecorruptions import get_corruption_names
from pydantic import ValidationError

from distillab.data.examples import Examples
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.factors import FactorContext, Shift
from distillab.factors.inputs.corruptions import Corrupted, Corruption, corrupt
from distillab.factors.inputs.energy_distance import energy_distance
from support.datasets import context_around, examples_of

NAMES: tuple[Corruption, ...] = get_args(Corruption)


def apply(factor: Shift, images: Examples, context: FactorContext | None = None, seed: int = 0) -> Examples:
    return factor.apply(images, np.random.default_rng(seed), context)


def photographs(n: int = 12, channels: int = 3, side: int = 32) -> Examples:
    """Return images with edges and flat areas, like photographs."""
    coarse = np.random.default_rng(4).integers(20, 236, (n, channels, side // 4, side // 4), dtype=np.uint8)
    return Examples.of(coarse.repeat(4, axis=2).repeat(4, axis=3), np.arange(n) % 3, tuple("abc"))


# Corruptions


def test_all_corruptions_of_the_package_are_listed() -> None:
    assert sorted(NAMES) == sorted(get_corruption_names("all"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_corruption_depends_on_the_image_and_its_row_alone(name: Corruption, channels: int) -> None:
    images = photographs(channels=channels)
    factor = Shift(level=4, corruption=name)
    after = apply(factor, images, seed=1)
    assert after.images.shape == images.images.shape and after.images.dtype == np.uint8
    assert factor.check(images, after).passed and not factor.check(images, images).passed
    backwards = np.arange(len(images))[::-1]
    np.random.seed(99)
    again = apply(factor, images, seed=2)
    assert again.digest == after.digest
    assert np.array_equal(again.select(backwards).images, after.images[::-1])
    assert np.array_equal(again.pixels(np.array([5])), after.images[5:6])
    assert np.array_equal(again.labels, images.labels) and np.array_equal(again.ids, images.ids)


def test_equal_images_in_two_rows_are_corrupted_differently() -> None:
    image = photographs(1).images
    operation = Corrupted(("gaussian_noise",), 3)
    twice = operation(np.concatenate([image, image]), np.array([3, 4]))
    assert not np.array_equal(twice[0], twice[1])
    assert np.array_equal(operation(image, np.array([4]))[0], twice[1])


def test_global_random_state_is_restored() -> None:
    np.random.seed(7)
    undisturbed = np.random.random(3)
    np.random.seed(7)
    assert len(apply(Shift(level=2, corruption="snow"), photographs()).images)
    assert np.array_equal(np.random.random(3), undisturbed)


@pytest.mark.parametrize("name", ["gaussian_noise", "contrast", "jpeg_compression"])
def test_higher_severity_changes_images_more(name: Corruption) -> None:
    images = photographs()
    before = images.images.astype(float)
    far = [np.abs(apply(Shift(level=s, corruption=name), images).images - before).mean() for s in range(6)]
    assert far[0] == 0 and far == sorted(far) and far[5] > far[1] > 0


@pytest.mark.parametrize("name", NAMES)
def test_check_measures_the_severity(name: Corruption) -> None:
    """The images have enough detail for every severity of every corruption to differ."""
    noise = np.random.default_rng(0).integers(-20, 20, (40, 3, 32, 32))
    images = photographs(40)
    images = Examples.of((images.images + noise).astype(np.uint8), images.labels, images.classes)
    requested = Shift(level=3, corruption=name)
    for severity in range(6):
        after = apply(Shift(level=severity, corruption=name), images)
        found = requested.check(images, after)
        assert found.measured == severity and found.passed == (severity == 3)


def test_corruption_without_effect_measures_severity_zero() -> None:
    flat = Examples.of(np.full((9, 3, 32, 32), 128, np.uint8), np.arange(9) % 3, tuple("abc"))
    requested = Shift(level=3, corruption="pixelate")
    found = requested.check(flat, apply(requested, flat))
    assert found.measured == 0 and not found.passed


def test_corrupted_pixels_are_shared_across_seeds() -> None:
    images = photographs()
    first, second = (apply(Shift(level=2, corruption="snow"), images, seed=seed) for seed in (1, 2))
    assert second.pool.items is first.pool.items


def test_check_reports_the_energy_distance() -> None:
    def distance(before: Examples, after: Examples, factor: Shift) -> float:
        return float(factor.check(before, after).note.split()[-1])

    images = photographs(40)
    slight, strong = (Shift(level=level, corruption="gaussian_noise") for level in (1, 5))
    near = distance(images, apply(slight, images), slight)
    assert 0 <= near < distance(images, apply(strong, images), strong) <= 1
    digits = examples_of([40] * 4)
    same = Shift(level=0.3, to="other")
    assert distance(digits, apply(same, digits, context_around(digits)), same) < 0.1


def test_energy_distance_separates_different_sets() -> None:
    images = photographs(80).images
    assert energy_distance(images[::2], images[1::2]) < 0.05
    assert energy_distance(images, images) == 0
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert energy_distance(images, noise) > 0.2
    assert np.isnan(energy_distance(images[:1], images))


def test_severity_zero_returns_the_set_and_others_have_their_own_pools() -> None:
    images = photographs()
    assert apply(Shift(level=0, corruption="fog"), images) is images
    digests = {apply(Shift(level=s, corruption="fog"), images).pool.digest for s in range(1, 6)}
    digests.add(apply(Shift(level=3, corruption="snow"), images).pool.digest)
    assert len(digests) == 6


def test_each_image_gets_one_of_several_corruptions() -> None:
    images = photographs(60)
    both = apply(Shift(level=5, corruption=("contrast", "brightness")), images).images
    dull = apply(Shift(level=5, corruption="contrast"), images).images
    light = apply(Shift(level=5, corruption="brightness"), images).images
    is_dull = (both == dull).all(axis=(1, 2, 3))
    assert np.array_equal(both, np.where(is_dull[:, None, None, None], dull, light))
    assert 15 <= is_dull.sum() <= 45  # 5 standard deviations about 30 would be wider still


def test_images_that_cannot_be_corrupted_are_refused() -> None:
    for level in (0, 3):
        with pytest.raises(RequestError, match=r"8x8 pixels .* \(allowed: images of at least 32x32\)"):
            apply(Shift(level=level, corruption="fog"), examples_of([20] * 3))
    with pytest.raises(RequestError, match="1 or 3 channels"):
        apply(Shift(level=1, corruption="fog"), photographs(channels=2))


def test_missing_package_is_reported_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    corrupt.cache_clear()
    with pytest.raises(RequestError, match=r"pip install 'distillab\[corruptions\]'"):
        apply(Shift(level=1, corruption="fog"), photographs())


def test_corrupted_test_set_is_added() -> None:
    test, rng = photographs(), np.random.default_rng(0)
    factor = Shift(level=3, corruption="contrast")
    assert factor.extra_evals(test, rng)["shifted"].digest == apply(factor, test).digest
    assert Shift(level=3, corruption="contrast", roles=("eval",)).extra_evals(test, rng) == {}
    assert Shift(level=0, corruption="contrast").extra_evals(test, rng) == {}


# Another dataset


def places_of(images: Examples) -> dict[bytes, int]:
    return {image.tobytes(): place for place, image in enumerate(images.images)}


@given(level=st.floats(0, 0.3), seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_requested_share_of_every_class_is_replaced_once_each(level: float, seed: int) -> None:
    images = examples_of([40, 30, 21, 40])
    context = context_around(images)
    factor = Shift(level=level, to="other")
    after = apply(factor, images, context, seed)
    assert factor.check(images, after).passed
    assert np.array_equal(after.labels, images.labels) and np.array_equal(after.ids, images.ids)
    donors = context.dataset.others["other"].train
    place = places_of(donors)
    found = np.array([place.get(image.tobytes(), -1) for image in after.images])
    taken = found >= 0
    assert np.array_equal(donors.labels[found[taken]], images.labels[taken])
    assert len(set(found[taken].tolist())) == taken.sum()
    assert np.array_equal(after.images[~taken], images.images[~taken])
    replaced = np.bincount(images.labels[taken], minlength=4)
    assert np.array_equal(replaced, np.floor(level * images.counts + 0.5))


def test_each_role_takes_from_the_matching_split() -> None:
    images = examples_of([12] * 3)
    other = context_around(images).dataset.others["other"]
    for role, split in {"transfer": other.train, "val": other.val, "eval": other.eval["test"]}.items():
        factor = Shift(level=0.25, to="other", roles=(role,))  # type: ignore[arg-type]
        after = apply(factor, images, context_around(images, role))  # type: ignore[arg-type]
        place = places_of(split)
        assert sum(image.tobytes() in place for image in after.images) == 9


def test_class_map_pairs_the_classes_of_two_datasets() -> None:
    images = examples_of([40] * 4)
    context = context_around(images)
    swap = {"class 0": "class 1", "class 1": "class 0"}
    after = apply(Shift(level=0.3, to="other", class_map=swap), images, context)
    donors = context.dataset.others["other"].train
    place = places_of(donors)
    found = [place.get(image.tobytes()) for image in after.images]
    pairs = {
        (int(label), int(donors.labels[at]))
        for label, at in zip(after.labels, found, strict=True)
        if at is not None
    }
    assert pairs == {(0, 1), (1, 0), (2, 2), (3, 3)}


def test_coarser_classes_of_the_other_dataset_are_matched() -> None:
    images = examples_of([10] * 2)
    context = context_around(examples_of([40] * 4))
    coarse = replace(images, classes=("parent 0", "parent 1"), parents=())
    shifted = Shift(level=0, to="other").extra_evals(coarse, np.random.default_rng(0), context)["shifted"]
    assert shifted.counts.tolist() == [16, 16] and shifted.classes == coarse.classes


def test_test_set_of_the_other_dataset_is_added() -> None:
    images = examples_of([20] * 3)
    context = context_around(images, "eval")
    rng = np.random.default_rng(0)
    for level in (0.0, 0.3):
        sets = Shift(level=level, to="other").extra_evals(images, rng, context)
        assert sets["shifted"].ids.tolist() == context.dataset.others["other"].eval["test"].ids.tolist()
    swap = {"class 0": "class 1", "class 1": "class 0"}
    swapped = Shift(level=0.0, to="other", class_map=swap).extra_evals(images, rng, context)
    was = context.dataset.others["other"].eval["test"].labels
    assert np.array_equal(swapped["shifted"].labels, np.array([1, 0, 2])[was])


def test_unlabelled_images_are_not_replaced() -> None:
    images = examples_of([40] * 3)
    unknown = np.arange(len(images)) % 2 == 0
    mixed = images.relabel(np.where(unknown, UNLABELLED, images.labels))
    factor = Shift(level=0.4, to="other")
    after = apply(factor, mixed, context_around(images))
    assert factor.check(mixed, after).passed
    assert np.array_equal(after.images[unknown], images.images[unknown])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"to": "othre"}, "unknown dataset 'othre', did you mean 'other'"),
        ({"class_map": {"class 7": "class 1"}}, "shift.class_map: unknown class 'class 7'"),
        ({"class_map": {"class 1": "class 9"}}, "shift.class_map: unknown class 'class 9'"),
        ({"class_map": {"class 1": "class 0"}}, "no class of other stands for 'class 1'"),
        ({"level": 0.6}, "other has only 40 images of 'class 0' to replace 48 of 80 .*at most 0.5"),
    ],
)
def test_infeasible_replacements_are_refused(keys: dict[str, Any], message: str) -> None:
    images = examples_of([80] * 3)
    factor = Shift.model_validate({"level": 0.1, "to": "other", **keys})
    with pytest.raises(RequestError, match=message) as caught:
        apply(factor, images, context_around(images))
    assert "\n" not in str(caught.value)


def test_datasets_must_match_in_shape_and_be_named() -> None:
    images = examples_of([40] * 3)
    context = context_around(images)
    gray = Examples.of(images.images[:, :1], images.labels, images.classes)
    for level in (0.0, 0.3):
        with pytest.raises(RequestError, match=r"other has 8x8 RGB, and the images .* are 8x8 gray"):
            apply(Shift(level=level, to="other"), gray, context)
    with pytest.raises(RequestError, match=r"no other dataset 'other' \(allowed: .*`others`"):
        apply(Shift(level=0.1, to="other"), images, FactorContext(replace(context.dataset, others={})))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"level": 1}, "either"),
        ({"level": 1, "corruption": "fog", "to": "usps"}, "either"),
        ({"level": 2.5, "corruption": "fog"}, "not a severity"),
        ({"level": 1.5, "to": "usps"}, "not a share"),
        ({"level": 1, "corruption": "fog", "class_map": {"a": "b"}}, "needs no"),
        ({"level": 1, "corruption": "smog"}, "corruption"),
        ({"level": 6, "corruption": "fog"}, "level"),
        ({"level": 1, "corruption": []}, "corruption"),
    ],
)
def test_inconsistent_keys_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Shift.model_validate(bad)


def test_shift_survives_a_json_round_trip_and_is_hashable() -> None:
    written = {"level": 1, "to": "usps", "class_map": {0: "0 - zero", 1: "1 - one"}}
    factor = Shift.model_validate(written)
    assert factor.class_map == (("0", "0 - zero"), ("1", "1 - one"))
    assert Shift.model_validate(factor.model_dump(mode="json")) == factor
    corrupted = Shift.model_validate({"level": 1, "corruption": "fog"})
    assert len({factor, Shift.model_validate(written), corrupted}) == 2
