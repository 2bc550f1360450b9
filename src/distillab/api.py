"""The verbs, as functions: what the command line calls and what people call from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.evidence.results import Tables, write_tables
from distillab.evidence.stopping import interim_analysis
from distillab.machine import usable_cores
from distillab.modalities.image.embedding import embeddings
from distillab.report.collect.study import collect
from distillab.report.page.page import write_report
from distillab.sources.parsing import parse_source, source_from_argument
from distillab.sources.source import Source
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.plan import Plan, tuned_plan
from distillab.study.running.executors import Watch
from distillab.study.running.run import Outcome, outcome, run_jobs
from distillab.study.spec.study import StudySpec, parse_study, read_study
from distillab.study.store import raising_disk_full
from distillab.training.loop.stream import Normalize
from distillab.training.numerics.device import pick_device

if TYPE_CHECKING:
    from distillab.profile import LoadedTeacher, Profile


def _silent(_share: float) -> None:
    """Watches nothing."""


@dataclass(frozen=True)
class Finished:
    """What ``run`` leaves: the folder, how its runs ended, and the two tables."""

    folder: StudyFolder
    outcome: Outcome
    tables: Tables

    @property
    def report(self) -> Path:
        return self.folder.report_file


class Study:
    """A study, from a file (:meth:`read`) or from the same keys as keyword arguments.

    >>> study = Study(study="tiny", data={"source": "digits"}, teacher={"model": "resnet14"},
    ...               students="resnet8", methods=["ce", "kd"], factors={"size": [10, 50]}, seeds=5)
    >>> study.run("runs/tiny").outcome.failed                                           # doctest: +SKIP
    0
    """

    def __init__(self, **values: Any) -> None:
        """Raises RequestError for a key or value that is not allowed. Relative paths start here."""
        self.spec: StudySpec = parse_study(values, Path.cwd(), "study")

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """The study of a file. Raises RequestError."""
        study = cls.__new__(cls)
        study.spec = read_study(Path(path))
        return study

    def plan(self, *, device: str = "auto", on_load: LoadProgress | None = None) -> tuple[Dataset, Plan]:
        """The data and the expanded design. Trains nothing. Raises RequestError."""
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
        watch: Watch = _silent,
        on_load: LoadProgress | None = None,
        on_begin: Callable[[StudyFolder], None] | None = None,
    ) -> Finished:
        """Run the study in the folder ``out``, or resume it, and write tables and report.

        Args:
            out: the study's folder; made if it is not there.
            workers: worker processes; by default as many as there are CPUs to be used, or 1 on a GPU.
            executor: a registered executor.
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            retry_failed: try failed runs again.
            watch: called with the share of the work that is done.
            on_load: called while images are decoded.
            on_begin: called once the study is planned, before anything trains.

        Raises:
            RequestError: the request cannot be done as written.
            DiskFullError: there is no space left; what was finished is kept.
        """
        chosen = pick_device(device)
        folder = StudyFolder.begin(Path(out), self.spec, chosen, on_load)
        if on_begin:
            on_begin(folder)
        if retry_failed:
            with folder.ledger() as ledger:
                ledger.retry_failed()
        crew = workers or (usable_cores() if chosen.type == "cpu" else 1)
        run_jobs(folder, executor=executor, workers=crew, device=device, watch=watch)
        while _look_again(folder):
            run_jobs(folder, executor=executor, workers=crew, device=device, watch=watch)
        return conclude(folder)


def _look_again(folder: StudyFolder) -> bool:
    """Look at a study that stops when it is decided. Whether it needs more runs. Raises DiskFullError."""
    with raising_disk_full(folder.path):
        return interim_analysis(folder)


def conclude(folder: StudyFolder) -> Finished:
    """Measure what has run, and write ``results.parquet``, ``effects.parquet`` and ``report.html``.

    Raises:
        DiskFullError: there is no space left; what was there before stays as it was.
    """
    with raising_disk_full(folder.path):
        tables = write_tables(folder)
        write_report(collect(folder, tables), folder.report_file)
    return Finished(folder, outcome(folder), tables)


def report(path: str | Path) -> Finished:
    """Write tables and report of a study's folder anew. Raises RequestError if there is no study."""
    return conclude(StudyFolder.open(Path(path)))


SHARED_KEYS = ("resolution", "channels")  # of the two sets that a profile compares


def profile(
    data: str | Path,
    *,
    against: str | Path | None = None,
    teacher: str | Path | None = None,
    weights: str | Path | None = None,
    embedding: str = "patches",
    keys: Mapping[str, Any] | None = None,
    device: str = "auto",
    on_load: LoadProgress | None = None,
) -> Profile:
    """What a dataset is like, in numbers that have a bearing on distillation. Trains no network.

    Args:
        data: a folder, a file, or ``source:argument``, as on the command line.
        against: another dataset to measure the distance to.
        teacher: a model to ask, with ``weights``; or the folder of a study, for its first teacher.
        weights: the model's weights, a safetensors file.
        embedding: ``patches``, learned from the images, or ``imagenet`` (extra ``imagenet``).
        keys: further keys of the source, such as ``{"label": "fine_label", "resolution": 32}``. Resolution
            and channels go for the other dataset as well.
        device: where a teacher is asked.
        on_load: called with (stage, done, total).

    Raises:
        RequestError: the request cannot be done as written.
    """
    # Here, since cleanlab and scikit-learn take seconds to import, which no study should wait for.
    from distillab.profile import load_teacher, profile_source

    embeddings[embedding]  # an unknown name is told before anything is read
    if weights is not None and teacher is None:
        raise RequestError("weights of what?", where="--weights", allowed="--teacher MODEL as well")
    chosen = dict(keys or {})
    common = {key: value for key, value in chosen.items() if key in SHARED_KEYS}

    def load(dataset: Dataset) -> LoadedTeacher:
        normalise = Normalize(*dataset.normalisation())
        file = None if weights is None else Path(weights)
        return load_teacher(str(teacher), file, dataset.train, normalise, pick_device(device))

    return profile_source(
        _source(data, chosen),
        against=None if against is None else _source(against, common),
        embedding=embedding,
        teacher=None if teacher is None else load,
        progress=on_load,
    )


def _source(data: str | Path, keys: Mapping[str, Any]) -> Source:
    source = source_from_argument(str(data))
    return parse_source(source.entry() | dict(keys), Path(), str(data)) if keys else source
