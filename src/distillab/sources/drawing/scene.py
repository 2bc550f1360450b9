"""The scene: the random content of an image, given its class, its split and its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from distillab.data.examples import Indices
from distillab.data.randomness import random_bits, uniform
from distillab.errors import RequestError
from distillab.sources.drawing.tree import ClassTree
from distillab.sources.drawing.variables import FAMILY_OF, SHAPE_FAMILIES, VARIABLES, Floats, Sketch


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise RequestError(f"[{ends[0]}, {ends[1]}] is not a range", allowed="the lower end first")
    return ends


Portion = Annotated[float, Field(ge=0, le=1)]


class Nuisances(BaseModel):
    """What varies from image to image independently of the class, each uniform in its range.

    Attributes:
        rotation: Largest rotation to either side in degrees; 180 is any direction.
        tilt: How much narrower at most a figure is than in frontal view.
        scale: Radius of the figure, in half sides of the image.
        position: Share of the room around a figure in which its center may be; 0 is the middle. No figure is
            cut off.
        contrast: Share of the contrast between figure and background that is kept.
        noise: Standard deviation of the pixels' noise, in units of the whole range; constant.

    Example:
        >>> Nuisances(rotation=180).position
        1.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation: Annotated[float, Field(ge=0, le=180)] = 20.0
    tilt: Annotated[float, Field(ge=0, le=0.8)] = 0.15
    scale: Annotated[
        tuple[Annotated[float, Field(ge=0.1, le=1)], Annotated[float, Field(ge=0.1, le=1)]],
        AfterValidator(_ascending),
    ] = (0.6, 0.9)
    position: Portion = 1.0
    contrast: Annotated[tuple[Portion, Portion], AfterValidator(_ascending)] = (0.8, 1.0)
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.02


# Every variable has its own random stream, so that fixing one does not change another.
_STREAMS = {"family": 1, "shape": 2, "texture": 3, "colour": 4, "background": 5, "ground": 6}
_STREAMS |= {"rotation": 7, "tilt": 8, "scale": 9, "x": 10, "y": 11, "contrast": 12, "state": 13}
_CUE = 100  # added to the stream of a variable for the draw of whether its cue holds
SPLIT_KEYS = {"train": 0, "test": 2}


@dataclass(frozen=True, eq=False)
class Scene:
    """The distribution of images of the classes of a tree.

    Attributes:
        tree: The classes.
        nuisances: What varies besides.
        cues: For each split, the strength, in [-1, 1], of the association of a variable with the class. The
            own value of class k is number k, modulo their number, of those in use. With strength s > 0 an
            image has the own value of its class with probability s, and else any; with s < 0 another value
            with probability -s, and else any. Over as many classes as values, Cramér's V of class and
            variable is s.
        seed: Seed of all draws.

    Example:
        >>> values = {name: (0,) for name in VARIABLES} | {"ground": (0, 1)}
        >>> tree = ClassTree(("ground",), values)
        >>> scene = Scene(tree, Nuisances(), {}, seed=0)
        >>> scene.choices("train", np.array([0, 1]), np.array([0, 0]))["ground"]
        array([0, 1])
    """

    tree: ClassTree
    nuisances: Nuisances
    cues: dict[str, dict[str, float]]
    seed: int

    def sketch(self, split: str, labels: Indices, numbers: Indices) -> Sketch:
        """Return the content of images.

        Args:
            split: ``train`` or ``test``.
            labels: Their classes, int64 ``[N]``.
            numbers: The number of each image within its class, int64 ``[N]``, below 2**32.
        """
        # Draws depend on the definition of the class, not on its label: other classes change no image.
        ids = (self.tree.codes[labels] << 32) + numbers
        chosen = self.choices(split, labels, numbers)
        drawn = self.nuisances
        scale = self._between(ids, split, "scale", *drawn.scale)
        room = drawn.position * (1 - scale)
        return Sketch(
            **{name: chosen[name] for name in ("shape", "texture", "colour", "background", "ground")},
            rotation=self._between(ids, split, "rotation", -drawn.rotation / 360, drawn.rotation / 360),
            tilt=self._between(ids, split, "tilt", 0.0, drawn.tilt),
            scale=scale,
            x=room * self._between(ids, split, "x", -1.0, 1.0),
            y=room * self._between(ids, split, "y", -1.0, 1.0),
            contrast=self._between(ids, split, "contrast", *drawn.contrast),
            noise=np.full(len(ids), drawn.noise),
            states=random_bits(ids, self.seed, SPLIT_KEYS[split], _STREAMS["state"]),
        )

    def choices(self, split: str, labels: Indices, numbers: Indices) -> dict[str, Indices]:
        """Return the values of all :data:`VARIABLES`, as positions in them: int64 ``[N]`` each."""
        ids = (self.tree.codes[labels] << 32) + numbers
        table = self.tree.table
        chosen = {name: table[name][labels] for name in self.tree.levels}
        for name in VARIABLES:
            if name in chosen or name == "family":
                continue
            values = np.array(self.tree.values[name], dtype=np.int64)
            if name == "shape" and "family" in chosen:
                chosen[name] = self._shape_of_family(ids, split, chosen["family"])
            else:
                chosen[name] = values[self._free(ids, split, name, labels)]
        families = [list(SHAPE_FAMILIES).index(FAMILY_OF[shape]) for shape in VARIABLES["shape"]]
        chosen["family"] = np.array(families, dtype=np.int64)[chosen["shape"]]
        return chosen

    def _free(self, ids: Indices, split: str, name: str, labels: Indices) -> Indices:
        """Return values of a variable that does not define the class, as positions among those in use."""
        count = len(self.tree.values[name])
        stream = _STREAMS[name]
        places = self._place(ids, split, stream, count)
        strength = self.cues.get(split, {}).get(name, 0.0)
        if not strength:
            return places
        own = labels % count
        other = (own + 1 + self._place(ids, split, stream, count - 1)) % count
        holds = uniform(ids, self.seed, SPLIT_KEYS[split], stream + _CUE) < abs(strength)
        return np.where(holds, own if strength > 0 else other, places)

    def _shape_of_family(self, ids: Indices, split: str, families: Indices) -> Indices:
        """Return a shape in use of each family, int64 ``[N]``."""
        shapes = np.zeros(len(ids), dtype=np.int64)
        for family in np.unique(families):
            members = SHAPE_FAMILIES[VARIABLES["family"][family]]
            used = [value for value in self.tree.values["shape"] if VARIABLES["shape"][value] in members]
            here = families == family
            shapes[here] = np.array(used)[self._place(ids[here], split, _STREAMS["shape"], len(used))]
        return shapes

    def _place(self, ids: Indices, split: str, stream: int, count: int) -> Indices:
        """Return one of ``count`` positions for each image, int64 ``[N]``."""
        bits = random_bits(ids, self.seed, SPLIT_KEYS[split], stream)
        return (bits >> np.uint64(32)).astype(np.int64) * count >> 32

    def _between(self, ids: Indices, split: str, name: str, low: float, high: float) -> Floats:
        draws = uniform(ids, self.seed, SPLIT_KEYS[split], _STREAMS[name])
        return low + draws * (high - low)
