"""Canonical JSON and content hashes: equal specifications have equal ids."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object. Its content is checked by the ``from_dict`` that reads it."""

ID_BYTES = 12  # 96 bits: a collision among a billion runs has a chance below 1e-10


class Canonical(dict[str, Any]):
    """A mapping that keeps its canonical JSON, so that a part of many specifications is serialized once.

    It must not be changed after it was created.

    Example:
        >>> Canonical({"b": 1, "a": 2.0}).text
        '{"a":2,"b":1}'
    """

    __slots__ = ("text",)

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.text = canonical_json(dict(self))


_ENCODER = json.JSONEncoder(allow_nan=False)
_quoted = json.encoder.encode_basestring_ascii  # the JSON form of a string


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces. Whole floats are written as integers: 400 and 400.0 agree.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value has no JSON form.

    Example:
        >>> canonical_json({"b": [1, 2.5], "a": 400.0})
        '{"a":400,"b":[1,2.5]}'
    """
    kind = type(value)
    if kind is Canonical:
        return str(value.text)
    if kind is str:
        return _quoted(value)
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, dict):
        keys = sorted(value, key=str)
        return "{" + ",".join([f"{_quoted(str(key))}:{canonical_json(value[key])}" for key in keys]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([canonical_json(item) for item in value]) + "]"
    if isinstance(value, np.generic):
        return canonical_json(value.item())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _ENCODER.encode(value)


def spec_id(spec: Any) -> str:
    """Return the content address of a JSON-able specification: 24 hexadecimal digits.

    Example:
        >>> spec_id({"a": 1, "b": 2.0}) == spec_id({"b": 2, "a": 1})
        True
    """
    return hashlib.blake2b(canonical_json(spec).encode(), digest_size=ID_BYTES).hexdigest()


def array_digest(*arrays: npt.NDArray[Any]) -> str:
    """Return the content address of arrays: a hash of shapes, dtypes and bytes, in order.

    Example:
        >>> array_digest(np.arange(3)) == array_digest(np.arange(3)[None])
        False
    """
    digest = hashlib.blake2b(digest_size=ID_BYTES)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def chunked_digest(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[npt.NDArray[Any]]) -> str:
    """Return the :func:`array_digest` of an array from its chunks.

    Args:
        shape: The array's shape.
        dtype: Its dtype.
        chunks: Consecutive parts along the first axis.

    Example:
        >>> whole = np.arange(6).reshape(3, 2)
        >>> chunked_digest(whole.shape, whole.dtype, [whole[:1], whole[1:]]) == array_digest(whole)
        True
    """
    digest = hashlib.blake2b(f"{shape}{dtype.str}".encode(), digest_size=ID_BYTES)
    for chunk in chunks:
        digest.update(np.ascontiguousarray(chunk).data)
    return digest.hexdigest()


def seed_from(*parts: Any) -> int:
    """Return a 63-bit seed that depends on every part, and on nothing else.

    Args:
        parts: JSON-able values.

    Example:
        >>> seed_from("views", 0) == seed_from("views", 0), seed_from("views", 0) == seed_from("views", 1)
        (True, False)
    """
    digest = hashlib.blake2b(canonical_json(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def finite_or_none(value: float) -> float | None:
    """Return a number to six significant digits, or None for NaN and infinity, which JSON lacks.

    Example:
        >>> finite_or_none(0.02), finite_or_none(float("inf"))
        (0.02, None)
    """
    return float(f"{value:.6g}") if math.isfinite(value) else None
