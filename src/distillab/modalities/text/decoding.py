"""Texts as arrays of code points of one length."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distillab.data.collector import ItemCollector
from distillab.modalities.decoded import Decoded

CodePoints = npt.NDArray[np.int32]
LONGEST = 512
"""The largest number of characters of an example."""
_EMPTY = "it has no character"


def encode_texts(texts: Sequence[str], names: Sequence[str], length: int) -> Decoded:
    """Return texts as code points, int32 ``[N, 1, 1, length]``, with zeros after the end.

    Texts are in normal form NFKC, in which full-width and half-width characters are one, without control
    characters, runs of white space as one space. Longer texts are cut, which is noted.

    Args:
        texts: N texts.
        names: Their names, for messages.
        length: Number of characters that are kept.

    Example:
        >>> found = encode_texts(["AB", "\\uff21 \\n b"], ["first", "second"], length=4)
        >>> found.items[:, 0, 0].tolist()
        [[65, 66, 0, 0], [65, 32, 98, 0]]
    """
    cleaned = [cleaned_text(text) for text in texts]
    intact = np.array([bool(text) for text in cleaned], dtype=np.bool_)
    collector = ItemCollector(int(intact.sum()), (1, 1, length), np.int32)
    for text in cleaned:
        if text:
            points = np.zeros((1, 1, 1, length), dtype=np.int32)
            points[0, 0, 0, : len(text)] = [ord(character) for character in text[:length]]
            collector.append(points)
    cut = sum(len(text) > length for text in cleaned)
    notes = (f"Texts longer than {length} characters, cut: {cut:,}.",) if cut else ()
    broken = tuple((name, _EMPTY) for name, text in zip(names, cleaned, strict=True) if not text)
    return Decoded(collector.finished(), intact, broken, notes=notes)


def text_of(item: npt.NDArray[np.integer]) -> str:
    """Return the text of an item ``[1, 1, L]`` of code points.

    Example:
        >>> text_of(encode_texts(["two words"], ["first"], length=20).items[0])
        'two words'
    """
    return "".join(chr(point) for point in np.asarray(item).ravel().tolist() if point > 0)


def cleaned_text(text: str) -> str:
    """Return a text as :func:`encode_texts` encodes it, before it is cut.

    Example:
        >>> cleaned_text("\\uff21 \\n b")
        'A b'
    """
    kept = "".join(each for each in text if each.isspace() or not unicodedata.category(each).startswith("C"))
    return " ".join(unicodedata.normalize("NFKC", kept).split())
