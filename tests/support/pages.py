"""Pages as people open them: offline, in a window of some width, all folds open and all plots drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]


@contextlib.contextmanager
def offline_page(chromium: Browser, file: Path, width: int, scheme: Scheme) -> Iterator[Page]:
    """Open a page that loads nothing from the network; fail if a script fails or it is wider than its window.

    Args:
        chromium: The browser.
        file: The page.
        width: Width of the window in pixels.
        scheme: The colors that the reader prefers.
    """
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    yield page
    draw_all(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    assert errors == []
    context.close()


def draw_all(page: Page) -> None:
    """Open all folds and wait until all plots are drawn."""
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    page.wait_for_function(
        "document.querySelectorAll('.plot .main-svg').length >= document.querySelectorAll('.plot').length"
    )
