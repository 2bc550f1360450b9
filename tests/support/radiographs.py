"""Drawn chest X-rays in the exact layouts of three public collections: headers, columns, folders, quirks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from distillab.sources.chestxray14 import FINDINGS
from distillab.sources.chexpert import OBSERVATIONS

SIDE = 16
BLOB = 5  # pixels per side of what a finding looks like
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
CHEXPERT_HEADER = ",".join(["Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding", *OBSERVATIONS])
PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
    "Projection,MethodProjection,Pediatric,ReportID,Report,MethodLabel,Labels,Localizations"
)
Sets = npt.NDArray[np.bool_]


def drawn(findings: Sequence[int], seed: int, *, side: int = SIDE) -> tuple[npt.NDArray[np.uint8], list[Any]]:
    """Return a noisy gray image with a bright square per finding, and the square's left and top."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (side, side))
    corners = []
    for finding in findings:
        left, top = rng.integers(0, side - BLOB, 2)
        pixels[top : top + BLOB, left : left + BLOB] = 160 + 40 * (finding % 3)
        corners.append((int(left), int(top)))
    return pixels.astype(np.uint8), corners


def save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def some_findings(count: int, labels: int, seed: int = 0) -> Sets:
    """Return whether each image has each label, bool ``[count, labels]``, a third of them without any."""
    sets = np.random.default_rng(seed).random((count, labels)) < 0.35
    sets[::3] = False
    return sets


def write_chestxray14(
    folder: Path,
    *,
    patients: int = 60,
    labels: int = len(FINDINGS),
    lists: bool = False,
    boxes: bool = False,
    side: int = SIDE,
) -> dict[str, Any]:
    """Write two images per patient as ChestX-ray14 has them, and return an entry that reads them.

    Findings are the first ``labels`` ones. With ``boxes`` an image has one at most, and its square is listed,
    in pixels of 1024.
    """
    root, rows, boxed = folder / "nih", [NIH_HEADER], [BOX_HEADER]
    sets = some_findings(2 * patients, labels)
    names = [f"{number // 2 + 1:08}_{number % 2:03}.png" for number in range(2 * patients)]
    for number, name in enumerate(names):
        findings = np.flatnonzero(sets[number]).tolist()
        findings = findings[number % len(findings) :][:1] if boxes and findings else findings
        pixels, corners = drawn(findings, number, side=side)
        save(pixels, root / f"images_{number % 2 + 1:03}" / "images" / name)
        listed = "|".join(FINDINGS[each] for each in findings) or "No Finding"
        view = "PA" if number % 2 else "AP"
        rows.append(f"{name},{listed},{number % 2},{number // 2 + 1},57,M,{view},2682,2749,0.143,0.143,")
        for finding, (left, top) in zip(findings, corners, strict=True):
            boxed_as = "Infiltrate" if FINDINGS[finding] == "Infiltration" else FINDINGS[finding]
            x, y, size = (1024 / side * each for each in (left, top, BLOB))
            boxed.append(f"{name},{boxed_as},{x},{y},{size},{size},,,")
    (root / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    if boxes:
        (root / "BBox_List_2017.csv").write_text("\n".join(boxed) + "\n")
    if lists:
        cut = 2 * (patients * 2 // 3)
        (root / "train_val_list.txt").write_text("\n".join(names[:cut]))
        (root / "test_list.txt").write_text("\n".join(names[cut:]) + "\n")
    return {"path": "nih"}


def write_chexpert(folder: Path, *, patients: int = 40) -> dict[str, Any]:
    """Write two views per patient of train and a few of valid as CheXpert has them."""
    root = folder / "CheXpert-v1.0-small"
    rng = np.random.default_rng(3)
    for split, count, first in (("train", patients, 1), ("valid", 8, 64541)):
        rows = [CHEXPERT_HEADER]
        for number in range(first, first + count):
            for place, view in enumerate(("frontal", "lateral")):
                path = f"{split}/patient{number:05}/study1/view{place + 1}_{view}.jpg"
                known = ("1.0", "0.0", "-1.0", "") if split == "train" else ("1.0", "0.0")
                cells = rng.choice(known, len(OBSERVATIONS)).tolist()
                if number % 5 == 0:
                    cells = [""] * len(OBSERVATIONS)
                findings = [label for label, cell in enumerate(cells) if cell == "1.0"]
                save(drawn(findings, 2 * number + place)[0], root / path)
                healthy = "1.0" if number % 5 == 0 else ""
                facts = f"Female,68,{view.capitalize()},{'AP' if place == 0 else ''}"
                rows.append(",".join([f"CheXpert-v1.0-small/{path},{facts},{healthy}", *cells]))
        (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return {"path": "CheXpert-v1.0-small"}


def write_padchest(folder: Path, *, patients: int = 40, compressed: bool = False) -> dict[str, Any]:
    """Write two images per patient as PadChest has them, with labels that are spelled with blanks."""
    import gzip

    root = folder / "padchest"
    labels = ("cardiomegaly", "nodule", "pleural effusion", "scoliosis")
    sets, rows = some_findings(2 * patients, len(labels)), [PADCHEST_HEADER]
    for number in range(2 * patients):
        name = f"{10**20 + number}_{number:06}.png"
        findings = np.flatnonzero(sets[number]).tolist()
        save(drawn(findings, number)[0], root / "images" / str(number % 3) / name)
        spelled = [f"{' ' * (each % 2)}{labels[each]}" for each in findings] or ["normal"]
        view = ("PA", "L")[number % 2]
        facts = f"{number},{name},{number % 3},20140915,77,{number // 2:04},1930.0,F,POSTEROANTERIOR,{view}"
        rows.append(f'{facts},Manual review,No,477,"sin, hallazgos",Physician,"{spelled}",[]')
    text = "\n".join(rows) + "\n"
    file = root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    if compressed:
        file.with_suffix(".csv.gz").write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return {"path": "padchest"}


def write_cxr14(folder: Path, labels: list[str], *, patients: int = 60) -> Path:
    """Write drawn images as ``cxr14/labels.csv`` and ``cxr14/images`` have them, two of most patients."""
    sets = some_findings(2 * patients, len(labels))
    sets[:, -1] = np.arange(2 * patients) % 24 == 1  # the last label is rare
    (folder / "cxr14").mkdir(parents=True)
    with (folder / "cxr14" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", "chexnet_split", "source_folder", *labels])
        for number in range(2 * patients):
            patient, findings = f"{number // 2:08}", np.flatnonzero(sets[number]).tolist()
            name = f"{patient}_{number % 2:03}.jpg"
            save(drawn(findings, number)[0], folder / "cxr14" / "images" / name)
            table.writerow([name, patient, "train", "Pneumonia", *sets[number].astype(int).tolist()])
    return folder
