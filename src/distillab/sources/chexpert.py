"""The ``chexpert`` source: the folder of CheXpert."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np

from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.sources.columns import column_values
from distillab.sources.grouping import captured
from distillab.sources.labels import Blank, encode_indicators
from distillab.sources.radiographs import NO_FINDING, RadiographRecords, Radiographs, read_columns, texts
from distillab.sources.source import source

OBSERVATIONS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The observations, in the order of the table; ``No Finding``, which precedes them, is an empty set."""
_SUPPORT = "Support Devices"  # which an image without a finding may show
_TABLES = ("train", "valid")
_FILE, _VIEW, _PATIENT = "Path", "Frontal/Lateral", r"(patient\d+)/"


@source("chexpert")
class CheXpert(Radiographs):
    """CheXpert: chest X-rays with 13 observations that may be uncertain, split by patient.

    ``path`` is the folder ``CheXpert-v1.0-small`` with ``train.csv``, ``valid.csv`` and their images. The
    tables are train and val; ``splits: {test: valid}`` makes the second one test. An uncertain observation
    (-1) is unknown: what that means is a setting of the task, ``task: {name: multilabel, uncertain: ones}``.
    Source: Irvin et al., "CheXpert", AAAI 2019.

    Attributes:
        blank: Whether an observation that the report does not mention is absent (``zeros``), as in the
            baselines of the authors, or unknown (``ignore``). An image of which ``No Finding`` is 1 has no
            observation but support devices in either case.

    Example:
        >>> CheXpert(path="CheXpert-v1.0-small", blank="ignore").entry()["blank"]
        'ignore'
    """

    names_splits: ClassVar[bool] = True

    blank: Blank = "zeros"

    def default_name(self) -> str:
        return "CheXpert"

    def records(self) -> RadiographRecords:
        present = [name for name in _TABLES if (self.path / f"{name}.csv").is_file()]
        if not present:
            allowed = " and ".join(f"{name}.csv" for name in _TABLES)
            raise RequestError("there is no table of observations", where=str(self.path), allowed=allowed)
        chosen = self.split_choice.of(present, str(self.path))
        if "train" not in chosen.values():
            raise RequestError("no table is train", where=str(self.path), allowed="train.csv")
        parts = [self._table(own, split) for own, split in chosen.items() if split not in self.unused_splits]
        return RadiographRecords(
            OBSERVATIONS,
            np.concatenate([each.findings for each in parts]),
            [file for each in parts for file in each.files],
            [name for each in parts for name in each.names],
            [patient for each in parts for patient in each.patients],
            [split for each in parts for split in each.splits],
        )

    def _table(self, own: str, split: str) -> RadiographRecords:
        path = self.path / f"{own}.csv"
        table = read_columns(path, (_FILE, _VIEW, NO_FINDING, *OBSERVATIONS))
        table = self.of_projections(table, _VIEW, str(path))
        columns = {name: column_values(table[name]) for name in (NO_FINDING, *OBSERVATIONS)}
        found = encode_indicators(columns, "ignore", str(path)).values
        blank = np.stack([[not text for text in texts(table, name)] for name in OBSERVATIONS], axis=1)
        healthy, findings = found[:, 0] == 1, found[:, 1:].copy()
        pathologies = np.array([name != _SUPPORT for name in OBSERVATIONS])
        absent = blank if self.blank == "zeros" else blank & healthy[:, None] & pathologies
        findings[absent] = 0
        findings[blank & ~absent] = UNLABELLED
        names = [_below(name) for name in texts(table, _FILE)]
        return RadiographRecords(
            OBSERVATIONS,
            findings,
            [self.path / name for name in names],
            names,
            captured(names, _PATIENT, f"{path}: {_FILE}"),
            [split] * len(names),
        )


def _below(name: str) -> str:
    """Return a listed path without the name of the collection's folder."""
    parts = PurePosixPath(name).parts
    start = next((place for place, part in enumerate(parts) if part in _TABLES), 0)
    return "/".join(parts[start:])
