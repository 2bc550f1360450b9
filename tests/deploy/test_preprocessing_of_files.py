"""Files, pictures and arrays become the pixels that the training saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillab.deploy.preprocessing import preprocess_images
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source
from support.exported import describe

RNG = np.random.default_rng(4)
COLOR = RNG.integers(0, 256, (30, 44, 3), dtype=np.uint8)


def save(folder: Path, mode: str) -> Path:
    """Write a picture of a kind that is not plain RGB."""
    path = folder / f"{mode}.png"
    picture = Image.fromarray(COLOR)
    if mode == "cmyk":
        picture.convert("CMYK").save(path := folder / "cmyk.jpg")
    elif mode == "deep":
        Image.fromarray(RNG.integers(0, 65536, (30, 44), dtype=np.uint16)).save(path)
    elif mode == "alpha":
        alpha = Image.fromarray(RNG.integers(0, 256, (30, 44), dtype=np.uint8))
        picture.putalpha(alpha)
        picture.save(path)
    elif mode == "palette":
        picture.quantize(32).save(path)
    elif mode == "gray":
        picture.convert("L").save(path)
    elif mode == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path := folder / "rotated.jpg", exif=exif)
    else:
        picture.save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["rgb", "gray", "cmyk", "deep", "alpha", "palette", "rotated"])
def test_pixels_are_those_of_the_source(mode: str, channels: int, tmp_path: Path) -> None:
    (tmp_path / "leaves" / "a").mkdir(parents=True)
    (tmp_path / "leaves" / "b").mkdir()
    path = save(tmp_path / "leaves" / "a", mode)
    for number in range(12):
        other = Image.fromarray(RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        other.save(tmp_path / "leaves" / "ab"[number % 2] / f"{number}.png")
    entry = {"source": "folder", "path": tmp_path / "leaves", "resolution": 16, "channels": channels}
    source = parse_source(entry | {"intensity": [0, 65535], "background": "white"}, Path(), "data")
    dataset = load_dataset(source)
    pool = dataset.train.pool.items
    decoding = {"intensity": [0, 65535], "background": "white"}
    description = describe(size=(channels, 16, 16), decoding=decoding)
    made = preprocess_images(path, description)[0].transpose(2, 0, 1)
    assert any(np.array_equal(made, stored) for stored in pool)


def test_size_that_is_not_square_is_width_and_height() -> None:
    made = preprocess_images(COLOR, describe(size=(3, 10, 22)))
    expected = np.asarray(Image.fromarray(COLOR).resize((22, 10), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(made[0], expected)


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        (COLOR, 1),
        (COLOR[:, :, 0], 1),
        ([COLOR, Image.fromarray(COLOR)], 2),
        (np.stack([COLOR, COLOR]), 2),
        (np.stack([COLOR, COLOR]).transpose(0, 3, 1, 2), 2),
        (COLOR.astype(np.float32) / 255, 1),
    ],
)
def test_inputs_of_many_forms_are_the_same_image(inputs: object, count: int) -> None:
    made = preprocess_images(inputs, describe(size=(3, 16, 16)))
    assert made.shape == (count, 16, 16, 3) and made.dtype == np.uint8
    gray = isinstance(inputs, np.ndarray) and inputs.ndim == 2
    expected = preprocess_images(
        COLOR if not gray else COLOR[:, :, :1].repeat(3, 2), describe(size=(3, 16, 16))
    )
    np.testing.assert_array_equal(made, expected.repeat(count, axis=0))


def test_picture_with_exif_rotation_is_upright(tmp_path: Path) -> None:
    path = save(tmp_path, "rotated")
    description = describe(size=(3, 16, 16))
    with Image.open(path) as picture:
        np.testing.assert_array_equal(
            preprocess_images(picture, description), preprocess_images(path, description)
        )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("missing.png", "missing.png: there is no such file"),
        (b"no image", "cannot be identified as an image"),
        (3, "int is no image"),
        ([], "there is no image"),
        (np.full((8, 8, 3), 300.0), "allowed: uint8, or floats in"),
        (np.zeros((2, 2, 3), np.uint8), "4x4 are needed"),
    ],
)
def test_what_is_no_image_is_one_line(inputs: object, message: str) -> None:
    with pytest.raises(RequestError) as error:
        preprocess_images(inputs, describe(size=(3, 16, 16)))
    assert message in str(error.value)
