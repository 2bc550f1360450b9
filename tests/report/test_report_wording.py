"""Numbers, places, colors and pictures as they appear on the page."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from distillab.report.contents import LevelView, Naming, Place
from distillab.report.contents.pictures import Pictures, Strip, Tile
from distillab.report.contents.place import levels_text
from distillab.report.page import wording
from distillab.report.page.figures import plain, script_json
from distillab.report.page.palette import SERIES, SHADES, Shade, dark_shades
from distillab.report.page.pictures import data_uri, grouped_tiles
from support.report_pictures import CLASSES, digit
from support.report_sample import TASK

ACCURACY, NLL = TASK.metrics["accuracy"], TASK.metrics["nll"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (wording.signed(0.0123, ACCURACY), "+1.2"),
        (wording.signed(-0.0123, ACCURACY), "−1.2"),
        (wording.signed(-0.0001, ACCURACY), "0.0"),
        (wording.signed(-0.25, NLL), "−0.250"),
        (wording.signed(math.nan, ACCURACY), "–"),
        (wording.interval(-0.01, 0.02, ACCURACY), "[−1.0, +2.0]"),
        (wording.interval(None, 0.02, ACCURACY), "–"),
        (wording.heading(ACCURACY), "Accuracy, %"),
        (wording.heading(NLL), "Negative log-likelihood, nats"),
        (wording.score(0.8125, ACCURACY), "81.2 %"),
        (wording.score(0.8125, NLL), "0.812"),
        (wording.scaled(0.8125, ACCURACY), "81.2"),
        (wording.percent(0.8125), "81.2 %"),
        (wording.percent(None), "–"),
        (wording.p_value(0.0), "< 0.001"),
        (wording.p_value(0.0312), "0.031"),
        (wording.p_value(1.0), "1.00"),
        (wording.magnitude(272_474), "272 k"),
        (wording.magnitude(41.2e6), "41.2 M"),
        (wording.magnitude(None), "–"),
        (wording.whole(1234567), "1\u202f234\u202f567"),
        (wording.duration(3.14159), "3.1 s"),
        (wording.duration(90), "90 s"),
        (wording.duration(600), "10 min"),
        (wording.duration(9000), "2.5 h"),
        (wording.times(8.14), "8.1 ×"),
        (wording.times(wording.ratio(3, 0)), "–"),
        (levels_text(()), "data as given"),
        (
            levels_text((LevelView("size", 25.0), LevelView("label_noise", 0.4))),
            "25 examples per class · label noise 0.4",
        ),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def test_places_are_named_by_what_differs() -> None:
    places = [Place("d", "t", "s", p, (LevelView("size", 10.0),)) for p in ("same", "full")]
    naming = Naming.of(places)
    assert naming.full(places[0]) == "teacher of the same data · 10 examples per class"
    assert Naming.of(places[:1]).full(places[0]) == "10 examples per class"
    pairs = [Place("d", "t", "a"), Place("e", "u", "a"), Place("d", "", "a")]
    assert [Naming.of(pairs).group(each) for each in pairs] == [
        "d · t → a",
        "e · u → a",
        "d · without a teacher",
    ]


# --- colors ----------------------------------------------------------------------------------------------


def luminance(shade: str) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    parts = [int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_sufficient_to_read(theme: str) -> None:
    grounds = [getattr(SHADES[name], theme) for name in ("paper", "surface", "sunken")]
    texts = ["ink", "muted", "accent", "helps", "harms", "equivalent", "undecided"]
    worst = {
        name: min(contrast(getattr(SHADES[name], theme), ground) for ground in grounds) for name in texts
    }
    assert {name: round(value, 2) for name, value in worst.items() if value < 4.5} == {}
    lines: list[Shade] = [*SERIES, SHADES["teacher"], SHADES["plain"]]
    paper = getattr(SHADES["paper"], theme)
    assert [shade for shade in lines if contrast(getattr(shade, theme), paper) < 3] == []


def test_light_shades_are_distinct() -> None:
    lights = [shade.light for shade in (*SHADES.values(), *SERIES)]
    assert len(set(lights)) == len(lights)
    assert dark_shades()["rgba(42,93,143,0.13)"] == "rgba(122,181,238,0.13)"


# --- text and pictures -----------------------------------------------------------------------------------


@given(st.text())
def test_embedded_json_cannot_end_its_element(text: str) -> None:
    embedded = script_json({"name": text})
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {"name": text}


@given(st.text())
def test_text_in_figures_has_no_tags(text: str) -> None:
    assert "<" not in plain(text) and ">" not in plain(text)


def test_small_images_are_embedded_exactly() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 8, 8), (3, 32, 48)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        kind, _, content = data_uri(image).partition(";base64,")
        assert kind == "data:image/png"
        back = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        wanted = image[0] if shape[0] == 1 else image.transpose(1, 2, 0)
        np.testing.assert_array_equal(back, wanted)


def test_large_images_become_thumbnails() -> None:
    image = np.zeros((3, 600, 300), dtype=np.uint8)
    kind, _, content = data_uri(image).partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert kind == "data:image/jpeg" and picture.size == (76, 152)


def test_png_bytes_are_embedded_unchanged() -> None:
    buffer = io.BytesIO()
    Image.fromarray(digit(0)[0]).save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    assert data_uri(buffer.getvalue()) == f"data:image/png;base64,{encoded}"


@pytest.mark.parametrize(
    "image",
    [b"GIF89a", np.zeros((2, 8, 8), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((1, 8, 8), np.float32)],
)
def test_invalid_pictures_are_refused(image: bytes | np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"picture|PNG"):
        data_uri(image)


@pytest.mark.parametrize(
    ("several_labels", "headings"),
    [(False, [("0", 2), ("1", 1), ("added", 1)]), (True, [("", 3), ("added", 1)])],
)
def test_tiles_are_grouped_by_class(several_labels: bool, headings: list[tuple[str, int]]) -> None:
    labels = (CLASSES[0], CLASSES[0], CLASSES[1])
    tiles = [Tile(digit(i), (name,)) for i, name in enumerate(labels)]
    tiles.append(Tile(digit(3), ("3",), added=True))
    pictures = Pictures("size", "digits", CLASSES, Strip("as read"), several_labels=several_labels)
    assert [(name, len(group)) for name, group in grouped_tiles(pictures, tiles)] == headings
