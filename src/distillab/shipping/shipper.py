"""From data to an exported student: profile, teacher, tuning on val, comparison on test, export."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distillab.advise.watch import BudgetWatch, OnBudget
from distillab.canonical import spec_id
from distillab.data.boxes import refuse_boxes
from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE, Examples, Indices
from distillab.data.raw import RawImage
from distillab.data.targets import refuse_identities
from distillab.errors import RequestError
from distillab.modalities import require_exportable
from distillab.models.object_files import copy_objects, texts_in
from distillab.shipping.design import MOST_SHIPPING_PAIRS, RUN_SECONDS, ShippingDesign, closing_seconds
from distillab.shipping.milestones import Milestones, OnShippingLine
from distillab.shipping.planner import ShippingPlanner, check_names
from distillab.shipping.record import ShippingRecord
from distillab.shipping.request import ShippingRequest
from distillab.shipping.warnings import warnings_of
from distillab.sources.file_facts import FileFacts
from distillab.sources.ingest import load_dataset
from distillab.study.folder import StudyFolder
from distillab.study.running.deadline import SecondsClock, run_until
from distillab.study.running.tuning import choose_settings
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import pick_device

_COMPARING = "plain and distilled students"
_SLOWER = 1.1  # a further student may take this much longer than the slowest one so far
PROFILE_SHARE, MOST_PROFILE = 0.1, 60.0  # of the budget, seconds, after which no further measure is begun


@dataclass(frozen=True, eq=False)
class TrainedStudy:
    """A study that ran as far as the budget went.

    Attributes:
        folder: The study.
        record: What was decided when it began.
        complete: Whether all of its runs have ended.
    """

    folder: StudyFolder
    record: ShippingRecord
    complete: bool


@dataclass(eq=False)
class Shipper:
    """Tunes and trains the students of a request, within its budget.

    Args:
        request: What is wanted.
        on_stage: Called while it is made.
        on_line: Called with what a person should read meanwhile.
        clock: Returns seconds.
        started: When the budget began, on the clock; by default now.

    Example:
        >>> from distillab.sources.digits import Digits
        >>> request = ShippingRequest(Digits(), "resnet8", None, ("auto",), 60.0, Path("out"))
        >>> Shipper(request, on_stage=lambda stage, share, left: None, on_line=print).request.budget
        60.0
    """

    request: ShippingRequest
    on_stage: OnBudget
    on_line: OnShippingLine
    clock: SecondsClock = time.monotonic
    started: float | None = None

    def __post_init__(self) -> None:
        started = self.clock() if self.started is None else self.started
        closing = closing_seconds(self.request.budget)
        self.watch = BudgetWatch(self.request.budget, closing, started, self.clock, self.on_stage)

    def train(self) -> TrainedStudy:
        """Profile the data, tune and train the students, or go on with what was begun in the folder.

        Raises:
            RequestError: The data, a network or a method cannot be used as they are, or the budget is too
                short.
            DiskFullError: There is no space left; what was finished is kept.
        """
        with _removed_if_refused(self.request.folder):
            folder, record = self._folder()
        for note in folder.network_notes:
            self.on_line(note)
        return TrainedStudy(folder, record, self._run(folder, record.design))

    def _folder(self) -> tuple[StudyFolder, ShippingRecord]:
        """Return the study, begun if it is not, and what was decided for it."""
        request, path = self.request, self.request.folder
        _check_writable(path)
        check_names(request)
        identity = self._identity()
        record = ShippingRecord.read(path, identity)
        if record is not None and (path / "ledger.sqlite").exists():
            self.on_line(f"going on with {path}")
            return StudyFolder.open(path), record
        dataset, files = self._read()
        record = record or self._begin(dataset, files, identity)
        spec = self._planner(dataset).study(record)
        record.write(path)
        with raising_disk_full(path):
            copy_objects(texts_in({"students": request.student, "teacher": record.teacher}), path / "objects")
        self.watch.show("planning the study", 0.0)
        return StudyFolder.begin(path, spec, pick_device(request.device), dataset=dataset), record

    # -- before training -------------------------------------------------------------------------------------

    def _identity(self) -> str:
        request = self.request
        facts = (request.source.entry(), request.student, request.teacher, list(request.methods))
        return spec_id([*facts, request.seeds, request.margin, dict(request.recipe)])

    def _read(self) -> tuple[Dataset, FileFacts | None]:
        read: list[FileFacts] = []

        def on_files(items: list[RawImage], names: list[str], ids: Indices) -> None:
            read.append(FileFacts.of(items, names, ids))

        source = self.request.source
        require_exportable(source.modality, source.dataset_name)
        is_image = source.modality == IMAGE
        dataset = load_dataset(source, self.watch.counted, on_files if is_image else None)  # type: ignore[arg-type]
        refuse_boxes(dataset.train.targets, "distill")
        refuse_identities((test.targets for test in dataset.eval.values()), "distill")
        if not self.request.is_multilabel(dataset) and len(dataset.classes) < 2:
            raise RequestError(
                f"{dataset.name} has one class, which every student predicts without training",
                allowed="at least two classes",
            )
        return dataset, read[0] if read else None

    def _begin(self, dataset: Dataset, files: FileFacts | None, identity: str) -> ShippingRecord:
        """Measure what could go wrong and what steps cost, and decide how the budget is spent."""
        sizes = ", ".join(f"{len(each):,} {name}" for name, each in _splits(dataset))
        _, height, width = dataset.train.shape
        self.on_line(f"{dataset.name}: {len(dataset.classes)} classes, {sizes}, {width}x{height}")
        notes = [self.request.note] if self.request.note else []
        notes += dataset.report.notes
        limit = self.clock() + min(PROFILE_SHARE * self.request.budget, MOST_PROFILE)
        warnings, left = warnings_of(
            dataset, files, is_over=lambda: self.clock() >= limit, progress=self.watch.counted
        )
        if left:
            notes.append(f"Not measured, to keep to the budget: {', '.join(left)}.")
        for text in (*notes, *(f"! {warning}" for warning in warnings)):
            self.on_line(text)
        planner = self._planner(dataset)
        self.watch.show("timing the networks", 0.0)
        teacher = self.request.teacher or planner.teacher()
        design = planner.design(teacher)
        self.on_line(planner.plan_text(design, teacher))
        if design.share < 1.0:
            notes.append(planner.short_training_text(design, teacher))
            self.on_line(notes[-1])
        return ShippingRecord(identity, design, teacher, warnings, tuple(notes))

    def _planner(self, dataset: Dataset) -> ShippingPlanner:
        return ShippingPlanner(self.request, dataset, lambda: self.watch.spent)

    # -- training --------------------------------------------------------------------------------------------

    def _run(self, folder: StudyFolder, design: ShippingDesign) -> bool:
        """Train until all runs have ended or the deadline has passed; return whether they have."""
        lines = Milestones(folder, self.on_line)
        tuned = folder.tuning is not None and bool(folder.tuning.chosen)
        stage = _COMPARING if tuned else "teacher and tuning on val"

        def on_share(share: float) -> None:
            lines.look()
            self.watch.show(stage, share)

        run = partial(
            run_until,
            folder,
            self.watch.deadline,
            executor=self.request.executor,
            workers=self.request.workers,
            device=self.request.device,
            on_progress=on_share,
            clock=self.clock,
        )
        complete = run()
        lines.look()
        trained = 0
        while complete and choose_settings(folder, pairs := self._pairs(folder, design, trained)):
            trained = pairs
            lines.chosen()
            stage = _COMPARING
            complete = run()
        return complete

    def _pairs(self, folder: StudyFolder, design: ShippingDesign, trained: int) -> int:
        """Return how many pairs there is time for, by the seconds of the students that were trained.

        Args:
            folder: The study, whose tuning has ended.
            design: What was planned; so many pairs are trained in any case.
            trained: Number of pairs that are trained.
        """
        if self.request.seeds is not None:
            return self.request.seeds
        store = folder.store
        records = [store.run_record("student", run) for run in store.names("student")]
        step = max(record.seconds / record.steps for record in records)
        pair = 2 * (_SLOWER * step * design.steps + RUN_SECONDS) / self.request.workers
        left = self.watch.deadline - self.clock()
        return min(MOST_SHIPPING_PAIRS, max(design.pairs, trained + int(left / pair)))


def _splits(dataset: Dataset) -> list[tuple[str, Examples]]:
    return [("train", dataset.train), ("val", dataset.val), ("test", dataset.eval["test"])]


@contextlib.contextmanager
def _removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove a folder that did not exist before the block, and is empty, if the block raises RequestError."""
    existed = folder.exists()
    try:
        yield
    except RequestError:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RequestError(
            f"cannot write there ({error.strerror})",
            where=f"--out {folder}",
            allowed="a folder you can write",
        ) from error
