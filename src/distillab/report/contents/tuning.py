"""What a report shows of a study that tunes its methods."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.report.contents.gains import Number
from distillab.report.contents.place import Place


@dataclass(frozen=True)
class TunedMethod:
    """The setting that was chosen for a method at a place.

    Attributes:
        place: The place; without levels if one setting serves all conditions.
        method: The method.
        default: The default setting in words.
        chosen: The chosen setting in words; empty before the choice.
        default_score: Mean score of the default setting on val.
        chosen_score: That of the chosen one.
        by_lr: The best mean score on val at each learning rate, with the rate.
        edges: Keys whose chosen value is the smallest or the largest of several that were tried.
        steps: The number of steps under the chosen setting.
    """

    place: Place
    method: str
    default: str
    chosen: str
    default_score: Number
    chosen_score: Number
    by_lr: tuple[tuple[float, Number], ...]
    edges: tuple[str, ...]
    steps: int | None


@dataclass(frozen=True)
class TunedGain:
    """A gain on the primary metric at default and at tuned settings; None where there is none.

    Attributes:
        place: The place.
        method: The method.
        default: The gain, its interval and its verdict at default settings.
        tuned: The same at tuned ones.
    """

    place: Place
    method: str
    default: tuple[Number, Number, Number, str]
    tuned: tuple[Number, Number, Number, str]


@dataclass(frozen=True)
class TuningView:
    """The tuning of a study.

    Attributes:
        trials: The number of settings that were tried for each method.
        seeds: The tuning seeds.
        runs: Runs of trials.
        ended: Those of them that ended.
        methods: What was chosen.
        gains: Gains at default and at tuned settings.

    Example:
        >>> TuningView(6, (1_000_000,), runs=18, ended=18).sentence
        'All methods, plain training among them, were tuned alike: 6 settings each, chosen on val under ...'
    """

    trials: int
    seeds: tuple[int, ...]
    runs: int
    ended: int
    methods: tuple[TunedMethod, ...] = ()
    gains: tuple[TunedGain, ...] = ()

    @property
    def sentence(self) -> str:
        """How methods were tuned, in a sentence."""
        if any(not method.chosen for method in self.methods):
            return (
                f"Tuning has not ended ({self.ended:,} of {self.runs:,} runs): these are gains at default "
                "settings, where none is chosen."
            )
        alike = f"All methods, plain training among them, were tuned alike: {self.trials} settings each"
        return f"{alike}, chosen on val under seeds of their own."

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each method whose chosen value lies on the edge of those that were tried."""
        found: dict[tuple[str, str], int] = {}
        for method in self.methods:
            for key in method.edges:
                found[method.method, key] = found.get((method.method, key), 0) + 1
        return tuple(
            f"The {key} chosen for {method} lies on the edge of the values tried"
            + (f" in {count} places" if count > 1 else "")
            + ": a better one may lie beyond."
            for (method, key), count in found.items()
        )
