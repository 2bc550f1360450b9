"""Canonical JSON: equal values have one text, however their parts were serialized before."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.canonical import Canonical, canonical_json, spec_id

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def whole(value: Any) -> Any:
    """Return the value with whole floats as integers, the only difference from the library's JSON."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def with_parts(value: Any) -> Any:
    """Return the value with every mapping serialized beforehand, innermost first."""
    if isinstance(value, dict):
        return Canonical({key: with_parts(item) for key, item in value.items()})
    return [with_parts(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_canonical_json_is_sorted_and_has_no_spaces(value: Any) -> None:
    assert canonical_json(value) == json.dumps(whole(value), sort_keys=True, separators=(",", ":"))


@given(VALUES)
def test_parts_serialized_beforehand_change_nothing(value: Any) -> None:
    parts = with_parts(value)
    assert parts == value
    assert canonical_json(parts) == canonical_json(value)
    assert spec_id(parts) == spec_id(value)


def test_ids_ignore_key_order_and_the_type_of_whole_numbers() -> None:
    assert canonical_json({"b": 400.0, "a": (np.int64(1), np.float32(0.5))}) == '{"a":[1,0.5],"b":400}'
    assert canonical_json({10: "x", 9: "y"}) == '{"10":"x","9":"y"}'
    assert spec_id({"a": 1, "b": 2.0}) == spec_id({"b": 2, "a": np.float64(1)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": [np.float32("nan")]}])
def test_values_without_a_json_form_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)
