"""Studies: made of a file or of Python objects, planned, run and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from distillab.api.effect_cells import cells_of
from distillab.api.given import GivenStudy
from distillab.api.trackers import entered, must_track
from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.forkserver import is_loading_main
from distillab.models.object_files import naming_given_networks
from distillab.notebook import Show, html_table, notebook_progress
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.outline import tuned_plan
from distillab.study.planning.plan import Plan
from distillab.study.running import OnProgress, Outcome, check_executor, outcome, reuse_artifacts, run_jobs
from distillab.study.running.lost import made_again, put_back_lost
from distillab.study.running.probes import add_probes
from distillab.study.running.tuning import choose_settings
from distillab.study.spec.study import StudySpec, parse_study, read_study
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import default_workers, pick_device

# Statistics and the report take a second to import, and are not needed before something has been trained.
if TYPE_CHECKING:
    from distillab.evidence import Answer, Row, Tables
    from distillab.evidence.group_scores import GroupBaseline
    from distillab.track import Tracked


@dataclass(frozen=True, repr=False)
class Finished:
    """What a run leaves behind.

    Attributes:
        folder: The study's folder.
        outcome: How its runs ended.
        tables: The rows of ``results.parquet``, ``effects.parquet`` and ``level_effects.parquet``.
        answer: The first screen of the report in words.
        reused: Number of trained networks that were taken from other studies.
        made_again: What workers found damaged and made again, one sentence each.
        tracked: What was entered into a tracker, if that was requested.
        files: What was written on request: tables as CSV, figures.
        alignment: The rows of ``alignment.parquet``, of studies whose views are the eight of a square.
        group_baseline: How good it is to predict classes from groups alone, where examples have groups.

    Example:
        >>> from distillab.evidence import Tables
        >>> folder = StudyFolder(Path("runs/demo"))
        >>> Finished(folder, Outcome(8, 0, 0, 0, ()), Tables([], [])).report.as_posix()
        'runs/demo/report.html'
        >>> Finished(folder, Outcome(8, 0, 0, 0, ()), Tables([], []))
        Finished(8 runs done, 0 failed, 0 open; report: runs/demo/report.html)
    """

    folder: StudyFolder
    outcome: Outcome
    tables: Tables
    answer: Answer = field(default_factory=lambda: _no_answer())
    reused: int = 0
    made_again: tuple[str, ...] = ()
    tracked: Tracked | None = None
    files: tuple[Path, ...] = ()
    alignment: tuple[Row, ...] = ()
    group_baseline: GroupBaseline | None = None

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder.report_file

    @property
    def primary(self) -> str:
        """The metric that conclusions rest on."""
        return self.folder.spec.task_config().primary

    def __repr__(self) -> str:
        return f"Finished({self._summary})"

    @property
    def _summary(self) -> str:
        """How the runs ended, and where the report is."""
        ended = self.outcome
        return f"{ended.done_text}, {ended.failed} failed, {ended.open} open; report: {self.report}"

    def as_dict(self) -> JsonObject:
        """Return the conclusions in a JSON-able form, as ``distillab report --json`` prints them.

        Example:
            >>> from distillab.evidence import Tables
            >>> finished = Finished(StudyFolder(Path("demo")), Outcome(8, 0, 0, 0, ()), Tables([], []))
            >>> list(finished.as_dict())[:3]
            ['headline', 'harms', 'estimand']
        """
        return {
            "headline": self.answer.headline,
            "harms": list(self.answer.harms),
            "estimand": self.answer.estimand,
            "training": self.answer.early_training or self.answer.long_enough,
            "settings": self.answer.settings,
            "differences": list(self.answer.differences),
            "report": str(self.report),
            "effects": self.tables.effects,
            "level_effects": self.tables.level_effects,
            "against_teacher": self.tables.against_teacher,
            "alignment": list(self.alignment),
            "selection": self.tables.selection,
            "group_baseline": self.group_baseline and asdict(self.group_baseline),
        }

    def _repr_html_(self) -> str:
        """Return how the runs ended, the gains, and their differences between levels, for notebooks.

        They are those that conclusions rest on, with the verdicts that hold together with all others.
        """
        from distillab.evidence.pairs import FACTOR

        rows = []
        for row in self.tables.headline.effects:
            levels = {k.removeprefix(FACTOR): level for k, level in row.items() if k.startswith(FACTOR)}
            condition = ", ".join(f"{factor} {level}" for factor, level in levels.items())
            rows.append(cells_of(row, condition, row["gain"]))
        header = ("method", "condition", "metric", "gain", "interval", "pairs", "verdict")
        return html_table(self._summary, rows, header) + self._differences()

    def _differences(self) -> str:
        """Return the differences between levels as a table; empty if there are none."""
        rows = [
            cells_of(row, f"{row['factor']} {row['level']}, not {row['reference']}", row["difference"])
            for row in self.tables.headline.level_effects
        ]
        header = ("method", "levels", "metric", "difference of gains", "interval", "pairs", "verdict")
        return html_table("Differences between levels", rows, header) if rows else ""


def _no_answer() -> Answer:
    from distillab.evidence import Answer

    return Answer("")


class Study:
    """A study, from a file (:meth:`read`) or from the same keys as keyword arguments.

    ``Study(...).run("runs/tiny")`` runs it, and resumes it when it is called again.

    Args:
        values: The keys of a study file. Relative paths start at the current directory. ``data``, and the
            datasets of ``others``, may be Python objects as well: ``(images, labels)`` arrays, a dataset of
            torch or of Hugging Face, or a mapping of ``train``, ``val`` and ``test`` to these. So may
            networks: a teacher that is an ``nn.Module`` teaches with its weights, a student starts from
            them, and a function or class builds a new network for each run.

    Attributes:
        spec: The study, validated.

    Raises:
        RequestError: A key or value is not allowed.

    Example:
        >>> study = Study(study="tiny", data={"source": "digits"}, teacher={"model": "resnet14"},
        ...               students="resnet8", methods=["ce", "kd"], factors={"size": [10, 50]}, seeds=5)
        >>> study
        Study(tiny: resnet14 to resnet8 by ce, kd)
        >>> study.spec.students, study.spec.seed_list
        (('resnet8',), (0, 1, 2, 3, 4))
    """

    def __init__(self, **values: Any) -> None:
        self._given: GivenStudy | None = GivenStudy.of(values)
        self.spec: StudySpec = parse_study(self._given.values, Path.cwd(), "study")

    @classmethod
    def read(cls, path: str | Path) -> Study:
        """Return the study in a file.

        Raises:
            RequestError: The file cannot be read, or a key or value is not allowed.
        """
        return cls.of(read_study(Path(path)))

    @classmethod
    def of(cls, spec: StudySpec) -> Study:
        """Return the study that was validated already."""
        study = cls.__new__(cls)
        study.spec, study._given = spec, None
        return study

    def plan(self, *, device: str = "auto", on_load: LoadProgress | None = None) -> tuple[Dataset, Plan]:
        """Return the data and the expanded design. Trains nothing.

        Raises:
            RequestError: The study cannot be planned.
        """
        with notebook_progress() as show, naming_given_networks():
            on_load = on_load or partial(_show_loading, show)
            dataset = load_study_data(self.spec, on_load)
            planned = tuned_plan(self.spec, dataset, pick_device(device), on_load)
            if self.spec.explain:
                from distillab.explain.tables import check_planned

                check_planned(self.spec, dataset, planned.at_most.jobs.values())
            return dataset, planned

    def run(
        self,
        out: str | Path,
        *,
        workers: int | None = None,
        executor: str = "processes",
        device: str = "auto",
        retry_failed: bool = False,
        reuse: Sequence[str | Path] = (),
        on_progress: OnProgress | None = None,
        on_load: LoadProgress | None = None,
        on_begin: Callable[[StudyFolder], None] | None = None,
        report: bool = True,
        track: str | None = None,
    ) -> Finished:
        """Run the study in the folder ``out``, or resume it, and write tables and report.

        Args:
            out: The study's folder; created if it does not exist.
            workers: Number of worker processes; by default one per usable CPU core, or 1 on a GPU. For
                ``slurm``, the number of allocations.
            executor: ``processes``, ``inline``, ``ray``, which takes no number of workers, or ``slurm``.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            retry_failed: Try failed runs again.
            reuse: Folders of other studies. Trained networks that they have, and that this study needs under
                the same id, are taken from them; so are those that are planned after tuning.
            on_progress: Called with the share of the work that is finished; by default, a notebook shows it.
            on_load: Called while data are read; likewise.
            on_begin: Called once the study is planned, before anything is trained.
            report: Whether ``report.html`` is written beside the tables.
            track: ``mlflow`` or ``tensorboard``, where every run is entered as well, once.

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
        check_executor(executor, workers)
        if track:
            must_track(track)
        others = [StudyFolder.open(Path(each)) for each in reuse]
        with notebook_progress() as show:
            chosen = pick_device(device)
            on_load = on_load or partial(_show_loading, show)
            folder = self._begin(Path(out), chosen, on_load)
            if folder.spec.explain:
                from distillab.explain.tables import check_explanations

                check_explanations(folder)
            with raising_disk_full(folder.path):
                folder.notices.extend(f"Made again: {each}." for each in put_back_lost(folder))
                add_probes(folder)
            reused = reuse_artifacts(folder, others)
            known = len(made_again(folder))
            if on_begin:
                on_begin(folder)
            if retry_failed:
                with folder.ledger() as ledger:
                    ledger.retry_failed()
            run = partial(
                run_jobs,
                folder,
                executor=executor,
                workers=workers or default_workers(chosen),
                device=device,
                on_progress=on_progress or partial(show, "training"),
            )
            run()
            while _needs_more_runs(folder):
                reused += reuse_artifacts(folder, others)
                run()
            explainers = 1 if executor == "inline" else workers
            concluded = conclude(folder, report=report, workers=explainers, on_load=on_load)
            finished = replace(concluded, reused=reused, made_again=made_again(folder)[known:])
            return replace(finished, tracked=entered(folder, track))

    def __repr__(self) -> str:
        teacher, students = self.spec.teacher.label, [entry.label for entry in self.spec.student_entries]
        methods = [method.label for method in self.spec.method_specs()]
        return f"Study({self.spec.study}: {teacher} to {', '.join(students)} by {', '.join(methods)})"

    def _repr_html_(self) -> str:
        """Return the keys of the study, as notebooks show them."""
        spec = self.spec
        rows = [
            ("data", spec.source().dataset_name),
            ("teacher", f"{spec.teacher.label} ({', '.join(spec.teacher.provenance)})"),
            ("students", ", ".join(entry.label for entry in spec.student_entries)),
            ("methods", ", ".join(method.label for method in spec.method_specs())),
            *(
                (f"factor {levels[0].name}", "; ".join(level.description for level in levels))
                for levels in spec.factor_levels()
            ),
            ("seeds", str(len(spec.seed_list))),
        ]
        return html_table(f"Study {spec.study}", rows)

    def _begin(self, path: Path, device: torch.device, on_load: LoadProgress | None) -> StudyFolder:
        """Begin or continue the study in a folder, into which networks given as objects are written first."""
        folder, spec = StudyFolder(path.absolute()), self.spec
        if self._given is not None:
            try:
                values = self._given.values_in(folder.objects)
            except OSError as error:
                raise RequestError(
                    f"cannot write there ({error.strerror})",
                    where=str(path),
                    allowed="a folder you can write",
                ) from error
            if values != self._given.values:
                spec = parse_study(values, Path.cwd(), "study")
        with naming_given_networks():
            return StudyFolder.begin(path, spec, device, on_load)


def _show_loading(show: Show, what: str, done: int, total: int) -> None:
    show(what, done / max(total, 1))


def _needs_more_runs(folder: StudyFolder) -> bool:
    """Return True if more runs were admitted: those under settings that tuning chose, or those that an
    interim analysis of a study with sequential stopping wants."""
    from distillab.evidence.stopping import interim_analysis

    with raising_disk_full(folder.path):
        return choose_settings(folder) or interim_analysis(folder)


def conclude(
    folder: StudyFolder,
    *,
    report: bool = True,
    workers: int | None = None,
    on_load: LoadProgress | None = None,
) -> Finished:
    """Measure what has run, and write its tables (Parquet) and ``report.html``.

    Args:
        folder: The study's folder.
        report: Whether ``report.html`` is written, and the answer in words collected.
        workers: Number of processes that explain networks, if the study wants that; by default one per usable
            CPU core.
        on_load: Called with (stage, done, total) while networks are explained, if the study wants that.

    Raises:
        DiskFullError: There is no space left; the files that were there before stay as they were.

    Example:
        >>> import tempfile
        >>> conclude(StudyFolder(Path(tempfile.mkdtemp())))
        Traceback (most recent call last):
        distillab.errors.RequestError: ... cannot read the study file (No such file or directory)
    """
    from distillab.evidence.orbits import write_alignment
    from distillab.evidence.results import write_tables
    from distillab.evidence.training_curves import write_curves
    from distillab.report.collect.study import collect_contents
    from distillab.report.page.page import write_report

    with raising_disk_full(folder.path):
        tables = write_tables(folder)
        write_curves(folder)
        alignment = tuple(write_alignment(folder))
        if folder.spec.explain:
            from distillab.explain.tables import write_explanations

            explainers = workers or default_workers(torch.device("cpu"))
            write_explanations(folder, tables, workers=explainers, on_progress=on_load)
        if not report:
            return Finished(folder, outcome(folder), tables, alignment=alignment)
        contents = collect_contents(folder, tables)
        write_report(contents, folder.report_file)
    return Finished(
        folder,
        outcome(folder),
        tables,
        contents.answer,
        alignment=alignment,
        group_baseline=contents.group_baseline,
    )
