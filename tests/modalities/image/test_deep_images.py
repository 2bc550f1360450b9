"""Images with more than 8 bits keep their gray levels: one range for the whole set, found or stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from distillab.errors import RequestError
from distillab.sources import parse_source
from distillab.sources.source import ImageSource
from support.images import decoded, encoded, gray_levels, of, png16, tiff

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
SIDE = 16


def ramp(low: float, high: float, dtype: Any = np.uint16) -> Array:
    """Return ``[16, 16]`` values from low to high, both included."""
    values = np.linspace(low, high, SIDE * SIDE).reshape(SIDE, SIDE)
    return (values if np.dtype(dtype).kind == "f" else np.rint(values)).astype(dtype)


def scaled(values: Array, low: float, high: float) -> Array:
    exact = 255 * (values.astype(np.float64) - low) / (high - low)
    return np.floor(exact + 0.5).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [
        (0, 300, 0, 300),  # thermal, X-ray, depth
        (0, 4095, 0, 4095),  # 12 bits in 16
        (1000, 1400, 1000, 1400),
        (30000, 34000, 30000, 34000),  # hundredths of a kelvin
        (0, 255, 0, 255),  # 8 bits in 16 stay as they are
        (0, 65535, 0, 65535),  # all 16 bits: as they are
        (3, 40000, 0, 65535),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "array"])
def test_sixteen_bits_keep_their_gray_levels(low: int, high: int, black: int, white: int, kind: str) -> None:
    values = ramp(low, high)
    images = [values, values.T] if kind == "array" else [of(values, kind), of(values.T.copy(), kind)]
    pixels = gray_levels(images)
    np.testing.assert_allclose(pixels[0].astype(int), scaled(values, black, white).astype(int), atol=1)
    assert len(np.unique(pixels)) > 100


def test_full_range_is_divided_by_257() -> None:
    values = RNG.integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
    values[0, :2] = 0, 65535
    expected = ((255 * values.astype(np.int64) + 32767) // 65535).astype(np.uint8)
    np.testing.assert_array_equal(gray_levels([of(values)])[0], expected)


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [
        (0.0, 1.0, 0.0, 1.0),
        (-1.0, 1.0, -1.0, 1.0),
        (0.0, 255.0, 0.0, 255.0),
        (-1024.0, 3071.0, -1024.0, 3071.0),
        (0.0, 1e-3, 0.0, 1e-3),
        (-3.5, 2.5, -3.5, 2.5),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_keep_their_gray_levels(
    low: float, high: float, black: float, white: float, dtype: Any
) -> None:
    values = ramp(low, high, dtype)
    images: list[Any] = [values]
    if dtype == np.float32:
        images.append(of(values, "TIFF"))
    for pixels in gray_levels(images):
        np.testing.assert_allclose(pixels.astype(int), scaled(values, black, white).astype(int), atol=1)


def test_floats_of_eight_bits_are_those_eight_bits() -> None:
    original = np.arange(256, dtype=np.uint8).reshape(SIDE, SIDE)
    for values in (original / 255, (original / 255).astype(np.float32), original.astype(np.int64)):
        np.testing.assert_array_equal(gray_levels([values])[0], original)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_signed_values_keep_their_gray_levels(dtype: Any) -> None:
    values = ramp(-1024, 3071, dtype)
    images: list[Any] = [values]
    if dtype == np.int32:
        images.append(of(values, "TIFF"))
    for pixels in gray_levels(images):
        np.testing.assert_array_equal(pixels, scaled(values, -1024, 3071))


def test_byte_order_does_not_matter() -> None:
    values = ramp(0, 300)
    little = tiff(values.astype("<u2").tobytes(), SIDE)
    np.testing.assert_array_equal(*gray_levels([little, of(values)]))
    big = Image.frombytes("I;16B", (SIDE, SIDE), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(*gray_levels([lambda: big, of(values)]))


def test_twelve_bit_files_have_the_range_of_twelve_bits() -> None:
    """Microscopes write such TIFF files, two pixels in three bytes; Pillow opens them as 16-bit images."""
    values = np.arange(64) * 65
    bits = "".join(f"{value:012b}" for value in values)
    packed = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    pixels = gray_levels([tiff(packed, 8, t258=12)])
    np.testing.assert_allclose(pixels.ravel(), values * 255 / 4095, atol=0.5)


@pytest.mark.parametrize(("kind", "channels"), [("PNG", 3), ("PNG", 4), ("TIFF", 3)])
def test_dark_color_of_sixteen_bits_keeps_its_levels(kind: str, channels: int) -> None:
    values = RNG.integers(0, 301, (SIDE, SIDE, channels)).astype(np.uint16)
    values[0, 0, :3] = 0, 300, 300
    if channels == 4:
        values[:, :, 3] = 65535
    file = png16(values) if kind == "PNG" else tiff(values.astype("<u2").tobytes(), SIDE, t277=3, t262=2)
    pixels = np.moveaxis(decoded([file]).items[0], 0, 2)
    np.testing.assert_array_equal(pixels, scaled(values[:, :, :3], 0, 300))


def test_bright_color_of_sixteen_bits_keeps_its_upper_byte() -> None:
    values = RNG.integers(0, 65536, (SIDE, SIDE, 3)).astype(np.uint16)
    pixels = np.moveaxis(decoded([png16(values)]).items[0], 0, 2)
    np.testing.assert_array_equal(pixels, values >> 8)


@pytest.mark.parametrize("stray", [0, 65535])
def test_dead_pixels_do_not_take_the_range(stray: int) -> None:
    images = [ramp(1000, 1300) for _ in range(40)]
    images[7] = images[7].copy()
    images[7][3, 3] = stray
    result = decoded([of(values) for values in images])
    assert len(np.unique(result.items[0])) > 200
    assert "are cut off" in result.notes[0]


def test_values_that_mean_no_data_are_black_and_do_not_count() -> None:
    values = ramp(200, 300, np.float32)
    values[:4] = -9999
    picture = Image.fromarray(values)
    pixels = gray_levels([encoded(picture, "TIFF", tiffinfo={42113: "-9999"})])[0]
    assert not pixels[:4].any()
    assert pixels[4:].max() == 255
    assert len(np.unique(pixels)) > 150


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_do_not_count(odd: float) -> None:
    values = ramp(0, 1, np.float32)
    values[0, 0] = odd
    pixels = gray_levels([of(values, "TIFF")])[0]
    assert pixels[0, 0] == (255 if odd == np.inf else 0)
    np.testing.assert_array_equal(pixels.ravel()[1:], scaled(values.ravel()[1:], 0, 1))


def test_range_is_that_of_the_whole_set_in_any_order() -> None:
    dark, bright = of(ramp(0, 100)), of(ramp(0, 3000))
    forward, backward = decoded([dark, bright]), decoded([bright, dark])
    np.testing.assert_array_equal(forward.items[:], backward.items[::-1])
    assert forward.items[0].max() == 9  # 8.5, rounded up
    assert forward.notes == backward.notes
    assert "values from 0 to 3000 become black to white" in forward.notes[0]


def test_stated_range_is_used_and_others_are_cut_off() -> None:
    values = ramp(0, 300)
    result = decoded([of(values)], intensity=(100, 200))
    np.testing.assert_array_equal(result.items[0, 0], scaled(values, 100, 200))
    assert result.notes == (
        "Images with more than 8 bits: 1 of 1; values from 100 to 200 become black to white (`intensity`).",
    )


def test_eight_bits_are_left_alone() -> None:
    values = RNG.integers(3, 90, (SIDE, SIDE)).astype(np.uint8)
    result = decoded([of(values), of(ramp(0, 300))], intensity=(0, 300))
    np.testing.assert_array_equal(result.items[0, 0], values)
    assert "no image has more than 8 bits" in decoded([of(values)], intensity=(0, 300)).notes[0]
    assert decoded([of(values)]).notes == ()


def test_constant_and_boolean_images_are_read() -> None:
    assert (gray_levels([np.full((8, 8), 7.5)]) == 0).all()
    np.testing.assert_array_equal(gray_levels([np.eye(8) > 0])[0], np.eye(8) * 255)


@pytest.mark.parametrize("written", [[300, 100], [5, 5], [0, float("inf")], "wide", [1, 2, 3]])
def test_range_that_is_none_is_refused(written: Any, tmp_path: Any) -> None:
    with pytest.raises(RequestError, match="intensity"):
        parse_source({"source": "digits", "intensity": written}, tmp_path, "data")


def test_pixel_keys_are_left_out_of_an_entry_unless_they_are_set(tmp_path: Any) -> None:
    entry = {"source": "digits", "intensity": [0, 4095], "background": [255, 240, 200], "max_pixels": 10**9}
    source = parse_source(entry, tmp_path, "data")
    assert isinstance(source, ImageSource)
    assert source.entry() == {**entry, "intensity": [0.0, 4095.0]}
    assert parse_source({"source": "digits"}, tmp_path, "data").entry() == {"source": "digits"}


@pytest.mark.parametrize(("low", "high"), [(0, 300), (1000, 1400)])
def test_gray_with_alpha_keeps_its_gray_levels(low: int, high: int) -> None:
    values = ramp(low, high)
    opaque = np.full_like(values, 65535)
    pixels = gray_levels([png16(np.stack([each, opaque], axis=2)) for each in (values, values.T)])
    np.testing.assert_allclose(pixels[0].astype(int), scaled(values, low, high).astype(int), atol=1)
