"""The ``memory`` source: examples that were given as Python objects, held until they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from distillab.canonical import ID_BYTES, array_digest, spec_id
from distillab.data.raw import RawImage, StoredBytes
from distillab.errors import RequestError
from distillab.sources.source import ImageSource, RawSplits, source

_CHUNK = 2**20  # bytes of a file that are hashed at a time


@dataclass(frozen=True, eq=False)
class HeldData:
    """Examples of Python objects under their content address.

    They can be read by that address (:class:`Memory`) as long as this object exists.

    Attributes:
        splits: The examples.
        content: Their content address: equal images, labels and class names have the same one.

    Example:
        >>> from distillab.data.targets import Labels
        >>> from distillab.sources.source import RawSplit
        >>> images, labels = np.zeros((2, 8, 8), np.uint8), Labels(np.array([0, 1]), classes=2)
        >>> held = HeldData.of(RawSplits(("a", "b"), RawSplit(list(images), labels, ["0", "1"])))
        >>> Memory(content=held.content).read() is held.splits
        True
    """

    splits: RawSplits
    content: str

    @classmethod
    def of(cls, splits: RawSplits) -> HeldData:
        """Hold examples, unless equal ones are held."""
        content = spec_id(
            {
                "classes": [splits.classes, splits.parents, splits.group_names],
                **{
                    name: [
                        *(_items_digest(split.items), split.targets.kind, split.targets.digest),
                        None if split.groups is None else array_digest(split.groups),
                    ]
                    for name, split in splits.given().items()
                },
            }
        )
        held = _HELD.get(content)
        if held is None:
            held = _HELD[content] = cls(splits, content)
        return held


_HELD: WeakValueDictionary[str, HeldData] = WeakValueDictionary()


@source("memory")
class Memory(ImageSource):
    """Examples given as Python objects: arrays, a torch dataset, a Hugging Face dataset (Python only).

    ``Study(data=...)`` and ``profile(...)`` write this entry. Its data are stored in the study's folder, from
    which all workers read them.

    Attributes:
        content: Content address of the examples.

    Example:
        >>> Memory(content="c0ffee").entry()
        {'source': 'memory', 'content': 'c0ffee'}
    """

    content: str

    def read(self) -> RawSplits:
        held = _HELD.get(self.content)
        if held is None:
            raise RequestError(
                f"the examples {self.content} were given in Python and are not in this process",
                where="source: memory",
                allowed="the program that gives them, with the same data, or a source of files",
            )
        return held.splits


def _items_digest(items: Any) -> str:
    digest = hashlib.blake2b(digest_size=ID_BYTES)
    for item in items:
        for part in _parts(item):
            digest.update(part)
    return digest.hexdigest()


def _parts(item: RawImage) -> Iterator[bytes]:
    """Yield the bytes that an image consists of, preceded by its form."""
    if isinstance(item, np.ndarray):
        yield f"pixels {item.shape}".encode()
        yield np.ascontiguousarray(item).tobytes()
    elif isinstance(item, bytes | StoredBytes):
        encoded = item if isinstance(item, bytes) else item.read()
        yield f"file {len(encoded)}".encode()
        yield encoded
    elif isinstance(item, Path):
        yield from _file_parts(item)
    else:
        picture: Image.Image = item()
        yield f"picture {picture.mode} {picture.size} {picture.getpalette()}".encode()
        yield picture.tobytes()


def _file_parts(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield f"file {path.stat().st_size}".encode()
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise RequestError(f"cannot be read ({error.strerror})", where=str(path)) from error
