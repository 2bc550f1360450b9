"""The ``drawn_tracks`` source: drawn people who walk past each other; nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from distillab.canonical import seed_from
from distillab.data.tracks import Tracks
from distillab.sources.source import ImageSource, RawSplit, RawSplits, source

WALKER = "walker"
"""The only class of drawn tracks."""
_SIDE = 96  # pixels per side if no resolution is given
_MARGIN = 0.25  # of a side, how far the world reaches beyond what the camera shows
_SWAY = 24  # frames in which the camera comes back to where it was
_PILLARS = 1
_LEAST_SHOWN = 0.5  # of a box, from which on it is in the frame
Pixels8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnObject:
    """A walker in a frame.

    Attributes:
        identity: Its number within the sequence.
        box: Left, top, right and bottom in pixels, within the frame.
        visibility: Share of it that nothing covers and that is in the frame.
    """

    identity: int
    box: tuple[float, float, float, float]
    visibility: float


@dataclass(frozen=True, eq=False)
class DrawnSequence:
    """A drawn sequence.

    Attributes:
        pixels: uint8 ``[F, side, side, 3]``.
        objects: The walkers of each frame.
    """

    pixels: Pixels8
    objects: tuple[tuple[DrawnObject, ...], ...]


@dataclass(frozen=True)
class _Walker:
    """How a walker looks and moves: size and place in sides, speed in sides per frame."""

    width: float
    height: float
    place: tuple[float, float]
    speed: tuple[float, float]
    colors: npt.NDArray[np.float64]  # of the upper and the lower half

    def box_at(self, frame: int, camera: tuple[float, float], side: int) -> tuple[float, ...]:
        """Return its box in pixels of a frame, whole."""
        spans = (1 + 2 * _MARGIN - self.width, 1 + 2 * _MARGIN - self.height)
        x, y = (
            _bounced(start + frame * step, span) - _MARGIN - shift
            for start, step, span, shift in zip(self.place, self.speed, spans, camera, strict=True)
        )
        return tuple(side * each for each in (x, y, x + self.width, y + self.height))


@source("drawn_tracks")
class DrawnTracks(ImageSource):
    """Drawn sequences of walkers with known identities, who cover each other, before a moving camera.

    Every sequence has walkers, colors, a background and a pillar of its own. Test sequences are other ones
    than those of training, from whose ends val is carved by time. A walker of whom less than half is in the
    frame is not annotated; one that is covered is. Sequence n of a split is the same whatever their number.

    Attributes:
        sequences: Sequences in train, from which val is carved.
        tested: Sequences in test.
        frames: Frames per sequence.
        walkers: Walkers per sequence.
        camera: How far the camera moves, in sides of the frame.
        noise: Standard deviation of the noise, in gray levels.
        seed: Seed of all draws.

    Example:
        >>> split = DrawnTracks(sequences=1, frames=10).read().train
        >>> split.items[0].shape, split.targets.kind, len(split.names)
        ((96, 96, 3), 'tracks', 9)
    """

    argument: ClassVar[str | None] = None

    sequences: Annotated[int, Field(ge=1, le=1000)] = 4
    tested: Annotated[int, Field(ge=1, le=1000)] = 4
    frames: Annotated[int, Field(ge=4, le=10_000)] = 40
    walkers: Annotated[int, Field(ge=1, le=20)] = 5
    camera: Annotated[float, Field(ge=0, le=_MARGIN)] = 0.08
    noise: Annotated[float, Field(ge=0, le=100)] = 8.0
    seed: int = 0

    def read(self) -> RawSplits:
        held = max(1, round(self.val * self.frames))
        seen = [(number, self.drawn("train", number)) for number in range(self.sequences)]
        others = [(self.sequences + number, self.drawn("test", number)) for number in range(self.tested)]
        last = self.frames - held
        return RawSplits(
            (WALKER,),
            self._split(seen, range(last)),
            self._split(seen, range(last, self.frames)),
            self._split(others, range(self.frames)),
            group_names=tuple(f"sequence {number + 1}" for number in range(self.sequences + self.tested)),
        )

    def drawn(self, split: str, number: int) -> DrawnSequence:
        """Return a sequence of a split, ``train`` or ``test``, by its number from 0."""
        side = self.resolution or _SIDE
        rng = np.random.default_rng(seed_from("drawn tracks", self.seed, split, number))
        wide = round(side * (1 + 2 * _MARGIN))
        tiles = rng.uniform(60, 140, (-(-wide // 8), -(-wide // 8), 3))
        ground = tiles.repeat(8, axis=0).repeat(8, axis=1)[:wide, :wide]
        walkers = [_walker(rng) for _ in range(self.walkers)]
        pillars = rng.uniform(_MARGIN, 1 + _MARGIN, _PILLARS)
        phases = rng.uniform(0, 2 * np.pi, 2)
        frames = []
        for frame in range(self.frames):
            x, y = self.camera * np.sin(2 * np.pi * frame / _SWAY + phases)
            frames.append(self._frame(frame, (float(x), float(y)), ground, walkers, pillars, rng))
        return DrawnSequence(np.stack([pixels for pixels, _ in frames]), tuple(found for _, found in frames))

    def _frame(
        self,
        frame: int,
        camera: tuple[float, float],
        ground: npt.NDArray[np.float64],
        walkers: list[_Walker],
        pillars: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> tuple[Pixels8, tuple[DrawnObject, ...]]:
        """Return the pixels of a frame and the walkers in it."""
        side = self.resolution or _SIDE
        left, top = (round(side * (_MARGIN + shift)) for shift in camera)
        pixels = ground[top : top + side, left : left + side].copy()
        owner = np.full((side, side), -1)
        boxes = [walker.box_at(frame, camera, side) for walker in walkers]
        # Who stands lower in the frame is closer, and covers the others.
        for number in sorted(range(len(boxes)), key=lambda each: boxes[each][3]):
            upper, whole = _masks(boxes[number], side)
            owner[whole] = number
            pixels[whole] = walkers[number].colors[1]
            pixels[upper] = walkers[number].colors[0]
        for place in pillars:
            x = round(side * (float(place) - _MARGIN - camera[0]))
            pixels[:, max(0, x) : max(0, x + side // 12)] = 30
            owner[:, max(0, x) : max(0, x + side // 12)] = -1
        pixels += rng.normal(0, self.noise, pixels.shape)
        found = []
        for number, box in enumerate(boxes):
            shown = tuple(min(max(edge, 0.0), float(side)) for edge in box)
            if _area(shown) < _LEAST_SHOWN * _area(box):
                continue
            visibility = float((owner == number).sum()) / (np.pi / 4 * _area(box))
            found.append(DrawnObject(number, (shown[0], shown[1], shown[2], shown[3]), min(1.0, visibility)))
        return pixels.round().clip(0, 255).astype(np.uint8), tuple(found)

    def _split(self, sequences: list[tuple[int, DrawnSequence]], frames: range) -> RawSplit:
        places = [(number, frame) for number, _ in sequences for frame in frames]
        by_number = dict(sequences)
        rows = [
            [
                (0, *each.box, number * self.walkers + each.identity)
                for each in by_number[number].objects[frame]
            ]
            for number, frame in places
        ]
        numbers = np.array(places, dtype=np.int64)
        return RawSplit(
            [by_number[number].pixels[frame] for number, frame in places],
            Tracks.of(rows, 1, numbers),
            [f"sequence {number + 1}, frame {frame + 1}" for number, frame in places],
            groups=numbers[:, 0],
            wholes=numbers[:, 0],
        )


def _walker(rng: np.random.Generator) -> _Walker:
    height = rng.uniform(0.22, 0.34)
    speed = rng.uniform(0.006, 0.018) * rng.choice([-1, 1])
    return _Walker(
        width=float(height * rng.uniform(0.4, 0.5)),
        height=float(height),
        place=(float(rng.uniform(0, 2)), float(rng.uniform(0, 2))),
        speed=(float(speed), float(rng.uniform(-0.003, 0.003))),
        colors=rng.uniform(0, 255, (2, 3)),
    )


def _bounced(place: float, span: float) -> float:
    """Return where something that turns around at 0 and at ``span`` is, after it has gone to ``place``."""
    place %= 2 * span
    return min(place, 2 * span - place)


def _masks(box: tuple[float, ...], side: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which pixels the upper half of a walker has, and which the whole, bool ``[side, side]``."""
    left, top, right, bottom = box
    at = np.arange(side) + 0.5
    x, y = (at - (left + right) / 2) / (right - left), (at - (top + bottom) / 2) / (bottom - top)
    whole = x[None, :] ** 2 + y[:, None] ** 2 <= 0.25
    return whole & (y[:, None] < 0), whole


def _area(box: tuple[float, ...]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
