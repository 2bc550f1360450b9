"""What becomes of duplicates across splits: exact ones, and near copies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from distillab.config import PublicConfig


class DuplicateRules(PublicConfig):
    """What becomes of examples that occur in several splits.

    Whatever is dropped is dropped from the earlier split, train before val before test: test sets stay as
    they are, so that results on them remain comparable.

    Attributes:
        exact: Whether identical examples are dropped or kept.
        near: Whether images that differ in size, brightness, contrast or compression alone are dropped,
            counted and kept, or not looked for (``ignore``).

    Example:
        >>> DuplicateRules(near="drop").exact
        'drop'
    """

    exact: Literal["drop", "keep"] = "drop"
    near: Literal["drop", "keep", "ignore"] = "keep"


def _shortest(rules: Literal["drop", "keep"] | DuplicateRules) -> Literal["drop", "keep"] | DuplicateRules:
    """Return the rules as one word if near copies are treated as usual, so that equal rules are equal."""
    return rules.exact if isinstance(rules, DuplicateRules) and rules.near == "keep" else rules


StatedDuplicates = Annotated[Literal["drop", "keep"] | DuplicateRules, AfterValidator(_shortest)]
"""``drop`` or ``keep``, which state what becomes of exact duplicates, or a mapping."""
