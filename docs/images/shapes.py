"""Draws the picture of docs/shapes.md: python docs/images/shapes.py [PATH]"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from distillab.sources.drawing import VARIABLES, Sketch, draw
from distillab.sources.shapes import Shapes

TILE, GAP, CAPTION = 64, 4, 20
WIDTH = 16 * (TILE + GAP) + GAP
Tiles = npt.NDArray[np.uint8]


def sketch(count: int, *, split: str = "train", first: int = 0, **keys: Any) -> Sketch:
    """The first pictures of a source, as they are read."""
    source = Shapes(**keys)
    rows = np.arange(first, first + count)
    classes = len(source.tree.classes)
    return source.scene.sketch(split, rows % classes, rows // classes)


def still(count: int, **columns: Any) -> Sketch:
    """The same picture in the middle, but for what ``columns`` say."""
    base = sketch(1, nuisances={"rotation": 0, "tilt": 0, "position": 0, "scale": (0.8, 0.8), "noise": 0})
    values = {"shape": 0, "texture": 0, "colour": 2, "background": 0, "ground": 1} | columns
    filled = {name: np.zeros(count, np.int64) + value for name, value in values.items()}
    return replace(base.take(np.zeros(count, np.int64)), **filled)


def tiles(shown: Sketch, side: int = TILE, channels: int = 3) -> Tiles:
    """uint8 ``[N, TILE, TILE, 3]``, small pictures enlarged without smoothing."""
    pixels = draw(shown, side, channels).transpose(0, 2, 3, 1).repeat(3 // channels, axis=3)
    return pixels.repeat(TILE // side, axis=1).repeat(TILE // side, axis=2)


def rows() -> list[tuple[str, list[Tiles]]]:
    """Captions, and the pictures of each row."""
    eight = np.arange(8)
    names = {name: len(values) for name, values in VARIABLES.items()}
    sixteen = np.arange(names["shape"])
    cue: dict[str, Any] = {"values": {"shape": 8}, "cues": {"background": 1.0}}
    large = sketch(16, define="texture", values={"texture": 4}, seed=4).take(np.array([1, 3, 6]))
    sizes = [*(draw(large, 224, 3).transpose(0, 2, 3, 1)), draw(large, 112, 3).transpose(0, 2, 3, 1)[0]]
    sizes += [draw(large, side, 3).transpose(0, 2, 3, 1)[0] for side in (56, 28)]
    return [
        ("shape: four families of four", [*tiles(still(16, shape=sixteen, colour=sixteen % 8))]),
        (
            "texture, and colour",
            [
                *tiles(still(8, shape=1, texture=eight)),
                *tiles(still(8, shape=2, colour=eight, ground=0)),
            ],
        ),
        (
            "background, on both grounds",
            [
                *tiles(still(8, shape=3, background=eight, ground=0)),
                *tiles(still(8, shape=3, background=eight)),
            ],
        ),
        ("the first images of `source: shapes`, 32 pixels", [*tiles(sketch(16), 32)]),
        ("the next ones in grey", [*tiles(sketch(16, first=16), 32, 1)]),
        (
            "cues: {background: 1}: eight classes in train, and in test",
            [
                *tiles(sketch(8, **cue)),
                *tiles(sketch(8, split="test", **cue)),
            ],
        ),
        ("224, 112, 56 and 28 pixels", sizes),
    ]


def main() -> None:
    """Lay the rows below each other."""
    laid = rows()
    height = sum(CAPTION + GAP + max(tile.shape[0] for tile in row) for _, row in laid) + GAP
    sheet = Image.new("RGB", (WIDTH, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = 0
    for caption, row in laid:
        pen.text((GAP, top + 2), caption, fill="black", font=font)
        top, left = top + CAPTION, GAP
        for tile in row:
            sheet.paste(Image.fromarray(tile), (left, top))
            left += tile.shape[1] + GAP
        top += max(tile.shape[0] for tile in row) + GAP
    here = Path(__file__).with_suffix(".png")
    sheet.save(sys.argv[1] if len(sys.argv) > 1 else here, optimize=True)


if __name__ == "__main__":
    main()
