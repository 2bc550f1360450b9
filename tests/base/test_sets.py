"""Base sets: what is kept of a source, and how spectrograms become images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.base.sets import SIDE, prepare_sets, read_facts
from distillab.errors import RequestError

DIGITS = {"source": "digits", "train_images": 30, "test_images": 8}


def photographs(folder: Path, groups: int = 6, per_group: int = 3) -> Path:
    """Write images of two classes in groups of near copies, ``CLASS/GROUP-NUMBER.png``."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for group in range(groups):
            for number in range(per_group):
                pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{name}{group}-{number}.png")
    return folder


def test_at_most_so_many_images_of_each_class_are_kept(tmp_path: Path) -> None:
    facts = prepare_sets({"digits": DIGITS}, tmp_path)["digits"]
    assert (facts.classes, facts.channels, facts.smallest) == (tuple("0123456789"), 1, 30)
    with np.load(tmp_path / "digits.npz") as arrays:
        assert arrays["x_train"].shape == (300, SIDE, SIDE)
        assert np.bincount(arrays["y_test"]).tolist() == [8] * 10


def test_a_prepared_set_is_not_read_again(tmp_path: Path) -> None:
    seen: list[str] = []
    for _ in range(2):
        prepare_sets({"digits": DIGITS}, tmp_path, lambda name, number, of: seen.append(name))
    assert seen == ["digits"]


def test_one_example_of_each_group_is_taken(tmp_path: Path) -> None:
    entry = {
        "source": "folder",
        "path": str(photographs(tmp_path / "photographs")),
        "group_pattern": r"([a-z]+\d+)-",
        "split_by": "group",
        "one_per_group": True,
    }
    prepare_sets({"pets": entry}, tmp_path / "sets")
    with np.load(tmp_path / "sets" / "pets.npz") as arrays:
        assert len(arrays["y_train"]) + len(arrays["y_test"]) == 12
        assert arrays["x_train"].shape[1:] == (SIDE, SIDE, 3)


def test_classes_can_be_named(tmp_path: Path) -> None:
    names = [f"digit {place}" for place in range(10)]
    assert prepare_sets({"digits": DIGITS | {"names": names}}, tmp_path)["digits"].classes == tuple(names)
    with pytest.raises(RequestError, match="2 names for 10 classes"):
        prepare_sets({"other": DIGITS | {"names": ["a", "b"]}}, tmp_path)


def test_spectrograms_become_gray_images(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    from support.recordings import write_spoken

    write_spoken(tmp_path / "tones")
    entry = {
        "source": "audio",
        "path": str(tmp_path / "tones"),
        "class_pattern": r"(\d)_",
        "seconds": 0.2,
        "n_mels": 16,
    }
    facts = prepare_sets({"tones": entry}, tmp_path / "sets")["tones"]
    assert facts.channels == 1
    with np.load(tmp_path / "sets" / "tones.npz") as arrays:
        images = arrays["x_train"]
    assert images.dtype == np.uint8
    assert images.shape[1:] == (SIDE, SIDE)
    assert int(images.max()) - int(images.min()) > 50


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"absent\.npz"):
        read_facts("absent", tmp_path / "absent.npz")
