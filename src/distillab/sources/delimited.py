"""Delimited text files (CSV, TSV) with a header."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from pathlib import Path

import pyarrow as pa

from distillab.data.raw import regular_file
from distillab.errors import RequestError

TAB_SUFFIXES = (".tsv", ".tab")
_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_encoding(data: bytes) -> str:
    """Return the encoding of a text: by its byte order mark, else UTF-8 if it is valid, else Windows Latin-1.

    Example:
        >>> text_encoding("née".encode()), text_encoding("née".encode("latin-1"))
        ('utf-8', 'cp1252')
        >>> text_encoding("a,b".encode("utf-16")), text_encoding("a,b".encode("utf-16-le"))
        ('utf-16', 'utf-16-le')
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:1024]:
        return "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def require_unicode(path: Path) -> str:
    """Return the encoding of a text file whose characters matter: that of its byte order mark, else UTF-8.

    Raises:
        RequestError: The file cannot be read, or is in another encoding, which is not guessed: most bytes
            are characters in several.

    Example:
        >>> require_unicode(Path("nowhere.txt"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere.txt: cannot be read: ... (allowed: a text file)
    """
    try:
        encoding = text_encoding(_content(path))
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a text file") from None
    if not encoding.startswith("utf"):
        raise RequestError(
            "this text is not in UTF-8",
            where=str(path),
            allowed="UTF-8, a byte order mark, or `encoding`, such as gb18030",
        )
    return encoding


def _content(path: Path) -> bytes:
    data = regular_file(path).read_bytes()
    return gzip.decompress(data) if data.startswith(_GZIP) else data


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file. Raises RequestError if it cannot be read.

    Example:
        >>> read_lines(Path("nowhere.txt"))
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere.txt: cannot be read: ... (allowed: a text file)
    """
    try:
        data = regular_file(path).read_bytes()
        return data.decode(text_encoding(data)).removeprefix("\ufeff").splitlines()
    except (OSError, UnicodeError) as error:
        raise RequestError(f"cannot be read: {error}", where=str(path), allowed="a text file") from None


def read_delimited(
    path: Path, delimiter: str | None = None, encoding: str | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a file.

    Args:
        path: The file, which may be compressed by gzip.
        delimiter: The character between cells; by default a tab in ``.tsv`` files and a comma in others or,
            if the header has none, the semicolon, tab or bar that it has.
        encoding: The encoding of the text; by default that of :func:`text_encoding`.

    Raises:
        RequestError: The file cannot be read, two columns have one name, or a row is longer or shorter than
            the header.
    """
    try:
        data = _content(path)
        text = data.decode(encoding or text_encoding(data)).removeprefix("\ufeff")
        if stated := _SEP_LINE.match(text):  # of Excel
            text, delimiter = text[stated.end() :], delimiter or stated[1]
        header_line = text.lstrip("\r\n").partition("\n")[0]
        lines = io.StringIO(text, newline="")
        cells = csv.reader(lines, delimiter=delimiter or _delimiter(path, header_line))
        header, *rows = [row for row in cells if row] or [[]]
    except (OSError, EOFError, zlib.error, UnicodeError, LookupError, csv.Error) as error:
        raise RequestError(
            f"cannot be read: {error}", where=str(path), allowed="a CSV or TSV file in UTF-8, or `encoding`"
        ) from None
    header = [name.strip() for name in header]
    while header and not header[-1] and all(len(row) == len(header) and not row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]  # every line ends with a delimiter
    if not any(header):
        raise RequestError("there is no table in this file", where=str(path), allowed="a header and rows")
    if repeated := [name for place, name in enumerate(header) if name in header[:place]]:
        raise RequestError(f"two columns are called {repeated[0]!r}", where=str(path))
    for row in rows:
        if len(row) != len(header):
            raise RequestError(
                f"the row of {row[0]!r} has {len(row)} cells, the header {len(header)}", where=str(path)
            )
    return header, rows


def read_table(path: Path, delimiter: str | None = None, encoding: str | None = None) -> pa.Table:
    """Return a file as a table of text columns, blank cells as null; see :func:`read_delimited`."""
    header, rows = read_delimited(path, delimiter, encoding)
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, names=header)


def _delimiter(path: Path, header: str) -> str:
    """Return the usual character between cells or, if the header has none, another that it has."""
    usual = "\t" if path.suffix.lower() in TAB_SUFFIXES else ","
    return next((each for each in (usual, *_DELIMITERS) if each in header), usual)
