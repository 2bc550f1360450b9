"""Canonical forms and content hashes: the same thing asked twice has the same name."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

ID_BYTES = 12  # 96 bits: a collision among a billion runs has a chance below 1e-10


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces. Whole floats are written as integers: 400 and 400.0 agree."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


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


def seed_from(*parts: Any) -> int:
    """A 63-bit seed that depends on every part, and on nothing else."""
    digest = hashlib.blake2b(canonical_json(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
