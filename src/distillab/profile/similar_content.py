"""Near copies among sounds and texts: candidates by their embeddings, compared by their content."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Examples, Indices
from distillab.modalities.embedding.principal import Vectors
from distillab.modalities.text import text_of
from distillab.profile.neighbors import nearest_neighbors

MOST_COMPARED = 20_000
"""Examples that are compared with each other at most; of more, some are drawn."""
_CANDIDATES = 6  # nearest examples that each is compared with
_ALIKE_TEXTS = 0.8  # of the pairs of neighboring characters that one or the other of two texts has
_SHORTEST = 8  # characters; shorter texts resemble each other by chance
_ALIKE_SOUNDS = 0.99  # correlation of two spectrograms
_SAME = 0.01  # difference up to which a frame is the same as another
_BATCH = 256  # pairs of sounds


def find_similar(examples: Examples, vectors: Vectors, drawn: Indices) -> tuple[Indices, Indices]:
    """Return pairs of sounds or texts that are nearly the same, int64 ``[P]`` each, the first one smaller.

    Two texts are if they share four of five of their pairs of neighboring characters (Jaccard index), two
    sounds if their spectrograms, each less its mean per band and without the padding, correlate with 0.99.
    Sounds that are shifted in time are not found.

    Args:
        examples: Sounds or texts.
        vectors: Their embeddings, unit vectors float32 ``[N, D]``; each is compared with the nearest ones.
        drawn: Positions in random order, of which the first are compared.

    Example:
        >>> from distillab.modalities.text.decoding import encode_texts
        >>> texts = ["the first of two titles", "the first of two titles!", "something else altogether"]
        >>> items = encode_texts(texts, texts, length=32).items
        >>> examples = Examples.of(items, [0, 0, 0], ("a", "b"), modality="text")
        >>> vectors = np.eye(3, dtype=np.float32)
        >>> [pairs.tolist() for pairs in find_similar(examples, vectors, np.arange(3))]
        [[0], [1]]
    """
    compared = np.sort(drawn[:MOST_COMPARED])
    if len(compared) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    found = nearest_neighbors(vectors, compared, compared, k=_CANDIDATES)
    first = np.repeat(found.queries, found.positions.shape[1])
    pairs = np.unique(np.sort(np.stack([first, found.positions.ravel()]), axis=0), axis=1)
    alike = _alike_texts if examples.modality == "text" else _alike_sounds
    kept = pairs[:, alike(examples, *pairs)]
    return kept[0], kept[1]


def _alike_texts(texts: Examples, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
    needed = np.unique(np.concatenate([first, second]))
    contents = {row: text_of(item) for row, item in zip(needed.tolist(), texts.items(needed), strict=True)}
    pairs = {row: {text[at : at + 2] for at in range(len(text) - 1)} for row, text in contents.items()}

    def similar(one: int, other: int) -> bool:
        a, b = pairs[one], pairs[other]
        long = min(len(contents[one]), len(contents[other])) >= _SHORTEST
        return long and len(a & b) >= _ALIKE_TEXTS * len(a | b)

    return np.array([similar(*each) for each in zip(first.tolist(), second.tolist(), strict=True)], bool)


def _alike_sounds(sounds: Examples, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(first), bool)
    for start in range(0, len(first), _BATCH):
        rows = slice(start, start + _BATCH)
        a, b = (sounds.items(each[rows]).astype(np.float32) for each in (first, second))
        sounding = _before_end(a) | _before_end(b)
        a, b = _centered(a, sounding), _centered(b, sounding)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        found[rows] = (a * b).sum(axis=1) > _ALIKE_SOUNDS * np.maximum(lengths, 1e-9)
    return found


def _before_end(items: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return which frames differ from the last one, bool ``[N, 1, 1, T]``: padding is the same to the end."""
    differs: npt.NDArray[np.bool_] = np.abs(items - items[..., -1:]).max(axis=(1, 2), keepdims=True) > _SAME
    return differs


def _centered(items: npt.NDArray[np.float32], frames: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return some frames less the mean of each band over them, and 0 for others: float32 ``[N, D]``."""
    count = np.maximum(frames.sum(axis=3, keepdims=True), 1)
    means = (items * frames).sum(axis=3, keepdims=True) / count
    centered: npt.NDArray[np.float32] = ((items - means) * frames).astype(np.float32)
    return centered.reshape(len(items), -1)
