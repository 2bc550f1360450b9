"""The ``chestxray14`` source: the folder of NIH ChestX-ray14."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

import numpy as np

from distillab.data.label_boxes import LabelBox
from distillab.errors import RequestError, unknown_name
from distillab.sources.delimited import read_lines
from distillab.sources.radiographs import (
    NO_FINDING,
    RadiographRecords,
    Radiographs,
    by_list,
    encode_findings,
    files_by_name,
    read_columns,
    texts,
)
from distillab.sources.source import source

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The findings, in the order of the authors."""
_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")  # the corrected one first
_BOXES, _SIDE = "BBox_List_2017.csv", 1024.0  # pixels per side of the images that boxes are drawn in
_RENAMED = {"Infiltrate": "Infiltration"}  # in the table of boxes
_FILE, _LABELS, _PATIENT, _VIEW = "Image Index", "Finding Labels", "Patient ID", "View Position"


@source("chestxray14")
class ChestXray14(Radiographs):
    """NIH ChestX-ray14: chest X-rays with 14 findings, split by patient, in the layout of its authors.

    ``path`` is the folder with ``Data_Entry_2017.csv``, the images (in ``images``, ``images_001/images``, ...
    or anywhere below it) and, if they are there, ``train_val_list.txt`` and ``test_list.txt``, which are then
    train and test, and ``BBox_List_2017.csv``, whose boxes explanations are compared with. Source: Wang et
    al., "ChestX-ray8", CVPR 2017.

    Example:
        >>> ChestXray14(path="nih", projections=["PA"]).entry()
        {'source': 'chestxray14', 'path': 'nih', 'projections': ['PA']}
    """

    def default_name(self) -> str:
        return "ChestX-ray14"

    def boxes(self) -> Mapping[str, Sequence[LabelBox]]:
        path = self.path / _BOXES
        if not path.is_file():
            return {}
        # The header names the four numbers "Bbox [x", "y", "w" and "h]", and empty cells may follow.
        rows = [(number, row) for number, row in enumerate(csv.reader(read_lines(path)[1:]), 2) if row]
        found: dict[str, list[LabelBox]] = {}
        for number, row in rows:
            where = f"{path}: line {number}"
            if len(row) < 2:
                raise RequestError(
                    f"{row} is no box", where=where, allowed="file, finding, x, y, width, height"
                )
            name, label, *cells = row
            label = _RENAMED.get(label.strip(), label.strip())
            if label not in FINDINGS:
                raise unknown_name("finding", label, FINDINGS, where=where)
            try:
                x, y, width, height = map(float, cells[:4])
            except ValueError:
                wanted = "x, y, width and height in pixels"
                raise RequestError(f"{cells[:4]} is no box", where=where, allowed=wanted) from None
            box = LabelBox.of_pixels(label, (x, y), (width, height), _SIDE, where)
            found.setdefault(name.strip(), []).append(box)
        return found

    def records(self) -> RadiographRecords:
        found = [self.path / name for name in _TABLES if (self.path / name).is_file()]
        if not found:
            raise RequestError(
                "there is no table of findings", where=str(self.path), allowed=" or ".join(_TABLES)
            )
        where = str(found[0])
        table = self.of_projections(read_columns(found[0], (_FILE, _LABELS, _PATIENT, _VIEW)), _VIEW, where)
        lists = {"train": self.path / "train_val_list.txt", "test": self.path / "test_list.txt"}
        splits, notes = by_list(texts(table, _FILE), lists)
        rows = np.flatnonzero([split is not None for split in splits])
        if not any(splits[row] == "train" for row in rows):
            raise RequestError(
                "no listed image is in train", where=where, allowed=f"images of {lists['train'].name}"
            )
        table = table.take(rows)
        names = texts(table, _FILE)
        cells = [[each.strip() for each in cell.split("|")] for cell in texts(table, _LABELS)]
        findings = [[each for each in cell if each not in ("", NO_FINDING)] for cell in cells]
        return RadiographRecords(
            FINDINGS,
            encode_findings(findings, FINDINGS, names, f"{where}: {_LABELS}"),
            files_by_name(self.path, names, where),
            names,
            texts(table, _PATIENT),
            [str(splits[row]) for row in rows],
            notes,
        )
