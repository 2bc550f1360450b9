"""Parquet files are opened here alone: natively, and read by one thread.

Where Arrow reads a Python file object, or with threads, one of its threads may outlive Python. On a loaded
machine the command, which has done its work, then ends with exit code 134 (issue 34314 of Arrow).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def open_parquet(source: Path | bytes) -> pq.ParquetFile:
    """Open a Parquet file, or the content of one. Files are mapped, not read as a whole.

    Args:
        source: The file, whose name need not be UTF-8, or its content.

    Raises:
        OSError: The file cannot be opened.
        pyarrow.ArrowException: It is no Parquet file.

    Example:
        >>> open_parquet(b"no Parquet file")
        Traceback (most recent call last):
        pyarrow.lib.ArrowInvalid: ...
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = _mapped(source) if isinstance(source, Path) else source
    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(content)))


def read_parquet(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table in a Parquet file, or in the content of one.

    Args:
        source: As of :func:`open_parquet`.
        columns: The columns that are read; all by default.

    Raises:
        OSError, pyarrow.ArrowException: As :func:`open_parquet`.

    Example:
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> written = pa.BufferOutputStream()
        >>> pq.write_table(pa.table({"a": [1, 2], "b": [3, 4]}), written)
        >>> read_parquet(written.getvalue().to_pybytes(), ["b"]).to_pydict()
        {'b': [3, 4]}
    """
    with open_parquet(source) as file:
        return file.read(columns=None if columns is None else list(columns), use_threads=False)


def _mapped(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        if not path.stat().st_size:  # nothing can be mapped
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
