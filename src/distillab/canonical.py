"""Canonical forms and content hashes: the same thing asked twice has the same name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

ID_BYTES = 12  # 96 bits: a collision among a billion runs has a chance below 1e-10


class Canonical(dict[str, Any]):
    """A mapping that keeps its canonical JSON: a part that many specifications hold is serialised once.

    It must not be changed after it was made.
    """

    __slots__ = ("text",)

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.text = canonical_json(dict(self))


_ENCODER = json.JSONEncoder(allow_nan=False)
_quoted = json.encoder.encode_basestring_ascii  # how json writes a text


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces. Whole floats are written as integers: 400 and 400.0 agree.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value that JSON has no form for.
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
    """The content address of a JSON-able specification: 24 hexadecimal digits."""
    return hashlib.blake2b(canonical_json(spec).encode(), digest_size=ID_BYTES).hexdigest()


def array_digest(*arrays: npt.NDArray[Any]) -> str:
    """The content address of arrays: shapes, dtypes and bytes, in order."""
    digest = hashlib.blake2b(digest_size=ID_BYTES)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def chunked_digest(shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[npt.NDArray[Any]]) -> str:
    """What :func:`array_digest` gives for an array, from its parts in order."""
    digest = hashlib.blake2b(f"{shape}{dtype.str}".encode(), digest_size=ID_BYTES)
    for chunk in chunks:
        digest.update(np.ascontiguousarray(chunk).data)
    return digest.hexdigest()


def seed_from(*parts: Any) -> int:
    """A 63-bit seed that depends on every part, and on nothing else."""
    digest = hashlib.blake2b(canonical_json(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
