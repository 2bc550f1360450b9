"""The files of an artifact: their names, how they are read and written, and the one atomic write.

An artifact is a folder of the store: a trained network (weights, test logits, a record) or the stored outputs
of a teacher. Tensors are safetensors files, records are JSON; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load, save_file
from torch import Tensor, nn

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.integrity import read_checked, read_checked_json, reading

__all__ = [
    "CACHE",
    "CURVE_LOGITS",
    "LOGITS",
    "RECORD",
    "SELECTED_WEIGHTS",
    "VAL",
    "WEIGHTS",
    "EpochRecord",
    "OutputsRecord",
    "RunRecord",
    "StoredLogits",
    "is_utf8",
    "load_logits",
    "load_state",
    "save_logits",
    "save_state",
    "weights_digest",
    "write_atomically",
]

WEIGHTS = "weights.safetensors"
SELECTED_WEIGHTS = "selected.safetensors"
LOGITS = "logits.safetensors"
RECORD = "record.json"
CURVE_LOGITS = "curve.safetensors"
CACHE = "cache.json"
VAL = "val"  # the name of the validation set among logits, stored for tasks with decision thresholds

RECORD_SCHEMA = 2  # of record.json; the first one had no number, and fewer facts about the points of a curve

StoredLogits: TypeAlias = npt.NDArray[np.float16]
"""Logits as they are stored: float16 ``[N, classes]``, or with the further columns of a task."""


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Write a file completely or not at all.

    The block fills a temporary file in the same folder, which then replaces ``path`` in one rename. If the
    block raises, the temporary file is removed and ``path`` stays as it was.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        The temporary path to write to.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with write_atomically(folder / "notes.txt") as draft:
        ...     _ = draft.write_text("complete")
        >>> [file.name for file in folder.iterdir()]
        ['notes.txt']
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


# -- tensors ------------------------------------------------------------------------------------------------


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict as safetensors.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / WEIGHTS
        >>> save_state({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, file)
        >>> layer = nn.Linear(3, 2)
        >>> load_state(layer, file)
        >>> layer.bias.tolist()
        [0.0, 0.0]
    """
    save_file({name: value.contiguous() for name, value in state.items()}, path)


def is_utf8(path: Path) -> bool:
    r"""Return True if a path is valid UTF-8. The safetensors library opens no other one.

    Example:
        >>> is_utf8(Path("caf\u00e9")), is_utf8(Path("caf\udce9"))
        (True, False)
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def load_state(model: nn.Module, path: Path) -> None:
    """Load the weights in a safetensors file into ``model``.

    Raises:
        RequestError: The file is missing, damaged, or does not fit the model.

    Example:
        >>> load_state(nn.Linear(3, 2), Path("missing.safetensors"))
        Traceback (most recent call last):
        distillab.integrity.DamagedFileError: missing.safetensors: is missing ...
    """
    content = read_checked(path)
    with reading(path):
        state = load(content)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise RequestError(f"the weights do not fit the model: {first}", where=str(path)) from error


def weights_digest(path: Path) -> str:
    """Return the content address of a weights file: its SHA-256, in hexadecimal digits.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / WEIGHTS
        >>> _ = file.write_bytes(b"abc")
        >>> weights_digest(file)[:12]
        'ba7816bf8f01'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_logits(logits: Mapping[str, StoredLogits], path: Path) -> None:
    """Write logits by name as safetensors.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / LOGITS
        >>> save_logits({"test.last": np.zeros((5, 10), np.float16)}, file)
        >>> load_logits(file)["test.last"].shape
        (5, 10)
    """
    save_arrays({name: np.ascontiguousarray(value) for name, value in logits.items()}, path)


def load_logits(path: Path) -> dict[str, StoredLogits]:
    """Return the logits that :func:`save_logits` wrote, by name. Raises DamagedFileError if it did not.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / LOGITS
        >>> save_logits({"test.last": np.ones((1, 2), np.float16)}, file)
        >>> load_logits(file)["test.last"].tolist()
        [[1.0, 1.0]]
    """
    content = read_checked(path)
    with reading(path):
        return dict(load_arrays(content))


# -- records ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EpochRecord:
    """One point of a training curve.

    Attributes:
        epoch: The epoch after which it was taken, from 1.
        losses: Mean of each loss term since the point before.
        val_accuracy: Score on the validation set.
        step: Steps until then; 0 in records of early versions.
        seconds: Seconds of training until then, of this network and its share of what a cohort does once;
            points that differ in it alone are equal.
        test: Score on each test set, if the study keeps it (``curves.test``), NaN if a logit was not finite.
            Nothing reads it while the study runs.

    Example:
        >>> point = EpochRecord(epoch=1, losses={"ce": 0.7}, val_accuracy=0.81, step=40, test={"test": 0.79})
        >>> EpochRecord.from_dict({"epoch": 1, "losses": {"ce": 0.7}, "val_accuracy": 0.81}).step
        0
    """

    epoch: int
    losses: dict[str, float]
    val_accuracy: float
    step: int = 0
    seconds: float = field(default=0.0, compare=False)
    test: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: JsonObject) -> EpochRecord:
        """Return the point of a JSON form, also of an early version; unknown keys are ignored."""
        return cls(**{key: value for key, value in values.items() if key in cls.__dataclass_fields__})


@dataclass(frozen=True)
class ExitRecord:
    """What is known of one exit of a network, or of the vote of all.

    Attributes:
        name: ``exit 1`` and so on from shallow to deep, or ``vote``.
        params: Number of parameters that its logits depend on.
        macs: Multiply-accumulates of one example up to the exit.
        accuracy: By test set, the score of the last weights.
    """

    name: str
    params: int
    macs: int
    accuracy: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """What is known of a trained network beside its weights: ``record.json`` of a teacher or a student.

    Attributes:
        model: Name of the network.
        params: Number of parameters.
        macs: Multiply-accumulates of one forward pass on one example.
        epochs: Epochs of training.
        n_train: Labelled training examples.
        seconds: Seconds of training.
        classes: Width of the network's head; None in records of early versions.
        class_names: Names of the classes in the order of the logits, with which the weights can serve as a
            teacher elsewhere; None for given weights, and in records of early versions.
        steps: Optimizer steps; 0 for a network that was not trained.
        selected_epoch: The epoch chosen on the validation set.
        curve: The course of training.
        phases: Seconds of training by phase.
        overhead: Seconds of what else the run did: ``building`` networks, the ``test_curve``, ``testing`` the
            trained network, ``writing`` files; empty in records of early versions.
        tested: By test set, the digest of its examples and the precision it was tested in.
        accuracy: By test set, the score of the last weights.
        stem: How the network's stem is changed for small inputs; None if it is not.
        inputs: ``scale`` and ``shift`` per channel of the inputs of external weights, if they need them.
        interpolation: How the inputs of ``NAME@PIXELS`` are resized, if not bilinearly.
        normalization: ``mean`` and ``std`` per channel that the network's inputs are normalized with, of
            pixels in [0, 1]; None for other inputs than images, and in records of early versions.
        start: The trained weights that it started from: their content address (``weights``) and ``file``,
            and stages and parameters that were kept of them, if any were; None for random ones.
        teacher_images: Queries: examples, once per step, for which a teacher's outputs were used.
        teacher_forwards: Examples that went through a live teacher for this run.
        cohort: Number of students trained in step with it, itself included.
        exits: Its exits from shallow to deep, then their vote; None for a network that answers at one depth.
        resumed_at: The step from which the training went on after an interruption; None if it had none.
        schema: Version of the record's form.

    Example:
        >>> record = RunRecord(
        ...     model="resnet8", params=78042, macs=12500000, epochs=2, n_train=100, seconds=1.5,
        ...     curve=(EpochRecord(2, {"ce": 0.7}, 0.81),),
        ... )
        >>> RunRecord.from_dict(record.as_dict()) == record
        True
    """

    model: str
    params: int
    macs: int
    epochs: int
    n_train: int
    seconds: float
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    steps: int = 0
    selected_epoch: int = 0
    curve: tuple[EpochRecord, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)
    overhead: Mapping[str, float] = field(default_factory=dict)
    tested: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    stem: str | None = None
    inputs: Mapping[str, Sequence[float]] | None = None
    interpolation: str | None = None
    normalization: Mapping[str, Sequence[float]] | None = None
    start: Mapping[str, str | int] | None = None
    teacher_images: int = 0
    teacher_forwards: int = 0
    cohort: int = 1
    exits: tuple[ExitRecord, ...] | None = None
    resumed_at: int | None = None
    schema: int = RECORD_SCHEMA

    def as_dict(self) -> JsonObject:
        """Return the JSON form; what is None is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: JsonObject) -> RunRecord:
        """Return the record of a JSON form, also of an early version; unknown keys are ignored."""
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        known["schema"] = values.get("schema", 1)
        known["curve"] = tuple(map(EpochRecord.from_dict, values.get("curve", ())))
        known["tested"] = {name: (facts[0], facts[1]) for name, facts in values.get("tested", {}).items()}
        if known.get("class_names") is not None:
            known["class_names"] = tuple(known["class_names"])
        if known.get("exits") is not None:
            known["exits"] = tuple(ExitRecord(**each) for each in known["exits"])
        return cls(**known)

    def write(self, folder: Path) -> None:
        """Write the record into the folder of an artifact."""
        _write_json(folder / RECORD, self.as_dict())

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Return the record in the folder of an artifact. Raises DamagedFileError if it is none."""
        with reading(folder / RECORD):
            return cls.from_dict(read_checked_json(folder / RECORD))


@dataclass(frozen=True)
class OutputsRecord:
    """What is known of the stored outputs of a teacher: ``record.json`` of an ``outputs`` job.

    Attributes:
        queries: Views whose outputs were wanted, each counted once.
        forwards: Views that went through the teacher; the others were cache hits.
        eval_forwards: Test examples that went through the teacher.
        seconds: Seconds that it took.
        cache: Name of the teacher's cache; None if only the outputs for the test sets are kept.

    Example:
        >>> record = OutputsRecord(queries=160, forwards=100, eval_forwards=20, seconds=0.5, cache="8f0c")
        >>> OutputsRecord.from_dict(record.as_dict()) == record
        True
    """

    queries: int
    forwards: int
    eval_forwards: int
    seconds: float
    cache: str | None = None

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "forwards": self.forwards,
            "asked": self.queries,
            "cache": self.cache,
            "eval_forwards": self.eval_forwards,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> OutputsRecord:
        """Return the record of a JSON form, also of an early version."""
        return cls(
            queries=values.get("asked", 0),
            forwards=values["forwards"],
            eval_forwards=values.get("eval_forwards", 0),
            seconds=values["seconds"],
            cache=values.get("cache"),
        )

    def write(self, folder: Path) -> None:
        """Write the record into the folder of an artifact."""
        _write_json(folder / RECORD, self.as_dict())

    @classmethod
    def read(cls, folder: Path) -> OutputsRecord:
        """Return the record in the folder of an artifact. Raises DamagedFileError if it is none."""
        with reading(folder / RECORD):
            return cls.from_dict(read_checked_json(folder / RECORD))


def _write_json(path: Path, value: JsonObject) -> None:
    path.write_text(json.dumps(value, indent=1))
