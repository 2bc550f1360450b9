"""What was checked while a model was exported, as checks.json holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from distillab.canonical import JsonObject
from distillab.deploy.files import CHECKS, INT8
from distillab.deploy.gates import GateResult

CHECKS_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """A file of an exported model.

    Attributes:
        bytes: Its size.
        sha256: Its content address.
        origin: What wrote it, such as an exporter and its version; "" if that goes without saying.

    Example:
        >>> FileRecord(1200, "8f0c").bytes
        1200
    """

    bytes: int
    sha256: str
    origin: str = ""


@dataclass(frozen=True)
class Checks:
    """The checks of an export.

    Attributes:
        files: The model files that were written, by name.
        gates: Every gate of every file, passed or not.
        not_written: Why a file that was wanted is not there, by name.
        val: Scores on the validation set, by file, and its number of ``examples``.
        int8: The trials of quantization.
        stored: Comparison with the outputs that were stored when the network was trained.
        preprocessing: Comparison of the decoding with the stored training pixels.
        environment: CPU, threads and versions that all of this was measured with.

    Example:
        >>> Checks(gates=(GateResult("model.onnx", "predictions", 1, 500, 0.2, 0.001),)).passed
        False
    """

    files: Mapping[str, FileRecord] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    not_written: Mapping[str, str] = field(default_factory=dict)
    val: JsonObject = field(default_factory=dict)
    int8: JsonObject = field(default_factory=dict)
    stored: JsonObject = field(default_factory=dict)
    preprocessing: JsonObject = field(default_factory=dict)
    environment: JsonObject = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if every file of full precision that was tried is written, at the first try or not."""
        tried = {gate.file for gate in self.gates} | set(self.not_written)
        return tried - {INT8} <= set(self.files)

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "version": CHECKS_VERSION,
            "passed": self.passed,
            "files": {name: asdict(record) for name, record in self.files.items()},
            "gates": [gate.as_dict() for gate in self.gates],
            "not_written": dict(self.not_written),
            "val": self.val,
            "int8": self.int8,
            "stored_outputs": self.stored,
            "preprocessing": self.preprocessing,
            "environment": self.environment,
        }

    def write(self, folder: Path) -> None:
        """Write checks.json."""
        (folder / CHECKS).write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        folder: Its folder.
        files: The names of all files in it.
        checks: What was checked.
        kept: True if the folder still holds the model that was there before, because no new file passed.

    Example:
        >>> Exported(Path("model"), ("config.json",), Checks()).as_dict()["folder"]
        'model'
    """

    folder: Path
    files: tuple[str, ...]
    checks: Checks
    kept: bool = False

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        contents = {"contents": list(self.files), "kept": self.kept}
        return {"folder": str(self.folder), **contents, **self.checks.as_dict()}
