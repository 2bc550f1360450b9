"""Read weight files as people have them: safetensors, or what ``torch.save`` wrote, wrapped in any way.

The format follows from the content of a file, not from its name. Files of ``torch.save`` are read by
``torch.load(weights_only=True)`` alone, which runs no code of the file.
"""

from __future__ import annotations

import argparse
import codecs
import datetime
import json
import pathlib
import re
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from distillab.artefacts import is_utf8
from distillab.errors import RequestError
from distillab.models.weights.class_names import find_class_names

Format = Literal["safetensors", "torch"]

ALLOWED: Final = "a safetensors file, or a state dict that torch.save wrote (.pt, .pth, .bin, .ckpt)"
# What to do with a file that only its author's code can restore.
RESAVE: Final = (
    "a file of tensors alone: where you trust that code, load it and write `torch.save(model.state_dict(), "
    "FILE)`"
)
# Averaged weights come first: they are what networks are evaluated with where both are stored.
AVERAGED: Final = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "model_ema_state_dict", "ema"),
    *("module_ema", "params_ema", "averaged_model"),
)
ENTRY_ORDER: Final = (
    *AVERAGED,
    *("state_dict", "model_state_dict", "model_state", "model_dict", "state", "model", "module", "net"),
    *("net_state_dict", "network", "network_state_dict", "weights", "params", "classifier", "backbone"),
    *("encoder", "teacher", "teacher_state_dict", "student", "student_state_dict"),
)
"""The entries of a checkpoint that are looked at first, in this order; then come all others by name."""
DEEPEST_ENTRY: Final = 6  # nested mappings that are looked into
LARGEST_HEADER: Final = 100_000_000  # bytes, the limit of the safetensors format

# Values that checkpoints hold beside tensors, and that run no code when they are restored: numbers of NumPy
# (``best_accuracy``), paths, dates and the arguments of a script. Everything else is refused by torch.
_SCALAR, _ARRAY = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
HARMLESS: Final[list[Any]] = [
    *(argparse.Namespace, codecs.encode, np.dtype, np.ndarray, _SCALAR, _ARRAY),
    *((_SCALAR, "numpy.core.multiarray.scalar"), (_ARRAY, "numpy.core.multiarray._reconstruct")),
    *(
        defaultdict,
        deque,
        datetime.datetime,
        datetime.date,
        datetime.timedelta,
        slice,
        list,
        dict,
        int,
        float,
    ),
    *(pathlib.Path, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath),
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"},
]
# What other files begin with.
FOREIGN: Final = (
    (rb"\s*<(!doctype|html|\?xml)", "a web page, perhaps of a download that failed"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself: run `git lfs pull`"),
    (rb"\x89HDF", "an HDF5 file, such as Keras writes"),
    (rb"GGUF", "a GGUF file"),
    (rb"PAR1", "a Parquet file; stored predictions are a teacher without a model"),
    (rb"\x08[\x03-\x20]\x12[\x01-\x40]", "an ONNX file, which is a teacher without a model"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x1f\x8b", "compressed by gzip: unpack it first"),
    (rb"\s*[\[{]", "a text of JSON"),
)


@dataclass(frozen=True, eq=False)
class StateEntry:
    """A mapping of names to tensors in a weight file.

    Attributes:
        path: The keys that lead to it; empty for the file itself.
        tensors: The tensors by name. Entries that are no tensors are left out.

    Example:
        >>> StateEntry(("checkpoint", "ema"), {}).is_averaged
        True
    """

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """The keys that lead to it, joined by dots; ``""`` for the file itself."""
        return ".".join(self.path)

    @property
    def is_averaged(self) -> bool:
        """True if it holds moving averages of weights."""
        return any(key in AVERAGED for key in self.path)

    @property
    def rank(self) -> tuple[bool, tuple[int, ...], tuple[str, ...]]:
        """Where it comes among the entries of a file: averaged weights first, then by ``ENTRY_ORDER``."""
        order = tuple(ENTRY_ORDER.index(key) if key in ENTRY_ORDER else len(ENTRY_ORDER) for key in self.path)
        return not self.is_averaged, order, self.path


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The content of a weight file.

    Attributes:
        path: The file.
        format: How it is written.
        entries: The mappings of tensors in it, in the order in which they are tried.
        class_names: The names of the classes in the order of the logits, if the file or a file beside it
            states them.
        names_from: Where the names of the classes come from.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "teacher.pth"
        >>> torch.save({"state_dict": {"fc.bias": torch.zeros(2)}, "classes": ["cat", "dog"]}, file)
        >>> found = read_weights(file)
        >>> [entry.name for entry in found.entries], found.class_names
        (['state_dict'], ('cat', 'dog'))
    """

    path: Path
    format: Format
    entries: tuple[StateEntry, ...]
    class_names: tuple[str, ...] = ()
    names_from: str = ""


def read_weights(path: Path) -> WeightFile:
    """Return the tensors of a weight file, on the CPU, and the names of the classes if it states them.

    Args:
        path: A file in the safetensors format, or one that ``torch.save`` wrote, whatever its name.

    Raises:
        RequestError: The file cannot be read, holds no tensors, or needs code to be restored.

    Example:
        >>> read_weights(Path("missing.pth"))
        Traceback (most recent call last):
        distillab.errors.RequestError: missing.pth: cannot read weights (No such file or directory) ...
    """
    kind = _format(path)
    content: Mapping[Any, Any]
    stated: Mapping[Any, Any]
    if kind == "safetensors":
        content, stated = _read_safetensors(path)
    else:
        content = stated = _read_torch(path)
    found = sorted(_entries(content, ()), key=lambda entry: entry.rank)
    if not found:
        keys = ", ".join(repr(key) for key in list(content)[:3])
        raise RequestError(
            f"holds no tensors by name{f', only {keys}' if keys else ''}", where=str(path), allowed=ALLOWED
        )
    if empty := [name for each in found for name, value in each.tensors.items() if value.is_meta]:
        raise RequestError(
            f"holds shapes without values (meta tensors), such as {empty[0]!r}",
            where=str(path),
            allowed=ALLOWED,
        )
    names, source = find_class_names(stated, path)
    return WeightFile(path, kind, tuple(found), names, source)


def _format(path: Path) -> Format:
    """Return how a file is written, by its content."""
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".pt", ".pth", ".bin"))
        allowed = f"a file in it, such as {inside[0]}" if inside else ALLOWED
        raise RequestError("is a folder, not a file of weights", where=str(path), allowed=allowed)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RequestError(f"cannot read weights ({reason})", where=str(path), allowed=ALLOWED) from error
    if not head:
        raise RequestError("is an empty file", where=str(path), allowed=ALLOWED)
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header <= min(size - 8, LARGEST_HEADER):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "torch"
    if head[8:9] == b"{":
        raise RequestError(
            f"is a safetensors file of which only {size:,} bytes are there", where=str(path), allowed=ALLOWED
        )
    kind = next((f", but {name}" for start, name in FOREIGN if re.match(start, head, re.IGNORECASE)), "")
    raise RequestError(f"is not a file of weights{kind}", where=str(path), allowed=ALLOWED)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the tensors and the metadata, with values that are JSON decoded."""
    try:
        if is_utf8(path):
            with safe_open(path, framework="pt", device="cpu") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
        else:
            content = path.read_bytes()
            tensors = load(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            metadata = header.get("__metadata__", {})
    except (OSError, SafetensorError) as error:
        raise RequestError(f"cannot read weights ({error})", where=str(path), allowed=ALLOWED) from error
    return tensors, {key: _decoded(value) for key, value in metadata.items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _read_torch(path: Path) -> Mapping[Any, Any]:
    """Return what ``torch.save`` wrote, if it is a mapping."""
    if _is_torchscript(path):
        raise RequestError("is a TorchScript program, which holds code", where=str(path), allowed=RESAVE)
    try:
        # An open file, for torch goes by the name of a path.
        with path.open("rb") as file, torch.serialization.safe_globals(HARMLESS):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in as many ways as it can be damaged
        if type(error).__name__ == "UnpicklingError":
            raise RequestError(_needs_code(str(error)), where=str(path), allowed=RESAVE) from error
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise RequestError(
            f"cannot read weights ({type(error).__name__}: {reason})", where=str(path), allowed=ALLOWED
        ) from error
    if not isinstance(content, Mapping):
        raise RequestError(
            f"holds {type(content).__name__}, not a mapping of names to tensors",
            where=str(path),
            allowed=ALLOWED,
        )
    return content


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["constants.pkl"] for name in archive.namelist())


def _needs_code(message: str) -> str:
    """Return what is wrong with a file that torch refuses to restore."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found is None:
        reason = message.partition("WeightsUnpickler error:")[2] or message
        return f"cannot be restored without running code of the file ({reason.strip().splitlines()[0]})"
    return f"holds an object of {found[1]}, which cannot be restored without running code of the file"


def _entries(content: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[StateEntry]:
    """Yield the mappings that hold tensors, at any depth."""
    tensors = {
        key: _strided(value.detach())
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield StateEntry(path, tensors)
    if len(path) == DEEPEST_ENTRY:
        return
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            yield from _entries(value, (*path, key))


def _strided(value: Tensor) -> Tensor:
    """Return a tensor in the layout of the weights of networks: sparse ones are filled up."""
    return value if value.layout is torch.strided else value.to_dense()
