"""ONNX files: how they are opened, checked and run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from distillab.data.examples import IMAGE
from distillab.deploy.description import CONFIG, ModelDescription
from distillab.deploy.graph import graph_shape
from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.tasks.dense_outputs import CELL_COLUMNS, EMBEDDING_SIZE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EXTRA = install_command("deploy")
PROVIDERS = ("CPUExecutionProvider",)


def onnx_runtime(where: str | None = None) -> ModuleType:
    """Return the module onnxruntime.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise RequestError("needs the package onnxruntime", where=where, allowed=EXTRA) from error
    onnxruntime.set_default_logger_severity(3)
    module: ModuleType = onnxruntime
    return module


def onnx_package(where: str | None = None) -> ModuleType:
    """Return the module onnx.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise RequestError("needs the package onnx", where=where, allowed=EXTRA) from error
    return onnx


def open_session(
    model: Path | bytes, *, where: str | None = None, threads: int | None = None, outputs: int = 1
) -> InferenceSession:
    """Return a session of ONNX Runtime on the CPU.

    Args:
        model: The file, or its content.
        where: Its place, for messages; by default the file.
        threads: Number of compute threads; None for what ONNX Runtime chooses.
        outputs: How many outputs it must have.

    Raises:
        RequestError: onnxruntime is not installed, the file is damaged, or it has other inputs or outputs
            than one of each.
    """
    where = where or (str(model) if isinstance(model, Path) else "model.onnx")
    runtime = onnx_runtime(where)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = model.read_bytes() if isinstance(model, Path) else model
    try:
        session = runtime.InferenceSession(content, options, providers=list(PROVIDERS))
    except Exception as error:  # each kind of damage has an exception type of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RequestError(
            f"cannot be opened by ONNX Runtime ({reason})", where=where, allowed="an ONNX file as exported"
        ) from error
    found = len(session.get_inputs()), len(session.get_outputs())
    if found != (1, outputs):
        names = ", ".join(each.name for each in session.get_outputs())
        raise RequestError(
            f"has {found[0]} inputs and {found[1]} outputs ({names})",
            where=where,
            allowed="one input (images) and one output (probabilities)",
        )
    return session


def require_form(file: Path, session: InferenceSession, description: ModelDescription) -> None:
    """Raise RequestError unless a graph takes the items of the model and gives its classes.

    Args:
        file: Its file, for messages.
        session: The graph.
        description: What the model is.
    """
    given, made = session.get_inputs()[0], session.get_outputs()[0]
    kind = "tensor(uint8)" if description.modality == IMAGE else "tensor(float)"
    classes = len(description.classes)
    task = description.task_config()
    dense = [*made.shape[1:2], classes + CELL_COLUMNS + (EMBEDDING_SIZE if task.follows else 0)]
    wanted = [*graph_shape(description), *(dense if task.dense else [classes])]
    shape = [*given.shape[1:], *made.shape[1:]]
    known = [each for each in shape if isinstance(each, int)]
    if given.type != kind or (len(known) == len(shape) and shape != wanted):
        raise RequestError(
            f"takes {given.type} {given.shape} and gives {made.shape}, which does not fit its {CONFIG}",
            where=str(file),
            allowed=f"{kind} [N, {_listed(wanted[:3])}] to [N, {_listed(wanted[3:])}]",
        )


def _listed(sizes: Sequence[object]) -> str:
    return ", ".join(map(str, sizes))
