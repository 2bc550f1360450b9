"""The torchvision source: splits, class names and missing files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support.source_files import EACH, noise, read, refuse, write_folder, write_mnist


def test_splits_and_class_names_are_kept(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    raw = read(tmp_path, source="torchvision", dataset="MNIST", root=".")
    assert list(raw.given()) == ["train", "test"]
    assert raw.classes[3] == "3 - three"
    np.testing.assert_array_equal(np.stack(raw.train.items), noise(10 * EACH, 0, side=28)[..., 0])
    assert raw.test.targets.values.tolist() == np.repeat(np.arange(10), EACH).tolist()


def test_datasets_without_arrays_are_loaded_image_by_image(tmp_path: Path) -> None:
    """Imagenette has ``split=`` instead of ``train=``, a val but no test split, and files, not arrays."""
    wnids = ["n01440764", "n02102040", "n02979186", "n03000684", "n03028079"]
    wnids += ["n03394916", "n03417042", "n03425413", "n03445777", "n03888257"]
    for split in ("train", "val"):
        write_folder(tmp_path / "imagenette2" / split, tuple(wnids), seed=0 if split == "train" else 50)
        for path in sorted((tmp_path / "imagenette2" / split).rglob("*.png")):
            path.rename(path.with_suffix(".JPEG"))  # Pillow identifies files by their content
    raw = read(tmp_path, source="torchvision", dataset="Imagenette", root=".")
    assert list(raw.given()) == ["train", "val"]
    image = raw.train.items[0]
    assert callable(image)
    np.testing.assert_array_equal(np.asarray(image()), noise(1, 0)[0])


def test_missing_files_and_unknown_options_are_refused(tmp_path: Path) -> None:
    line = refuse(tmp_path, source="torchvision", dataset="MNIST", root="nowhere")
    assert "the files of torchvision's MNIST are missing or damaged" in line
    assert "nowhere" in line
    assert "`download: true`" in line
    line = refuse(tmp_path, source="torchvision", dataset="FashionMINST", root=".")
    assert "unknown torchvision dataset 'FashionMINST', did you mean 'FashionMNIST'?" in line
    line = refuse(tmp_path, source="torchvision", dataset="EMNIST", root=".", options={"splits": "letters"})
    assert "unknown argument of EMNIST 'splits', did you mean 'split'?" in line
    line = refuse(tmp_path, source="torchvision", dataset="MNIST", root=".", options={"train": True})
    assert "'train' is not an option (allowed: nothing: both splits are read)" in line
