"""What the folder of an exported detector, or network for tracking, has beside that of a classifier."""

from __future__ import annotations

from pathlib import Path

from distillab.deploy import detection_postprocessing
from distillab.deploy.description import ModelDescription
from distillab.deploy.files import LABELS
from distillab.tasks import Task, Tracking, tracker
from distillab.tasks.tracker import TrackerSettings

POSTPROCESSING = "detections.py"
"""From raw outputs to boxes, with NumPy alone."""
TRACKER = "tracks.py"
"""From the boxes of frame after frame to identities, with NumPy alone."""
DETECTOR_USE = (
    "Run these in this folder. ONNX files and `model.pt2` take pixels (uint8, `[N, height, width, "
    "channels]`, any N) and return raw outputs, one row per cell of the detector: scaling and normalization "
    f"are inside. `{POSTPROCESSING}` makes boxes of them, with NumPy alone: it decodes and clips them, "
    "suppresses those that overlap another one of their class by more than half, and keeps the 100 most "
    "confident. Boxes are in pixels of the resized image. What is outside is the resizing (to this size "
    "whatever the shape of the photograph; bilinear, antialiased, by Pillow) and the conversion of color, as "
    "below. `distillab predict` gives boxes in pixels of the photograph, and draws them."
)
TRACKER_USE = (
    "Run these in this folder; `frames` is a folder of images, whose names are in the order of time. ONNX "
    "files and `model.pt2` take pixels (uint8, `[N, height, width, channels]`, any N) and return raw "
    "outputs, one row per cell of the grid: scaling and normalization are inside. With NumPy alone, "
    f"`{POSTPROCESSING}` makes boxes and embeddings of them (the 100 most confident, of which none overlaps "
    f"another by more than half), and `{TRACKER}` gives boxes their identities, frame after frame: a Kalman "
    "filter per track and two assignments per frame. The four numbers in its settings are the confidences "
    "from which on a detection is assigned first, is assigned to what is left, and begins a track, and the "
    "frames after which a track that is not found again ends. Boxes are in pixels of the resized image. What "
    "is outside is the resizing (to this size whatever the shape of the frame; bilinear, antialiased, by "
    "Pillow) and the conversion of color, as below. `distillab predict` gives boxes in pixels of the frames, "
    "draws them, and writes files of MOTChallenge."
)
SHOWN_CONFIDENCE = 0.3
"""Confidence from which on boxes are shown unless another one is requested."""


def write_postprocessing(folder: Path, task: Task) -> None:
    """Write the code that makes boxes, and tracks, of raw outputs into the folder of an exported model.

    Args:
        folder: The folder.
        task: The task. There is nothing to write for one that finds no boxes.

    Example:
        >>> import tempfile
        >>> from distillab.tasks import Tracking
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_postprocessing(folder, Tracking())
        >>> sorted(file.name for file in folder.iterdir())
        ['detections.py', 'tracks.py']
    """
    modules = {POSTPROCESSING: detection_postprocessing} if task.dense else {}
    modules |= {TRACKER: tracker} if task.follows else {}
    for name, module in modules.items():
        assert module.__file__ is not None
        code = Path(module.__file__).read_text(encoding="utf-8")
        (folder / name).write_text(code, encoding="utf-8")


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


def tracker_settings(description: ModelDescription) -> TrackerSettings:
    """Return the thresholds of the tracker of a model.

    Args:
        description: What the model is.
    """
    task = description.task_config()
    assert isinstance(task, Tracking)  # the only task that follows objects
    return task.tracker


def tracker_code(description: ModelDescription, library: str, opened: str, cells: str, image: str) -> str:
    """Return a snippet that follows objects through the frames in a folder.

    Args:
        description: What the model is.
        library: The module that runs the model.
        opened: The expression that opens the model.
        cells: The expression of the raw outputs of ``image``.
        image: The expression that opens ``file`` as the model takes it.
    """
    size, chosen = description.network_input, tracker_settings(description)
    numbers = f"{chosen.confident}, {chosen.unsure}, {chosen.new}, {chosen.patience}"
    lines = [
        f"import glob, numpy as np, {library}",
        "from PIL import Image, ImageOps",
        "from detections import objects_of_cells",
        "from tracks import ObjectTracker, TrackerSettings",
        f"model, tracker = {opened}, ObjectTracker(TrackerSettings({numbers}))",
        'for file in sorted(glob.glob("frames/*")):',
        f"    image = {image}",
        f"    boxes, looks = objects_of_cells({cells}, {size.height}, {size.width})",
        "    for *box, confidence, number in tracker.next_frame(boxes[0], looks[0]):",
        "        print(file, int(number), confidence, box)",
    ]
    return "\n".join(lines)
