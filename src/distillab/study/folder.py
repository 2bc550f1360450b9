"""The folder of a study, the DIR of the command line, and what it holds."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import torch
import yaml

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.data.storage import LARGE
from distillab.errors import RequestError
from distillab.integrity import DamagedFileError, check_folder
from distillab.models.object_files import add_place, copy_objects
from distillab.sources.changes import changed_files, files_of
from distillab.study.design import runs_of_first
from distillab.study.job import Job
from distillab.study.ledger import Ledger
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.conditions import Condition, Conditions, Roles
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.facts import PlanFacts
from distillab.study.planning.outline import tuned_plan
from distillab.study.planning.plan import Plan
from distillab.study.planning.probes import PROBED, probed_seeds
from distillab.study.planning.splits import SeedSplits
from distillab.study.spec.choices import EARLIER_CHOICES, StudyChoices, with_replicates
from distillab.study.spec.study import StudySpec, read_study
from distillab.study.status import LEDGER_FILE, STUDY_FILE, require_study
from distillab.study.store import Store, raising_disk_full
from distillab.study.tuning_record import TuningRecord, read_tuning, tuning_meta
from distillab.training.numerics.device import single_threaded

PLAN, FACTS = "plan", "facts.json"
SOURCE_FILES = "source files"  # the fact of a ledger that states the sizes and times of the data


class StudyFolder:
    """A study's folder: its file, ledger, store, tables and report. Scripts rely on the names in it.

    Args:
        path: The folder. Use :meth:`open` or :meth:`begin` to check or create it.

    Attributes:
        objects: The folder, in this one, of networks that were given as Python objects.
        snapshots: The folder, in this one, of cohorts in training; there is none while none is written.
        notices: What was found when the study was continued, one sentence each.

    Example:
        >>> StudyFolder(Path("runs/demo")).results_file.as_posix()
        'runs/demo/results.parquet'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path / "store")
        self.study_file = path / STUDY_FILE
        self.ledger_file = path / LEDGER_FILE
        self.results_file = path / "results.parquet"
        self.effects_file = path / "effects.parquet"
        self.tuning_file = path / "tuning.parquet"
        self.curves_file = path / "curves.parquet"
        self.level_effects_file = path / "level_effects.parquet"
        self.against_teacher_file = path / "against_teacher.parquet"
        self.selection_file = path / "selection.parquet"
        self.exits_file = path / "exits.parquet"
        self.alignment_file = path / "alignment.parquet"
        self.labels_file = path / "labels.parquet"
        self.groups_file = path / "groups.parquet"
        self.explanations_file = path / "explanations.parquet"
        self.explanation_gains_file = path / "explanation_gains.parquet"
        self.explanation_classes_file = path / "explanation_classes.parquet"
        self.report_file = path / "report.html"
        self.objects = path / "objects"
        self.snapshots = path / "snapshots"
        self.notices: list[str] = []
        add_place(self.objects)

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """Return the folder of a study that was started.

        Raises:
            RequestError: There is no study at ``path``.
        """
        require_study(path)
        return cls(path)

    @classmethod
    def begin(
        cls,
        path: Path,
        spec: StudySpec,
        device: torch.device,
        on_load: LoadProgress | None = None,
        *,
        dataset: Dataset | None = None,
        facts: PlanFacts | None = None,
    ) -> StudyFolder:
        """Create the folder of a study (read the data, plan, write the ledger), or continue the one there.

        Args:
            path: The folder.
            spec: The study.
            device: Where networks will be trained; used to choose their numerics.
            on_load: Called while data are read.
            dataset: The data, if they are not to be read: the source of the study, split in another way.
            facts: What was chosen when the study was planned before.

        Raises:
            RequestError: The folder holds another study or cannot be written, or the study cannot be planned.
                The stored data are damaged and cannot be read again.
            DiskFullError: There is no space for the data.
        """
        folder = cls(path)
        planned = folder._is_planned()
        if planned:
            spec = folder._completed(spec)
            folder._restore_data(spec, on_load, dataset)
            folder._notice_changed_data()
        else:
            files = files_of([spec.source(), *spec.other_sources().values()])
            read = load_study_data(spec, on_load) if dataset is None else dataset
            plan = tuned_plan(spec, read, device, on_load, used=facts.numerics if facts else None)
            if plan.draws:
                spec = with_replicates(spec, plan.draws.replicates)
        try:
            with raising_disk_full(path):
                if not planned:
                    path.mkdir(parents=True, exist_ok=True)
                    folder._write_plan(spec, read, plan, facts or PlanFacts.of(plan, read.digest), files)
                    spec = folder._completed(spec)  # another process may have started another study here
                folder._write_study(spec)
        except OSError as error:
            raise RequestError(
                f"cannot write there ({error.strerror})", where=str(path), allowed="a folder you can write"
            ) from error
        return folder

    @cached_property
    def spec(self) -> StudySpec:
        """The study, from ``study.yaml``."""
        return EARLIER_CHOICES.complete(read_study(self.study_file, stored=True))

    @cached_property
    def dataset(self) -> Dataset:
        """The data as they were read when the study started, memory-mapped."""
        with self.ledger() as ledger:
            digest = ledger.meta("dataset")
        return Dataset.open(self.store.folder("data", str(digest)))

    @property
    def numerics(self) -> dict[str, str]:
        """The numerics of each network with the reason for their choice; empty for studies of versions that
        made no choice."""
        with self.ledger() as ledger:
            chosen = ledger.meta("arithmetic")
        entries = json.loads(chosen or "{}").items()
        return {model: f"{each['arithmetic']} ({each['reason']})" for model, each in entries}

    @property
    def network_notes(self) -> tuple[str, ...]:
        """What was found about the networks when the study was planned, one sentence each."""
        with self.ledger() as ledger:
            return tuple(json.loads(ledger.meta("notes") or "[]"))

    @property
    def starts(self) -> tuple[str, ...]:
        """The trained weights that networks start from, one sentence each."""
        with self.ledger() as ledger:
            return tuple(json.loads(ledger.meta("starts") or "[]"))

    @property
    def tuning(self) -> TuningRecord | None:
        """The trials of a study that tunes its methods, and what was chosen; None for others."""
        with self.ledger() as ledger:
            return read_tuning(ledger)

    def ledger(self) -> Ledger:
        """Open the ledger: a context manager that closes it."""
        return Ledger(self.ledger_file)

    def roles(self, condition: Condition) -> Roles:
        """Return the examples of a condition by role, the same in every process."""
        with single_threaded():
            return self.conditions.roles(condition)

    @cached_property
    def conditions(self) -> Conditions:
        """The conditions of the study, which derive their examples from the data."""
        spec, dataset = self.spec, self.dataset
        return Conditions(
            dataset, teacher=given_teacher(spec, dataset), read=SeedSplits(spec, dataset).of_seed
        )

    def job(self, run_id: str) -> Job:
        """Return a job by its id.

        Raises:
            RequestError: There is none.
        """
        with self.ledger() as ledger:
            job = ledger.job(run_id)
        if job is None:
            raise RequestError(
                f"no run {run_id!r}", where=str(self.path), allowed="a run_id of results.parquet"
            )
        return job

    # -- inside ---------------------------------------------------------------------------------------------

    def _completed(self, spec: StudySpec) -> StudySpec:
        """Return a study with the choices of this folder for what its file leaves open, which must be the
        study of this folder."""
        with self.ledger() as ledger:
            held, choices = ledger.meta("identity"), ledger.meta("choices")
        kept = StudyChoices.from_dict(json.loads(choices)) if choices else EARLIER_CHOICES
        spec = kept.complete(spec)
        if held != spec.identity:
            raise RequestError(
                "this folder belongs to another study (see its study.yaml)",
                where=f"--out {self.path}",
                allowed="a new folder, or the study it was made with",
            )
        return spec

    def _notice_changed_data(self) -> None:
        """Say which files of the data have another size or time than when the study started."""
        with self.ledger() as ledger:
            before = json.loads(ledger.meta(SOURCE_FILES) or "{}")
        for sentence in changed_files(before):
            how = f"`distillab verify {self.path} --data` compares them"
            self.notices.append(f"{sentence} The study goes on with its copy; {how}.")

    def _write_facts(self, spec: StudySpec, facts: PlanFacts) -> None:
        """Write into the store what a lost ledger cannot be made again without."""
        if not self.store.is_sound(PLAN, spec.identity):
            self.store.discard(PLAN, spec.identity)
            with self.store.writing(PLAN, spec.identity) as draft:
                (draft / FACTS).write_text(json.dumps(facts.as_dict()), encoding="utf-8")

    def _restore_data(self, spec: StudySpec, on_load: LoadProgress | None, given: Dataset | None) -> None:
        """Read the data again if the stored ones are missing or damaged; they must be the same.

        Of files that are too large for memory only the sizes are checked, unless a job found damage: their
        blocks are checked when they are read.
        """
        with self.ledger() as ledger:
            digest = str(ledger.meta("dataset"))
            found = any(DamagedFileError.__name__ in failure.error for failure in ledger.failures())
        place = self.store.folder("data", digest)
        try:
            check_folder(place, most=float("inf") if found else LARGE)
        except DamagedFileError as error:
            read = _read_again(spec, on_load, error) if given is None else given
            if read.digest != digest:
                raise RequestError(
                    f"{error.what}, and cannot be made again: the data of the study have changed since",
                    where=str(error.path),
                    allowed="the data as they were when the study started",
                ) from error
            self.store.discard("data", digest)
            with self.store.writing("data", digest) as draft:
                read.save(draft)
            self.notices.append(f"The stored data were read again: {error.path} {error.what}.")

    def _is_planned(self) -> bool:
        if not self.ledger_file.is_file():
            return False
        with self.ledger() as ledger:
            return ledger.meta("schema") is not None

    def _write_study(self, spec: StudySpec) -> None:
        with write_atomically(self.study_file) as draft:
            text = yaml.safe_dump(spec.written(), sort_keys=False, allow_unicode=True)
            draft.write_text(text, encoding="utf-8")

    def _write_plan(
        self, spec: StudySpec, dataset: Dataset, plan: Plan, facts: PlanFacts, files: JsonObject
    ) -> None:
        if not self.store.has("data", dataset.digest):
            with self.store.writing("data", dataset.digest) as draft:
                dataset.save(draft)
        given = (job.inputs.weights for job in plan.teachers)
        copy_objects((path for path in given if path), self.objects)
        meta = {"dataset": dataset.digest, "identity": spec.identity, "torch": json.dumps(torch.__version__)}
        meta["choices"] = json.dumps(StudyChoices.of(spec).as_dict())
        meta["notes"] = json.dumps(plan.notes)
        meta["arithmetic"] = json.dumps(facts.choices)
        meta[SOURCE_FILES] = json.dumps(files)
        if plan.starts:
            meta["starts"] = json.dumps(plan.starts)
        if spec.tune:  # probes are planned with the runs at chosen settings
            meta |= tuning_meta(plan.trials, plan.numerics_used)
        else:
            meta[PROBED] = str(probed_seeds(spec))
        self._write_facts(spec, facts)
        with self.ledger() as ledger:
            first = runs_of_first(plan.cells, spec.looks[0]) | set(plan.trial_runs) if spec.looks else None
            ledger.create(meta, plan.jobs.values(), plan.conditions, plan.cells, first=first)


def _read_again(spec: StudySpec, on_load: LoadProgress | None, damage: DamagedFileError) -> Dataset:
    """Return the data of a study whose stored ones are damaged. Raises RequestError if they are gone."""
    try:
        return load_study_data(spec, on_load)
    except RequestError as error:
        raise RequestError(
            f"{damage.what}, and cannot be made again ({error})",
            where=str(damage.path),
            allowed="the data as they were when the study started",
        ) from error
