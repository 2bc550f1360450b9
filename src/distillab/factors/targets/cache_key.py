"""Sets of examples as keys of caches."""

from __future__ import annotations

from dataclasses import dataclass, field

from distillab.data.examples import Examples


@dataclass(frozen=True)
class CacheKey:
    """A set of examples that equals every set with the same digest.

    Attributes:
        digest: Content address of what the cached value depends on.
        examples: The examples.
    """

    digest: str
    examples: Examples = field(compare=False)

    @classmethod
    def of(cls, examples: Examples) -> CacheKey:
        """Return the key of values that depend on the examples and their labels."""
        return cls(examples.digest, examples)

    @classmethod
    def of_inputs(cls, examples: Examples) -> CacheKey:
        """Return the key of values that depend on the examples alone, whatever their labels."""
        return cls(examples.input_digest, examples)
