"""A few training examples per class, as read, for the report of any study."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from distillab.data.boxes import Boxes
from distillab.data.examples import Examples, Indices
from distillab.data.targets import Labels
from distillab.printable import counted
from distillab.report.collect.gallery import SOUNDS, preview_of, take_turns, tile_labels
from distillab.report.collect.spectrograms import spectrogram_axes
from distillab.report.contents.pictures import Pictures, Strip, Tile
from distillab.study.folder import StudyFolder

TRAIN_EXAMPLES = 12  # examples in all
LONGEST_TEXT = 240  # of a text
_BOX = (255, 140, 0)  # orange
_BOXED_SIDE = 128  # pixels to which smaller images with boxes are enlarged


def train_examples(folder: StudyFolder) -> Pictures | None:
    """Return a fixed random choice of training examples, classes in turn; None if no example has a class.

    Of sounds that can be played there are at most eight, so that the page stays small. Images with boxes have
    the boxes drawn.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.study.spec.study import parse_study
        >>> small = {"data": {"source": "digits", "classes": 2}, "teacher": {"model": "resnet8"}, "seeds": 1}
        >>> values = {"study": "tiny", "students": "resnet8", "methods": ["kd"], **small}
        >>> spec = parse_study(values, Path(), "study")
        >>> folder = StudyFolder.begin(Path(tempfile.mkdtemp()) / "tiny", spec, torch.device("cpu"))
        >>> len(train_examples(folder).before.tiles)
        12
    """
    train, originals = folder.dataset.train, folder.dataset.originals
    chosen = choose_of_classes(train, TRAIN_EXAMPLES if originals is None else SOUNDS)
    if not len(chosen):
        return None
    tiles = []
    for position in chosen.tolist():
        preview = preview_of(train, position, originals)
        picture, text = preview.picture, preview.text
        if isinstance(train.targets, Boxes):
            picture = _with_boxes(picture, train.targets.plain.values[position])
        if text is not None and len(text) > LONGEST_TEXT:
            text = text[:LONGEST_TEXT] + "…"
        tiles.append(Tile(picture, tile_labels(train, position), sound=preview.sound, text=text))
    found = {name for tile in tiles for name in tile.labels}
    noun = folder.spec.task_config().class_noun
    return Pictures(
        factor="",
        dataset=folder.dataset.name,
        classes=train.classes,
        before=Strip("train, as read", tuple(tiles)),
        note=f"A random choice of {counted(len(tiles), 'training example')} of {len(found)} of "
        f"{counted(len(train.classes), noun)}; it is the same in every report of these data.",
        several_labels=not isinstance(train.targets, Labels),
        is_factor=False,
        axes=spectrogram_axes(folder),
    )


def choose_of_classes(examples: Examples, most: int) -> Indices:
    """Return positions of up to ``most`` examples, int64, sorted by class.

    Classes take turns in random order; the choice depends on the examples alone.

    Args:
        examples: A set of examples.
        most: The largest number of positions.

    Example:
        >>> images = Examples.of(np.zeros((5, 1, 8, 8), np.uint8), [1, 0, 0, 0, 0], ("no", "yes"))
        >>> images.labels[choose_of_classes(images, 3)].tolist()
        [0, 0, 1]
    """
    rng = np.random.default_rng(0)
    belongs = examples.targets.members
    of_class = [rng.permutation(np.flatnonzero(mask)) for mask in belongs.T]
    order = rng.permutation(len(of_class)).tolist()
    chosen = list(dict.fromkeys(take_turns([of_class[number] for number in order])))[:most]
    return np.array(sorted(chosen, key=lambda place: tuple(np.flatnonzero(belongs[place]))), dtype=np.int64)


def _with_boxes(picture: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return a picture with the outlines of boxes, enlarged by a whole number if it is small.

    Args:
        picture: uint8 ``[C, H, W]`` with one or three channels.
        boxes: float32 ``[M, 5]``: class (negative for none), left, top, right and bottom in pixels.
    """
    side = max(picture.shape[1:])
    enlarged = max(1, _BOXED_SIDE // side)
    pixels = np.broadcast_to(picture, (3, *picture.shape[1:])).repeat(enlarged, 1).repeat(enlarged, 2)
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    draw, width = ImageDraw.Draw(image), max(1, enlarged * side // _BOXED_SIDE)
    for label, left, top, right, bottom in boxes.tolist():
        if label >= 0:
            corners = [value * enlarged for value in (left, top, right, bottom)]
            ends = [max(start, end - 1) for start, end in zip(corners[:2], corners[2:], strict=True)]
            draw.rectangle([*corners[:2], *ends], outline=_BOX, width=width)
    return np.asarray(image).transpose(2, 0, 1)
