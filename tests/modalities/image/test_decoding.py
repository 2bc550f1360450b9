"""Decoding: images become upright, opaque and 8-bit, and are gray only if all their pixels are."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from distillab.errors import RequestError
from distillab.modalities.image.decoding import _per_task, decode, decode_images

Array = npt.NDArray[np.uint8]
RED = np.full((8, 8, 3), (200, 20, 20), np.uint8)
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(array: npt.NDArray[Any]) -> bytes:
    return encoded(Image.fromarray(array))


def together(images: list[Any], resolution: int | None = None, channels: int | None = None) -> Any:
    names = [f"image {i}" for i in range(len(images))]
    return decode_images(images, names, resolution=resolution, channels=channels)


@pytest.mark.parametrize("array", [RAMP, RED, np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)])
def test_lossless_images_keep_their_pixels(array: Array, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(of(array))
    for image in (of(array), tmp_path / "a.png", array, lambda: Image.fromarray(array)):
        np.testing.assert_array_equal(decode(image), array)


def test_gray_pixels_in_a_color_file_are_gray() -> None:
    np.testing.assert_array_equal(decode(of(np.stack([RAMP] * 3, axis=-1))), RAMP)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RAMP).convert("P"))), RAMP)
    assert decode(of(RAMP[:, :, None].repeat(3, 2)), channels=3).shape == (8, 8, 3)


def test_transparent_pixels_are_composited_on_black() -> None:
    color = np.concatenate([RED, np.full((8, 8, 1), 255, np.uint8)], axis=2)
    color[0, :, 3] = 0
    color[1, :, 3] = 128
    pixels = decode(of(color))
    assert (pixels[0] == 0).all()
    np.testing.assert_allclose(pixels[1], RED[1] * (128 / 255), atol=1)
    assert (pixels[2:] == RED[2:]).all()


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparent_palette_color_is_composited_on_black(mode: str) -> None:
    image = Image.new(mode, (8, 8), 7 if mode != "RGB" else (7, 7, 7))
    image.putpixel((0, 0), 90 if mode != "RGB" else (90, 0, 0))
    if mode == "P":
        image.putpalette([value for entry in range(256) for value in (entry, 0, 0)])
    data = encoded(image, transparency=7 if mode != "RGB" else (7, 7, 7))
    pixels = decode(data)
    assert pixels[0, 0].max() == 90
    assert not pixels[1:].any()


def test_gray_with_alpha_is_composited_on_black() -> None:
    image = Image.fromarray(RAMP)
    image.putalpha(Image.fromarray(np.where(RAMP < 32, 0, 255).astype(np.uint8)))
    np.testing.assert_array_equal(decode(encoded(image)), np.where(RAMP < 32, 0, RAMP))


@given(st.integers(0, 65535))
def test_sixteen_bits_become_eight_on_one_scale(value: int) -> None:
    pixels = decode(of(np.full((4, 4), value, np.uint16)))
    assert pixels.dtype == np.uint8
    assert abs(int(pixels[0, 0]) - value / 257) <= 0.5


def test_twelve_bits_become_eight_on_one_scale() -> None:
    """Microscopes write such TIFF files, two pixels in three bytes; Pillow opens them as 16-bit images."""
    values = np.arange(64) * 65
    bits = "".join(f"{value:012b}" for value in values)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    tags = {256: 8, 257: 8, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: len(data)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    tiff = head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    np.testing.assert_allclose(decode(tiff).ravel(), values * 255 / 4095, atol=0.5)


def test_bilevel_and_cmyk_images_are_converted() -> None:
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RAMP > 31))), np.where(RAMP > 31, 255, 0))
    cmyk = encoded(Image.fromarray(RED).convert("CMYK"), "TIFF")
    np.testing.assert_allclose(decode(cmyk).astype(int), RED, atol=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_images_are_rotated_upright(kind: str) -> None:
    tall = np.zeros((16, 8), np.uint8)
    tall[:8] = 255  # bright above, dark below
    exif = Image.Exif()
    exif[0x0112] = 6  # to be displayed rotated by 90 degrees clockwise
    lying = Image.fromarray(np.rot90(tall).copy())
    pixels = decode(encoded(lying, kind, exif=exif))
    assert pixels.shape == (16, 8)
    np.testing.assert_allclose(pixels.astype(int), tall, atol=6)


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((32, 32), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(decode(of(stripes), resolution=8)[:, 1:-1]) < 40  # point sampling would give 0 or 255
    assert decode(of(RED), resolution=5).shape == (5, 5, 3)
    assert (decode(of(RED), resolution=5) == RED[0, 0]).all()
    np.testing.assert_array_equal(decode(of(RAMP), resolution=8), RAMP)


def test_one_color_image_widens_all_to_three_channels() -> None:
    decoded = together([of(RAMP), of(RED), of(RAMP)])
    assert decoded.items.shape == (3, 3, 8, 8)
    for row, expected in enumerate((np.stack([RAMP] * 3), RED.transpose(2, 0, 1), np.stack([RAMP] * 3))):
        np.testing.assert_array_equal(decoded.items[row], expected)
    assert together([of(RAMP)] * 3).items.shape == (3, 1, 8, 8)
    assert together([of(RAMP)] * 3, channels=3).items.shape == (3, 3, 8, 8)
    luma = together([of(RED)], channels=1).items
    assert luma.shape == (1, 1, 8, 8)
    assert abs(int(luma[0, 0, 0, 0]) - (0.299 * 200 + 0.587 * 20 + 0.114 * 20)) <= 1


def test_order_is_kept_over_many_tasks() -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (1000, 4, 4), np.uint8)
    calls: list[tuple[str, int, int]] = []
    decoded = decode_images(
        list(arrays),
        [str(i) for i in range(1000)],
        resolution=None,
        channels=None,
        progress=lambda *call: calls.append(call),
    )
    np.testing.assert_array_equal(decoded.items[:, 0], arrays)
    assert calls[-1] == ("decoding", 1000, 1000)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


DAMAGED = {
    "empty": b"",
    "text": b"hello",
    "header only": of(RED)[:40],
    "cut PNG": of(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))[:-200],
    "cut JPEG": encoded(Image.fromarray(RED).resize((64, 64)), "JPEG")[:-60],
    "absent file": Path("absent.png"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_images_are_reported_by_name(damage: str) -> None:
    decoded = together([of(RED), DAMAGED[damage], of(RED[::-1])])
    assert decoded.intact.tolist() == [True, False, True]
    assert [name for name, _ in decoded.broken] == ["image 1"]
    assert decoded.broken[0][1]
    assert len(decoded.items) == 2


@pytest.mark.parametrize("error", [RuntimeError("Failed to decode frame"), SubprocessError("gs")])
def test_any_error_of_a_decoder_is_a_broken_image(error: Exception) -> None:
    def broken() -> Image.Image:
        raise error

    decoded = together([of(RED), broken])
    assert decoded.intact.tolist() == [True, False]


@pytest.mark.parametrize(("side", "most"), [(8, 64), (1000, 5), (4000, 1)])
def test_few_large_images_are_in_memory_at_a_time(side: int, most: int) -> None:
    tiny = Image.new("L", (side, side))
    assert _per_task([b"damaged", encoded(tiny)] * 50, None) == most
    assert _per_task([encoded(tiny)] * 50, 8) == 64


def test_set_without_an_intact_image_is_refused() -> None:
    with pytest.raises(RequestError, match="none of 2 images can be decoded: image 0"):
        together([b"", b""])


def test_images_of_different_sizes_need_a_resolution() -> None:
    images = [of(RED), of(np.zeros((6, 30), np.uint8)), b"damaged", np.zeros((4, 5), np.uint8)]
    with pytest.raises(RequestError, match=r"different sizes, from 5x4 to 30x6 pixels .*`resolution`"):
        together(images)
    assert together(images, resolution=6).items.shape == (3, 3, 6, 6)
