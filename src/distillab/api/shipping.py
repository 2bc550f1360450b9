"""From data and a teacher to a student that can be used, in one function."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillab.api.given import GivenStudy, split_keys, student_entries, teacher_entry
from distillab.api.profiles import source_of
from distillab.api.studies import Finished, conclude
from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.models.object_files import add_place, naming_given_networks
from distillab.sources.memory import HeldData
from distillab.sources.source import Source
from distillab.training.numerics.device import default_workers, pick_device

if TYPE_CHECKING:
    from distillab.advise.watch import OnBudget
    from distillab.shipping import ShippingAnswer, ShippingRequest
    from distillab.shipping.milestones import OnShippingLine
    from distillab.shipping.shipper import TrainedStudy

_USUAL_BUDGET = "20m"
ARTIFACT = "student"
"""The folder of the exported student, inside that of the study."""
DECIDED_ON_TEST = (
    "Whether the plain or the distilled student is shipped is decided on the test split, so its score there "
    "is slightly optimistic; method, settings and seed are chosen on val."
)


def ship(
    data: Any,
    student: Any,
    *,
    teacher: Any = None,
    weights: str | Path | None = None,
    methods: str | Sequence[str] = "auto",
    budget: str | float = _USUAL_BUDGET,
    seeds: int | None = None,
    size: int | None = None,
    out: str | Path,
    margin: float = 0.005,
    keys: JsonObject | None = None,
    recipe: JsonObject | None = None,
    workers: int | None = None,
    executor: str = "processes",
    device: str = "auto",
    export: bool = True,
    on_stage: OnBudget | None = None,
    on_line: OnShippingLine | None = None,
    started: float | None = None,
) -> ShippingAnswer:
    """Train, compare and export a student within a budget, and say whether distilling it was worth it.

    The data are profiled, the teacher is taken or trained, every method and the plain student are tuned on
    val with equally many settings, and the best method is compared with the plain student over several seeds.
    The test split is used once, at the end. The folder is an ordinary study. The same call goes on with what
    the budget did not reach.

    Args:
        data: As for :func:`distillab.profile`.
        student: A model by name, a network, or a function that builds one.
        teacher: A model by name (with ``weights`` if it is trained), the folder of a study, a file of
            outputs or an ONNX file, a trained network, or a mapping of the keys of a teacher; by default one
            that suits the data is trained on them.
        weights: The teacher's weights.
        methods: The methods that compete; ``auto`` for kd and dkd, or kd where examples have several labels.
        budget: How long everything may take: ``20m``, ``90s``, ``1h30m``, or seconds.
        seeds: Number of pairs; by default 5 to 10, as the budget allows.
        size: Pixels per side that images are resized to.
        out: The folder of study, answer and exported student.
        margin: Margin of practical equivalence, as a fraction.
        keys: Further keys of the source, such as ``{"label": "fine_label"}``, and of the teacher, such as
            ``{"teacher.entry": "ema"}``.
        recipe: Keys of the recipe of a full training, as for a study.
        workers: Number of worker processes; by default one per usable CPU core, or 1 on a GPU.
        executor: ``processes``, or ``inline`` for one job after the other in this process.
        device: Where to compute.
        export: Whether the student is exported.
        on_stage: Called with what is being done, the share of it that is finished, and the seconds left.
        on_line: Called with sentences that a person should read meanwhile.
        started: When the budget began, on ``time.monotonic``; by default now.

    Raises:
        RequestError: The request cannot be fulfilled as written.
        DiskFullError: There is no space left; what was finished is kept.

    Example:
        >>> ship("digits", "resnet8", budget="0", out="runs/digits")
        Traceback (most recent call last):
        distillab.errors.RequestError: --budget: no student can be trained in no time (allowed: ...
    """
    # Imported here: scikit-learn and cleanlab take seconds to import, which no study should wait for.
    from distillab.advise import parse_budget
    from distillab.shipping import Shipper, ShippingRequest

    seconds, folder = parse_budget(budget), Path(out)
    _must_be_possible(margin, folder / ARTIFACT if export else None)
    of_source, of_teacher = split_keys(keys or {})
    source, note, held = _source(data, of_source, size)
    placed = _placed(student, _teacher(teacher, weights, of_teacher), folder)
    request = ShippingRequest(
        source=source,
        student=placed["students"],
        teacher=placed.get("teacher"),
        methods=_names(methods),
        budget=seconds,
        folder=folder,
        seeds=seeds,
        margin=margin,
        device=device,
        workers=workers or default_workers(pick_device(device)),
        executor=executor,
        note=note,
        recipe=dict(recipe or {}),
    )
    with naming_given_networks():
        shipper = Shipper(request, on_stage or _unseen_stage, on_line or _unseen_line, started=started)
        trained = shipper.train()
        finished = conclude(trained.folder)
    answer = _answer(request, trained, finished, shipper.watch.spent)
    if export and answer.run is not None:
        _write_answer(answer)  # kept if the export fails
        shipper.watch.show("exporting the student", 0.0)
        answer = _exported(answer, finished)
    answer = replace(answer, seconds=shipper.watch.spent)
    _write(answer, finished)
    del held  # the data had to exist until here
    return answer


def _source(data: Any, keys: JsonObject, size: int | None) -> tuple[Source, str, HeldData | None]:
    """Return the source, a sentence if its images are resized, and what holds the data."""
    from distillab.advise.request import image_sizes
    from distillab.shipping.request import with_size

    source, held = source_of(data, keys, "data", None)
    source.check_paths()
    source, note = with_size(source, size, set() if size else image_sizes(source))
    return source, note, held


def _placed(student: Any, teacher: JsonObject | None, folder: Path) -> JsonObject:
    """Return the keys ``students`` and ``teacher`` of a study, with given networks as files below a folder.

    Raises:
        RequestError: There is not one student, or something is no network.
    """
    entries = student_entries(student)
    if isinstance(entries, list) and len(entries) != 1:
        raise RequestError("one student is shipped", where="--student", allowed="one of them")
    given = {"students": entries} if teacher is None else {"students": entries, "teacher": teacher}
    objects = folder.absolute() / "objects"
    placed = GivenStudy(given).values_in(objects)
    add_place(objects)
    return placed


def _names(methods: str | Sequence[str]) -> tuple[str, ...]:
    names = methods.split(",") if isinstance(methods, str) else methods
    return tuple(name.strip() for name in names if name.strip())


def _must_be_possible(margin: float, place: Path | None) -> None:
    """Raise RequestError, before anything trains, if there is no such margin, or if a student cannot be
    exported to a place."""
    from distillab.deploy.files import require_free
    from distillab.deploy.writer import FORMATS, check_formats

    if not 0 <= margin < 1:
        raise RequestError(f"{margin} is not a margin", where="--margin", allowed="a fraction from 0 to 1")
    if place is not None:
        check_formats(FORMATS)
        require_free(place)


def _teacher(teacher: Any, weights: str | Path | None, settings: JsonObject) -> JsonObject | None:
    """Return the key ``teacher`` of a study; None if it is to be chosen. Raises RequestError."""
    from distillab.advise import teacher_keys

    if teacher is None and weights is None:
        if settings:
            raise RequestError(
                "settings of which teacher?", where=f"--set teacher.{min(settings)}", allowed="--teacher T"
            )
        return None
    if teacher is None or isinstance(teacher, str | Path):
        keys = teacher_keys(
            None if teacher is None else str(teacher), None if weights is None else Path(weights)
        )
    elif weights is not None:
        raise RequestError("a network given as an object has weights", where="weights")
    else:
        keys = dict(teacher_entry(teacher))
    if not keys.get("weights"):
        keys = {"provenance": "full", **keys, "replicates": 1}
    return {**keys, **settings}


def _answer(
    request: ShippingRequest, trained: TrainedStudy, finished: Finished, seconds: float
) -> ShippingAnswer:
    """Return what the study found, before anything is exported."""
    from distillab.shipping.answer import (
        ShippingAnswer,
        ShippingComparison,
        best_run,
        headline_text,
        short_text,
    )

    metric = finished.primary
    found = ShippingComparison.of(finished.tables.effects, metric)
    ship = found.ship if found else "undecided"
    row = found.row if found else {}
    method, student = str(row.get("method", "")), str(row.get("student", ""))
    run = best_run(finished.tables.results, ship, method, student) if found else None
    nan = math.nan
    of_teacher = finished.folder.spec.task_config().of_teacher
    return ShippingAnswer(
        ship=ship,
        headline=headline_text(found, ship, metric, run) + short_text(trained.record.design.share),
        metric=metric,
        gain=found.number("gain") if found else nan,
        low=found.number("ci_low") if found else nan,
        high=found.number("ci_high") if found else nan,
        pairs=int(row["n_pairs"]) if found else 0,
        method=method,
        settings=_settings(finished, student, method),
        distilled_score=found.number("distilled_mean") if found else nan,
        plain_score=found.number("plain_mean") if found else nan,
        teacher_score=found.number(of_teacher) if found else nan,
        run=run,
        artifact=None,
        study=request.folder,
        budget=request.budget,
        seconds=seconds,
        warnings=trained.record.warnings,
        harms=finished.answer.harms,
        notes=(*trained.record.notes, *filter(None, (finished.answer.estimand, DECIDED_ON_TEST))),
        next_step=_next_step(request, trained, ship, int(row["n_pairs"]) if found else 0),
    )


def _settings(finished: Finished, student: str, method: str) -> dict[str, str]:
    """Return the settings that were chosen for the plain student and for the finalist."""
    record = finished.folder.tuning
    chosen = record.chosen if record else {}
    return {
        key[3]: choice.setting.text
        for key, choice in chosen.items()
        if key[2] == student and key[3] in ("ce", method)
    }


def _next_step(request: ShippingRequest, trained: TrainedStudy, ship: str, pairs: int) -> str:
    if not trained.complete:
        return "The budget ended before all students were trained: run the same command again to go on."
    if ship == "undecided":
        return (
            f"{2 * pairs} pairs would narrow the interval to about 70 % of its width: the same command with "
            f"--seeds {2 * pairs}, a new --out and a budget of twice the time."
        )
    return f"Try it: distillab predict {request.folder / ARTIFACT} IMAGE"


def _exported(answer: ShippingAnswer, finished: Finished) -> ShippingAnswer:
    """Export the student of an answer, and return the answer with its folder and checks."""
    from distillab.deploy import export_run

    assert answer.run is not None
    exported = export_run(finished.folder, answer.run.run_id, finished.folder.path / ARTIFACT)
    place = None if exported.kept else answer.study / ARTIFACT  # kept: the files of an earlier student
    return replace(answer, artifact=place, checks=exported.as_dict())


def _write(answer: ShippingAnswer, finished: Finished) -> None:
    """Write the answer and its page into the folder of the study."""
    from distillab.report.collect.student import student_view
    from distillab.report.page.student import PAGE_FILE, write_student

    view = student_view(finished.folder, finished.tables.results, answer)
    write_student(answer, view, finished.folder.path / PAGE_FILE)
    _write_answer(answer)


def _write_answer(answer: ShippingAnswer) -> None:
    from distillab.shipping.answer import ANSWER_FILE

    with write_atomically(answer.study / ANSWER_FILE) as draft:
        draft.write_text(json.dumps(answer.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))


def _unseen_stage(stage: str, share: float, left: float) -> None:
    """Show no progress."""


def _unseen_line(text: str) -> None:
    """Show nothing."""
