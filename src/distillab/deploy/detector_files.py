"""What the folder of an exported detector has beside that of a classifier."""

from __future__ import annotations

from pathlib import Path

from distillab.deploy import detection_postprocessing
from distillab.deploy.description import ModelDescription
from distillab.deploy.files import LABELS

POSTPROCESSING = "detections.py"
"""From raw outputs to boxes, with NumPy alone."""
DETECTOR_USE = (
    "Run these in this folder. ONNX files and `model.pt2` take pixels (uint8, `[N, height, width, "
    "channels]`, any N) and return raw outputs, one row per cell of the detector: scaling and normalization "
    f"are inside. `{POSTPROCESSING}` makes boxes of them, with NumPy alone: it decodes and clips them, "
    "suppresses those that overlap another one of their class by more than half, and keeps the 100 most "
    "confident. Boxes are in pixels of the resized image. What is outside is the resizing (to this size "
    "whatever the shape of the photograph; bilinear, antialiased, by Pillow) and the conversion of color, as "
    "below. `distillab predict` gives boxes in pixels of the photograph, and draws them."
)
SHOWN_CONFIDENCE = 0.3
"""Confidence from which on boxes are shown unless another one is requested."""


def write_postprocessing(folder: Path) -> None:
    """Write the code that makes boxes of raw outputs into the folder of an exported detector.

    Args:
        folder: The folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_postprocessing(folder)
        >>> "def boxes_of_cells" in (folder / POSTPROCESSING).read_text()
        True
    """
    code = Path(detection_postprocessing.__file__).read_text(encoding="utf-8")
    (folder / POSTPROCESSING).write_text(code, encoding="utf-8")


def box_lines(description: ModelDescription) -> list[str]:
    """Return the lines of a snippet that print the boxes in the raw outputs called ``cells``.

    Args:
        description: What the detector is.
    """
    size = description.network_input
    return [
        f'names = open("{LABELS}", encoding="utf-8").read().splitlines()',
        f"for *box, confidence, label in boxes_of_cells(cells, {size.height}, {size.width})[0]:",
        f"    if confidence >= {SHOWN_CONFIDENCE}: print(names[int(label)], confidence, box)",
    ]
