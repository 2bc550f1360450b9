"""The step from trials to the comparison: settings are chosen, and the runs under them are planned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from distillab.study.design import Cell, needed_for, runs_of_first
from distillab.study.folder import StudyFolder
from distillab.study.job import Job
from distillab.study.ledger import JobState
from distillab.study.planning.outline import Outline
from distillab.study.planning.probes import PROBED, probed_seeds
from distillab.study.running.probes import needs_more_probes, with_probes_of
from distillab.study.spec.evidence import PLAIN
from distillab.study.spec.tuning import TuneSpec
from distillab.study.trial import DEFAULT, TUNED, Choice, GroupKey, choose, group_key, groups_of
from distillab.study.tuning_record import DIVERGED, TuningRecord, chosen_fact
from distillab.training.numerics.config import NumericsConfig

COMPARED = "compared"  # the fact about a study that states how many of its seeds are compared


def choose_settings(folder: StudyFolder, seeds: int | None = None) -> bool:
    """Choose the setting of every group whose trials have ended, and plan the runs under it.

    Call it when no job is open. The choice follows from the scores of the trials on the validation set alone,
    and what is planned from the choice, so it does not matter how often it is made, nor by which process. A
    group of which a trial failed, for another reason than divergence, waits until it is tried again: settings
    are compared at equal numbers of runs. A study without tuning has nothing to choose.

    Args:
        folder: The study.
        seeds: How many of its seeds are compared, the first ones; all by default. Seeds that were planned
            by an earlier call stay.

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
    fact, every = chosen_fact(chosen), folder.spec.seed_list
    with folder.ledger() as ledger:
        before, planned = ledger.cells(), int(ledger.meta(COMPARED) or 0)
        compared = max(planned, len(every) if seeds is None else min(seeds, len(every)))
        is_planned = ledger.meta("chosen") == fact and compared == planned
        if is_planned and not needs_more_probes(folder.spec, ledger):
            return ledger.open_jobs() > 0
    outline = Outline.of(folder.spec, folder.dataset)
    numerics = {model: NumericsConfig(**each) for model, each in record.numerics.items()}
    tuned = outline.tuned(choices, numerics)
    default = with_probes_of((cell for cell in before if cell.setting == DEFAULT), tuned.cells)
    first = set(every[:compared])
    finals = _finals(folder.spec.tune, tuned.cells, chosen)
    cells = (*default, *(cell for cell in finals if cell.seed in first))
    jobs = _needed(tuned.jobs, cells)
    looks = folder.spec.looks
    wanted = runs_of_first(cells, looks[0] if looks else math.inf)
    facts = {"chosen": fact, COMPARED: str(compared), PROBED: str(probed_seeds(folder.spec))}
    with folder.ledger() as ledger:
        return ledger.add(jobs, cells, wanted, facts) > 0


def finalists_of(choices: Mapping[GroupKey, Choice], number: int) -> frozenset[GroupKey]:
    """Return the groups that are compared after tuning: the methods with the best scores, and plain students.

    Methods are ranked by condition and provenance, those of all students together. A plain student is kept
    where a method of the same student is. Of equal scores the first in the order of names counts.

    Args:
        choices: The choice of each group. One without a score is no finalist.
        number: How many methods are kept.

    Example:
        >>> from distillab.study.trial import Setting
        >>> scores = {("", "full", "resnet8", name): score for name, score in
        ...           [("ce", 0.9), ("kd", 0.8), ("dkd", 0.7)]}
        >>> choices = {key: Choice(0, Setting(0.1, 1.0, 0.0), score, 3) for key, score in scores.items()}
        >>> sorted(key[3] for key in finalists_of(choices, 1))
        ['ce', 'kd']
    """
    ranked = sorted(
        (-choice.score, key)
        for key, choice in choices.items()
        if key[3] != PLAIN and choice.score is not None
    )
    kept: dict[tuple[str, str], list[GroupKey]] = {}
    for _, key in ranked:
        places = kept.setdefault(key[:2], [])
        if len(places) < number:
            places.append(key)
    methods = {key for places in kept.values() for key in places}
    return frozenset(methods | {(*key[:3], PLAIN) for key in methods})


def _finals(tune: TuneSpec, cells: Iterable[Cell], chosen: Mapping[GroupKey, Choice]) -> Iterator[Cell]:
    """Go through the cells at chosen settings, those of finalists alone if the study has them."""
    finalists = None if tune.finalists is None else finalists_of(chosen, tune.finalists)
    for cell in cells:
        if cell.setting == TUNED:
            place = (cell.levels, cell.provenance, cell.student, cell.method)
            if finalists is None or group_key(*place, per_condition=tune.per_condition) in finalists:
                yield cell


def _needed(jobs: Mapping[str, Job], cells: Sequence[Cell]) -> list[Job]:
    """Return the jobs that some cells name or need, in planned order."""
    taught = {job for cell in cells for job in (cell.teacher_run, cell.outputs) if job}
    wanted = needed_for(
        runs_of_first(cells, math.inf) | taught, {name: job.needs for name, job in jobs.items()}
    )
    return [job for name, job in jobs.items() if name in wanted]


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
