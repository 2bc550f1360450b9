"""Digests of stored files: written with an artifact, and checked whenever one of its files is read.

Each folder of the store has a file ``digests.json`` with the XXH3 digest of every block of every other file
in it. All readers open a stored file through this module, so that a file whose bytes have changed is reported
by name and never becomes a number. Folders of versions that wrote no digests are read unverified.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import xxhash

from distillab.errors import RequestError

DIGESTS = "digests.json"
_LEVELS = 2  # of folders between an artifact and its store
BLOCK = 2**20
"""Bytes that one digest covers: a large file is checked where it is read, not as a whole."""
REMEDY = "`distillab run` on this study, which makes it again; `distillab verify` lists all damage"


class DamagedFileError(RequestError):
    """A stored file is missing, or its content is not what was written.

    Args:
        path: The file or folder.
        what: What is wrong with it.

    Example:
        >>> print(DamagedFileError(Path("store/student/8f0c/logits.safetensors"), "is missing"))
        store/student/8f0c/logits.safetensors: is missing (allowed: `distillab run` on this study, ...
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(what, where=str(path), allowed=REMEDY)

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[Path, str]]:
        return DamagedFileError, (self.path, self.what)


@dataclass(frozen=True)
class FileDigest:
    """What is known of the content of a file.

    Attributes:
        size: Bytes.
        blocks: The digest of each block of :data:`BLOCK` bytes, in order.
    """

    size: int
    blocks: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> FileDigest:
        """Return the digest of a file as it is now."""
        with path.open("rb", buffering=0) as file:
            blocks = tuple(map(_digest, _blocks(file)))
            return cls(file.tell(), blocks)

    def check(self, path: Path, content: bytes) -> None:
        """Raise DamagedFileError unless ``content``, read from ``path``, is what was written."""
        view = memoryview(content)
        blocks = (view[start : start + BLOCK] for start in range(0, len(content), BLOCK))
        if len(content) != self.size or tuple(map(_digest, blocks)) != self.blocks:
            raise _changed(path)


# -- writing ------------------------------------------------------------------------------------------------


def mark_store(root: Path) -> None:
    """State in a new store that all of its artifacts have digests, so that a lost file of them is noticed.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> mark_store(root)
        >>> (root / "student" / "8f0c").mkdir(parents=True)
        >>> check_folder(root / "student" / "8f0c")
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: ...digests.json: is missing ...
    """
    root.mkdir(parents=True, exist_ok=True)
    _write(root, {})


def write_digests(folder: Path) -> None:
    """Write the digests of all files in a folder, and in each folder inside it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "notes.txt").write_text("complete")
        >>> write_digests(folder)
        >>> check_folder(folder)
        True
        >>> _ = (folder / "notes.txt").write_text("completE")
        >>> read_checked(folder / "notes.txt")
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: ...notes.txt: is damaged: it is not what was written ...
    """
    entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.is_dir():
            write_digests(entry)
    found = {entry.name: FileDigest.of(entry) for entry in entries if entry.is_file()}
    files = {name: [each.size, *each.blocks] for name, each in found.items() if name != DIGESTS}
    _write(folder, files)


# -- reading ------------------------------------------------------------------------------------------------


def read_checked(path: Path) -> bytes:
    """Return the content of a stored file: the one function through which whole files of the store are read.

    Raises:
        DamagedFileError: It is missing, no regular file, or differs from what was written.
    """
    content = read_regular(path)
    if (known := stored_digest(path)) is not None:
        known.check(path, content)
    return content


def read_regular(path: Path) -> bytes:
    """Return the content of a file that has no digest, since its reader can tell whether it is damaged.

    Raises:
        DamagedFileError: It is missing, no regular file, or cannot be read.

    Example:
        >>> read_regular(Path("nowhere"))
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: nowhere: is missing ...
    """
    try:
        return _regular(path).read_bytes()
    except OSError as error:
        raise DamagedFileError(path, f"cannot be read ({error.strerror or error})") from error


def read_checked_json(path: Path) -> Any:
    """Return the value of a stored JSON file.

    Raises:
        DamagedFileError: As :func:`read_checked`, or it is not JSON.
    """
    content = read_checked(path)
    with reading(path):
        return json.loads(content)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise DamagedFileError for whatever the parsing of a stored file raises in the block.

    Files that were written without digests are told to be damaged by it alone. Parsers raise errors of many
    types on bytes that they do not expect, so all of them count.

    Example:
        >>> with reading(Path("record.json")):
        ...     json.loads("{")
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: record.json: is damaged (JSONDecodeError: Expecting ...
    """
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise DamagedFileError(path, f"is damaged ({type(error).__name__}: {first})") from error


def stored_digest(path: Path) -> FileDigest | None:
    """Return the digest that a file was written with; None if it was written without one.

    Raises:
        DamagedFileError: The file of digests is damaged.
    """
    return _stored(path.parent).get(path.name)


def was_written(path: Path) -> bool:
    """Return True if a file exists, or was written and is gone, which reading it reports."""
    return path.exists() or stored_digest(path) is not None


def check_file(path: Path) -> bool:
    """Check a file of any size against its digest.

    Returns:
        False if it was written without a digest, so that only its presence was checked.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    known = stored_digest(path)
    _check_size(path, known)
    if known is None:
        return False
    with reading(path):
        found = FileDigest.of(path)
    if found != known:
        raise _changed(path)
    return True


def check_folder(folder: Path, *, most: float = float("inf")) -> bool:
    """Check all files of an artifact.

    Args:
        folder: The folder of the artifact.
        most: Of files of more bytes than this, only the size is checked.

    Returns:
        False if it was written without digests, so that only its presence was checked.

    Raises:
        DamagedFileError: A file is missing or damaged.
    """
    if not folder.is_dir():
        raise DamagedFileError(folder, "is missing")
    files = _stored(folder)
    for name, known in files.items():
        if known.size > most:
            _check_size(folder / name, known)
        else:
            check_file(folder / name)
    inside = [check_folder(entry, most=most) for entry in sorted(folder.iterdir()) if entry.is_dir()]
    return bool(files) and all(inside)


class BlockChecks:
    """Checks of the blocks of a large file, each when it is first read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = stored_digest(path)
        _check_size(path, self._known)
        self._left = set(range(len(self._known.blocks))) if self._known else set()

    def check(self, file: int, start: int, stop: int) -> None:
        """Check the blocks that hold some bytes.

        Args:
            file: A descriptor of the open file.
            start: The first byte.
            stop: The byte after the last.

        Raises:
            DamagedFileError: A block differs from what was written.
        """
        if not self._left or self._known is None:
            return
        for block in self._left.intersection(range(start // BLOCK, -(-stop // BLOCK))):
            if _digest(os.pread(file, BLOCK, block * BLOCK)) != self._known.blocks[block]:
                raise DamagedFileError(self.path, f"is damaged at byte {block * BLOCK} or after it")
            self._left.discard(block)


# -- files that hold their own digest -----------------------------------------------------------------------


SEAL = b"xxh3:0000000000000000"
"""The place of a digest in a file that holds its own, such as a table, which may be copied anywhere alone."""
_SEALED = re.compile(rb"xxh3:[0-9a-f]{16}")


def sealed(content: bytes) -> bytes:
    """Return the content of a file with its digest in place of :data:`SEAL`, which it holds once.

    Example:
        >>> sealed(b"numbers, " + SEAL)
        b'numbers, xxh3:...'
    """
    place = content.rindex(SEAL)
    digest = b"xxh3:" + _digest(content).encode()
    return content[:place] + digest + content[place + len(SEAL) :]


def check_seal(path: Path, content: bytes) -> bool:
    """Check the content of a file against the digest in it.

    Args:
        path: The file, for messages.
        content: All of it.

    Returns:
        False if it holds none, as files of earlier versions.

    Raises:
        DamagedFileError: It is not what was written.
    """
    found = list(_SEALED.finditer(content))
    if not found:
        return False
    place = found[-1].start()
    if sealed(content[:place] + SEAL + content[place + len(SEAL) :]) != content:
        raise _changed(path)
    return True


# -- inside -------------------------------------------------------------------------------------------------


def _write(folder: Path, files: Mapping[str, list[Any]]) -> None:
    text = json.dumps({"hash": "xxh3_64", "block": BLOCK, "files": files})
    (folder / DIGESTS).write_text(text, encoding="utf-8")


def _stored(folder: Path) -> Mapping[str, FileDigest]:
    """Return the digests of the files of a folder; none if it was written without them.

    Raises:
        DamagedFileError: They are damaged, or missing in a store whose artifacts all have them.
    """
    file = folder / DIGESTS
    if not file.is_file():
        if any((above / DIGESTS).is_file() for above in folder.parents[:_LEVELS]):
            raise DamagedFileError(file, "is missing")
        return {}
    with reading(file):
        held = json.loads(read_regular(file))["files"]
        return {name: FileDigest(int(size), tuple(blocks)) for name, (size, *blocks) in held.items()}


def _regular(path: Path) -> Path:
    """Return a path. Raises DamagedFileError unless it is a regular file: a pipe would block its reader."""
    if not path.is_file():
        raise DamagedFileError(path, "is no regular file" if path.exists() else "is missing")
    return path


def _check_size(path: Path, known: FileDigest | None) -> None:
    size = _regular(path).stat().st_size
    if known is not None and size != known.size:
        raise DamagedFileError(path, f"is damaged: it has {size} bytes, and {known.size} were written")


def _changed(path: Path) -> DamagedFileError:
    return DamagedFileError(path, "is damaged: it is not what was written")


def _blocks(file: FileIO) -> Iterator[memoryview]:
    """Yield the blocks of a file, all in one buffer."""
    buffer = memoryview(bytearray(BLOCK))
    while size := file.readinto(buffer):
        yield buffer[:size]


def _digest(block: bytes | memoryview) -> str:
    return xxhash.xxh3_64_hexdigest(block)
