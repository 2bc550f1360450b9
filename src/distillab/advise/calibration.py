"""What an evidence base gives to advice: the prior, the error of short trainings, the width of intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from distillab.advise.pilot import LengthError
from distillab.advise.race_plan import Rung
from distillab.advise.replay import Replay
from distillab.base import EvidenceBase
from distillab.errors import RequestError


@dataclass(frozen=True, eq=False)
class Calibration:
    """An evidence base, prepared for advice.

    Attributes:
        base: The base.
        replay: Its contexts as an adviser meets them, with the prior.
    """

    base: EvidenceBase
    replay: Replay
    _scales: dict[Rung | None, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, base: EvidenceBase, margin: float) -> Calibration | None:
        """Prepare a base; None if it has too few base sets to leave one out."""
        try:
            return cls(base, Replay.of(base, margin=margin))
        except RequestError:
            return None

    @cached_property
    def length(self) -> LengthError:
        """How far short trainings are from full ones."""
        return self.replay.lengths.error()

    def scale(self, rung: Rung | None) -> float:
        """Return the half width of an 80 % interval, in standard deviations, for data of a new base set.

        It is the conformal quantile, over base sets, of how far the measured gain of the chosen method was
        from the expected one in simulated advice with a pilot of this size.

        Args:
            rung: The last rung of the pilot; None for the prior alone.
        """
        if rung not in self._scales:
            rungs = {judged.context: rung for judged in self.replay.contexts}
            self._scales[rung] = self.replay.adviser(rungs).scales[""]
        return self._scales[rung]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of contexts, base sets and base sets behind intervals."""
        return {
            "contexts": len(self.replay.prior.facts),
            "base_sets": len(self.base.base_sets),
            "calibrating_base_sets": len({judged.base_set for judged in self.replay.contexts}),
        }
