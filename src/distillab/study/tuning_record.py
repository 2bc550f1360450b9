"""TuningRecord: the trials of a study and what was chosen, as its ledger stores them. Light to import."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from distillab.canonical import JsonObject, canonical_json
from distillab.study.ledger import JobState
from distillab.study.trial import Choice, GroupKey, Trial, trial_runs

if TYPE_CHECKING:  # the record is read by commands that do not wait for torch
    from distillab.study.ledger.reader import LedgerReader
    from distillab.training.numerics.config import NumericsConfig

DIVERGED = "DivergenceError"
"""How the errors of runs begin whose loss or outputs were not finite."""


@dataclass(frozen=True)
class TuningRecord:
    """The trials of a study, and the settings that were chosen.

    Attributes:
        trials: The trials.
        numerics: How networks compute, as values of a :class:`NumericsConfig`.
        chosen: The choice of each group that has one; empty before the first.

    Example:
        >>> TuningRecord((), {}, {}).runs
        ()
    """

    trials: tuple[Trial, ...]
    numerics: Mapping[str, JsonObject]
    chosen: Mapping[GroupKey, Choice]

    @property
    def runs(self) -> tuple[str, ...]:
        """The distinct runs of the trials."""
        return tuple(trial_runs(self.trials))


@dataclass(frozen=True)
class TuningProgress:
    """How far the tuning of a study has come.

    Attributes:
        done: Runs of trials that ended, well or not.
        runs: Runs of trials.
        chosen: Whether the runs under chosen settings are planned.

    Example:
        >>> TuningProgress(12, 48, chosen=False).text
        'tuning 12 of 48 runs'
    """

    done: int
    runs: int
    chosen: bool

    @property
    def text(self) -> str:
        """The progress in words; empty once settings are chosen."""
        return "" if self.chosen else f"tuning {self.done:,} of {self.runs:,} runs"

    def as_dict(self) -> JsonObject:
        """Return a JSON-able form."""
        return {"done": self.done, "runs": self.runs, "chosen": self.chosen}


def tuning_meta(trials: Iterable[Trial], numerics: Mapping[str, NumericsConfig]) -> dict[str, str]:
    """Return the facts that a ledger stores of tuning before anything is chosen."""
    used = {model: asdict(config) for model, config in numerics.items()}
    return {
        "trials": canonical_json([trial.as_dict() for trial in trials]),
        "trial_numerics": json.dumps(used),
    }


def chosen_fact(chosen: Mapping[GroupKey, Choice]) -> str:
    """Return choices as a ledger stores them."""
    return canonical_json([[list(key), choice.as_dict()] for key, choice in chosen.items()])


def read_tuning(ledger: LedgerReader) -> TuningRecord | None:
    """Return the trials that a ledger holds, and what was chosen; None for a study without tuning."""
    trials = ledger.meta("trials")
    if trials is None:
        return None
    chosen = json.loads(ledger.meta("chosen") or "[]")
    return TuningRecord(
        tuple(map(Trial.from_dict, json.loads(trials))),
        json.loads(ledger.meta("trial_numerics") or "{}"),
        {(key[0], key[1], key[2], key[3]): Choice.from_dict(choice) for key, choice in chosen},
    )


def diverged_trials(ledger: LedgerReader) -> set[str]:
    """Return the runs of trials that diverged: their settings are not chosen, and nothing went wrong."""
    record = read_tuning(ledger)
    runs = set(record.runs) if record else set()
    return {
        failure.id
        for failure in (ledger.failures() if runs else ())
        if failure.id in runs and failure.error.startswith(DIVERGED)
    }


def tuning_progress(ledger: LedgerReader) -> TuningProgress | None:
    """Return how far the tuning of a study has come; None for a study without tuning."""
    record = read_tuning(ledger)
    if record is None:
        return None
    runs = set(record.runs)
    done = ledger.in_states(JobState.DONE, JobState.FAILED) & runs
    return TuningProgress(len(done), len(runs), ledger.meta("chosen") is not None)
