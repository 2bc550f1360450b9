"""Advice on whether to distil, in one function."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from distillab.api.given import GivenStudy, split_keys, student_entries, teacher_entry
from distillab.api.profiles import source_of
from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject, spec_id
from distillab.errors import RequestError
from distillab.models.object_files import add_place, naming_given_networks
from distillab.training.numerics.device import default_workers, pick_device

if TYPE_CHECKING:
    from distillab.advise import Advice
    from distillab.advise.watch import OnBudget
    from distillab.base import EvidenceBase

USUAL_BUDGET = "15m"
USUAL_PLACE = Path("advice")
ANSWER = "advice.json"


def advise(
    data: Any,
    *,
    student: Any = None,
    teacher: Any = None,
    weights: str | Path | None = None,
    budget: str | float = USUAL_BUDGET,
    margin: float = 0.005,
    out: str | Path | None = None,
    base: str | Path | None = None,
    keys: JsonObject | None = None,
    recipe: JsonObject | None = None,
    workers: int | None = None,
    executor: str = "processes",
    device: str = "auto",
    on_progress: OnBudget | None = None,
    started: float | None = None,
) -> Advice:
    """Return whether distilling a teacher into a student is worth it on some data, with an interval.

    Stages go from cheap to dear, and each may end it: a profile of the data, predictors from the teacher's
    outputs, the prior of an evidence base, and a paired race of plain and distilled students within the
    budget. The test split is not used. The same call with a larger budget continues the race.

    Args:
        data: As for :func:`distillab.profile`.
        student: A model by name, a network, or a function that builds one; by default ``resnet8``.
        teacher: A model by name (with ``weights`` if it is trained), the folder of a study, a trained
            network, or a mapping of the keys of a teacher; by default a ``resnet20`` that is trained on the
            data.
        weights: The teacher's weights.
        budget: How long the answer may take: ``15m``, ``90s``, ``1h30m``, or seconds. 0 trains nothing.
        margin: Margin of practical equivalence, as a fraction: smaller gains are not worth a teacher.
        out: The folder of runs, page and answer; by default one below ``advice/``.
        base: The folder of an evidence base; by default the one in the package, if it has one.
        keys: Further keys of the source, such as ``{"label": "fine_label", "resolution": 32}``, and of the
            teacher, such as ``{"teacher.entry": "ema"}``.
        recipe: Keys of the recipe of a full training, as for a study, such as ``{"steps": 2000}``.
        workers: Number of worker processes; by default one per usable CPU core, or 1 on a GPU.
        executor: ``processes``, or ``inline`` for one job after the other in this process.
        device: Where to compute.
        on_progress: Called with what is being done, the share of it that is finished, and the seconds of the
            budget that are left.
        started: When the budget began, on ``time.monotonic``; by default now.

    Raises:
        RequestError: The request cannot be fulfilled as written.
        DiskFullError: There is no space left; what was finished is kept.

    Example:
        >>> advise("digits:", budget="soon")
        Traceback (most recent call last):
        distillab.errors.RequestError: --budget: 'soon' is not a length of time (allowed: 0, or numbers ...
    """
    # Imported here: scikit-learn and cleanlab take seconds to import, which no study should wait for.
    from distillab.advise import AdviceRequest, Adviser, parse_budget, with_pilot_size

    seconds = parse_budget(budget)
    if not 0 <= margin < 1:
        raise RequestError(f"{margin} is not a margin", where="--margin", allowed="a fraction from 0 to 1")
    found_base = read_base(base)
    chosen = dict(keys or {})
    of_source, of_teacher = split_keys(chosen)
    source, held = source_of(data, of_source, "data", None)
    source.check_paths()
    source, note = with_pilot_size(source)
    written_teacher = {**_teacher(teacher, None if weights is None else Path(weights)), **of_teacher}
    written_student = _student(student)
    content = spec_id([source.entry(), written_teacher, written_student, dict(recipe or {}), margin])
    usual = USUAL_PLACE / f"{_slug(source.dataset_name)}-{content[:8]}"
    folder = usual if out is None else Path(out)
    objects = folder.absolute() / "objects"
    placed = GivenStudy({"teacher": written_teacher, "students": written_student}).values_in(objects)
    add_place(objects)
    request = AdviceRequest(
        source=source,
        student=placed["students"],
        teacher=placed["teacher"],
        budget=seconds,
        folder=folder,
        margin=margin,
        base=found_base,
        data_text=str(data) if isinstance(data, str | Path) else "",
        options=_options(student, teacher, weights, chosen, margin, out),
        device=device,
        workers=workers or default_workers(pick_device(device)),
        executor=executor,
        recipe=dict(recipe or {}),
        note=note,
    )
    with naming_given_networks():
        advice = Adviser(request, on_progress or _unseen, started=started).advise()
    _write(advice)
    del held  # the data had to exist until here
    return advice


def _unseen(stage: str, share: float, left: float) -> None:
    """Show no progress."""


def _write(advice: Advice) -> None:
    """Write the answer and its page into the folder of the advice."""
    from distillab.report.page.advice import write_advice

    with write_atomically(advice.folder / ANSWER) as draft:
        draft.write_text(json.dumps(advice.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    write_advice(advice, advice.page)


def read_base(path: str | Path | None) -> EvidenceBase | None:
    """Return an evidence base: that of a folder, or that of the package; None if the package has none.

    Raises:
        RequestError: The folder has no evidence base.

    Example:
        >>> read_base("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere/contexts.parquet: there is no such table of an evidence base
    """
    from distillab.base import read
    from distillab.base.evidence_base import CONTEXTS, packaged

    if path is None and not (packaged() / CONTEXTS).is_file():
        return None
    return read(path)


def _teacher(teacher: Any, weights: Path | None) -> JsonObject:
    """Return the key ``teacher`` of a study. Raises RequestError."""
    from distillab.advise import teacher_keys

    if teacher is None or isinstance(teacher, str | Path):
        return teacher_keys(None if teacher is None else str(teacher), weights)
    if weights is not None:
        raise RequestError("a network given as an object has weights", where="weights")
    entry = dict(teacher_entry(teacher))
    if not entry.get("weights"):
        entry = {"provenance": "full", "replicates": 2, **entry}
    return entry


def _student(student: Any) -> Any:
    """Return the key ``students`` of a study. Raises RequestError."""
    from distillab.advise.request import USUAL_STUDENT

    if student is None:
        return [USUAL_STUDENT]
    entries = student_entries(student)
    entries = entries if isinstance(entries, list) else [entries]
    if len(entries) != 1:
        raise RequestError("an advice is about one student", where="student", allowed="one of them")
    return [dict(entry) if isinstance(entry, Mapping) else entry for entry in entries]


def _options(
    student: Any, teacher: Any, weights: Any, keys: JsonObject, margin: float, out: str | Path | None
) -> str:
    """Return the options of the command line that gives the same advice."""

    stated = {"--student": student, "--teacher": teacher, "--weights": weights}
    parts = [f"{name} {shlex.quote(str(value))}" for name, value in stated.items() if value is not None]
    parts += [f"--set {shlex.quote(f'{key}={value}')}" for key, value in keys.items()]
    if margin != 0.005:
        parts.append(f"--margin {margin:g}")
    if out is not None:
        parts.append(f"--out {shlex.quote(str(out))}")
    networks = isinstance(student, nn.Module) or isinstance(teacher, nn.Module)
    return "" if networks or not parts else f" {' '.join(parts)}"


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:40] or "data"
