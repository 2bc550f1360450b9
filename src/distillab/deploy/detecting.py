"""Detections for files: the boxes of each file, or the reason why it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from distillab.canonical import JsonObject
from distillab.data.examples import Items
from distillab.deploy.detected import DetectedBox, detected_boxes
from distillab.deploy.detector_files import SHOWN_CONFIDENCE
from distillab.deploy.loaded import LoadedModel
from distillab.deploy.preprocessing import preprocess_file, upright_picture
from distillab.errors import RequestError

_AT_A_TIME = 8  # files, whose pictures are held in memory


@dataclass(frozen=True)
class FileDetections:
    """What a detector finds in one file.

    Attributes:
        file: The file as it was named.
        boxes: The boxes, the most confident first.
        picture: The picture as it is displayed; None for a file that failed.
        error: Why the file cannot be read; None if it can.

    Example:
        >>> FileDetections("a.png", error="there is no such file").as_dict()
        {'file': 'a.png', 'error': 'there is no such file'}
    """

    file: str
    boxes: tuple[DetectedBox, ...] = ()
    picture: Image.Image | None = None
    error: str | None = None

    def as_dict(self) -> JsonObject:
        """Return the JSON form: ``file``, ``width``, ``height`` and ``boxes``; or ``file`` and ``error``."""
        if self.error is not None or self.picture is None:
            return {"file": self.file, "error": self.error}
        width, height = self.picture.size
        size = {"width": width, "height": height}
        return {"file": self.file, **size, "boxes": [box.as_dict() for box in self.boxes]}


def detect_files(
    model: LoadedModel, files: Sequence[Path], *, least: float = SHOWN_CONFIDENCE
) -> Iterator[FileDetections]:
    """Yield the boxes in each file, in order. A file that cannot be read does not stop the others.

    Args:
        model: A detector.
        files: The files.
        least: Confidence below which a box is left out.

    Example:
        >>> from distillab.deploy.description import ModelDescription
        >>> from distillab.deploy.loaded import TorchEngine
        >>> from distillab.models import InputSpec
        >>> description = ModelDescription(
        ...     architecture="fcos_dwnet_s", classes=("cell",), item=InputSpec(1, 32, 32),
        ...     mean=np.zeros(1, np.float32), std=np.ones(1, np.float32), task={"name": "detection"},
        ... )
        >>> model = LoadedModel(Path("model"), description, TorchEngine(description.build(), description))
        >>> [each.error for each in detect_files(model, [Path("missing.png")])]
        ['there is no such file']
    """
    for start in range(0, len(files), _AT_A_TIME):
        yield from _detect_some(model, files[start : start + _AT_A_TIME], least)


def _detect_some(model: LoadedModel, files: Sequence[Path], least: float) -> Iterator[FileDetections]:
    read: dict[Path, tuple[Items, Image.Image]] = {}
    errors: dict[Path, str] = {}
    for file in files:
        try:
            read[file] = preprocess_file(file, model.description), upright_picture(file, model.description)
        except RequestError as error:
            errors[file] = str(error).removeprefix(f"{file}: ")
    boxes: dict[Path, tuple[DetectedBox, ...]] = {}
    if read:
        cells, _ = model.engine.run(np.stack([item for item, _ in read.values()]), len(read))
        sizes = [(picture.height, picture.width) for _, picture in read.values()]
        boxes = dict(zip(read, detected_boxes(cells, sizes, model.description, least), strict=True))
    for file in files:
        if file in errors:
            yield FileDetections(str(file), error=errors[file])
        else:
            yield FileDetections(str(file), boxes[file], read[file][1])
