"""How a study stands. Light to import: whoever looks now and then must not wait for torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from distillab.errors import RequestError
from distillab.study.ledger.ledger import Ledger

STUDY_FILE = "study.yaml"
LEDGER_FILE = "ledger.sqlite"


def must_be_begun(path: Path) -> None:
    """Raise RequestError if ``path`` is not the folder of a study that was begun."""
    if not (path / STUDY_FILE).is_file() or not (path / LEDGER_FILE).is_file():
        raise RequestError(
            f"no study here (no {STUDY_FILE} and {LEDGER_FILE})",
            where=str(path),
            allowed="a folder made by `distillab run`",
        )


def standing(path: Path) -> dict[str, Any]:
    """How the study in a folder stands: jobs by kind and state, the share of the work done, failures.

    Raises:
        RequestError: there is no study.
    """
    must_be_begun(path)
    with Ledger(path / LEDGER_FILE) as ledger:
        settled, everything = ledger.progress()
        return {
            "study": yaml.safe_load((path / STUDY_FILE).read_text(encoding="utf-8"))["study"],
            "jobs": ledger.tally(),
            "share_done": settled / everything if everything else 1.0,
            "seconds": {kind: total for kind, (_, total) in ledger.seconds().items()},
            "failures": [
                {"id": failure.id, "kind": failure.kind, "error": failure.error}
                for failure in ledger.failures()
            ],
        }
