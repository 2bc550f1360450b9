"""The step from trials to the comparison: settings are chosen, and the runs under them are planned."""

from __future__ import annotations

import math
from collections.abc import Mapping

from distillab.study.design import runs_of_first
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from distillab.study.planning.outline import Outline
from distillab.study.planning.probes import PROBED, probed_seeds
from distillab.study.running.probes import needs_more_probes, with_probes_of
from distillab.study.trial import DEFAULT, TUNED, Choice, GroupKey, choose, groups_of
from distillab.study.tuning_record import DIVERGED, TuningRecord, chosen_fact
from distillab.training.numerics.config import NumericsConfig


def choose_settings(folder: StudyFolder) -> bool:
    """Choose the setting of every group whose trials have ended, and plan the runs under it.

    Call it when no job is open. The choice follows from the scores of the trials on the validation set alone,
    and what is planned from the choice, so it does not matter how often it is made, nor by which process. A
    group of which a trial failed, for another reason than divergence, waits until it is tried again: settings
    are compared at equal numbers of runs. A study without tuning has nothing to choose.

    Returns:
        Whether jobs are open now.

    Raises:
        sqlite3.OperationalError: The ledger cannot be written.
    """
    record = folder.tuning
    if record is None or folder.spec.tune is None:
        return False
    choices = choices_of(folder, record)
    chosen = {key: choice for key, choice in choices.items() if choice is not None}
    fact = chosen_fact(chosen)
    with folder.ledger() as ledger:
        before = ledger.cells()
        if ledger.meta("chosen") == fact and not needs_more_probes(folder.spec, ledger):
            return ledger.open_jobs() > 0
    outline = Outline.of(folder.spec, folder.dataset)
    numerics = {model: NumericsConfig(**each) for model, each in record.numerics.items()}
    tuned = outline.tuned(choices, numerics)
    default = with_probes_of((cell for cell in before if cell.setting == DEFAULT), tuned.cells)
    cells = (*default, *(cell for cell in tuned.cells if cell.setting == TUNED))
    looks = folder.spec.looks
    wanted = runs_of_first(cells, looks[0] if looks else math.inf)
    facts = {"chosen": fact, PROBED: str(probed_seeds(folder.spec))}
    with folder.ledger() as ledger:
        return ledger.add(tuned.jobs.values(), cells, wanted, facts) > 0


def choices_of(folder: StudyFolder, record: TuningRecord) -> dict[GroupKey, Choice | None]:
    """Return the choice of each group with trials; None where a trial has no score yet."""
    scores = trial_scores(folder, record)
    per_condition = folder.spec.tune is None or folder.spec.tune.per_condition
    groups = groups_of(record.trials, per_condition=per_condition)
    return {key: choose(trials, scores) for key, trials in groups.items()}


def trial_scores(folder: StudyFolder, record: TuningRecord) -> Mapping[str, float | None]:
    """Return the score of each trial that is done, by run: that of the last epoch on the validation set; None
    for a run that diverged."""
    with folder.ledger() as ledger:
        states = ledger.states()
    scores: dict[str, float | None] = {}
    for run in record.runs:
        status = states[run]
        if status.state == JobState.DONE:
            scores[run] = folder.store.run_record("student", run).curve[-1].val_accuracy
        elif status.state == JobState.FAILED and (status.error or "").startswith(DIVERGED):
            scores[run] = None
    return scores
