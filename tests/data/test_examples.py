"""Examples over pools of any dtype and shape, with labels or label sets; datasets on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distillab.data import DataReport, Dataset, Examples, Labels, LabelSets, Originals, Pool, stacked
from distillab.data.duplicates import content, repeats
from distillab.data.storage import FileItems, ItemFile

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
SETS = LabelSets(np.array([[1, 0], [1, 1], [0, -1], [-1, -1], [0, 0], [0, 1]], dtype=np.int8), 2)


def images(first_id: int = 0) -> Examples:
    return Examples.of(IMAGES, np.arange(6) % 2, ("cat", "dog"), first_id=first_id)


def spectrograms(dtype: type = np.float16) -> Examples:
    items = np.random.default_rng(1).normal(size=(6, 1, 8, 20)).astype(dtype)
    return Examples.of(items, SETS, ("noise", "voice"), modality="audio")


def as_dataset(examples: Examples) -> Dataset:
    parts = [examples.select(positions) for positions in ([0, 1], [2, 3], [4, 5])]
    return Dataset("small", parts[0], parts[1], {"test": parts[2]}, DataReport())


def test_digests_of_labelled_images_never_change() -> None:
    """Ids of finished runs stand on them."""
    plain = Examples.of(np.arange(2 * 48, dtype=np.uint8).reshape(2, 3, 4, 4), [0, 1], ("a", "b"))
    assert plain.pool.digest == "94ab478538bd43b4aeb4c283"
    assert plain.input_digest == "bd1c9e8f79e7e2dc14de10cd"
    assert plain.digest == "3c80412f95d9fa04b2f168ee"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_pools_hold_any_dtype_and_shape(dtype: type) -> None:
    examples = spectrograms(dtype)
    assert examples.shape == (1, 8, 20) and examples.modality == "audio"
    assert examples.select([4, 2]).items(np.array([1])).dtype == dtype
    np.testing.assert_array_equal(examples.select([4, 2]).items(np.array([1]))[0], examples.pool.items[2])
    with pytest.raises(ValueError, match="a pool of images is uint8"):
        Pool.of(examples.pool.items)


def test_labels_of_label_sets_are_refused() -> None:
    with pytest.raises(TypeError, match="targets of these examples are label sets, not labels"):
        _ = spectrograms().labels
    assert images().labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_label_sets_are_counted_and_relabelled() -> None:
    examples = spectrograms()
    assert examples.counts.tolist() == [2, 2]
    assert examples.labelled.tolist() == [True, True, True, False, True, True]
    changed = examples.relabel(1 - np.abs(SETS.values))
    assert isinstance(changed.targets, LabelSets) and changed.input_digest == examples.input_digest
    assert changed.digest != examples.digest


def test_all_examples_stay_when_labels_of_sets_are_chosen() -> None:
    chosen = spectrograms().of_classes([1])
    assert chosen.classes == ("voice",) and len(chosen) == 6
    assert chosen.targets.values[:, 0].tolist() == [0, 1, -1, -1, 0, 1]


def test_coarser_label_of_a_set_is_any_of_its_labels() -> None:
    merged = SETS.merged(np.array([0, 0]), 1)
    assert merged.values[:, 0].tolist() == [1, 1, -1, -1, 0, 1]


def test_targets_must_have_the_classes_of_their_examples() -> None:
    rows = np.arange(6)
    with pytest.raises(ValueError, match="targets of 2 classes, but 3 names"):
        Examples(images().pool, rows, SETS, ("a", "b", "c"), rows)
    with pytest.raises(ValueError, match="equally long"):
        Examples(images().pool, rows, SETS.take(rows[:3]), ("a", "b"), rows)


def test_sets_of_different_targets_or_modalities_are_not_stacked() -> None:
    with pytest.raises(ValueError, match="label sets of 2 classes cannot follow labels"):
        stacked(images(), Examples.of(IMAGES, SETS, ("cat", "dog"), first_id=50))
    with pytest.raises(ValueError, match="cannot stand in one set"):
        stacked(images(), spectrograms())
    both = stacked(spectrograms(), spectrograms().unlabelled_like(spectrograms()).renumbered(50))
    assert both.labelled.sum() == 5 and both.modality == "audio"


def test_repeated_items_with_other_label_sets_are_counted() -> None:
    _, codes = content(IMAGES[[0, 1, 0, 0]])
    targets = LabelSets(np.array([[1, 0], [0, 0], [1, 0], [1, 1]], dtype=np.int8), 2)
    assert repeats(codes, targets) == (2, 1)
    assert repeats(codes, Labels(np.array([1, 0, 1, 0]), 2)) == (2, 1)


def test_dataset_of_label_sets_is_saved_and_opened(tmp_path: Path) -> None:
    dataset = as_dataset(Examples.of(IMAGES, SETS, ("cat", "dog")))
    dataset.save(tmp_path)
    opened = Dataset.open(tmp_path)
    assert opened.digest == dataset.digest
    assert isinstance(opened.train.targets, LabelSets)
    np.testing.assert_array_equal(opened.val.targets.values, dataset.val.targets.values)


def test_originals_are_saved_with_their_facts(tmp_path: Path) -> None:
    originals = Originals(np.array([2, 5]), np.arange(8, dtype=np.int16).reshape(2, 4), {"sample_rate": 4})
    examples = spectrograms()
    dataset = as_dataset(examples)
    stored = Dataset(
        dataset.name,
        dataset.train,
        dataset.val,
        dataset.eval,
        dataset.report,
        known_statistics=(np.zeros((1, 8), np.float32), np.ones((1, 8), np.float32)),
        originals=originals,
    )
    stored.save(tmp_path)
    opened = Dataset.open(tmp_path)
    assert opened.originals is not None and opened.modality == "audio"
    kept = opened.originals.of(5)
    assert kept is not None and kept.values.tolist() == [4, 5, 6, 7] and kept.facts == {"sample_rate": 4}
    assert opened.originals.of(3) is None
    assert opened.normalization()[0].shape == (1, 8)


def test_datasets_of_earlier_versions_are_opened(tmp_path: Path) -> None:
    dataset = as_dataset(images())
    dataset.save(tmp_path)
    facts = json.loads((tmp_path / "dataset.json").read_text())
    for key in ("modality", "targets"):
        del facts[key]
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    (tmp_path / "items.npy").rename(tmp_path / "pixels.npy")
    opened = Dataset.open(tmp_path)
    assert opened.digest == dataset.digest and opened.modality == "image"
    np.testing.assert_array_equal(opened.train.images, dataset.train.images)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.int16])
def test_files_hold_items_of_any_dtype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path))
    items = np.random.default_rng(0).integers(0, 99, (7, 2, 5, 3)).astype(dtype)
    file = ItemFile(9, items.shape[1:], dtype)
    file.append(items[:4])
    file.append(items[4:])
    stored = file.done()
    assert isinstance(stored, FileItems) and (stored.dtype, stored.shape) == (items.dtype, items.shape)
    np.testing.assert_array_equal(stored[np.array([6, 0, 0])], items[[6, 0, 0]])
    assert Pool.of(stored, modality="any").digest == Pool.of(items, modality="any").digest
