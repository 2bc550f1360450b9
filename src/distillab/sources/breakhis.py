"""The ``breakhis`` source: BreakHis, microscopic images of breast tumors, with patients and folds."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.modalities.image.formats import image_extensions
from distillab.sources.delimited import read_lines
from distillab.sources.folder_tree import list_folder
from distillab.sources.grouping import encode_groups
from distillab.sources.source import ImageSource, RawSplit, RawSplits, SourcePath, SplitUnit, source

MAGNIFICATIONS = (40, 100, 200, 400)
FOLDS = 5

SUBTYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes tumor",
    "TA": "tubular adenoma",
    "DC": "ductal carcinoma",
    "LC": "lobular carcinoma",
    "MC": "mucinous carcinoma",
    "PC": "papillary carcinoma",
}
"""The tumors by their code in file names; the first four are benign."""

_NAME = re.compile(r"SOB_(?P<kind>[BM])_(?P<subtype>[A-Z]+)-(?P<patient>\d+-[^-]+)-(?P<zoom>\d+)-\d+")
_EXAMPLE = "SOB_M_DC-14-13412-100-001.png"


def _magnifications(value: object) -> object:
    """Accept one magnification for a list of one."""
    return [value] if isinstance(value, int) else value


@dataclass(frozen=True)
class _Image:
    """What the name of a file states."""

    path: Path
    malignant: bool
    subtype: str
    patient: str
    magnification: int


@source("breakhis")
class BreakHis(ImageSource):
    """BreakHis: 700x460 microscopic images of breast tumors of 82 patients, at four magnifications.

    Files are found at any depth below ``path`` and read by their names, ``SOB_M_DC-14-13412-100-001.png``:
    a malignant ductal carcinoma of patient 14-13412 at 100 times. Groups are patients. Carved splits are
    therefore disjoint in patients: ``split_by: group`` is the default here. Patient 14-13412, whose images
    are filed under two subtypes, is one group.

    The data set is described in Spanhol et al., IEEE Transactions on Biomedical Engineering 63, 2016. The
    reader follows that description; it has been tested on drawn images in the same layout only.

    Attributes:
        path: The folder of the images, such as ``BreaKHis_v1``.
        magnification: The magnifications that are read, such as 100 or ``[40, 100]``; by default all four.
        target: ``kind`` for benign and malignant, or ``subtype`` for the eight tumors.
        folds: The folder of the published splits, ``dsfold1.txt`` to ``dsfold5.txt``.
        fold: Which of them gives train and test, 1 to 5.

    Example:
        >>> BreakHis(path="BreaKHis_v1", magnification=100, resolution=64).entry()["magnification"]
        [100]
    """

    argument: ClassVar[str | None] = "path"

    path: SourcePath
    magnification: Annotated[
        Annotated[list[Literal[40, 100, 200, 400]], Field(min_length=1)] | None,
        BeforeValidator(_magnifications),
    ] = None
    target: Literal["kind", "subtype"] = "kind"
    folds: SourcePath | None = None
    fold: int | None = Field(default=None, ge=1, le=FOLDS)
    split_by: SplitUnit = "group"

    @model_validator(mode="after")
    def _fold_has_a_folder(self) -> BreakHis:
        if (self.folds is None) != (self.fold is None):
            raise RequestError(
                "'folds' and 'fold' belong together",
                allowed=f"the folder of dsfold1.txt to dsfold{FOLDS}.txt, and a number from 1 to {FOLDS}",
            )
        return self

    def default_name(self) -> str:
        return "-".join(["breakhis", *(f"{zoom}x" for zoom in self.magnification or [])])

    def read(self) -> RawSplits:
        images, left_out = self._images()
        splits = {"train": images} if self.fold is None else self._by_fold(images)
        classes = tuple(SUBTYPES.values()) if self.target == "subtype" else ("benign", "malignant")
        patients = {split: [each.patient for each in of] for split, of in splits.items()}
        group_names, groups = encode_groups(patients, str(self.path))
        raw = {
            split: RawSplit(
                [each.path for each in of],
                Labels(np.array([classes.index(self._class(each)) for each in of]), len(classes)),
                [each.path.relative_to(self.path).as_posix() for each in of],
                groups[split],
            )
            for split, of in splits.items()
        }
        found = [
            name for code, name in enumerate(classes) if any(code in of.targets.values for of in raw.values())
        ]
        if len(found) < 2:
            raise RequestError(
                f"all images are of one class, {found[0]!r}",
                where=str(self.path),
                allowed="two classes or more",
            )
        return RawSplits(
            classes,
            raw["train"],
            test=raw.get("test"),
            group_names=group_names,
            notes=_notes(images),
            left_out=left_out,
        )

    def _class(self, image: _Image) -> str:
        if self.target == "subtype":
            return SUBTYPES[image.subtype]
        return "malignant" if image.malignant else "benign"

    def _images(self) -> tuple[list[_Image], Counter[str]]:
        """Return the images of the chosen magnifications, sorted by path, and counts of other files."""
        if not self.path.is_dir():
            raise RequestError("there is no such folder", where=str(self.path))
        try:
            tree, left_out = list_folder(self.path, image_extensions())
        except OSError as error:
            raise RequestError(f"cannot be read: {error.strerror}", where=str(error.filename)) from None
        found = [_parsed(path) for path in sorted(tree.files_below())]
        zooms = self.magnification or MAGNIFICATIONS
        images = [each for each in found if each.magnification in zooms]
        if not images:
            raise RequestError(
                f"there is no image at {' or '.join(f'{zoom}x' for zoom in zooms)}",
                where=str(self.path),
                allowed=f"files such as {_EXAMPLE} at any depth",
            )
        return images, left_out

    def _by_fold(self, images: list[_Image]) -> dict[str, list[_Image]]:
        """Return train and test images of the published fold. Raises RequestError for a patient in both."""
        assert self.folds is not None
        table = self.folds / f"dsfold{self.fold}.txt"
        listed = _read_fold(table)
        splits: dict[str, list[_Image]] = {"train": [], "test": []}
        for each in images:
            if (split := listed.pop((each.path.name, each.magnification), None)) is not None:
                splits[split].append(each)
        zooms = self.magnification or MAGNIFICATIONS
        absent = [name for name, zoom in listed if zoom in zooms]
        if absent:
            raise RequestError(
                f"{len(absent)} listed files are missing, such as {min(absent)}",
                where=str(table),
                allowed=f"files that are below {self.path}",
            )
        for split, of in splits.items():
            if not of:
                raise RequestError(f"no image is listed for {split}", where=str(table))
        shared = {each.patient for each in splits["train"]} & {each.patient for each in splits["test"]}
        if shared:
            raise RequestError(
                f"patient {min(shared)} is in train and in test",
                where=str(table),
                allowed="folds that are disjoint in patients",
            )
        return splits


def _parsed(path: Path) -> _Image:
    match = _NAME.match(path.name)
    if match is None or match["subtype"] not in SUBTYPES or int(match["zoom"]) not in MAGNIFICATIONS:
        raise RequestError(
            "the name of this file states no tumor, patient and magnification",
            where=str(path),
            allowed=f"names such as {_EXAMPLE}",
        )
    return _Image(path, match["kind"] == "M", match["subtype"], match["patient"], int(match["zoom"]))


def _read_fold(table: Path) -> dict[tuple[str, int], str]:
    """Return the split of each file and magnification, of lines ``file|magnification|fold|split``."""
    lines = [line for line in read_lines(table) if line.strip()]
    listed: dict[tuple[str, int], str] = {}
    for number, line in enumerate(lines, start=1):
        cells = line.strip().split("|")
        if len(cells) != 4 or not cells[1].isdecimal() or cells[3] not in ("train", "test"):
            raise RequestError(
                f"{line!r} is no line of a fold",
                where=f"{table}, line {number}",
                allowed="file|magnification|fold|train or test",
            )
        if listed.setdefault((cells[0], int(cells[1])), cells[3]) != cells[3]:
            raise RequestError(f"{cells[0]!r} is in train and in test", where=f"{table}, line {number}")
    return listed


def _notes(images: list[_Image]) -> tuple[str, ...]:
    """Return the sentence on patients whose images are filed under several subtypes."""
    subtypes: defaultdict[str, set[str]] = defaultdict(set)
    for each in images:
        subtypes[each.patient].add(each.subtype)
    several = sorted(patient for patient, of in subtypes.items() if len(of) > 1)
    if not several:
        return ()
    return (f"Patients with images under several subtypes: {', '.join(several)}; each is one group.",)
