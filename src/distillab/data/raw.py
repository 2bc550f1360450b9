"""Examples as a source has them, before they are decoded."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt
from PIL import Image

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of items done and their total."""


def regular_file(path: Path) -> Path:
    """Return the path of a file that can be opened: pipes would block, and devices may never end.

    Raises:
        OSError: It is a pipe, a device, a socket or a folder.

    Example:
        >>> regular_file(Path("/dev/null"))
        Traceback (most recent call last):
        OSError: [Errno 22] is no regular file: '/dev/null'
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return path


class StoredBytes(ABC):
    """Encoded bytes within a larger file, read on demand.

    Example:
        >>> class Archived(StoredBytes):
        ...     def read(self) -> bytes:
        ...         return b"encoded"
        >>> Archived().read()
        b'encoded'
    """

    @abstractmethod
    def read(self) -> bytes:
        """Return the bytes. Several threads may call this at once.

        Raises:
            OSError: The file cannot be read.
        """


RawImage: TypeAlias = Path | bytes | StoredBytes | npt.NDArray[Any] | Callable[[], Image.Image]
"""An image in a source: a file, encoded bytes, a place in a larger file, an array ``[H, W]`` or
``[H, W, 1 or 3]`` of uint8 or other real numbers, or a loader."""

RawRecording: TypeAlias = Path | bytes | StoredBytes
"""A recording in a source: a file, encoded bytes, or a place in a larger file."""
