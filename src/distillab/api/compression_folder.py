"""The folder of a compression: what in it is its own, and may be replaced or removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from distillab.deploy.description import CONFIG
from distillab.errors import RequestError

REQUEST = "compress.json"
MODEL_FOLDER = "model"


def require_own_folder(out: Path) -> None:
    """Raise RequestError unless a folder is new, empty, or that of a compression. Writes nothing.

    Args:
        out: What ``--out`` names.

    Raises:
        RequestError: It is a file, holds something else, or its ``model/`` is not of this compression.

    Example:
        >>> require_own_folder(Path("nowhere"))
    """
    where = f"--out {out}"
    if not out.exists():
        return
    try:
        is_empty = not any(out.iterdir())
    except OSError as error:
        raise RequestError(
            f"cannot be used ({error.strerror})", where=where, allowed="a folder you can write"
        ) from error
    if is_empty:
        return
    if held_request(out) is None:
        raise RequestError(
            "holds other files", where=where, allowed="a new or empty folder, or one of a compression"
        )
    model = out / MODEL_FOLDER
    if (model.exists() or model.is_symlink()) and not _is_own_model(out):
        raise RequestError(
            f"its {MODEL_FOLDER}/ was not written by this compression, which would replace it",
            where=where,
            allowed=f"another folder, or {MODEL_FOLDER}/ moved elsewhere",
        )


def held_request(out: Path) -> str | None:
    """Return the id of the request that a folder was made for; None if it is not that of a compression.

    Raises:
        RequestError: Its file cannot be read.
    """
    path = out / REQUEST
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        identity = held["identity"]
        if not isinstance(identity, str):
            raise TypeError("its identity is no text")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"cannot be used ({REQUEST}: {error})",
            where=f"--out {out}",
            allowed="a new or empty folder, or one of a compression",
        ) from error
    return identity


def remove_own_model(out: Path) -> None:
    """Remove ``model/`` if this compression wrote it; anything else stays."""
    if _is_own_model(out):
        shutil.rmtree(out / MODEL_FOLDER)


def _is_own_model(out: Path) -> bool:
    """Return True if the compression of a folder wrote its ``model/``."""
    model = out / MODEL_FOLDER
    if model.is_symlink() or not (model / CONFIG).is_file():
        return model.is_dir() and not model.is_symlink() and not any(model.iterdir())
    try:
        facts = json.loads((model / CONFIG).read_text(encoding="utf-8"))["facts"]["compression"]
        request = facts.get("request")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return request is None or request == held_request(out)  # folders of earlier versions have no request
