"""Examples as a source holds them, before they are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from distillab.data.examples import Pixels

Progress = Callable[[str, int, int], None]


class StoredBytes(ABC):
    """Encoded bytes that lie in a larger file and are read when they are asked for."""

    @abstractmethod
    def read(self) -> bytes:
        """The bytes. Raises OSError. May be called by several threads at once."""


RawImage: TypeAlias = Path | bytes | StoredBytes | Pixels | Callable[[], Image.Image]
"""An image as a source holds it: a file, encoded bytes, a place in a larger file, uint8 ``[H, W]`` or
``[H, W, 1|3]``, or a loader."""
