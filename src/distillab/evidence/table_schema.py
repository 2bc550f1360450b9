"""What the schemas of all tables of a study share: kind, version and columns that occur in many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from distillab.evidence.pairs import FACTOR

VERSION = 1
Columns = dict[str, pa.DataType]
Factors = Sequence[str] | Mapping[str, bool]
"""The factors of a study; in a mapping, whether the levels of each are names."""


def table_schema(kind: str, columns: Columns) -> pa.Schema:
    """Return the schema of a kind of table, which its metadata name with the version.

    Example:
        >>> table_schema("effects", text_columns("method")).metadata
        {b'table': b'effects', b'version': b'1'}
    """
    return pa.schema(list(columns.items()), metadata={"table": kind, "version": str(VERSION)})


def text_columns(*names: str) -> Columns:
    """Return columns of texts."""
    return dict.fromkeys(names, pa.string())


def number_columns(names: Iterable[str]) -> Columns:
    """Return columns of float64."""
    return dict.fromkeys(names, pa.float64())


def columns_of_factors(factors: Factors) -> Columns:
    """Return a column per factor: a text where its levels are names, else float64.

    Example:
        >>> list(columns_of_factors(["size"]))
        ['factor.size']
    """
    named = factors if isinstance(factors, Mapping) else dict.fromkeys(factors, False)
    return {f"{FACTOR}{name}": pa.string() if names else pa.float64() for name, names in named.items()}


def run_columns(first: Sequence[str], factors: Factors, *, tuned: bool = False) -> Columns:
    """Return the columns that name a student run: those given first, its factors, networks, method and seed.

    Args:
        first: Columns of texts that come first.
        factors: The factors of the study.
        tuned: Whether the study tunes its methods; it then has the column ``setting``.

    Example:
        >>> list(run_columns(["run_id"], []))
        ['run_id', 'provenance', 'teacher', 'student', 'method', 'seed']
    """
    networks = text_columns("provenance", "teacher", "student", *(["setting"] if tuned else []), "method")
    return text_columns(*first) | columns_of_factors(factors) | networks | {"seed": pa.int64()}
