"""StudyFolder: the DIR of a study, and all that lies in it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import torch
import yaml

from distillab.artefacts import write_atomically
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.study.ledger.interim import runs_of_first
from distillab.study.ledger.ledger import Job, Ledger
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.planning.conditions import Condition, Conditions, Roles
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.plan import Plan, tuned_plan
from distillab.study.spec.study import StudySpec, read_study
from distillab.study.status import LEDGER_FILE, STUDY_FILE, must_be_begun
from distillab.study.store import Store, raising_disk_full
from distillab.training.numerics.device import one_thread


class StudyFolder:
    """A study's folder: its file, ledger, store, tables and report. Scripts rely on the names in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path / "store")
        self.study_file = path / STUDY_FILE
        self.ledger_file = path / LEDGER_FILE
        self.results_file = path / "results.parquet"
        self.effects_file = path / "effects.parquet"
        self.report_file = path / "report.html"

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """The folder of a study that was begun. Raises RequestError if there is none at ``path``."""
        must_be_begun(path)
        return cls(path)

    @classmethod
    def begin(
        cls, path: Path, spec: StudySpec, device: torch.device, on_load: LoadProgress | None = None
    ) -> StudyFolder:
        """Make the folder of a study (read data, plan, write the ledger), or take up the one that is there.

        Raises:
            RequestError: the folder holds another study or cannot be written, or the study cannot be planned.
            DiskFullError: there is no space for the data.
        """
        folder = cls(path)
        planned = folder._is_planned()
        if planned:
            folder._must_hold(spec)
        else:
            dataset = load_study_data(spec, on_load)
            plan = tuned_plan(spec, dataset, device)
        try:
            with raising_disk_full(path):
                if not planned:
                    path.mkdir(parents=True, exist_ok=True)
                    folder._write_plan(spec, dataset, plan)
                    folder._must_hold(spec)  # another study may have been begun here meanwhile
                folder._write_study(spec)
        except OSError as error:
            raise RequestError(
                f"cannot write there ({error.strerror})", where=str(path), allowed="a folder you can write"
            ) from error
        return folder

    @cached_property
    def spec(self) -> StudySpec:
        """The study, from ``study.yaml``."""
        return read_study(self.study_file)

    @cached_property
    def dataset(self) -> Dataset:
        """The data as they were read when the study began, pixels memory-mapped."""
        with self.ledger() as ledger:
            digest = ledger.meta("dataset")
        return Dataset.open(self.store.folder("data", str(digest)))

    @property
    def numerics(self) -> dict[str, str]:
        """How each network computes, and why, as it was chosen when the study began; empty if that was
        before there was a choice."""
        with self.ledger() as ledger:
            chosen = ledger.meta("arithmetic")
        entries = json.loads(chosen or "{}").items()
        return {model: f"{each['arithmetic']} ({each['reason']})" for model, each in entries}

    def ledger(self) -> Ledger:
        """A new connection to the ledger; a context manager that closes it."""
        return Ledger(self.ledger_file)

    def roles(self, condition: Condition) -> Roles:
        """The image sets of a condition, the same in every process."""
        with one_thread():
            return self.making.roles(condition)

    @cached_property
    def making(self) -> Conditions:
        """What makes the image sets of the study's conditions."""
        return Conditions(self.dataset, teacher=given_teacher(self.spec, self.dataset))

    def job(self, run_id: str) -> Job:
        """A job by its id. Raises RequestError if there is none."""
        with self.ledger() as ledger:
            job = ledger.job(run_id)
        if job is None:
            raise RequestError(
                f"no run {run_id!r}", where=str(self.path), allowed="a run_id of results.parquet"
            )
        return job

    # -- inside ---------------------------------------------------------------------------------------------

    def _must_hold(self, spec: StudySpec) -> None:
        with self.ledger() as ledger:
            held = ledger.meta("identity")
        if held != spec.identity:
            raise RequestError(
                "this folder belongs to another study (see its study.yaml)",
                where=f"--out {self.path}",
                allowed="a new folder, or the study it was made with",
            )

    def _is_planned(self) -> bool:
        if not self.ledger_file.is_file():
            return False
        with self.ledger() as ledger:
            return ledger.meta("schema") is not None

    def _write_study(self, spec: StudySpec) -> None:
        with write_atomically(self.study_file) as draft:
            draft.write_text(yaml.safe_dump(spec.canonical(), sort_keys=False, allow_unicode=True))

    def _write_plan(self, spec: StudySpec, dataset: Dataset, plan: Plan) -> None:
        if not self.store.has("data", dataset.digest):
            with self.store.writing("data", dataset.digest) as draft:
                dataset.save(draft)
        meta = {"dataset": dataset.digest, "identity": spec.identity, "torch": json.dumps(torch.__version__)}
        meta["arithmetic"] = json.dumps({model: each.as_dict() for model, each in plan.numerics.items()})
        with self.ledger() as ledger:
            first = runs_of_first(plan.cells, spec.looks[0]) if spec.looks else None
            ledger.create(meta, plan.jobs.values(), plan.conditions, plan.cells, first=first)
