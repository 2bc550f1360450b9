"""The ``padchest`` source: the folder of PadChest."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from distillab.errors import RequestError
from distillab.sources.radiographs import (
    RadiographRecords,
    Radiographs,
    encode_findings,
    files_by_name,
    read_columns,
    texts,
)
from distillab.sources.source import source

_TABLE = "PADCHEST_chest_x_ray_images_labels_160K*.csv*"
_FILE, _LABELS, _PATIENT, _VIEW = "ImageID", "Labels", "PatientID", "Projection"
_UNUSABLE = "EXCLUDE"  # the projection of images that are no chest X-rays
_NORMAL = "normal"
_NO_FINDINGS = frozenset({"exclude", "suboptimal study", "unchanged"})
"""Labels that name no finding: an image that has no other one says nothing about any of them."""


@source("padchest")
class PadChest(Radiographs):
    """PadChest: chest X-rays with findings and diagnoses as a list per image, split by patient.

    ``path`` is the folder with ``PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`` (or ``.csv.gz``) and
    the images, in ``images/0`` to ``images/54`` or anywhere below it. There are no official splits. The
    labels are all that occur, sorted by name, of which ``classes`` keeps some; ``normal`` is an empty set.
    Images of the projection EXCLUDE are left out, as are those without labels, and those labelled with
    nothing but ``exclude``, ``suboptimal study`` and ``unchanged``, which are no findings. Source: Bustos et
    al., "PadChest", Medical Image Analysis 2020.

    Example:
        >>> PadChest(path="padchest", projections=["PA"]).entry()["projections"]
        ['PA']
    """

    def default_name(self) -> str:
        return "PadChest"

    def records(self) -> RadiographRecords:
        path = self._table()
        where = str(path)
        table = read_columns(path, (_FILE, _LABELS, _PATIENT, _VIEW))
        before = len(table)
        table = self.of_projections(table, _VIEW, where, left_out=(_UNUSABLE,))
        lists = [
            _labels(cell, name, where)
            for cell, name in zip(texts(table, _LABELS), texts(table, _FILE), strict=True)
        ]
        rows = [row for row, labels in enumerate(lists) if set(labels) - _NO_FINDINGS]
        findings = [[label for label in lists[row] if label not in {_NORMAL, *_NO_FINDINGS}] for row in rows]
        classes = tuple(sorted(Counter(label for each in findings for label in each)))
        if not classes:
            raise RequestError(
                "no image has a finding", where=where, allowed="a list of findings in `Labels`"
            )
        left_out = {"projection": before - len(table), "labels": len(table) - len(rows)}
        table = table.take(pa.array(rows, pa.int64()))
        names = texts(table, _FILE)
        return RadiographRecords(
            classes,
            encode_findings(findings, classes, names, where) if rows else np.empty((0, 0), np.int8),
            files_by_name(self.path, names, where),
            names,
            texts(table, _PATIENT),
            ["train"] * len(names),
            tuple(
                f"Images left out by their {what}: {count:,}." for what, count in left_out.items() if count
            ),
        )

    def _table(self) -> Path:
        found = sorted(self.path.glob(_TABLE))
        if len(found) != 1:
            what = f"there are {len(found)} tables" if found else "there is no table"
            raise RequestError(what, where=str(self.path), allowed=f"one {_TABLE}")
        return found[0]


def _labels(cell: str, name: str, where: str) -> list[str]:
    """Return the labels of a cell such as ``['nodule', ' pseudonodule']``; none for an empty cell."""
    if not cell or cell == "nan":
        return []
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise RequestError(
            f"{cell!r} is not a list of labels", where=f"{where}: {name}", allowed="a list such as ['nodule']"
        )
    return [label.strip() for label in found if label.strip()]
