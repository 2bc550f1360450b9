"""The ``shapes`` source: drawn images, every property of which is known."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import BeforeValidator, Field, model_validator

from distillab.data.examples import Indices, Pixels
from distillab.data.targets import Labels
from distillab.errors import RequestError, unknown_name
from distillab.sources.drawing import FAMILY_OF, VARIABLES, ClassTree, Nuisances, Scene, draw
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source

_SIDE = 32  # pixels per side if no resolution is given
_BLOCK_PIXELS = 2**18  # drawn at a time
_KEPT_BLOCKS = 16  # images are read in order by a few threads, each in a block of its own

Variable = Literal["family", "shape", "texture", "colour", "background", "ground"]


def _as_list(value: Any) -> Any:
    """Accept a single name in place of a list of one."""
    return [value] if isinstance(value, str) else value


@source("shapes")
class Shapes(ImageSource):
    """Drawn images of known shape, texture, color, background, pose and scale; nothing to download.

    ``define`` names the variables that define a class (``[shape]``, ``[texture]``, ``[shape, texture]``,
    ...), and the classes form a tree: families of shapes, shapes, shapes with a texture. All other variables
    are drawn at random, the same for the same seed on every machine, unless a cue associates one with the
    class. Image n of a class is the same whatever the number of images and, cues aside, whatever other
    classes there are. Images are drawn at the requested resolution (28 to 224 pixels are legible) instead of
    being resized.

    Attributes:
        images: Images per class in train (from which val is carved).
        test_images: Images per class in test.
        seed: Seed of all draws.
        define: The variables whose values define a class, coarsest first.
        coarse: The level of the tree that gives the coarse classes; by default the last but one.
        values: The values in use of a variable: a list of names, or the first k; by default all.
        cues: Strength of the association of a variable with the class, -1 to 1, in train, or by split
            (``background: {train: 0.9, test: -1}``); see :class:`~distillab.sources.drawing.Scene`.
        nuisances: Ranges of rotation, tilt, scale, position and contrast, and the noise.
        group: The variable that is recorded as the images' group.

    Example:
        >>> shapes = Shapes(define="texture", values={"texture": 3}, images=2)
        >>> shapes.read().classes
        ('solid', 'stripes', 'dots')
    """

    argument: ClassVar[str | None] = "define"

    images: Annotated[int, Field(ge=1, lt=2**32)] = 200
    test_images: Annotated[int, Field(ge=1, lt=2**32)] = 100
    seed: int = 0
    define: Annotated[tuple[Variable, ...], BeforeValidator(_as_list)] = ("shape",)
    coarse: Variable | None = None
    values: dict[Variable, int | list[str]] = Field(default={})
    cues: dict[Variable, float | dict[Literal["train", "test"], float]] = Field(default={})
    nuisances: Nuisances = Nuisances()
    group: Variable | None = None

    @model_validator(mode="after")
    def _drawable(self) -> Shapes:
        tree = self.tree
        if len(tree.classes) < 2:
            raise RequestError(
                f"there is only one class, {tree.classes[0]!r}", allowed="at least two classes"
            )
        for name, strength in self.cues.items():
            place = f"cues.{name}"
            given = strength.values() if isinstance(strength, dict) else [strength]
            if wrong := [value for value in given if not -1 <= value <= 1]:
                raise RequestError(f"{wrong[0]:g} is not a strength", where=place, allowed="-1 to 1")
            if name in tree.levels or name == "family":
                raise RequestError(
                    f"{name} cannot be a cue: it is part of the definition of the class", where=place
                )
            if len(tree.values[name]) < 2:
                raise RequestError(f"{name} has only one value", where=place, allowed="at least two values")
        if self.channels == 1 and ("colour" in self.define or "colour" in self.cues):
            raise RequestError("gray images have no color", where="channels", allowed="3")
        return self

    @cached_property
    def tree(self) -> ClassTree:
        """The classes with their names and coarse classes."""
        return ClassTree(self.define, self._used(), self.coarse)

    @cached_property
    def scene(self) -> Scene:
        """The distribution of the images; :meth:`Scene.choices` gives the variables of any image."""
        cues: dict[str, dict[str, float]] = {"train": {}, "test": {}}
        for name, strength in self.cues.items():
            by_split = strength if isinstance(strength, dict) else {"train": strength}
            for split, value in by_split.items():
                cues[split][name] = value
        return Scene(self.tree, self.nuisances, cues, self.seed)

    def read(self) -> RawSplits:
        return RawSplits(
            self.tree.classes,
            self._split("train", self.images),
            test=self._split("test", self.test_images),
            group_names=VARIABLES[self.group] if self.group else (),
            parents=self.tree.parents,
        )

    def variables(self, split: Literal["train", "test"]) -> dict[str, Indices]:
        """Return all variables of a split, as positions in ``VARIABLES``: int64 ``[N]`` each."""
        labels, numbers = self._order(self.images if split == "train" else self.test_images)
        return self.scene.choices(split, labels, numbers)

    def _split(self, split: Literal["train", "test"], each: int) -> RawSplit:
        labels, _ = self._order(each)
        blocks = _Blocks(
            self.scene, split, len(self.tree.classes), self.resolution or _SIDE, self.channels or 3
        )
        return RawSplit(
            [Drawn(blocks, row) for row in range(len(labels))],
            Labels(labels, len(self.tree.classes)),
            [f"{split}[{row}]" for row in range(len(labels))],
            self.variables(split)[self.group] if self.group else None,
        )

    def _order(self, each: int) -> tuple[Indices, Indices]:
        """Return labels and numbers of ``each`` images per class: all first ones, all second ones, and so on.

        The ids of a smaller set are hence those of the same images in a larger one.
        """
        rows = np.arange(each * len(self.tree.classes), dtype=np.int64)
        return rows % len(self.tree.classes), rows // len(self.tree.classes)

    def _used(self) -> dict[str, tuple[int, ...]]:
        """Return the values in use of every variable, as positions in ``VARIABLES``."""
        used: dict[str, tuple[int, ...]] = {}
        for name, known in VARIABLES.items():
            wanted = self.values.get(name, len(known))  # type: ignore[call-overload]
            place = f"values.{name}"
            names = list(known[:wanted]) if isinstance(wanted, int) else wanted
            if isinstance(wanted, int) and not 1 <= wanted <= len(known):
                raise RequestError(
                    f"{wanted} values are requested", where=place, allowed=f"1 to {len(known)}"
                )
            for value in names:
                if value not in known:
                    raise unknown_name(name, value, known, where=place)
            if not names or len(set(names)) < len(names):
                raise RequestError(f"{names} is not a choice", where=place, allowed="different names")
            used[name] = tuple(known.index(value) for value in names)
        return _with_families(used)


def _with_families(used: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Keep only the shapes of families in use, and the families of shapes in use."""
    families, shapes = VARIABLES["family"], VARIABLES["shape"]
    chosen = {families[value] for value in used["family"]}
    kept = tuple(value for value in used["shape"] if FAMILY_OF[shapes[value]] in chosen)
    if not kept:
        raise RequestError("none of these shapes belongs to these families", where="values")
    present = {FAMILY_OF[shapes[value]] for value in kept}
    return used | {
        "shape": kept,
        "family": tuple(value for value in used["family"] if families[value] in present),
    }


class _Blocks:
    """The images of a split, drawn in blocks on demand, of which the last few are kept."""

    def __init__(self, scene: Scene, split: str, classes: int, side: int, channels: int) -> None:
        self._scene, self._split, self._classes = scene, split, classes
        self._side, self._channels = side, channels
        self._size = max(1, _BLOCK_PIXELS // side**2)
        self._kept: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, row: int) -> Pixels:
        """Return one image, uint8 ``[H, W]`` or ``[H, W, 3]``."""
        number, place = divmod(row, self._size)
        with self._lock:
            block = self._kept.get(number)
        if block is None:
            block = self._draw(number)
            with self._lock:
                self._kept[number] = block
                while len(self._kept) > _KEPT_BLOCKS:
                    self._kept.popitem(last=False)
        image = block[place]
        pixels: Pixels = image[0] if self._channels == 1 else image.transpose(1, 2, 0)
        return pixels

    def _draw(self, number: int) -> Pixels:
        rows = np.arange(number * self._size, (number + 1) * self._size, dtype=np.int64)
        sketch = self._scene.sketch(self._split, rows % self._classes, rows // self._classes)
        return draw(sketch, self._side, self._channels)


@dataclass(frozen=True)
class Drawn:
    """One image, drawn when it is called."""

    blocks: _Blocks
    row: int

    def __call__(self) -> Image.Image:
        return Image.fromarray(self.blocks.image(self.row))
