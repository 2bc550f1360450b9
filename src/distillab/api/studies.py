"""Studies: made of a file or of Python objects, planned, run and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillab.api.given import data_of_study
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.evidence.results import Tables, write_tables
from distillab.evidence.stopping import interim_analysis
from distillab.forkserver import is_loading_main
from distillab.report.collect.study import collect_contents
from distillab.report.page.page import write_report
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.plan import Plan, tuned_plan
from distillab.study.running import OnProgress, Outcome, outcome, run_jobs
from distillab.study.spec.study import StudySpec, parse_study, read_study
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import default_workers, pick_device


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
        values: The keys of a study file. Relative paths start at the current directory. ``data``, and the
            datasets of ``others``, may be Python objects as well: ``(images, labels)`` arrays, a dataset of
            torch or of Hugging Face, or a mapping of ``train``, ``val`` and ``test`` to these.

    Attributes:
        spec: The study, validated.

    Raises:
        RequestError: A key or value is not allowed.

    Example:
        >>> study = Study(study="tiny", data={"source": "digits"}, teacher={"model": "resnet14"},
        ...               students="resnet8", methods=["ce", "kd"], factors={"size": [10, 50]}, seeds=5)
        >>> study.spec.students, study.spec.seed_list
        (('resnet8',), (0, 1, 2, 3, 4))
    """

    def __init__(self, **values: Any) -> None:
        written, self._held = data_of_study(values)  # the data exist as long as the study
        self.spec: StudySpec = parse_study(written, Path.cwd(), "study")

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Return the study in a file.

        Raises:
            RequestError: The file cannot be read, or a key or value is not allowed.
        """
        study = cls.__new__(cls)
        study.spec, study._held = read_study(Path(path)), ()
        return study

    def plan(self, *, device: str = "auto", on_load: LoadProgress | None = None) -> tuple[Dataset, Plan]:
        """Return the data and the expanded design. Trains nothing.

        Raises:
            RequestError: The study cannot be planned.
        """
        dataset = load_study_data(self.spec, on_load)
        return dataset, tuned_plan(self.spec, dataset, pick_device(device), on_load)

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
        crew = workers or default_workers(chosen)
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

    Example:
        >>> import tempfile
        >>> conclude(StudyFolder(Path(tempfile.mkdtemp())))
        Traceback (most recent call last):
        distillab.errors.RequestError: ... cannot read the study file (No such file or directory)
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
