"""Files as people have them: damaged metadata, huge and tiny images, unusual modes, several frames."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from distillab.modalities.image.opening import displayed_size, permissive_pillow
from support.images import decoded, encoded, of, tiff

RED = np.full((8, 8, 3), (200, 20, 20), np.uint8)
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)
TALL = np.zeros((16, 8), np.uint8)
TALL[:8, :4] = 255  # bright in one corner alone, so that every turn and mirror differs

# What a viewer does to the stored image, for each orientation of EXIF; here is what to store instead.
STORED: dict[int, Any] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.T,
    6: np.rot90,
    7: lambda upright: np.rot90(upright.T, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_shown_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    stored = np.ascontiguousarray(STORED[orientation](TALL))
    data = of(stored, kind, exif=exif, **options)
    pixels = decoded([data]).items[0, 0]
    np.testing.assert_allclose(pixels.astype(int), TALL, atol=10)
    assert displayed_size(data) == (8, 16)


DAMAGED_EXIF = {
    "text": b"Exif\0\0nonsense, no TIFF header",
    "cut": b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01",
    "far offset": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    "text as orientation": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",
    "orientation 99": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
    "empty": b"Exif\0\0",
}


@pytest.mark.parametrize("damage", DAMAGED_EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_costs_no_image(damage: str, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = of(
            RAMP.repeat(2, 0),
            kind,
            exif=DAMAGED_EXIF[damage],
            **({"lossless": True} if kind == "WEBP" else {}),
        )
        result = decoded([data])
    assert not result.broken
    assert result.items.shape == (1, 1, 16, 8)
    assert displayed_size(data) == (8, 16)


DAMAGED_TAGS = {
    "EXIF beyond the end": {"t34665": 65535},
    "GPS beyond the end": {"t34853": 65535},
    "orientation 99": {"t274": 99},
    "orientation 0": {"t274": 0},
    "XMP that is no XML": {"t700": 15420},
    "color profile of one number": {"t34675": 1},
}


@pytest.mark.parametrize("damage", DAMAGED_TAGS)
def test_damaged_tags_cost_no_image(damage: str) -> None:
    data = tiff(RAMP.tobytes(), 8, t258=8, **DAMAGED_TAGS[damage])
    np.testing.assert_array_equal(decoded([data]).items[0, 0], RAMP)
    assert displayed_size(data) == (8, 8)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_damaged_tags_do_not_hide_the_orientation(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](np.kron(RAMP[:4], np.ones((4, 2), np.uint8))[:16, :16]))
    data = tiff(stored.tobytes(), 16, t258=8, t274=orientation, t700=15420)
    sound = tiff(stored.tobytes(), 16, t258=8, t274=orientation)
    np.testing.assert_array_equal(decoded([data]).items[0], decoded([sound]).items[0])


def cmyk() -> bytes:
    return encoded(Image.fromarray(RED).convert("CMYK"), "JPEG", quality=100)


def lab() -> bytes:
    profile = ImageCms.profileToProfile(
        Image.fromarray(RED), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert profile is not None
    return encoded(profile, "TIFF")


MODES = {
    "CMYK JPEG": (cmyk(), RED, 6),
    "CMYK TIFF": (encoded(Image.fromarray(RED).convert("CMYK"), "TIFF"), RED, 2),
    "YCbCr": (encoded(Image.fromarray(RED).convert("YCbCr"), "TIFF"), RED, 4),
    "LAB": (lab(), RED, 4),
    "palette": (encoded(Image.fromarray(RED).quantize(4), "GIF"), RED, 2),
    "bilevel PNG": (of(RAMP > 31), np.where(RAMP > 31, 255, 0), 0),
    "bilevel TIFF": (of(RAMP > 31, "TIFF", compression="group4"), np.where(RAMP > 31, 255, 0), 0),
    "gray with alpha": (encoded(Image.fromarray(RAMP).convert("LA")), RAMP, 0),
}


@pytest.mark.parametrize("mode", MODES)
def test_unusual_modes_have_the_right_pixels(mode: str) -> None:
    data, expected, tolerance = MODES[mode]
    result = decoded([data])
    assert not result.broken
    pixels = np.moveaxis(result.items[0], 0, 2).astype(int)
    shown = np.asarray(expected)
    np.testing.assert_allclose(pixels, shown if shown.ndim == 3 else shown[:, :, None], atol=tolerance)


def frames(kind: str) -> bytes:
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    return encoded(first, kind, save_all=True, append_images=[second], **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_is_used_and_noted(kind: str) -> None:
    result = decoded([frames(kind), of(RAMP)])
    np.testing.assert_array_equal(result.items[0], result.items[1])
    what = (
        "Files with several pages, of which the first"
        if kind == "TIFF"
        else "Animated images, of which the first frame"
    )
    assert result.notes == (f"{what} is used: 1 of 2.",)
    assert decoded([of(RAMP, kind)]).notes == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 3), (30, 2)])
@pytest.mark.parametrize("resolution", [None, 8])
@pytest.mark.parametrize("how", ["file", "array"])
def test_tiny_images_are_left_out_by_name(size: tuple[int, int], resolution: int | None, how: str) -> None:
    tiny: npt.NDArray[np.uint8] = np.zeros(size, np.uint8)
    result = decoded([of(RED), of(tiny) if how == "file" else tiny, of(RED[::-1])], resolution)
    assert result.intact.tolist() == [True, False, True]
    [(name, reason)] = result.broken
    assert name == "image 1"
    assert reason == f"it has {size[1]}x{size[0]} pixels, and 4x4 are needed"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_huge_images_are_decoded_without_a_word(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """100 megapixels, of which Pillow warns, in one bit or one byte per pixel."""
    huge = Image.new("L" if kind == "JPEG" else "1", (12_500, 8_000), 1)
    huge.paste(0, (0, 0, 6_250, 8_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = encoded(huge, kind, **({"compression": "group4"} if kind == "TIFF" else {}))
        result = decoded([data], resolution=8)
        assert displayed_size(data) == (12_500, 8_000)
    assert not result.broken
    assert result.items.shape == (1, 1, 8, 8)
    assert not result.items[0, 0, :, :3].any()
    assert capfd.readouterr() == ("", "")


def test_limit_of_pixels_is_a_key_and_named_by_the_reason() -> None:
    result = decoded([of(RED), of(np.zeros((30, 40), np.uint8))], resolution=8, max_pixels=1000)
    assert result.broken == (("image 1", "40x30 are 1,200 pixels, and `max_pixels` allows 1,000"),)
    assert not decoded([of(RED), of(np.zeros((30, 40), np.uint8))], resolution=8, max_pixels=1200).broken


def test_jpeg_above_the_limit_is_decoded_at_a_reduced_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillab.modalities.image.opening.LARGE_PIXELS", 10_000)
    picture = Image.fromarray(np.linspace(0, 255, 256 * 256).reshape(256, 256).astype(np.uint8))
    reduced = decoded([encoded(picture, "JPEG", quality=95)], resolution=16, max_pixels=64 * 64)
    exact = decoded([encoded(picture)], resolution=16)
    assert not reduced.broken
    np.testing.assert_allclose(reduced.items[0].astype(int), exact.items[0].astype(int), atol=4)


def test_limits_and_filters_of_the_process_are_restored() -> None:
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with permissive_pillow(), permissive_pillow():
        assert Image.MAX_IMAGE_PIXELS is None
    assert before == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters
    decoded([of(RED)])
    assert before == Image.MAX_IMAGE_PIXELS


def test_no_warning_of_pillow_reaches_the_terminal(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A palette with several transparencies, a file with tags that are cut, and one that ends too early."""
    palette = Image.fromarray(RED).quantize(8)
    several = encoded(palette, transparency=bytes([0, 90, 255]))
    cut = tiff(RAMP.astype("<u2").tobytes(), 8)[:-30]
    ends = of(
        np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8), "TIFF", compression="tiff_lzw"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = decoded([several, cut, ends[:-400], ends[:300], of(RED)], resolution=8)
    assert result.intact[0]
    assert result.intact[-1]
    logging.getLogger("PIL.TiffImagePlugin").warning("said by Pillow")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "BMP"])
def test_truncated_files_are_broken_by_name(kind: str) -> None:
    data = of(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), kind)
    result = decoded([of(RED), data[: len(data) // 2]], resolution=8)
    assert [name for name, _ in result.broken] == ["image 1"]


def test_sizes_of_tiny_images_are_no_example_of_different_sizes() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "PNG")
    assert decoded([buffer.getvalue(), of(np.zeros((1, 1), np.uint8))]).items.shape == (1, 3, 8, 8)
