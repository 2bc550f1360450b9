"""What was decided when `distillab distill` began in a folder, which the same command keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.shipping.design import ShippingDesign

SHIPPING_RECORD_FILE = "distill.json"


@dataclass(frozen=True)
class ShippingRecord:
    """The decisions of a folder.

    Attributes:
        identity: Content address of the request, without its budget.
        design: How long students are trained, how many settings and pairs there are.
        teacher: The key ``teacher`` of the study.
        warnings: What could go wrong with the data.
        notes: What the answer does not cover.

    Example:
        >>> design = ShippingDesign(800, 800, 6, 5, 1.0, 64)
        >>> record = ShippingRecord("3f2a", design, {"model": "resnet20"}, (), ())
        >>> ShippingRecord.from_dict(record.as_dict()) == record
        True
    """

    identity: str
    design: ShippingDesign
    teacher: JsonObject
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> JsonObject:
        """Return the JSON form."""
        return {
            "identity": self.identity,
            "design": self.design.as_dict(),
            "teacher": dict(self.teacher),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> ShippingRecord:
        """Return the decisions of a JSON form."""
        return cls(
            values["identity"],
            ShippingDesign.from_dict(values["design"]),
            values["teacher"],
            tuple(values["warnings"]),
            tuple(values["notes"]),
        )

    def write(self, folder: Path) -> None:
        """Write the decisions into a folder, completely or not at all."""
        with write_atomically(folder / SHIPPING_RECORD_FILE) as draft:
            draft.write_text(json.dumps(self.as_dict(), indent=1, ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path, identity: str) -> ShippingRecord | None:
        """Return the decisions of a folder; None if nothing was begun there.

        Raises:
            RequestError: The folder belongs to another request, or to something else.
        """
        file = folder / SHIPPING_RECORD_FILE
        if file.is_file():
            try:
                record = cls.from_dict(json.loads(file.read_text()))
            except (ValueError, KeyError, TypeError) as error:
                raise RequestError(
                    f"is damaged ({error})", where=str(file), allowed="a new folder for --out"
                ) from error
            if record.identity == identity:
                return record
            raise RequestError(
                "another student was distilled here",
                where=f"--out {folder}",
                allowed="a new folder, or the command it was made with (its budget may differ)",
            )
        if (folder / "ledger.sqlite").exists():
            raise RequestError("a study is there already", where=f"--out {folder}", allowed="a new folder")
        others = [name for name in sorted(each.name for each in folder.iterdir()) if _is_foreign(name)]
        if others:
            raise RequestError(
                f"holds other files, such as {others[0]!r}", where=f"--out {folder}", allowed="a new folder"
            )
        return None


def _is_foreign(name: str) -> bool:
    """Return True for a file that no interrupted beginning of this command leaves, nor a file manager."""
    return name != "objects" and not name.startswith(".")
