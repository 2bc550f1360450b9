"""Cached teacher outputs: computed once per view, stored completely, read as they were."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distillab.data.examples import Examples
from distillab.integrity import DamagedFileError
from distillab.models import InputSpec, inspect_network
from distillab.models.outputs import Outputs, OutputShapes
from distillab.training.batches import training_batches
from distillab.training.loop.member import new_model
from distillab.training.recipe import ResolvedRecipe
from distillab.training.teachers.cache import CacheFormat, CacheMissError, TeacherCache
from distillab.training.teachers.cache.format import ArrayFormat
from distillab.training.teachers.cache.records import RecordFiles
from distillab.training.teachers.feed import CachedTeacher, LiveTeacher
from support.training import CPU, MODEL, examples_of, normalization, recipe

SEED = 2
EPOCHS = 3
NORMALIZE = normalization(3)
IMAGES = examples_of(45, 3)
VIEWS = {
    "numbered": ["crop_flip"],
    "as it is": ["none"],
    "without end": ["random_resized_crop"],
    "mixed": ["crop", "flip", "mixup"],
}
NEEDS = frozenset({"logits", "embedding", "attention"})


class Teacher:
    """A network that counts the views in its forward passes."""

    def __init__(self) -> None:
        model = new_model(MODEL, IMAGES, 7, CPU).train()
        with torch.no_grad():
            model(torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
        info = inspect_network(model, InputSpec.square(3, 8), classes=3)
        self.live = LiveTeacher(model, info.taps, NEEDS, CPU, "fp32")
        self.shapes = info.shapes
        self.forwards = 0

    def __call__(self, pixels: Tensor) -> Outputs:
        self.forwards += len(pixels)
        return self.live.query(pixels, NORMALIZE)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher()


@pytest.fixture(params=list(VIEWS))
def chosen(request: pytest.FixtureRequest) -> ResolvedRecipe:
    kinds = VIEWS[request.param]
    return recipe(IMAGES, epochs=EPOCHS, views=kinds[0] if len(kinds) == 1 else kinds)


CROPS = recipe(IMAGES, epochs=EPOCHS, views="crop_flip")


def cache_at(root: Path, teacher: Teacher, *, rows: int = 45, top_k: int | None = None) -> TeacherCache:
    return TeacherCache(root, {"weights": "w"}, CacheFormat.of(NEEDS, teacher.shapes, top_k), rows)


def fill(
    cache: TeacherCache,
    compute: Any,
    images: Examples = IMAGES,
    chosen: ResolvedRecipe = CROPS,
    batch: int = 16,
) -> Any:
    return cache.fill(images, chosen.view_spec, SEED, chosen.epochs, compute, batch=batch, device=CPU)


def distinct(chosen: ResolvedRecipe, images: Examples = IMAGES) -> int:
    """Number of different views in all epochs."""
    views = chosen.view_spec
    if views.count is None:
        return chosen.epochs * len(images)
    drawn = [views.index(views.draw(images.ids, epoch, SEED)) for epoch in range(chosen.epochs)]
    return sum(len(set(of_one)) for of_one in np.stack(drawn, axis=1).tolist())


def outputs_of(cache: TeacherCache, images: Examples, chosen: ResolvedRecipe) -> list[Outputs]:
    stored = cache.read(images, chosen.view_spec, SEED)
    return [stored(np.arange(len(images)), epoch, CPU) for epoch in range(chosen.epochs)]


def test_cached_outputs_are_those_of_a_live_teacher(
    teacher: Teacher, chosen: ResolvedRecipe, tmp_path: Path
) -> None:
    cache = cache_at(tmp_path, teacher)
    fill(cache, teacher, chosen=chosen)
    stored = CachedTeacher(cache.read(IMAGES, chosen.view_spec, SEED), CPU)
    steps = list(training_batches(IMAGES, chosen, NORMALIZE, order_seed=5, view_seed=SEED, device=CPU))
    assert len(steps) == chosen.steps
    for step in steps:
        cached, live = stored(step), teacher.live(step)
        assert cached.embedding is not None and live.embedding is not None
        pairs = [
            (cached.logits, live.logits),
            (cached.embedding, live.embedding),
            *zip(cached.attention, live.attention, strict=True),
        ]
        assert len(pairs) == 5
        for read, fresh in pairs:
            assert read.dtype == torch.float32
            # float16 rounds to 11 bits; a batch of another size moves float32 sums by much less.
            torch.testing.assert_close(read, fresh, rtol=2**-10, atol=1e-3 * float(fresh.abs().max()))


def test_no_view_is_computed_twice(teacher: Teacher, chosen: ResolvedRecipe, tmp_path: Path) -> None:
    cache = cache_at(tmp_path, teacher)
    some = IMAGES.select(np.arange(0, 45, 2))
    first = fill(cache, teacher, some, chosen)
    assert first.forwards == first.queries == distinct(chosen, some)
    if chosen.view_spec.mixes:
        return  # a mixed view depends on another image of the set, so each set has its own cache
    whole = fill(cache, teacher, IMAGES, chosen)
    assert whole.queries == distinct(chosen)
    assert whole.forwards == whole.queries - first.queries
    for images in (some, IMAGES):
        again = fill(cache, teacher, images, chosen)
        assert again.forwards == 0
        assert again.bytes == whole.bytes == cache.bytes


def test_copies_of_an_image_have_their_own_views(
    teacher: Teacher, chosen: ResolvedRecipe, tmp_path: Path
) -> None:
    """Copies share the pixels but not the id, from which views are drawn."""
    twice = replace(
        IMAGES.select(np.tile(np.arange(20), 2)), ids=np.concatenate([np.arange(20), np.arange(20) + 2**50])
    )
    cache = cache_at(tmp_path, teacher)
    fill(cache, teacher, twice, chosen)
    stored = CachedTeacher(cache.read(twice, chosen.view_spec, SEED), CPU)
    for step in training_batches(twice, chosen, NORMALIZE, order_seed=5, view_seed=SEED, device=CPU):
        cached, live = stored(step).logits, teacher.live(step).logits
        torch.testing.assert_close(cached, live, rtol=2**-10, atol=1e-3 * float(live.abs().max()))


def test_views_of_many_epochs_share_batches(teacher: Teacher, chosen: ResolvedRecipe, tmp_path: Path) -> None:
    """A batch is filled up once and not in every epoch, so few images do not cost a batch per epoch."""
    few = IMAGES.select(np.arange(5))
    cache, before = cache_at(tmp_path, teacher), teacher.forwards
    computed = fill(cache, teacher, few, chosen, batch=16).forwards
    assert teacher.forwards - before == -(-computed // 16) * 16


def test_numbered_views_are_shared_by_seeds_and_epochs(teacher: Teacher, tmp_path: Path) -> None:
    """After enough epochs every view of every image is stored, and nothing is computed any more."""
    flips = recipe(IMAGES, epochs=40, views="flip")
    cache = cache_at(tmp_path, teacher)
    assert fill(cache, teacher, chosen=flips).forwards == 2 * len(IMAGES)
    again = cache.fill(IMAGES, flips.view_spec, SEED + 1, 99, teacher, batch=16, device=CPU)
    assert again.forwards == 0


def test_outputs_do_not_depend_on_what_was_stored_before(teacher: Teacher, tmp_path: Path) -> None:
    at_once, bit_by_bit = cache_at(tmp_path / "a", teacher), cache_at(tmp_path / "b", teacher)
    fill(at_once, teacher)
    for first in (30, 11, 0):
        fill(bit_by_bit, teacher, IMAGES.select(np.arange(first, 45)))
    for one, other in zip(
        outputs_of(at_once, IMAGES, CROPS), outputs_of(bit_by_bit, IMAGES, CROPS), strict=True
    ):
        assert torch.equal(one.logits, other.logits)
        assert torch.equal(one.attention[0], other.attention[0])


def test_two_writers_share_the_work(tmp_path: Path) -> None:
    teachers = [Teacher(), Teacher()]
    caches = [cache_at(tmp_path, teacher, rows=2 * 8192) for teacher in teachers]
    assert len(caches[0]._shards) == 2
    filled: list[Any] = []
    threads = [
        threading.Thread(target=lambda c=cache, t=teacher: filled.append(fill(c, t)))
        for cache, teacher in zip(caches, teachers, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.forwards for each in filled) == distinct(CROPS)
    assert [each.queries for each in filled] == [distinct(CROPS)] * 2
    assert len(outputs_of(caches[0], IMAGES, CROPS)) == EPOCHS


# -- faults --------------------------------------------------------------------------------------------------


@pytest.fixture
def cut_short(teacher: Teacher, tmp_path: Path) -> Iterator[Path]:
    """The folder of a cache whose writer was killed in the middle of a record."""
    cache = cache_at(tmp_path, teacher)
    fill(cache, teacher, IMAGES.select(np.arange(20)))
    with (cache.folder / "00.logits").open("ab") as file:
        file.write(b"half a record")
    with (cache.folder / "00.keys").open("ab") as file:
        file.write(b"key")
    yield tmp_path


def test_the_rest_of_a_killed_writer_is_overwritten(cut_short: Path, teacher: Teacher) -> None:
    whole, cut = cache_at(cut_short / "whole", teacher), cache_at(cut_short, teacher)
    fill(whole, teacher)
    assert fill(cut, teacher).forwards < distinct(CROPS)
    for one, other in zip(outputs_of(whole, IMAGES, CROPS), outputs_of(cut, IMAGES, CROPS), strict=True):
        assert torch.equal(one.logits, other.logits)


def test_a_failing_writer_releases_the_lock(teacher: Teacher, tmp_path: Path) -> None:
    cache = cache_at(tmp_path, teacher)

    def interrupted(pixels: Tensor) -> Outputs:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(cache, interrupted)
    assert fill(cache, teacher).forwards == distinct(CROPS)


def test_a_missing_view_is_an_error(teacher: Teacher, tmp_path: Path) -> None:
    cache = cache_at(tmp_path, teacher)
    stored = cache.read(IMAGES, CROPS.view_spec, SEED)
    with pytest.raises(CacheMissError, match="4 of 4 views"):
        stored(np.arange(4), 0, CPU)


def test_each_teacher_has_its_own_cache(teacher: Teacher, tmp_path: Path) -> None:
    stored = CacheFormat.of(NEEDS, teacher.shapes)
    one, other = (TeacherCache(tmp_path, {"weights": name}, stored, 45) for name in "ab")
    assert one.folder != other.folder
    (one.folder / "cache.json").write_text((other.folder / "cache.json").read_text())
    with pytest.raises(DamagedFileError, match="other facts"):
        TeacherCache(tmp_path, {"weights": "a"}, stored, 45)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no full disk to write to")
def test_a_full_disk_is_an_error(teacher: Teacher, tmp_path: Path) -> None:
    cache = cache_at(tmp_path, teacher)
    (cache.folder / "00.logits").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        fill(cache, teacher)
    assert caught.value.errno == errno.ENOSPC


def test_records_of_another_width_are_refused(tmp_path: Path) -> None:
    records = RecordFiles(tmp_path, "00", {"logits": ArrayFormat("<f2", 3)})
    with records.locked(wait=True), pytest.raises(ValueError, match=r"logits has shape \[2, 4\]"):
        records.append(np.arange(2), {"logits": np.zeros((2, 4), np.float16)})
    assert len(records.keys()) == 0


# -- the format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [1, 3, 7])
def test_top_k_spreads_the_rest_evenly(top_k: int) -> None:
    logits = 3 * torch.randn(20, 10, generator=torch.Generator().manual_seed(1))
    stored = CacheFormat.of({"logits", "labels"}, OutputShapes(10), top_k)
    assert stored.bytes == 8 + 4 * top_k + 2
    read = stored.decode(stored.encode(Outputs(logits)), CPU).logits
    before, after = logits.softmax(1), read.softmax(1)
    torch.testing.assert_close(after.sum(1), torch.ones(20))
    values, classes = before.topk(top_k, dim=1)
    torch.testing.assert_close(after.gather(1, classes), values, rtol=2e-2, atol=1e-5)
    rest = after.scatter(1, classes, float("nan"))
    for row, left in zip(rest, 1 - values.sum(1), strict=True):
        others = row[~row.isnan()]
        assert others.max() - others.min() < 1e-6
        assert float(others.sum()) == pytest.approx(float(left), abs=2e-3)


def test_top_k_is_exact_for_a_confident_teacher() -> None:
    """At a temperature of 4 the many other classes count as much as the few that are stored.

    Their small sum does not follow from the rounded log-probabilities of the few.
    """
    probability = torch.full((1, 1000), 1e-5 / 998, dtype=torch.float64)
    probability[0, :2] = torch.tensor([0.61, 0.39 - 1e-5], dtype=torch.float64)
    stored = CacheFormat.of({"logits"}, OutputShapes(1000), 100)
    read = stored.decode(stored.encode(Outputs(probability.log().float())), CPU).logits
    soft, expected = (read.double() / 4).softmax(1), (probability.log() / 4).softmax(1)
    torch.testing.assert_close(soft, expected, rtol=5e-3, atol=0)


@pytest.mark.parametrize("top_k", [9, 10, 500])
def test_a_top_k_of_all_classes_stores_the_logits(top_k: int) -> None:
    assert CacheFormat.of({"logits"}, OutputShapes(10), top_k) == CacheFormat.of({"logits"}, OutputShapes(10))


def test_a_format_is_read_as_it_was_written(teacher: Teacher) -> None:
    stored = CacheFormat.of(NEEDS, teacher.shapes, 1)
    assert CacheFormat.from_dict(stored.as_dict()) == stored
    assert stored.bytes == 8 + 4 + 2 + 2 * (64 + sum(h * w for h, w in teacher.shapes.attention))


def test_large_values_stay_finite() -> None:
    stored = CacheFormat.of({"logits"}, OutputShapes(2))
    read = stored.decode(stored.encode(Outputs(torch.tensor([[1e6, -1e6]]))), CPU).logits
    assert torch.isfinite(read).all()
    assert replace(stored, top_k=None) == stored
