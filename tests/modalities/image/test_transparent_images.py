"""Transparent images: what is drawn stays visible, on one ground for the whole set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from distillab.errors import RequestError
from distillab.sources import parse_source
from support.images import decoded, encoded

Rgb = tuple[int, int, int]


def icon(ink: Rgb, *, alpha: int = 255, mode: str = "RGBA", place: int = 2) -> bytes:
    """Return a file: a square of ink on a transparent ground."""
    picture = Image.new("RGBA", (8, 8), (*ink, 0))
    picture.paste((*ink, alpha), (place, 2, place + 4, 6))
    if mode == "P":
        palette = Image.new("P", (8, 8), 0)
        palette.putpalette([0, 0, 0, *ink])
        palette.paste(1, (place, 2, place + 4, 6))
        return encoded(palette, transparency=0)
    return encoded(picture.convert(mode))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [((0, 0, 0), 255), ((25, 25, 25), 255), ((255, 255, 255), 0), ((200, 200, 200), 0), ((90, 90, 90), 0)],
)
def test_ink_stays_visible(ink: Rgb, ground: int, mode: str) -> None:
    result = decoded([icon(ink, mode=mode), icon(ink, mode=mode, place=1)])
    assert result.items.shape == (2, 1, 8, 8)
    assert result.items[0, 0, 0, 0] == ground
    assert result.items[0, 0, 3, 3] == ink[0]
    name = {0: "black", 255: "white"}[ground]
    assert result.notes == (f"Images with transparent parts: 2 of 2; the ground is {name} (`background`).",)


def test_black_and_white_ink_in_one_set_are_both_visible_on_gray() -> None:
    images = [icon((0, 0, 0)), icon((255, 255, 255))]
    pixels = decoded(images).items
    assert pixels[0, 0, 0, 0] == pixels[1, 0, 0, 0] == 128
    mixed = decoded([*images, icon((250, 250, 250))], background="auto")
    assert "hardly visible" not in mixed.notes[0]


def test_ground_does_not_depend_on_the_order() -> None:
    images = [icon((0, 0, 0)), icon((0, 0, 0)), icon((255, 255, 255)), icon((0, 90, 200))]
    forward, backward = decoded(images), decoded(images[::-1])
    np.testing.assert_array_equal(forward.items[:], backward.items[::-1])


def test_colored_ink_is_visible_by_its_brightest_channel() -> None:
    pixels = decoded([icon((0, 0, 255))]).items
    assert pixels[0, :, 0, 0].tolist() == [0, 0, 0]
    assert decoded([icon((0, 0, 100))], channels=1).items[0, 0, 0, 0] == 255  # its luma is 11


@pytest.mark.parametrize(
    ("background", "expected"),
    [("black", [0, 0, 0]), ("white", [255] * 3), ("gray", [128] * 3), ((255, 240, 200), [255, 240, 200])],
)
def test_stated_ground_is_used(background: Any, expected: list[int]) -> None:
    pixels = decoded([icon((200, 10, 10))], channels=3, background=background).items
    assert pixels[0, :, 0, 0].tolist() == expected
    assert pixels[0, :, 3, 3].tolist() == [200, 10, 10]


def test_half_transparent_ink_is_mixed_with_the_ground() -> None:
    pixels = decoded([icon((0, 0, 0), alpha=128)]).items
    assert abs(int(pixels[0, 0, 3, 3]) - 127) <= 1


def test_opaque_images_with_alpha_are_plain_images() -> None:
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert("RGBA")
    result = decoded([encoded(picture)])
    assert result.notes == ()
    np.testing.assert_array_equal(result.items[0, 0].ravel(), np.arange(64))


def test_opaque_images_beside_transparent_ones_keep_their_pixels() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    result = decoded([encoded(Image.fromarray(photo)), icon((0, 0, 0))])
    np.testing.assert_array_equal(np.moveaxis(result.items[0], 0, 2), photo)
    assert (result.items[1, :, 0, 0] == 255).all()
    assert "1 of 2" in result.notes[0]


def test_images_that_are_transparent_everywhere_are_counted() -> None:
    result = decoded([encoded(Image.new("RGBA", (8, 8), (9, 9, 9, 0))), icon((0, 0, 0))])
    assert "transparent everywhere: 1" in result.notes[0]
    assert (result.items[0] == 255).all()


@pytest.mark.parametrize("written", ["green", [1, 2], [0, 0, 256], 7])
def test_background_that_is_none_is_refused(written: Any, tmp_path: Any) -> None:
    with pytest.raises(RequestError, match="background"):
        parse_source({"source": "digits", "background": written}, tmp_path, "data")
