"""The regressors of gains: what contexts differ in, and interactions that theory predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from distillab.evidence.across.contexts import StudiedContext
from distillab.evidence.across.regression import Term
from distillab.evidence.draws import FloatArray
from distillab.evidence.wording import factor_name
from distillab.printable import counted

RATIO_OF_LOGARITHMS = 4.0  # levels that span more are compared on a logarithmic scale
MOST_NAMES = 6
CONTEXTS_PER_TERM = 3


@dataclass(frozen=True)
class Interaction:
    """Two properties whose effects on the gain depend on each other according to published work.

    Attributes:
        first: Key of a level.
        second: Key of another one.
        expected: What is expected, in a sentence.
        source: Where it is stated.

    Example:
        >>> INTERACTIONS[0].first, INTERACTIONS[0].second
        ('size', 'provenance')
    """

    first: str
    second: str
    expected: str
    source: str


INTERACTIONS = (
    Interaction(
        "size",
        "provenance",
        "Gains grow as data shrink where the teacher learned from more data than the student.",
        "arXiv 2510.15516",
    ),
    Interaction(
        "size",
        "teacher_capacity",
        "Small or less confident teachers are better with few data.",
        "OpenReview FUahLuyWLU; arXiv 2502.08606",
    ),
    Interaction(
        "label_noise",
        "provenance",
        "Noise raises the gain if the teacher is clean, and not if it learned the noise.",
        "arXiv 2301.13304",
    ),
    Interaction(
        "classes",
        "size",
        "The information in soft targets grows with the number of classes.",
        "arXiv 2409.20449",
    ),
    Interaction("steps", "size", "Distillation pays with patience.", "arXiv 2106.05237"),
    Interaction(
        "unlabelled",
        "shift",
        "Further transfer images help less the farther they are from the data.",
        "arXiv 2411.12817",
    ),
    Interaction(
        "spurious",
        "provenance",
        "Biased transfer data make biased students, however unbiased the teacher.",
        "arXiv 2510.26038",
    ),
)
"""Interactions that are estimated; others would be fishing."""


@dataclass(frozen=True)
class DesignedTerms:
    """The terms of a regression.

    Attributes:
        terms: The terms, main effects first.
        notes: What was left out, and why.

    Example:
        >>> DesignedTerms((), ("size is not known of 2 of 9 contexts",)).terms
        ()
    """

    terms: tuple[Term, ...]
    notes: tuple[str, ...] = ()


def terms_of(contexts: Sequence[StudiedContext]) -> DesignedTerms:
    """Return what contexts differ in, as regressors.

    A number goes from 0 at its lowest to 1 at its highest level, by its logarithm if levels span more than a
    factor of 4; so a coefficient is the change of the gain from the lowest to the highest level. A name
    is compared with the most frequent one. Interactions are products of terms less their means. A property
    that is not known of all contexts is left out, and so are interactions, in order, where there are fewer
    than three contexts per term.

    Args:
        contexts: The contexts.

    Example:
        >>> levels = [{"size": n, "provenance": p} for n in (10.0, 160.0) for p in ("same", "full")] * 3
        >>> found = terms_of([StudiedContext(str(i), "usps", each, {}) for i, each in enumerate(levels)])
        >>> print(*(term.name for term in found.terms), sep="\\n")
        size from 10 to 160
        provenance same, not full
        size from 10 to 160 × provenance same, not full
    """
    keys = list(dict.fromkeys(key for each in contexts for key in each.levels))
    by_key: dict[str, list[Term]] = {}
    notes = []
    for key in keys:
        known = [each.levels[key] for each in contexts if each.levels.get(key) is not None]
        if len(known) < len(contexts):
            missing = len(contexts) - len(known)
            notes.append(f"{factor_name(key)} is not known of {missing} of {len(contexts)} contexts")
        elif len(set(known)) > 1:
            by_key[key] = _terms(key, known, notes)
    main = [term for terms in by_key.values() for term in terms]
    products = [
        _product(one, other)
        for pair in INTERACTIONS
        for one, other in product(by_key.get(pair.first, ()), by_key.get(pair.second, ()))
    ]
    room = max(0, len(contexts) // CONTEXTS_PER_TERM - len(main))
    if len(products) > room:
        few = counted(len(products) - room, "interaction")
        notes.append(f"{counted(len(contexts), 'context')} are too few for {few}")
    return DesignedTerms((*main, *products[:room]), tuple(notes))


def _terms(key: str, values: Sequence[float | str], notes: list[str]) -> list[Term]:
    if all(isinstance(value, (int, float)) for value in values):
        return [_number_term(key, np.array(values, dtype=np.float64))]
    texts = [str(value) for value in values]
    counts = Counter(texts)
    if len(counts) > MOST_NAMES:
        notes.append(f"{factor_name(key)} has {len(counts)} names, too many to compare")
        return []
    reference = max(sorted(counts), key=counts.__getitem__)
    return [
        Term(
            f"{factor_name(key)} {name}, not {reference}",
            np.array([float(text == name) for text in texts]),
        )
        for name in sorted(counts.keys() - {reference})
    ]


def _number_term(key: str, values: FloatArray) -> Term:
    low, high = float(values.min()), float(values.max())
    name = f"{factor_name(key)} from {low:.4g} to {high:.4g}"
    if low > 0 and high / low > RATIO_OF_LOGARITHMS:
        values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
    return Term(name, np.asarray((values - low) / (high - low), dtype=np.float64))


def _product(one: Term, other: Term) -> Term:
    centered = (one.values - one.values.mean()) * (other.values - other.values.mean())
    return Term(f"{one.name} × {other.name}", centered)
