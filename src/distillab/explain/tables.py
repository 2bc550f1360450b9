"""The tables of the explanations of a study: by run, by class, and their gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from distillab.data.dataset import Dataset
from distillab.data.targets import Identities
from distillab.errors import RequestError
from distillab.evidence.compared_teachers import ComparedTeachers
from distillab.evidence.gains import paired_gain
from distillab.evidence.pairs import FACTOR, PLACE_COLUMNS, Row, by_cell, cell_columns, pairs, teachers_of
from distillab.evidence.results import Tables
from distillab.evidence.schema import explanation_gains_schema, explanations_schema, write_table
from distillab.explain.border_classes import class_rows, explanation_classes_schema
from distillab.explain.localization import border_area
from distillab.explain.missing_maps import OnExplain, WantedMaps, compute_maps
from distillab.explain.study_maps import Explained, StudyExplanations
from distillab.explain.study_networks import require_explainable
from distillab.modalities.text import TEXT
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.job import Job, StudentJob, TeacherJob
from distillab.study.ledger import JobState
from distillab.study.spec.study import StudySpec

GAINED = ("iou", "pearson", "ssim", "deletion", "insertion", "border_share", "pointing", "box_share")
"""The measures whose paired gains are computed."""
_OF_TEACHER = ("deletion", "insertion", "border_share", "pointing", "box_share")


@dataclass(frozen=True)
class ExplanationTables:
    """The rows of the tables.

    Attributes:
        runs: One row per run and attribution.
        gains: One row per cell, method, attribution and measure, the primary metric first.
        classes: One row per run, attribution and explained class.

    Example:
        >>> ExplanationTables((), ()).gains
        ()
    """

    runs: tuple[Row, ...] = ()
    gains: tuple[Row, ...] = ()
    classes: tuple[Row, ...] = ()


def check_explanations(folder: StudyFolder) -> None:
    """Raise RequestError if the explanations that a study wants cannot be computed of its networks.

    Args:
        folder: The study; nothing needs to have run.
    """
    spec = folder.spec
    if spec.explain is None:
        return
    with folder.ledger() as ledger:
        cells = ledger.cells()
    check_planned(spec, folder.dataset, map(folder.job, dict.fromkeys(_networks_of(cells))))


def check_planned(spec: StudySpec, dataset: Dataset, jobs: Iterable[Job]) -> None:
    """Raise RequestError if the explanations that a study wants cannot be computed of its networks.

    Args:
        spec: The study.
        dataset: Its data.
        jobs: Its jobs, or some of them.
    """
    if spec.explain is None:
        return
    if any(test.parts is not None for test in dataset.eval.values()):
        raise RequestError(
            "examples that consist of several parts are not explained", where="explain", allowed="vote: false"
        )
    if any(isinstance(test.targets, Identities) for test in dataset.eval.values()):
        raise RequestError(
            "no network has an output for the test examples, whose classes are not trained on",
            where="explain",
            allowed="data without `unseen_classes` and `trials`",
        )
    if dataset.modality == TEXT:
        raise RequestError(
            "maps are of areas of an image or a spectrogram, and a text has none",
            where="explain",
            allowed="data of images or sounds",
        )
    models = [job.model for job in jobs if isinstance(job, StudentJob | TeacherJob)]
    require_explainable(models, dataset.train, spec.task_config(), spec.explain.attributions)


def _networks_of(cells: Sequence[Cell]) -> Iterator[str]:
    seen = set()
    for cell in cells:
        if cell.run and (cell.student, cell.teacher) not in seen:
            seen.add((cell.student, cell.teacher))
            yield cell.run
        if cell.teacher_run and (cell.teacher, cell.provenance) not in seen:
            seen.add((cell.teacher, cell.provenance))
            yield cell.teacher_run


def write_explanations(
    folder: StudyFolder, tables: Tables, *, workers: int = 1, on_progress: OnExplain | None = None
) -> ExplanationTables:
    """Explain the students of a study that are done, and their teachers, and write the tables.

    Nothing is trained, and what the store holds is not computed again. While jobs are open, nothing is
    computed: the tables have what is there.

    Args:
        folder: The study.
        tables: Its tables of results.
        workers: Number of processes that explain networks.
        on_progress: Called with (stage, done, total).

    Raises:
        RequestError: An attribution cannot be computed.
    """
    spec = folder.spec
    if spec.explain is None:
        return ExplanationTables()
    with folder.ledger() as ledger:
        cells, states = ledger.cells(), ledger.states()
    is_open = any(status.state in (JobState.QUEUED, JobState.RUNNING) for status in states.values())
    source = StudyExplanations(folder, spec.explain.images)
    teachers = ComparedTeachers(cells)
    wanted = [
        (cell, teacher, row, name)
        for cell, row in zip(cells, tables.results, strict=True)
        if row["status"] == JobState.DONE and (teacher := teachers.of(cell))
        for name in spec.explain.attributions
    ]
    if not is_open:
        maps = [
            WantedMaps(cell, teacher, name, of_teacher)
            for of_teacher in (True, False)
            for cell, teacher, _, name in wanted
        ]
        compute_maps(source, maps, workers=workers, on_progress=on_progress)
    found: dict[tuple[str, ...], Explained] = {}
    runs: list[Row] = []
    classes: list[Row] = []
    for cell, teacher, row, name in wanted:
        student = source.stored(cell, teacher, name)
        of_teacher = source.stored_teacher(cell, teacher, name)
        if student is None or of_teacher is None:
            continue
        explained_row = _row(row, teacher, name, student, of_teacher)
        found[key_of(explained_row)] = student
        runs.append(explained_row)
        names_of_classes = source.networks.images(cell).examples.classes
        classes += class_rows(explained_row, student, of_teacher, names_of_classes)
    gains = _gains(folder, runs, found, tables)
    names = {levels[0].name: isinstance(levels[0].level, str) for levels in spec.factor_levels()}
    tuned = spec.tune is not None
    write_table(runs, explanations_schema(names, tuned=tuned), folder.explanations_file)
    write_table(gains, explanation_gains_schema(names, tuned=tuned), folder.explanation_gains_file)
    write_table(classes, explanation_classes_schema(names, tuned=tuned), folder.explanation_classes_file)
    return ExplanationTables(tuple(runs), tuple(gains), tuple(classes))


def key_of(row: Row) -> tuple[str, ...]:
    """Return what names the explanation of a row."""
    return (row["run_id"], row["teacher_run"], row["attribution"])


def _row(row: Row, teacher: str, name: str, student: Explained, of_teacher: Explained) -> Row:
    height, width = student.maps.shape[1:]
    names = ("run_id", "study", *PLACE_COLUMNS, "method", "seed", "setting")
    kept = {key: row[key] for key in row if key in names or key.startswith(FACTOR)}
    return {
        **kept,
        "teacher_run": teacher,
        "attribution": name,
        "n_images": len(student.ids),
        **{measure: student.mean(measure) for measure in student.values},
        "border_area": border_area(height, width),
        **{f"teacher_{each}": of_teacher.mean(each) for each in _OF_TEACHER if each in of_teacher.values},
        **({"n_boxed": student.count("pointing")} if "pointing" in student.values else {}),
    }


def _gains(
    folder: StudyFolder, runs: Sequence[Row], found: dict[tuple[str, ...], Explained], tables: Tables
) -> list[Row]:
    """Return the gains of every method over the plain student, with those in the primary metric."""
    spec = folder.spec
    baseline, confidence = spec.evidence.baselines[0], spec.evidence.confidence
    primary = spec.task_config().primary
    gains: list[Row] = []
    columns = cell_columns(runs)
    usable = [row | {"status": JobState.DONE} for row in runs]
    for cell, methods in by_cell(_of_first(usable), columns).items():
        place = dict(zip(columns, cell, strict=True))
        for method in methods:
            if method == baseline or baseline not in methods:
                continue
            base = {**place, "method": method, "baseline": baseline}
            gains += _of_primary(base, tables, primary)
            for name in dict.fromkeys(row["attribution"] for row in runs):
                mine = [row for row in usable if row["attribution"] == name and _is_at(row, place)]
                seeds = by_cell(mine, columns).get(cell, {})
                for measure in GAINED:
                    paired = pairs(seeds.get(method, {}), seeds.get(baseline, {}), measure)
                    gains += _gain(base, name, measure, paired, found, confidence)
    return gains


def _of_first(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the first attribution, of which there is one per run."""
    return [row for row in rows if row["attribution"] == rows[0]["attribution"]]


def _is_at(row: Row, place: Row) -> bool:
    return all(row.get(column) == value for column, value in place.items())


def _of_primary(base: Row, tables: Tables, primary: str) -> list[Row]:
    """Return the gain in the primary metric, as in the table of effects."""
    return [
        {
            **base,
            "measure": primary,
            "plain": _mean_of(tables, base | {"method": base["baseline"]}, primary),
            "distilled": _mean_of(tables, base, primary),
            **{key: effect[key] for key in ("n_pairs", "gain", "ci_low", "ci_high", "p_value")},
        }
        for effect in tables.effects
        if effect["metric"] == primary and _is_at(effect, base)
    ]


def _mean_of(tables: Tables, place: Row, metric: str) -> float | None:
    """Return the mean of a metric over the runs of a method at a place."""
    mine = {key: value for key, value in place.items() if key != "baseline"}
    known = [value for row in tables.results if _is_at(row, mine) and (value := row.get(metric)) is not None]
    return float(np.mean(known)) if known else None


def _gain(
    base: Row,
    name: str,
    measure: str,
    paired: Sequence[tuple[Row, Row]],
    found: dict[tuple[str, ...], Explained],
    confidence: float,
) -> list[Row]:
    """Return the gain in a measure over the images where all runs have it; none if there is no such image.

    The interval covers new seeds, and new images if all seeds have the same.
    """
    if not paired:
        return []
    both = [(found[key_of(after)], found[key_of(before)]) for after, before in paired]
    fewest = min(len(one.ids) for pair in both for one in pair)
    after, before = (np.stack([each[place].values[measure][:fewest] for each in both]) for place in (0, 1))
    known = np.isfinite(after).all(axis=0) & np.isfinite(before).all(axis=0)
    if not known.any():
        return []
    after, before = after[:, known], before[:, known]
    same = all(np.array_equal(one.ids, both[0][0].ids) for pair in both for one in pair)
    gain = paired_gain(
        after.mean(axis=1),
        before.mean(axis=1),
        confidence=confidence,
        teachers=teachers_of(paired),
        contributions=after - before if same else None,
    )
    return [
        {
            **base,
            "attribution": name,
            "measure": measure,
            "n_pairs": gain.n_pairs,
            "n_images": int(known.sum()),
            "plain": float(before.mean()),
            "distilled": float(after.mean()),
            "gain": gain.gain,
            "ci_low": gain.ci_low if np.isfinite(gain.ci_low) else None,
            "ci_high": gain.ci_high if np.isfinite(gain.ci_high) else None,
            "p_value": gain.p_value,
        }
    ]
