"""Cues associated with the class: their pixels, their assignment, and the test sets that expose them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.data.derived import derived
from distillab.data.examples import Examples, Pool
from distillab.data.student_transform import StudentTransform
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.factors import Size, Spurious
from distillab.factors.inputs.cues import OPACITY, CueKind, CueOverlay
from distillab.factors.inputs.resolution import Resampled
from distillab.factors.inputs.spurious import association
from support.datasets import examples_of

KINDS: tuple[CueKind, ...] = get_args(CueKind)
SEEDS = st.integers(0, 2**63 - 1)


def apply(factor: Spurious, images: Examples, seed: int = 0) -> Examples:
    return factor.apply(images, np.random.default_rng(seed))


def evals_of(factor: Spurious, images: Examples, seed: int = 0) -> dict[str, Examples]:
    return dict(factor.extra_evals(images, np.random.default_rng(seed)))


def gray(images: Examples) -> Examples:
    return replace(images, pool=Pool.of(images.pool.items[:, :1]))


def seen_in_pixels(before: Examples, after: Examples, kind: CueKind) -> npt.NDArray[np.int64]:
    """Return the class whose cue, laid over the image before, gives the image after: int64 ``[N]``."""
    of = len(before.classes)
    variants = [
        CueOverlay(kind, k, of, OPACITY[kind])(before.images, before.rows).astype(int) for k in range(of)
    ]
    far = np.abs(np.stack(variants) - after.images.astype(int)).sum(axis=(2, 3, 4))
    assert (far.min(axis=0) == 0).all()
    return np.asarray(far.argmin(axis=0))


class Unreadable:
    """Pixels that must not be read."""

    shape, dtype, ndim = (160, 3, 8, 8), np.dtype(np.uint8), 4

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Any:
        raise AssertionError("pixels were read")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("color", [True, False])
def test_requested_share_of_every_class_has_its_own_cue(kind: CueKind, color: bool) -> None:
    images = examples_of([20, 31, 40, 25, 10])
    images = images if color else gray(images)
    factor = Spurious(level=0.7, cue=kind)
    after = apply(factor, images, 3)
    cues = seen_in_pixels(images, after, kind)
    assert np.array_equal(cues, factor.cues_of(after))
    own = np.bincount(images.labels[cues == images.labels], minlength=5)
    assert own.tolist() == [14, 22, 28, 18, 7]
    assert after.group_names == ("aligned", "conflicting")
    assert after.groups is not None and np.array_equal(after.groups == 0, cues == images.labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8), (3, 28, 28), (1, 224, 224)])
@pytest.mark.parametrize("of", [2, 3, 10, 100])
def test_no_two_classes_share_a_cue(kind: CueKind, shape: tuple[int, int, int], of: int) -> None:
    image = np.full((1, *shape), 128, dtype=np.uint8)
    variants = [CueOverlay(kind, k, of, 1.0)(image, np.zeros(1, np.int64)).tobytes() for k in range(of)]
    assert len(set(variants)) == of


@pytest.mark.parametrize("kind", ["patch", "background", "frame"])
def test_cue_leaves_the_center_of_the_image_unchanged(kind: CueKind) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    after = CueOverlay(kind, 1, 4, 1.0)(image, np.zeros(2, np.int64))
    assert np.array_equal(after[:, :, 10:22, 10:22], image[:, :, 10:22, 10:22])
    assert not np.array_equal(after[:, :, :2, :2], image[:, :, :2, :2])


def test_patch_is_its_own_mirror_image() -> None:
    image = np.full((1, 1, 16, 16), 77, dtype=np.uint8)
    for k in range(100):
        patch = CueOverlay("patch", k, 100, 1.0)(image, np.zeros(1, np.int64))[0, 0]
        drawn = patch[:, (patch != 77).any(axis=0)]
        assert np.array_equal(drawn, drawn[:, ::-1])


def test_opacity_is_the_weight_of_the_color() -> None:
    image = np.full((1, 3, 4, 4), 100, dtype=np.uint8)
    after = CueOverlay("tint", 0, 3, 0.25)(image, np.zeros(1, np.int64))
    assert after[0, :, 0, 0].tolist() == [139, 75, 75]  # 0.75 * 100 + 0.25 * (255, 0, 0)


@given(seed=SEEDS, levels=st.lists(st.floats(0, 1), min_size=2, max_size=4), classes=st.integers(2, 6))
@settings(max_examples=40)
def test_own_cue_is_kept_at_higher_levels(seed: int, levels: list[float], classes: int) -> None:
    images = examples_of([23] * classes)
    weak_to_strong = [Spurious(level=level) for level in sorted(levels)]
    cues = [factor.cues_of(apply(factor, images, seed)) for factor in weak_to_strong]
    for weaker, stronger in pairwise(cues):
        changed = weaker != stronger
        assert np.array_equal(stronger[changed], images.labels[changed])


def test_wrong_cues_are_spread_evenly() -> None:
    images = examples_of([4000] * 4)
    factor = Spurious(level=0.25)
    cues = factor.cues_of(apply(factor, images))
    table = np.zeros((4, 4))
    np.add.at(table, (images.labels, cues), 1)
    assert table.diagonal().tolist() == [1000] * 4
    # 3000 draws at 1/3, 5 standard deviations
    assert np.abs(table - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)
    assert association(images.labels, cues) < 0.03


def test_association_has_its_closed_forms() -> None:
    first = np.repeat([0, 1], 50)
    assert association(first, first) == pytest.approx(1)
    assert association(first, np.tile([0, 1], 50)) == pytest.approx(0)
    assert association(first, 0 * first) == 0
    p = 0.8  # two classes, two cues, right with probability p: V = 2p - 1
    assert association(first, np.concatenate([np.repeat([0, 1], [40, 10]), np.repeat([0, 1], [10, 40])])) == (
        pytest.approx(2 * p - 1)
    )


def test_check_reports_the_association() -> None:
    images = examples_of([100] * 5)
    for level in (0.2, 0.6, 1.0):
        factor = Spurious(level=level)
        check = factor.check(images, apply(factor, images))
        assert check.passed and check.measured == level
        expected = (5 * level - 1) / 4  # with exactly even wrong cues
        assert float(check.note.rpartition(" ")[2]) == pytest.approx(expected, abs=0.1)
    stronger = apply(Spurious(level=0.8), images)
    assert not Spurious(level=0.6).check(images, stronger).passed
    assert not Spurious(level=0.8, cue="frame").check(images, stronger).passed


def test_levels_and_test_sets_share_one_pool_without_reading_pixels() -> None:
    labels = np.arange(160) % 4
    rows = np.arange(160)
    images = Examples(Pool(Unreadable(), "unread"), rows, Labels(labels, 4), tuple("abcd"), rows + 50)
    sets = [apply(Spurious(level=level), images) for level in (0, 0.4, 1)]
    sets += evals_of(Spurious(level=0.4), images).values()
    assert len({each.pool.digest for each in sets}) == 1
    for each in sets:
        assert np.array_equal(each.rows % 160, rows) and np.array_equal(each.ids, images.ids)
    assert apply(Spurious(level=0.4, cue="frame"), images).pool.digest != sets[0].pool.digest
    assert apply(Spurious(level=0.4, opacity=0.9), images).pool.digest != sets[0].pool.digest


def test_added_test_sets_are_aligned_conflicting_and_mixed() -> None:
    test = examples_of([10, 12, 20])
    factor = Spurious(level=0.9, cue="background")
    sets = evals_of(factor, test)
    assert list(sets) == ["aligned", "conflicting", "crossed"]
    cues = {name: seen_in_pixels(test, images, "background") for name, images in sets.items()}
    assert np.array_equal(cues["aligned"], test.labels)
    assert (cues["conflicting"] != test.labels).all()
    aligned = cues["crossed"] == test.labels
    assert np.bincount(test.labels[aligned]).tolist() == [5, 6, 10]
    assert np.array_equal(cues["crossed"][~aligned], cues["conflicting"][~aligned])
    for name, shares in {"aligned": 0, "conflicting": 1, "crossed": 0.5}.items():
        groups = sets[name].groups
        assert groups is not None and groups.mean() == shares


def test_cues_of_a_test_set_are_replaced_and_removed() -> None:
    test = examples_of([10, 12, 20])
    factor = Spurious(level=0.9, cue="frame", roles=("transfer", "eval"))
    sets = evals_of(factor, apply(factor, test))
    assert np.array_equal(sets["neutral"].images, test.images) and sets["neutral"].groups is None
    clean = evals_of(factor.model_copy(update={"roles": ("transfer",)}), test)
    for name in ("aligned", "conflicting", "crossed"):
        assert sets[name].digest == clean[name].digest
    smaller = derived(apply(factor, test), [Resampled(StudentTransform(4))])
    with pytest.raises(RequestError, match="spurious written after"):
        evals_of(factor, smaller)


@given(seed=SEEDS, keep=st.integers(4, 29))
@settings(max_examples=25)
def test_wrong_cue_of_an_image_does_not_depend_on_the_others(seed: int, keep: int) -> None:
    images = examples_of([30] * 4)
    few = Size(level=keep).apply(images, np.random.default_rng(seed + 1))
    factor = Spurious(level=0.5)
    large = dict(zip(images.ids, factor.cues_of(apply(factor, images, seed)), strict=True))
    small = dict(zip(few.ids, factor.cues_of(apply(factor, few, seed)), strict=True))
    label = dict(zip(few.ids, few.labels, strict=True))
    wrong_in_both = [i for i in small if label[i] not in (small[i], large[i])]
    assert all(small[i] == large[i] for i in wrong_in_both)


def test_single_class_is_refused() -> None:
    with pytest.raises(RequestError, match="single class"):
        apply(Spurious(level=0.5), examples_of([9]))
