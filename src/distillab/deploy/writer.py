"""Writing a trained network as an exported model: every file checked before it is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import save_state, weights_digest
from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.deploy.card import model_card
from distillab.deploy.checks import Checks, Exported, FileRecord
from distillab.deploy.description import CONFIG, ModelDescription
from distillab.deploy.detector_files import write_postprocessing
from distillab.deploy.detector_gates import gate_cells
from distillab.deploy.environment import environment_facts
from distillab.deploy.files import (
    CARD,
    INT8,
    LABELS,
    ONNX,
    PROGRAM,
    SAFETENSORS,
    holds_model,
    require_free,
    writing_folder,
)
from distillab.deploy.gates import BATCHES, GateResult, examples_as_items, gate_outputs
from distillab.deploy.graph import DeployedNetwork
from distillab.deploy.int8 import choose_int8
from distillab.deploy.judged import judged_outputs
from distillab.deploy.loaded import Engine, OnnxEngine, ProgramEngine, TorchEngine
from distillab.deploy.onnx_export import EXPORTERS, OnnxExportError, OnnxGraph, export_onnx, with_logits
from distillab.deploy.program import ProgramError, load_program, write_program
from distillab.deploy.recipe import BuildRecipe, find_recipe
from distillab.deploy.resized import load_resized_state
from distillab.deploy.sessions import onnx_runtime, open_session
from distillab.deploy.statement import Statement
from distillab.deploy.training_images import write_training_images
from distillab.errors import RequestError, unknown_name
from distillab.tasks import Task

FORMATS = ("safetensors", "onnx", "int8", "pt2")
_OF_DETECTORS = "safetensors, onnx, pt2"
ExportProgress = Callable[[str], None]
"""Called with what is being done, in a few words."""


class _NoFilePassedError(Exception):
    """No model file passed, and the folder holds an earlier model, which stays."""


@dataclass
class _Draft:
    """An export under way."""

    folder: Path
    description: ModelDescription
    items: Items
    reference: Items
    val: Examples
    progress: ExportProgress
    gates: list[GateResult] = field(default_factory=list)
    files: dict[str, FileRecord] = field(default_factory=dict)
    not_written: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    def keep_if_equal(self, file: str, engine: Engine, origin: str, for_logits: Engine | None = None) -> bool:
        """Keep a file if it gives the outputs of the trained network; return True if it does.

        Args:
            file: Its name.
            engine: Runs the file as it is written.
            origin: What wrote it.
            for_logits: Gives its logits, if it gives probabilities alone.
        """
        self.progress(f"checking {file} on all {len(self.items)} validation examples")
        task = self.description.task_config()
        try:
            if task.dense:
                values = self.items, self.reference, self.description, self.val.targets
                found = gate_cells(file, engine.run, *values)
            else:
                others = None if for_logits is None else for_logits.run
                found = gate_outputs(
                    file, engine.run, self.items, self.reference, task, run_for_logits=others
                )
        except Exception as error:  # noqa: BLE001  # a graph of a fixed batch size, for instance
            first = str(error).strip().splitlines()
            self.reject(file, f"it cannot be run: {first[0] if first else type(error).__name__}")
            return False
        self.gates += found
        failed = next((gate for gate in found if not gate.passed), None)
        if failed:
            self.reject(file, f"its gate failed: {failed.text}")
            return False
        self.enter(file, origin, engine.run(self.items, BATCHES[-1]))
        return True

    def enter(self, file: str, origin: str, outputs: tuple[Items, Items | None]) -> None:
        """Enter a file that is written, with its outputs for val."""
        path, task = self.folder / file, self.description.task_config()
        self.files[file] = FileRecord(path.stat().st_size, weights_digest(path), origin)
        self.not_written.pop(file, None)
        probabilities, logits = outputs
        logits = judged_outputs(probabilities, self.description) if logits is None else logits
        self.scores[file] = task.score(logits, self.val.targets)

    def reject(self, file: str, reason: str) -> None:
        """Remove a file, and state why it is not there."""
        (self.folder / file).unlink(missing_ok=True)
        self.not_written[file] = reason


def write_model(
    network: nn.Module,
    out: Path,
    *,
    description: ModelDescription,
    val: Examples,
    calibration: Examples,
    formats: Sequence[str] | None = None,
    max_drop: float = 1.0,
    training: Sequence[Examples] = (),
    statement: Statement | None = None,
    sections: Sequence[str] = (),
    extra_checks: JsonObject | None = None,
    on_progress: ExportProgress | None = None,
) -> Exported:
    """Write a trained network as an exported model.

    Each file in full precision must give the outputs of ``network`` on all of ``val``, at batch 1 and at a
    larger one, or it is not written; :class:`Checks` states why. The folder appears when it is complete.

    Args:
        network: The network as it was trained: it takes what ``description.normalize`` returns.
        out: The folder. An exported model that is there is replaced, unless no new model file passes.
        description: What the network is.
        val: The validation set. Of examples that consist of several parts, such as recordings that vote,
            each part is one example here: files take one part at a time.
        calibration: Training examples, by which the ranges of int8 are set.
        formats: Which of :data:`FORMATS` are wanted; None for all that models of the task have.
        max_drop: Points of the primary metric that int8 may lose on ``val``.
        training: What the network was trained and selected on; ``evaluate`` leaves these examples out.
        statement: What the study of the network measured, for the model card.
        sections: Further sections of the card, in Markdown.
        extra_checks: The entries ``stored`` and ``preprocessing`` of :class:`Checks`.
        on_progress: Called with what is being done.

    Raises:
        RequestError: The folder cannot be written, a format is unknown or none is given, or a package is not
            installed.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("a", "b"))
        >>> out = Path(tempfile.mkdtemp()) / "model"
        >>> network = description.build()
        >>> made = write_model(
        ...     network, out, description=description, val=images, calibration=images, formats=["safetensors"]
        ... )
        >>> made.files
        ('README.md', 'checks.json', 'config.json', 'labels.txt', 'model.safetensors')
    """
    formats = formats_of(description.task_config()) if formats is None else formats
    check_formats(formats, dense=description.task_config().dense)
    require_free(out)
    description.require_fitting(val, "val")
    val, _ = val.each_part()
    progress = on_progress or (lambda stage: None)
    network = network.cpu().eval()
    progress("running the trained network on val")
    items = examples_as_items(val, description)
    outputs, logits = TorchEngine(network, description).run(items, BATCHES[-1])
    reference = outputs if logits is None else logits
    try:
        with writing_folder(out) as folder:
            draft = _Draft(folder, description, items, reference, val, progress)
            int8 = _write_files(draft, network, formats, calibration, max_drop)
            checks = Checks(
                draft.files,
                tuple(draft.gates),
                draft.not_written,
                {"examples": len(val), "metric": description.task_config().primary, **draft.scores},
                int8,
                **(extra_checks or {}),
                environment=environment_facts(),
            )
            if not draft.files and holds_model(out):
                raise _NoFilePassedError
            checks.write(folder)
            recipe = find_recipe(network, description)
            card = model_card(description, checks, recipe, statement, sections)
            (folder / CARD).write_text(card, encoding="utf-8")
            write_postprocessing(folder, description.task_config())
            labels = "".join(f"{name}\n" for name in description.classes)
            (folder / LABELS).write_text(labels, encoding="utf-8")
            if training:
                write_training_images(training, folder)
            _write_config(draft, recipe)  # the last file: without it, a folder is no exported model
            _make_readable(folder)
    except _NoFilePassedError:
        return Exported(out, _names_in(out), checks, kept=True)
    return Exported(out, _names_in(out), checks)


def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in folder.iterdir()))


def formats_of(task: Task) -> tuple[str, ...]:
    """Return the formats that models of a task have.

    Example:
        >>> from distillab.tasks import Detection
        >>> formats_of(Detection())
        ('safetensors', 'onnx', 'pt2')
    """
    return tuple(name for name in FORMATS if not (task.dense and name == "int8"))


def check_formats(formats: Sequence[str], *, dense: bool = False) -> None:
    """Raise RequestError unless there is a format, all are known, and their packages are installed.

    Args:
        formats: The formats.
        dense: Whether they are for a detector, which has none in int8.

    Example:
        >>> check_formats(["tflite"])
        Traceback (most recent call last):
        distillab.errors.RequestError: --format: unknown format 'tflite' (allowed: int8, ...
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS, where="--format")
    if not formats:
        raise RequestError("names no format", where="--format", allowed=", ".join(FORMATS))
    if dense and "int8" in formats:
        raise RequestError("detectors are not quantized", where="--format int8", allowed=_OF_DETECTORS)
    if {"onnx", "int8"} & set(formats):
        onnx_runtime("--format")


def _write_files(
    draft: _Draft, network: nn.Module, formats: Sequence[str], calibration: Examples, max_drop: float
) -> JsonObject:
    """Write the model files that pass, and return what was tried in int8."""
    deployed = DeployedNetwork(network, draft.description)
    if "safetensors" in formats:
        _write_weights(draft, network)
    if "pt2" in formats:
        _write_program(draft, deployed)
    graph = _write_onnx(draft, deployed) if {"onnx", "int8"} & set(formats) else None
    if graph is not None and "onnx" not in formats:
        (draft.folder / ONNX).unlink()
        del draft.files[ONNX]
    return _write_int8(draft, graph, calibration, max_drop) if "int8" in formats else {}


def _write_weights(draft: _Draft, network: nn.Module) -> None:
    """Write the weights, if a network that is built from its name and loads them gives the same outputs."""
    description, path = draft.description, draft.folder / SAFETENSORS
    draft.progress(f"writing {SAFETENSORS}")
    if not description.is_named:
        draft.not_written[SAFETENSORS] = (
            f"no name builds this network, which was given as a Python object: {PROGRAM} holds it"
        )
        return
    save_state({name: value.detach().clone() for name, value in network.state_dict().items()}, path)
    try:
        loaded = description.build()
        load_resized_state(loaded, path, pruned=description.pruned)
    except RequestError as error:
        draft.reject(SAFETENSORS, f"it cannot be loaded again: {error.what}")
        return
    draft.keep_if_equal(SAFETENSORS, TorchEngine(loaded, description), f"torch {torch.__version__}")


def _write_program(draft: _Draft, deployed: DeployedNetwork) -> None:
    """Write the program of torch.export, which builds no network."""
    draft.progress(f"writing {PROGRAM}")
    path = draft.folder / PROGRAM
    try:
        write_program(deployed, draft.description, path)
    except ProgramError as error:
        draft.reject(PROGRAM, f"torch.export cannot trace the network ({error})")
        return
    draft.keep_if_equal(PROGRAM, ProgramEngine(load_program(path)), f"torch {torch.__version__}")


def _write_onnx(draft: _Draft, deployed: DeployedNetwork) -> OnnxGraph | None:
    """Write the ONNX file by the first exporter whose graph passes, and return the graph.

    The file is run as it is written, and once more with its logits as a second output.
    """
    reasons, path = [], draft.folder / ONNX
    for exporter in EXPORTERS:
        draft.progress(f"writing {ONNX} ({exporter} exporter)")
        try:
            graph = export_onnx(deployed, draft.description, exporter)
            path.write_bytes(graph.content)
            written = OnnxEngine(open_session(path, where=ONNX))
            with_both = None
            if not draft.description.task_config().dense:
                both = with_logits(graph.content)
                with_both = OnnxEngine(open_session(both, where=ONNX, outputs=2))
        except (OnnxExportError, RequestError) as error:
            reasons.append(f"the {exporter} exporter failed ({error})")
            continue
        origin = f"torch {torch.__version__}, {exporter} exporter, opset {graph.opset}"
        if draft.keep_if_equal(ONNX, written, origin, with_both):
            return graph
        reasons.append(f"{exporter} exporter: {draft.not_written[ONNX]}")
    draft.reject(ONNX, "; ".join(reasons))
    return None


def _write_int8(draft: _Draft, graph: OnnxGraph | None, calibration: Examples, max_drop: float) -> JsonObject:
    """Write the int8 file if it keeps the accuracy and pays, and return what was tried."""
    if graph is None:
        draft.reject(INT8, f"there is no {ONNX} to quantize")
        return {}
    description = draft.description
    outcome = choose_int8(
        graph.content,
        description,
        draft.val,
        draft.items,
        examples_as_items(calibration, description),
        max_drop=max_drop,
        on_progress=draft.progress,
    )
    if outcome.chosen is None:
        draft.reject(INT8, outcome.answer)
    else:
        path = draft.folder / INT8
        path.write_bytes(outcome.chosen.graph.content)
        engine = OnnxEngine(open_session(path, where=INT8))
        draft.enter(
            INT8, f"onnxruntime, {outcome.chosen.graph.choice.text}", engine.run(draft.items, BATCHES[-1])
        )
    return {**outcome.as_dict(), "max_drop": max_drop}


def _write_config(draft: _Draft, recipe: BuildRecipe | None) -> None:
    values = dict(draft.description.as_dict())
    if recipe is not None:
        values["build"] = recipe.as_dict()
    values["files"] = {name: each.origin for name, each in draft.files.items()}
    text = json.dumps(values, indent=1, ensure_ascii=False)
    (draft.folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _make_readable(folder: Path) -> None:
    """Give all files the usual mode: some libraries write files that their owner alone can read."""
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.iterdir():
        file.chmod(0o666 & ~mask)
