"""The page of a shipped student: what to ship first, photographs of errors, plots, in a real browser."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from distillab.profile.measure import Gallery, Picture
from distillab.report.contents.student import Confusion, ReliabilityCurve, StudentView, Tried
from distillab.report.page.student import render_student, write_student
from distillab.shipping.answer import ShippedRun, ShippingAnswer
from support.pages import Scheme, draw_all, offline_page


def answer(name: str = "leaves") -> ShippingAnswer:
    return ShippingAnswer(
        ship="distilled",
        headline="Ship the distilled student: kd gains +3.0 [+1.0, +5.0] points of accuracy, 5 pairs.",
        metric="accuracy",
        gain=0.03,
        low=0.01,
        high=0.05,
        pairs=5,
        method="kd",
        settings={"ce": "lr 0.05", "kd": "lr 0.125, temperature 4"},
        distilled_score=0.81,
        plain_score=0.78,
        teacher_score=0.88,
        run=ShippedRun("7f3a", "kd", "resnet8", 3, 0.82),
        artifact=Path(name) / "student",
        study=Path(name),
        budget=1200.0,
        seconds=700.0,
        warnings=("2 % of test also occurs in train.",),
        harms=("kd harms accuracy of the worst class: -4.0 points [-7.0, -1.0].",),
        notes=("Intervals cover new seeds, with this one teacher.",),
        next_step="Try it: distillab predict leaves/student IMAGE",
    )


def view() -> StudentView:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32), np.uint8)
    picture = Picture(pixels, "test example 7", "rust, not healthy")
    galleries = tuple(
        Gallery(title, "1 of 100 test images.", (("", (picture,)),))
        for title in ("The student is wrong, the teacher right", "The student is right, the teacher wrong")
    )
    curve = ((0.55, 0.75, 0.95), (0.5, 0.8, 0.9), (10, 30, 60))
    return StudentView(
        galleries,
        (Confusion("rust", "healthy", 9, 4), Confusion("healthy", "rust", 2, 5)),
        tuple(ReliabilityCurve(name, *curve) for name in ("plain", "distilled", "teacher")),
        (
            Tried("resnet8, plain", 1.2, 0.78, 78_000),
            Tried("resnet8, kd", 1.2, 0.81, 78_000, shipped=True),
            Tried("resnet56, teacher", 9.0, 0.88, 850_000),
        ),
        seed=3,
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_states_what_to_ship_and_shows_errors_and_plots(
    chromium: Browser, tmp_path: Path, width: int, scheme: Scheme
) -> None:
    file = tmp_path / "student.html"
    write_student(answer(), view(), file)
    with offline_page(chromium, file, width, scheme) as page:
        assert page.inner_text("h1").startswith("Ship the distilled student: kd gains +3.0")
        assert page.inner_text(".badge") == "Ship the distilled student"
        for fact in ("81.0 %", "78.0 %", "88.0 %", "+3.0 points (+1.0 to +5.0)", "1.2 ms"):
            assert fact in page.inner_text(".facts")
        assert "worst class" in page.inner_text("#answer") and "occurs in train" in page.inner_text("#answer")
        assert page.locator("#errors img").count() == 2
        draw_all(page)
        for key in ("reliability", "costs"):
            assert page.locator(f"#{key} .main-svg").count() > 0
        assert page.locator("#confusions-table tbody tr").count() == 2
        page.click("#tried-table th button")
        assert page.get_attribute("#tried-table th", "aria-sort") == "ascending"


@pytest.mark.browser
@pytest.mark.parametrize(("button", "beginning"), [(0, b"\x89PNG"), (1, b"<svg")])
def test_buttons_of_a_figure_save_it_as_png_and_svg(
    chromium: Browser, tmp_path: Path, button: int, beginning: bytes
) -> None:
    file = tmp_path / "student.html"
    write_student(answer(), view(), file)
    with offline_page(chromium, file, 1280, "light") as page:
        draw_all(page)
        plot = page.locator("#reliability")
        plot.hover()
        with page.expect_download() as saved:
            plot.locator(".modebar-btn").nth(button).click()
        assert saved.value.suggested_filename == ("reliability.png", "reliability.svg")[button]
        assert saved.value.path().read_bytes().startswith(beginning)


def test_page_without_a_student_states_that_and_what_to_do() -> None:
    nan = math.nan
    nothing = replace(
        answer(),
        ship="undecided",
        headline="Undecided: no pair was trained.",
        gain=nan,
        low=nan,
        high=nan,
        distilled_score=nan,
        plain_score=nan,
        teacher_score=nan,
        run=None,
        artifact=None,
        next_step="Run the same command again to go on.",
    )
    text = render_student(nothing, None)
    assert (
        "No student yet" in text
        and "Run the same command again" in text
        and "nan" not in text.split("<script")[0]
    )


def test_names_are_escaped() -> None:
    assert "<script>alert(1)" not in render_student(answer("<script>alert(1)</script>"), view())
