"""American and British spellings of public keys: both are read, the American ones printed and written.

Ids are content addresses of what studies wrote at first, and that was British. So the British spelling of the
words below is the canonical one, in ids and in ledgers, and the American one is an alias of it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypeVar

V = TypeVar("V")

CANONICAL: Mapping[str, str] = {
    "color": "colour",
    "color_jitter": "colour_jitter",
    "initialization": "initialisation",
    "k_center": "k_centre",
    "logit_standardization": "logit_standardisation",
    "normalization": "normalisation",
    "normalize": "normalise",
    "optimizer": "optimiser",
}
"""The canonical spelling of each word, by its American spelling."""

_AMERICAN = {canonical: american for american, canonical in CANONICAL.items()}


def american(word: str) -> str:
    """Return a word in American spelling.

    Example:
        >>> american("optimiser"), american("momentum")
        ('optimizer', 'momentum')
    """
    return _AMERICAN.get(word, word)


def canonical_word(word: str, known: Container[str]) -> str:
    """Return the canonical spelling of a word if that is known, and the word itself otherwise.

    Example:
        >>> canonical_word("color_jitter", {"flip", "colour_jitter"})
        'colour_jitter'
        >>> canonical_word("color", {"color", "size"})
        'color'
    """
    canonical = CANONICAL.get(word, word)
    return canonical if word not in known and canonical in known else word


def canonical_words(value: Any, known: Container[str]) -> Any:
    """Return a value with every word in it, keys of mappings included, as :func:`canonical_word` gives it.

    Example:
        >>> canonical_words({"color": 3, "shape": ["color", "grey"]}, {"colour", "shape"})
        {'colour': 3, 'shape': ['colour', 'grey']}
    """
    if isinstance(value, str):
        return canonical_word(value, known)
    if isinstance(value, list | tuple):
        return [canonical_words(item, known) for item in value]
    if isinstance(value, Mapping):
        return {key: canonical_words(item, known) for key, item in canonical_keys(value, known).items()}
    return value


def canonical_keys(values: Mapping[Any, Any], known: Container[str]) -> dict[Any, Any]:
    """Return a mapping with its keys as :func:`canonical_word` gives them.

    Raises:
        ValueError: A key is written in both spellings.

    Example:
        >>> canonical_keys({"optimizer": "sgd", "lr": 0.1}, {"optimiser", "lr"})
        {'optimiser': 'sgd', 'lr': 0.1}
        >>> canonical_keys({"optimizer": "sgd", "optimiser": "sgd"}, {"optimiser"})
        Traceback (most recent call last):
        ValueError: optimizer and optimiser are one key: write it once
    """
    renamed: dict[Any, Any] = {}
    for key, value in values.items():
        name = canonical_word(key, known) if isinstance(key, str) else key
        if name in renamed:
            raise ValueError(f"{american(name)} and {name} are one key: write it once")
        renamed[name] = value
    return renamed


def american_keys(values: Mapping[str, V], known: Container[str]) -> dict[str, V]:
    """Return a mapping with those of its keys that are known in American spelling.

    Example:
        >>> american_keys({"optimiser": "sgd", "colour": 1}, {"optimiser", "lr"})
        {'optimizer': 'sgd', 'colour': 1}
    """
    return {american(key) if key in known else key: value for key, value in values.items()}
