"""Compression of a trained network, in one function: pruning, distilled fine-tuning and int8, compared."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distillab.api.compression_folder import (
    MODEL_FOLDER,
    REQUEST,
    held_request,
    remove_own_model,
    require_own_folder,
)
from distillab.api.compression_stages import CompressionStages
from distillab.api.compression_subject import subject_and_data, teacher_of
from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject, spec_id
from distillab.deploy.compression.arms import (
    PRUNING_KINDS,
    CompressionArm,
    PruningKind,
    compared,
    smallest_within,
    with_front,
)
from distillab.deploy.compression.assembly import Assembly, OnCompression
from distillab.deploy.compression.result import Compressed
from distillab.deploy.compression.schedule import pruning_stages
from distillab.deploy.environment import environment_facts
from distillab.deploy.sessions import onnx_runtime
from distillab.errors import RequestError, unknown_name
from distillab.study.spec.seeds import LEAST_PAIRS

COMPRESSION_ANSWER = "answer.json"
ARMS_FILE = "arms.csv"
COMPRESSED_PLACE = Path("compressed")
FINE_TUNING_EPOCHS, FINE_TUNING_LR = 5, 0.01


def compress(
    model: Any,
    data: Any,
    *,
    prune: str | float | Sequence[float] = 0.5,
    kinds: Sequence[str] = PRUNING_KINDS,
    int8: bool = True,
    teacher: Any = None,
    method: str | JsonObject = "kd",
    steps: int | None = None,
    recipe: JsonObject | None = None,
    seeds: int = LEAST_PAIRS,
    max_drop: float = 1.0,
    margin: float = 0.005,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    keys: JsonObject | None = None,
    out: str | Path = COMPRESSED_PLACE,
    workers: int | None = None,
    executor: str = "processes",
    device: str = "auto",
    on_progress: OnCompression | None = None,
) -> Compressed:
    """Prune, distil and quantize a trained network, and write the smallest one that is as good.

    Each stage of pruning is an ordinary study in ``out``: from the same pruned weights, students are
    fine-tuned plainly and distilled. Everything is chosen on val; the test set is read for the final
    comparison alone. The same call resumes where it stopped.

    Args:
        model: An exported model (its folder, a file in it, or what :func:`distillab.load` returned), or a
            trained network.
        data: As for :func:`distillab.profile`; the data that the model was trained on.
        prune: The share of weights to remove, or several, the stages of the schedule; see
            :func:`~distillab.deploy.compression.schedule.pruning_stages`. 0 prunes nothing.
        kinds: ``structured`` removes channels, ``unstructured`` sets single weights to zero.
        int8: Whether networks are quantized too.
        teacher: What fine-tuning distils from, as ``model``; by default the unpruned network.
        method: The method of distillation.
        steps: Steps of fine-tuning after each stage; by default 5 epochs.
        recipe: Further keys of the recipe of fine-tuning; by default a learning rate of 0.01.
        seeds: Number of networks of each arm that is fine-tuned. A verdict needs at least 5.
        max_drop: Points of accuracy on val that the network that is shipped may lose.
        margin: Largest difference of accuracy that makes no difference in practice, a fraction.
        normalization: Of the inputs of a network that is given as an object, (mean, std) per channel.
        keys: Further keys of the source, such as ``{"label": "fine_label"}``.
        out: The folder of studies, files, page and answer: a new or empty one, or that of the same request.
        workers: As for :meth:`Study.run <distillab.Study.run>`, like the next two.
        executor: Name of a registered executor.
        device: Where to train.
        on_progress: Called with what is being done and the share of it that is finished.

    Raises:
        RequestError: The request cannot be fulfilled as written.
        RuntimeError: All runs of an arm failed.

    Example:
        >>> compress("resnet8", "digits", prune=1.5)
        Traceback (most recent call last):
        distillab.errors.RequestError: --prune: 1.5 is not a share of the weights ...
    """
    started = time.monotonic()
    sparsities = pruning_stages(prune)
    chosen = parse_kinds(kinds) if sparsities else ()
    onnx_runtime("compress")
    require_own_folder(Path(out))
    if seeds < 1:
        raise RequestError(f"{seeds} is not a number of seeds", where="--seeds", allowed="1 or more")
    if not max_drop >= 0:
        raise RequestError(f"{max_drop:g} is not a drop", where="--max-drop", allowed="points, 0 or more")
    subject, read = subject_and_data(model, data, dict(keys or {}), normalization)
    taught_by = subject if teacher is None else teacher_of(teacher, subject)
    stages = CompressionStages(
        subject=subject,
        data=read,
        teacher=taught_by,
        sparsities=sparsities,
        kinds=chosen,
        method=method,
        recipe=_recipe(steps, recipe),
        seeds=seeds,
        margin=margin,
        folder=Path(out) / "stages",
        workers=workers,
        executor=executor,
        device=device,
        progress=on_progress or (lambda stage, share: None),
    )
    identity = _begin(Path(out), {**stages.identity, "int8": int8})
    return _concluded(stages, Path(out), identity, teacher is None, int8, max_drop, started)


def _concluded(
    stages: CompressionStages,
    out: Path,
    identity: str,
    by_itself: bool,
    int8: bool,
    max_drop: float,
    started: float,
) -> Compressed:
    """Run the stages, deploy their networks, choose on val, and only then read the test set."""
    trained = stages.train()
    description = stages.subject.description
    assembly = Assembly(trained.arms, description, trained.dataset, int8, out / "deployed", stages.progress)
    assembly.write_files()
    arms = with_front(assembly.arms())
    winner = smallest_within(arms, arms[0], max_drop)
    tested = compared(assembly.tested(arms))
    found = Compressed(
        folder=out,
        network=stages.subject.label,
        dataset=trained.dataset.name,
        teacher="the unpruned network" if by_itself else stages.teacher.label,
        arms=tested,
        recovery=trained.recovery,
        winner=next((arm for arm in tested if winner and arm.label == winner.label), None),
        model=out / MODEL_FOLDER if winner else None,
        max_drop=max_drop,
        margin=stages.margin,
        settings={**stages.settings, **_machine(), **_quantizations(assembly, arms)},
        n_test=len(trained.dataset.eval["test"]),
        failed=trained.failed,
    )
    found = replace(_shipped(found, assembly, identity), seconds=time.monotonic() - started)
    _write(found)
    return found


def parse_kinds(kinds: str | Sequence[str]) -> tuple[PruningKind, ...]:
    """Return the kinds of pruning that ``--kinds`` names, separated by commas, or those of a list.

    Raises:
        RequestError: One is unknown, or there is none.

    Example:
        >>> parse_kinds("unstructured")
        ('unstructured',)
        >>> parse_kinds("channels")
        Traceback (most recent call last):
        distillab.errors.RequestError: --kinds: unknown kind of pruning 'channels' (allowed: ...
    """
    if isinstance(kinds, str):
        kinds = [name.strip() for name in kinds.split(",") if name.strip()]
    for kind in kinds:
        if kind not in PRUNING_KINDS:
            raise unknown_name("kind of pruning", kind, PRUNING_KINDS, where="--kinds")
    if not kinds:
        raise RequestError("names no kind of pruning", where="--kinds", allowed=", ".join(PRUNING_KINDS))
    return tuple(kind for kind in PRUNING_KINDS if kind in kinds)


def _recipe(steps: int | None, recipe: JsonObject | None) -> JsonObject:
    given = dict(recipe or {})
    if steps is not None:
        if steps < 1:
            raise RequestError(f"{steps} is not a number of steps", where="--steps", allowed="1 or more")
        given["steps"] = steps
    length = {} if {"steps", "epochs"} & given.keys() else {"epochs": FINE_TUNING_EPOCHS}
    return {"lr": FINE_TUNING_LR, **length, **given}


def _begin(out: Path, request: JsonObject) -> str:
    """Create the folder of a compression, or check that it holds this one, and return the request's id."""
    identity, path = spec_id(request), out / REQUEST
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = held_request(out)
        if held is None:
            with write_atomically(path) as draft:
                draft.write_text(json.dumps({"identity": identity}))
    except OSError as error:
        raise RequestError(
            f"cannot be used ({error})", where=f"--out {out}", allowed="a folder you can write"
        ) from error
    if held not in (None, identity):
        raise RequestError(
            "this folder belongs to another compression",
            where=f"--out {out}",
            allowed="a new folder, or the command that it was made with",
        )
    return identity


def _machine() -> dict[str, str]:
    facts = environment_facts()
    return {key: str(value) for key, value in facts.items() if isinstance(value, str | int | float)}


def _quantizations(assembly: Assembly, arms: Sequence[CompressionArm]) -> dict[str, str]:
    ways = set(assembly.quantizations(arms).values())
    return {"int8": "; ".join(sorted(ways))} if ways else {}


def _shipped(found: Compressed, assembly: Assembly, identity: str) -> Compressed:
    """Write the winner as an exported model; one of an earlier choice is removed if there is none."""
    arm = found.winner
    if arm is None or found.model is None:
        remove_own_model(found.folder)
        return found
    facts = {**arm.as_dict(), "request": identity}
    exported = assembly.ship(
        arm, found.model, max_drop=found.max_drop, facts=facts, statement=found.statement
    )
    reasons = {f"{name} is not written": why for name, why in exported.checks.not_written.items()}
    found = replace(found, settings={**found.settings, **reasons})
    if exported.checks.files:
        return found
    remove_own_model(found.folder)  # it holds no model, or that of an earlier choice
    return replace(found, model=None)


def _write(found: Compressed) -> None:
    """Write answer, table and page."""
    from distillab.report.page.compression import write_compression

    with write_atomically(found.folder / COMPRESSION_ANSWER) as draft:
        draft.write_text(json.dumps(found.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    rows = [arm.as_dict() for arm in found.arms]
    with (
        write_atomically(found.folder / ARMS_FILE) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_compression(found, found.report)
