"""The files of an exported model, and how a folder of them is written completely or not at all."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from distillab.deploy.description import CONFIG
from distillab.errors import RequestError

SAFETENSORS = "model.safetensors"
ONNX = "model.onnx"
INT8 = "model.int8.onnx"
PROGRAM = "model.pt2"
LABELS = "labels.txt"
CARD = "README.md"
CHECKS = "checks.json"
MODEL_FILES = (SAFETENSORS, ONNX, PROGRAM, INT8)


def holds_model(folder: Path) -> bool:
    """Return True if a folder holds a model file.

    Example:
        >>> holds_model(Path("missing"))
        False
    """
    return any((folder / name).is_file() for name in MODEL_FILES)


@contextlib.contextmanager
def writing_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes the place of ``out`` when the block ends.

    If the block raises, or the process is killed, ``out`` stays as it was. An exported model that is there
    already is replaced.

    Args:
        out: The folder to write.

    Raises:
        RequestError: It cannot be written, or holds something else.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "model"
        >>> with writing_folder(out) as draft:
        ...     _ = (draft / "labels.txt").write_text("cat")
        >>> [file.name for file in out.iterdir()]
        ['labels.txt']
    """
    require_free(out)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield draft
        _replace(out, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def require_free(out: Path) -> None:
    """Raise RequestError unless an exported model can be written there, before anything is computed.

    Args:
        out: The folder.

    Example:
        >>> require_free(Path("/proc/model"))
        Traceback (most recent call last):
        distillab.errors.RequestError: --out /proc/model: cannot be written ...
    """
    if out.is_dir():
        if any(out.iterdir()) and not (out / CONFIG).is_file():
            allowed = "a new or empty folder, or one of an exported model, which is replaced"
            raise RequestError("holds other files", where=f"--out {out}", allowed=allowed)
    elif out.exists():
        raise RequestError("is a file", where=f"--out {out}", allowed="a folder")
    parent = next(each for each in out.absolute().parents if each.exists())
    probe = parent / f".{uuid.uuid4().hex}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise _unwritable(out, error) from error


def _replace(out: Path, draft: Path) -> None:
    """Put a complete draft in the place of a folder."""
    try:
        if not out.exists():
            draft.rename(out)
            return
        old = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
        out.rename(old)
        try:
            draft.rename(out)
        except OSError:
            old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> RequestError:
    return RequestError(
        f"cannot be written ({error.strerror})", where=f"--out {out}", allowed="a folder you can write"
    )
