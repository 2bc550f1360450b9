"""Composition: from the content of images to their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from distillab.data.examples import Indices, Pixels
from distillab.data.randomness import random_bits
from distillab.sources.drawing.figures import FIGURES, F, Field
from distillab.sources.drawing.palette import Tones, figure_tones, gray, ground_tones
from distillab.sources.drawing.patterns import BACKGROUNDS, TEXTURES
from distillab.sources.drawing.variables import Sketch

_Floats = npt.NDArray[np.float32]

_PIECE = 2**18  # pixels composed at a time
_STROKE = 2**15  # pixels of one figure or pattern computed at a time: they fit into a core's cache
_TURN = 4096  # steps of a full turn
_ONE = 256  # a field of 1, as a whole number
_FIELDS = 5  # constant, figure, texture, background, noise
_TINT = 16  # largest deviation of a background's channel, in levels
_PERIOD = 0.46  # of textures, in radii of the figure
_LATTICE = 6  # points per side between which clouds are interpolated
_NOISE_SD = 32  # of the strip of noise
# Streams of a picture's random state.
_TINTS, _PATTERN, _CLOUDS, _NOISE = range(4)


def draw(sketch: Sketch, side: int, channels: int) -> Pixels:
    """Draw images, each a function of its own row alone.

    Args:
        sketch: Their content.
        side: Pixels per side.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        uint8 ``[N, channels, side, side]``.

    Example:
        >>> from distillab.sources.shapes import Shapes
        >>> sketch = Shapes().scene.sketch("train", np.array([0, 1]), np.array([0, 0]))
        >>> draw(sketch, side=28, channels=1).shape
        (2, 1, 28, 28)
    """
    pixels = np.empty((len(sketch), channels, side, side), dtype=np.uint8)
    size = max(1, _PIECE // side**2)
    for start in range(0, len(sketch), size):
        part = sketch.take(slice(start, start + size))
        pixels[start : start + size] = _draw(part, side, channels)
    return pixels


def _draw(sketch: Sketch, side: int, channels: int) -> Pixels:
    fields = np.empty((len(sketch), _FIELDS, side, side), dtype=np.float32)
    fields[:, 0] = 1
    _figures(sketch, side, fields)
    _backgrounds(sketch, side, fields)
    fields[:, 4] = _noise(sketch, side)
    weights = _weights(sketch, channels)
    flat = fields.reshape(len(sketch), _FIELDS, side * side)
    # Whole numbers below 2**24: exact, however the product is computed.
    levels = np.matmul(weights, flat)
    levels *= F(1 / _ONE)
    np.clip(levels, 0, 255, out=levels)
    pixels: Pixels = levels.astype(np.uint8).reshape(len(sketch), channels, side, side)
    return pixels


def _weights(sketch: Sketch, channels: int) -> Field:
    """Return the weight of each field in each channel, whole numbers, float32 ``[N, channels, 5]``."""
    bits = random_bits(sketch.states.view(np.int64), _TINTS)
    tints = np.stack([_share(bits, 8 * place, 2 * _TINT + 1) - _TINT for place in range(6)], axis=1)
    near, far = ground_tones(sketch.ground, tints.reshape(-1, 2, 3).astype(np.int32))
    main, second = figure_tones(sketch.colour, sketch.ground)
    tones = [main, second, near, far]
    main, second, near, far = tones if channels == 3 else [gray(tone) for tone in tones]
    kept = np.rint(sketch.contrast * _ONE).astype(np.int32)[:, None]
    main, second = _mixed(near, main, kept), _mixed(near, second, kept)
    noise = np.broadcast_to(np.rint(sketch.noise * (255 * _ONE / _NOISE_SD))[:, None], main.shape)
    columns = [near * _ONE + _ONE // 2, main - near, second - main, far - near, noise]
    return np.stack(columns, axis=2).astype(np.float32)


def _mixed(start: Tones, end: Tones, share: Tones) -> Tones:
    """Interpolate between two tones; the share is in 256ths."""
    found: Tones = start + ((end - start) * share + _ONE // 2) // _ONE
    return found


def _share(bits: npt.NDArray[np.uint64], shift: int, values: int) -> npt.NDArray[np.int64]:
    """Return one of ``values`` whole numbers, from the eight bits at ``shift``."""
    found: npt.NDArray[np.int64] = ((bits >> np.uint64(shift)) & np.uint64(255)).astype(np.int64)
    return found * values >> 8


def _figures(sketch: Sketch, side: int, fields: Field) -> None:
    """Fill the fields of figures and of their textures."""
    names, textures = list(FIGURES), list(TEXTURES)
    for shape, rows in _groups(sketch.shape, side):
        x, y, reach = _figure_plane(sketch.take(rows), side)
        fields[rows, 1] = np.clip(F(0.5) - FIGURES[names[shape]](x, y) * reach, 0, 1)
    for texture, rows in _groups(sketch.texture, side):
        part = sketch.take(rows)
        x, y, reach = _figure_plane(part, side)
        bits = random_bits(part.states.view(np.int64), _PATTERN)
        # Varied by a fifth, so that the period does not identify the texture.
        period = (_PERIOD * (0.8 + _share(bits, 0, 256) / 640)).astype(np.float32)[:, None, None]
        share = TEXTURES[textures[texture]](x / period, y / period, reach * period)
        fields[rows, 2] = np.rint(share * fields[rows, 1] * F(_ONE))
    fields[:, 1] = np.rint(fields[:, 1] * F(_ONE))


def _backgrounds(sketch: Sketch, side: int, fields: Field) -> None:
    """Fill the field of backgrounds where no figure covers it."""
    names = list(BACKGROUNDS)
    for background, rows in _groups(sketch.background, side):
        part = sketch.take(rows)
        pattern = BACKGROUNDS[names[background]]
        share = _clouds(part, side) if pattern is None else pattern(*_ground_plane(part, side))
        fields[rows, 3] = np.rint(share * (F(_ONE) - fields[rows, 1]))


def _groups(values: Indices, side: int) -> Iterator[tuple[int, Indices]]:
    """Yield each value that occurs with its rows, a stroke at a time."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order], prepend=-1, append=-1))
    size = max(1, _STROKE // side**2)
    for first, last in pairwise(ends):
        for start in range(first, last, size):
            yield int(values[order[first]]), order[start : min(start + size, last)]


@cache
def _axis(side: int) -> _Floats:
    """Return the centers of the pixels, in half sides from the middle."""
    return (2 * np.arange(side, dtype=np.float32) + F(1 - side)) / F(side)


@cache
def _sines() -> _Floats:
    """Return the sine of every step of a turn, rounded to 2**14ths, the same with every math library."""
    angles = np.arange(_TURN) * (2 * np.pi / _TURN)
    sines: _Floats = (np.rint(np.sin(angles) * 2**14) / 2**14).astype(np.float32)
    return sines


def _turned(x: Field, y: Field, turns: npt.NDArray[np.float64]) -> tuple[Field, Field, Field, Field]:
    """Return rows ``[N, 1, W]`` and columns ``[N, H, 1]`` whose sums are coordinates turned back."""
    step = np.rint(turns * _TURN).astype(np.int64) % _TURN
    sine = _sines()[step][:, None, None]
    cosine = _sines()[(step + _TURN // 4) % _TURN][:, None, None]
    return cosine * x, sine * y, -sine * x, cosine * y


def _figure_plane(sketch: Sketch, side: int) -> tuple[Field, Field, Field]:
    """Return x and y of the pixels in radii of the figure, ``[N, H, W]`` each, and pixels per radius."""
    axis = _axis(side)
    column = [values.astype(np.float32)[:, None, None] for values in (sketch.x, sketch.y, sketch.scale)]
    left, up, scale = column
    x, y = axis[None, None, :] - left, -axis[None, :, None] - up
    narrow = (1 - sketch.tilt).astype(np.float32)[:, None, None]
    x_row, x_column, y_row, y_column = _turned(x / scale, y / scale, sketch.rotation)
    # Distances across a tilted figure are shorter than along it; the mean keeps edges smooth in both.
    reach = scale * F(side / 2) * (F(0.5) + F(0.5) * narrow)
    return x_row / narrow + x_column / narrow, y_row + y_column, reach


def _ground_plane(sketch: Sketch, side: int) -> tuple[Field, Field, Field]:
    """Return x and y of the pixels in periods of the background, ``[N, H, W]``, and pixels per period."""
    bits = random_bits(sketch.states.view(np.int64), _PATTERN)
    period = (0.4 + _share(bits, 8, 256) / 1024).astype(np.float32)[:, None, None]
    phase_x = (_share(bits, 16, 256) / 256 - 0.5).astype(np.float32)[:, None, None]
    phase_y = (_share(bits, 24, 256) / 256 - 0.5).astype(np.float32)[:, None, None]
    axis = _axis(side)
    x, y = axis[None, None, :] / period, -axis[None, :, None] / period
    x_row, x_column, y_row, y_column = _turned(x, y, _share(bits, 32, 256) / 256)
    return x_row + (x_column + phase_x), y_row + (y_column + phase_y), period * F(side / 2)


@cache
def _slopes(side: int) -> Field:
    """Return the interpolation weights of the lattice in whole 64ths, ``[side, lattice points]``."""
    place = (np.arange(side) * 2 + 1) * (_LATTICE - 1) / (2 * side)
    cell = np.minimum(place.astype(np.int64), _LATTICE - 2)
    inside = place - cell
    share = np.rint(64 * inside * inside * (3 - 2 * inside))
    slopes = np.zeros((side, _LATTICE), dtype=np.float32)
    slopes[np.arange(side), cell] = 64 - share
    slopes[np.arange(side), cell + 1] = share
    return slopes


def _clouds(sketch: Sketch, side: int) -> Field:
    """Return smooth noise in [0, 1], ``[N, H, W]``, exact since products are whole numbers below 2**24."""
    keys = sketch.states.view(np.int64)[:, None]
    places = np.arange(_LATTICE * _LATTICE, dtype=np.int64)
    bits = random_bits(keys + places, _CLOUDS)
    lattice = (bits >> np.uint64(56)).astype(np.float32).reshape(-1, _LATTICE, _LATTICE)
    slopes = _slopes(side)
    summed: Field = np.matmul(np.matmul(slopes, lattice), slopes.T)
    return summed * F(1 / (255 * 64 * 64))


@cache
def _strip(length: int) -> npt.NDArray[np.int8]:
    """Return nearly normal noise of standard deviation 32: the sum of four bytes (Irwin and Hall)."""
    bits = random_bits(np.arange(length, dtype=np.int64), _NOISE)
    total = sum(((bits >> np.uint64(8 * place)) & np.uint64(255)).astype(np.int64) for place in range(4))
    return np.clip((total - 510) * 7 // 32, -127, 127).astype(np.int8)


def _noise(sketch: Sketch, side: int) -> npt.NDArray[np.int8]:
    """Return a stretch of the strip for each image, int8 ``[N, H, W]``."""
    strip = _strip(2**20)
    windows = np.lib.stride_tricks.sliding_window_view(strip, side * side)
    bits = random_bits(sketch.states.view(np.int64), _NOISE)
    starts = (bits >> np.uint64(32)).astype(np.int64) * len(windows) >> 32
    noise: npt.NDArray[np.int8] = windows[starts].reshape(-1, side, side)
    return noise
