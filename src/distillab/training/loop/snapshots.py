"""Snapshots of a cohort in training, from which it goes on after an interruption, to the same numbers."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import xxhash

from distillab.artefacts import write_atomically
from distillab.canonical import spec_id
from distillab.errors import RequestError
from distillab.integrity import DamagedFileError, read_regular, reading
from distillab.training.loop.plain_state import NotResumableError, TrainingState, state_bytes, state_in

VARIABLE = "DISTILLAB_SNAPSHOT_SECONDS"
DEFAULT_SECONDS = 60.0  # between snapshots
LARGEST_SHARE = 0.05  # of the time of training that snapshots take, however long one is written
_SCHEMA = 1
_DIGEST_BYTES = 16
_PREFIX = f"distillab snapshot {_SCHEMA}\n".encode()


class Resumable(Protocol):
    """What a snapshot holds the state of."""

    def state(self) -> TrainingState: ...

    def restore(self, state: TrainingState) -> None: ...


Training = TypeVar("Training", bound=Resumable)


def snapshot_seconds() -> float:
    """Return the seconds between snapshots: those of the environment variable, or a minute.

    Raises:
        RequestError: They are no positive number.

    Example:
        >>> snapshot_seconds()
        60.0
    """
    text = os.environ.get(VARIABLE, str(DEFAULT_SECONDS))
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) > 0:
            return seconds
    raise RequestError(
        f"{text!r} is no number of seconds", where=VARIABLE, allowed="a number above 0, or inf"
    )


class Snapshots:
    """The file from which a cohort goes on. It is replaced at most once in some seconds.

    A file that is damaged, or was written for other jobs, by another version or for another device, counts as
    none. What cannot be written is left out: training goes on without it.

    Args:
        folder: The folder of all snapshots; created when one is written.
        cohort: The ids of the jobs.
        seconds: Seconds between snapshots, and before the first.

    Attributes:
        also: What is collected beside the training, and written with it.

    Example:
        >>> import tempfile
        >>> snapshots = Snapshots(Path(tempfile.mkdtemp()), ["8f0c"], seconds=60)
        >>> snapshots.is_due()
        False
    """

    def __init__(self, folder: Path, cohort: Sequence[str], *, seconds: float) -> None:
        self._cohort, self._seconds = list(cohort), seconds
        self._file = folder / f"{spec_id(self._cohort)}.safetensors"
        self._next = time.monotonic() + seconds
        self.also: list[Resumable] = []

    def is_due(self) -> bool:
        """Return True if it is time for a snapshot."""
        return time.monotonic() >= self._next

    def write(self, training: Resumable, device: torch.device) -> None:
        """Replace the snapshot. None is written any more for a training whose state cannot be."""
        started = time.monotonic()
        pause = self._seconds
        try:
            content = self._content(training, device)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self._file) as draft, draft.open("wb") as file:
                file.writelines((_PREFIX, _digest(content), content))
        except NotResumableError:
            pause = math.inf
        except (OSError, MemoryError):
            pass  # the disk is full; the snapshot before, if there is one, stays
        ended = time.monotonic()
        self._next = ended + max(pause, (ended - started) / LARGEST_SHARE)

    def resumed(self, build: Callable[[], Training], device: torch.device) -> Training:
        """Return a training in the state of the snapshot; a new one where there is none.

        Args:
            build: Returns a new training.
            device: Where it computes.
        """
        training = build()
        if not self._file.exists():
            return training
        before = [each.state() for each in self.also]
        try:
            self._restore(training, device)
        except DamagedFileError:
            for each, state in zip(self.also, before, strict=True):
                each.restore(state)
            return build()
        return training

    def remove(self) -> None:
        """Remove the snapshot, and the folder if it is the last."""
        self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are in it, or it was never made
            self._file.parent.rmdir()

    def _restore(self, training: Resumable, device: torch.device) -> None:
        """Restore a training. Raises DamagedFileError unless its state is then that of the snapshot."""
        held = read_regular(self._file)
        start = len(_PREFIX) + _DIGEST_BYTES
        content = held[start:]
        if held[:start] != _PREFIX + _digest(content):
            raise DamagedFileError(self._file, "is damaged, or of another version")
        with reading(self._file):
            state = state_in(content)
            if state["facts"] != self._facts(device):
                raise DamagedFileError(self._file, "was not written for this training")
            training.restore(state["training"])
            for each, saved in zip(self.also, state["also"], strict=True):
                each.restore(saved)
            if self._content(training, device) != content:
                raise DamagedFileError(self._file, "does not hold all of this training")

    def _content(self, training: Resumable, device: torch.device) -> bytes:
        also = [each.state() for each in self.also]
        return state_bytes({"facts": self._facts(device), "training": training.state(), "also": also})

    def _facts(self, device: torch.device) -> TrainingState:
        """Return what must be the same for a training to go on to the same numbers."""
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        return {
            "cohort": self._cohort,
            "versions": [metadata.version("distillab"), str(torch.__version__)],
            "device": [str(device), name],
            "threads": torch.get_num_threads(),
        }


def _digest(content: bytes) -> bytes:
    return xxhash.xxh3_128_digest(content)
