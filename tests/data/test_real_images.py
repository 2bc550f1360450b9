"""Real datasets, in their usual layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillab.data.dataset import Dataset
from distillab.sources import parse_source
from distillab.sources.ingest import load_dataset

pytestmark = pytest.mark.real


def load(folder: Path, **entry: object) -> Dataset:
    return load_dataset(parse_source(entry, folder, "study.yaml: data"))


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return len(dataset.train), len(dataset.val), len(dataset.eval["test"])


def test_cifar100_has_ten_test_images_in_train(real_data: Path) -> None:
    dataset = load(real_data, source="parquet", path="cifar100", label="fine_label", name="CIFAR-100")
    assert dataset.report.duplicates == {"train/val": 0, "train/test": 10, "val/test": 0}
    assert dataset.report.dropped_duplicates == 10
    assert sizes(dataset) == (44990, 5000, 10000)
    assert len(dataset.classes) == 100
    assert dataset.classes[0] == "apple"
    assert dataset.train.shape == (3, 32, 32)
    assert (dataset.eval["test"].counts == 100).all()
    assert np.abs(dataset.val.counts - 50).max() <= 1  # identical images with two labels stay together
    mean, _ = dataset.normalization()
    np.testing.assert_allclose(mean, [0.507, 0.487, 0.441], atol=0.002)  # as published everywhere


def test_corn_leaf_is_a_folder_without_splits(real_data: Path) -> None:
    dataset = load(real_data, source="folder", path="corn_leaf", resolution=32)
    assert dataset.classes == ("Blight", "Common_Rust", "Gray_Leaf_Spot", "Healthy")
    assert dataset.train.shape == (3, 32, 32)
    assert dataset.report.carved == ("val", "test")
    assert dataset.eval["test"].counts.tolist() == [229, 261, 114, 232]  # a fifth of 1145, 1305, 571 and 1162
    assert sum(sizes(dataset)) == 4183 - dataset.report.dropped_duplicates


def test_usps_is_a_folder_with_train_and_test(real_data: Path) -> None:
    dataset = load(real_data, source="folder", path="usps")
    assert dataset.train.shape == (1, 16, 16)
    assert dataset.report.carved == ("val",)
    assert sum(sizes(dataset)) == 9298
    assert len(dataset.eval["test"]) == 2007


def test_mnist_in_the_torchvision_layout_is_read(real_data: Path) -> None:
    dataset = load(
        real_data, source="torchvision", dataset="MNIST", root=".", classes=["0 - zero", "1 - one"]
    )
    assert dataset.train.shape == (1, 28, 28)
    assert dataset.classes == ("0 - zero", "1 - one")
    assert len(dataset.eval["test"]) > 300
