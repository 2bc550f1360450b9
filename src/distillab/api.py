"""The verbs as functions, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.evidence.results import Tables, write_tables
from distillab.evidence.stopping import interim_analysis
from distillab.forkserver import is_loading_main
from distillab.machine import usable_cores
from distillab.modalities import normalization_of
from distillab.modalities.embedding import embeddings
from distillab.report.collect.study import collect_contents
from distillab.report.page.page import write_report
from distillab.sources.parsing import parse_source, source_from_argument
from distillab.sources.source import Source
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.plan import Plan, tuned_plan
from distillab.study.running import OnProgress, Outcome, outcome, run_jobs
from distillab.study.spec.study import StudySpec, parse_study, read_study
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import pick_device

if TYPE_CHECKING:
    from distillab.profile import LoadedTeacher, Profile


def _ignore(_share: float) -> None:
    """Ignore the progress of a study."""


@dataclass(frozen=True)
class Finished:
    """What a run leaves behind.

    Attributes:
        folder: The study's folder.
        outcome: How its runs ended.
        tables: The rows of ``results.parquet`` and ``effects.parquet``.

    Example:
        >>> folder = StudyFolder(Path("runs/demo"))
        >>> Finished(folder, Outcome(8, 0, 0, 0, ()), Tables([], [])).report.as_posix()
        'runs/demo/report.html'
    """

    folder: StudyFolder
    outcome: Outcome
    tables: Tables

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder.report_file


class Study:
    """A study, from a file (:meth:`read`) or from the same keys as keyword arguments.

    ``Study(...).run("runs/tiny")`` runs it, and resumes it when it is called again.

    Args:
        values: The keys of a study file. Relative paths start at the current directory.

    Raises:
        RequestError: A key or value is not allowed.

    Example:
        >>> study = Study(study="tiny", data={"source": "digits"}, teacher={"model": "resnet14"},
        ...               students="resnet8", methods=["ce", "kd"], factors={"size": [10, 50]}, seeds=5)
        >>> study.spec.students, study.spec.seed_list
        (('resnet8',), (0, 1, 2, 3, 4))
    """

    def __init__(self, **values: Any) -> None:
        self.spec: StudySpec = parse_study(values, Path.cwd(), "study")

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Return the study in a file.

        Raises:
            RequestError: The file cannot be read, or a key or value is not allowed.
        """
        study = cls.__new__(cls)
        study.spec = read_study(Path(path))
        return study

    def plan(self, *, device: str = "auto", on_load: LoadProgress | None = None) -> tuple[Dataset, Plan]:
        """Return the data and the expanded design. Trains nothing.

        Raises:
            RequestError: The study cannot be planned.
        """
        dataset = load_study_data(self.spec, on_load)
        return dataset, tuned_plan(self.spec, dataset, pick_device(device))

    def run(
        self,
        out: str | Path,
        *,
        workers: int | None = None,
        executor: str = "processes",
        device: str = "auto",
        retry_failed: bool = False,
        on_progress: OnProgress = _ignore,
        on_load: LoadProgress | None = None,
        on_begin: Callable[[StudyFolder], None] | None = None,
    ) -> Finished:
        """Run the study in the folder ``out``, or resume it, and write tables and report.

        Args:
            out: The study's folder; created if it does not exist.
            workers: Number of worker processes; by default one per usable CPU core, or 1 on a GPU.
            executor: Name of a registered executor.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            retry_failed: Try failed runs again.
            on_progress: Called with the share of the work that is finished.
            on_load: Called while data are read.
            on_begin: Called once the study is planned, before anything is trained.

        Raises:
            RequestError: The request cannot be fulfilled as written.
            DiskFullError: There is no space left; what was finished is kept.
        """
        if is_loading_main():
            raise RequestError(
                "a worker process imports this script, which would run the study again",
                where=f"{self.spec.study}: run",
                allowed='`if __name__ == "__main__":` above what starts the study',
            )
        chosen = pick_device(device)
        folder = StudyFolder.begin(Path(out), self.spec, chosen, on_load)
        if on_begin:
            on_begin(folder)
        if retry_failed:
            with folder.ledger() as ledger:
                ledger.retry_failed()
        crew = workers or (usable_cores() if chosen.type == "cpu" else 1)
        run_jobs(folder, executor=executor, workers=crew, device=device, on_progress=on_progress)
        while _needs_more_runs(folder):
            run_jobs(folder, executor=executor, workers=crew, device=device, on_progress=on_progress)
        return conclude(folder)


def _needs_more_runs(folder: StudyFolder) -> bool:
    """Return True if an interim analysis of a study with sequential stopping admitted more runs."""
    with raising_disk_full(folder.path):
        return interim_analysis(folder)


def conclude(folder: StudyFolder) -> Finished:
    """Measure what has run, and write ``results.parquet``, ``effects.parquet`` and ``report.html``.

    Raises:
        DiskFullError: There is no space left; the files that were there before stay as they were.
    """
    with raising_disk_full(folder.path):
        tables = write_tables(folder)
        write_report(collect_contents(folder, tables), folder.report_file)
    return Finished(folder, outcome(folder), tables)


def report(path: str | Path) -> Finished:
    """Write the tables and the report of a study again, from what has run so far.

    Args:
        path: The study's folder.

    Raises:
        RequestError: There is no study.

    Example:
        >>> report("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here ...
    """
    return conclude(StudyFolder.open(Path(path)))


SHARED_KEYS = ("resolution", "channels")  # source keys that also apply to the other dataset of a profile


def profile(
    data: str | Path,
    *,
    against: str | Path | None = None,
    teacher: str | Path | None = None,
    weights: str | Path | None = None,
    embedding: str = "patches",
    keys: JsonObject | None = None,
    device: str = "auto",
    on_load: LoadProgress | None = None,
) -> Profile:
    """Measure the properties of a dataset that matter for distillation. Trains no network.

    Args:
        data: A folder, a file, or ``source:argument``, as on the command line.
        against: Another dataset to measure the distance to.
        teacher: A model, with ``weights``; or the folder of a study, for its first teacher.
        weights: The model's weights, a safetensors file.
        embedding: ``patches``, learned from the images, or ``imagenet`` (extra ``imagenet``).
        keys: Further keys of the source, such as ``{"label": "fine_label", "resolution": 32}``. Resolution
            and channels apply to the other dataset as well.
        device: Where the teacher computes.
        on_load: Called with (stage, done, total).

    Raises:
        RequestError: The request cannot be fulfilled as written.

    Example:
        >>> profile("digits:", weights="resnet14.safetensors")
        Traceback (most recent call last):
        distillab.errors.RequestError: --weights: weights of which model? (allowed: --teacher MODEL as well)
    """
    # Imported here: cleanlab and scikit-learn take seconds to import, which no study should wait for.
    from distillab.profile import check_teacher, load_teacher, profile_source

    embeddings[embedding]  # reject an unknown name before anything is read
    if weights is not None and teacher is None:
        raise RequestError("weights of which model?", where="--weights", allowed="--teacher MODEL as well")
    if teacher is not None:
        check_teacher(teacher, None if weights is None else Path(weights))
    chosen = dict(keys or {})
    common = {key: value for key, value in chosen.items() if key in SHARED_KEYS}

    def load(dataset: Dataset) -> LoadedTeacher:
        normalise = normalization_of(dataset)
        file = None if weights is None else Path(weights)
        return load_teacher(str(teacher), file, dataset.train, normalise, pick_device(device))

    other = None if against is None else _source(against, common)
    if other is not None:
        other.check_paths()
    return profile_source(
        _source(data, chosen),
        against=other,
        embedding=embedding,
        teacher=None if teacher is None else load,
        progress=on_load,
    )


def _source(data: str | Path, keys: JsonObject) -> Source:
    source = source_from_argument(str(data))
    return parse_source(source.entry() | dict(keys), Path(), str(data)) if keys else source
