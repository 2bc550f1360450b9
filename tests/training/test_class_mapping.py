"""Teachers with other classes than their students."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distillab.data.class_map import UNMAPPED, class_map, merges
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.training.teachers.class_mapping import map_classifier, map_logits, to_student_classes

READ = replace(
    Examples.of(np.zeros((4, 1, 4, 4), np.uint8), [0, 1, 2, 3], ("cat", "dog", "oak", "elm")),
    parents=("animal", "animal", "tree", "tree"),
)


@pytest.mark.parametrize(
    ("teacher", "student", "names", "expected"),
    [
        (READ.classes, READ.classes, {}, None),
        (READ.classes, ("oak", "cat"), {}, (1, UNMAPPED, 0, UNMAPPED)),
        (READ.classes, ("animal", "tree"), {}, (0, 0, 1, 1)),
        (("tabby", "dog", "fish"), ("cat", "dog"), {"tabby": "cat"}, (0, 1, UNMAPPED)),
        (("tabby", "dog", "fish"), ("animal",), {"tabby": "cat"}, (0, 0, UNMAPPED)),
        (("dog", "cat"), ("cat", "dog"), {}, (1, 0)),
    ],
)
def test_classes_are_matched_by_name_or_coarser_class(
    teacher: tuple[str, ...],
    student: tuple[str, ...],
    names: dict[str, str],
    expected: tuple[int, ...] | None,
) -> None:
    assert class_map(teacher, student, READ, names) == expected


@pytest.mark.parametrize(
    ("teacher", "student", "names", "message"),
    [
        (("cat",), ("cat", "dog"), {}, "no class of the teacher corresponds to 'dog'"),
        (("cat", "dog"), ("cat", "dog"), {"wolf": "dog"}, "'wolf' is not a class of the teacher"),
        (("cat", "dog"), ("cat", "dog"), {"cat": "wolf"}, "'wolf' is not a class of the data"),
    ],
)
def test_an_incomplete_map_is_refused(
    teacher: tuple[str, ...], student: tuple[str, ...], names: dict[str, str], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        class_map(teacher, student, READ, names)
    assert "\n" not in str(caught.value)


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4))
def test_mapped_probabilities_are_sums_over_known_classes(values: list[float]) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    p = logits.softmax(1)[0]
    merged = map_logits(logits, (0, 0, UNMAPPED, 1)).softmax(1)[0]
    known = p[0] + p[1] + p[3]
    torch.testing.assert_close(merged, torch.stack([p[0] + p[1], p[3]]) / known)
    cut = map_logits(logits, (1, UNMAPPED, 0, UNMAPPED))
    torch.testing.assert_close(cut, logits[:, [2, 0]])


def test_logits_stay_finite_in_half_precision() -> None:
    mapped = to_student_classes(np.array([[60000.0, 60000.0, -60000.0]], np.float16), (0, 0, 1))
    assert mapped.dtype == np.float16 and np.isfinite(mapped).all()


def test_a_classifier_keeps_the_rows_of_the_known_classes() -> None:
    layer = nn.Linear(3, 4)
    cut = map_classifier(layer, (1, UNMAPPED, 0, UNMAPPED))
    assert cut is not None and not any(each.requires_grad for each in cut.parameters())
    x = torch.rand(2, 3)
    torch.testing.assert_close(cut(x), layer(x)[:, [2, 0]])
    assert merges((0, 0, 1)) and not merges((0, UNMAPPED, 1)) and not merges(None)
    assert map_classifier(layer, (0, 0, 1, 1)) is None
