"""A profile reads the weights of a teacher as a study does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distillab.artefacts import RECORD
from distillab.errors import RequestError
from distillab.profile import LoadedTeacher, load_teacher
from support.given_teachers import LINEAR, digits, state
from support.studies import CPU

CLASSES = digits().classes


def loaded(folder: Path, content: Mapping[str, Any]) -> LoadedTeacher:
    torch.save(content, folder / "w.pth")
    return load_teacher(LINEAR, folder / "w.pth", digits(), CPU)


def accuracy(teacher: LoadedTeacher) -> float:
    val = digits().val
    return float((teacher.logits(val).argmax(axis=1) == val.labels).mean())


def turned() -> dict[str, torch.Tensor]:
    """Return the weights with the classes in the opposite order."""
    return {name: value.flip(0) if len(value) == len(CLASSES) else value for name, value in state().items()}


def test_classes_that_weights_state_in_another_order_are_mapped(tmp_path: Path) -> None:
    plain = loaded(tmp_path, {"state_dict": state()})
    assert plain.class_map is None and accuracy(plain) > 0.9
    stated = loaded(tmp_path, {"state_dict": turned(), "classes": list(CLASSES[::-1])})
    np.testing.assert_allclose(stated.logits(digits().val), plain.logits(digits().val))


def test_recorded_normalization_is_used(tmp_path: Path) -> None:
    mean, std = (each.tolist() for each in digits().normalization())
    plain = loaded(tmp_path, state()).logits(digits().val)
    (tmp_path / RECORD).write_text(json.dumps({"normalization": {"mean": mean, "std": std}}))
    np.testing.assert_array_equal(loaded(tmp_path, state()).logits(digits().val), plain)
    (tmp_path / RECORD).write_text(json.dumps({"normalization": {"mean": [0.0], "std": std}}))
    assert np.abs(loaded(tmp_path, state()).logits(digits().val) - plain).max() > 0.01


def test_weights_of_other_classes_are_refused_under_their_option(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the weights are for the classes cat, dog, fox") as caught:
        loaded(tmp_path, {"state_dict": state(), "classes": ["cat", "dog", "fox", "owl"]})
    assert str(caught.value).startswith(f"--weights: {tmp_path / 'w.pth'}: ")
