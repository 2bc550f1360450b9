"""The figures of a report as files: PNG and SVG, drawn by Plotly in a headless browser without a network."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from distillab.artefacts import write_atomically
from distillab.errors import RequestError
from distillab.report.page.assets import plotly_js

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FIGURE_FORMATS: Final = ("png", "svg")
WIDTH: Final = 960  # CSS pixels
SCALE: Final = 2  # pixels of a PNG per CSS pixel
DRAWING_SECONDS: Final = 300
_PAGE: Final = """<!doctype html><html><head><meta charset="utf-8"></head><body><script>%s</script><script>
const figures = %s;
(async () => {
  for (const {key, figure, height} of figures) {
    for (const format of %s) {
      const layout = {...figure.layout, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff"};
      const options = {format, width: %d, height, scale: format === "png" ? %d : 1};
      const made = await Plotly.toImage({data: figure.data, layout}, options);
      const place = document.createElement("pre");
      place.className = "made"; place.id = key + "." + format; place.textContent = made;
      document.body.append(place);
    }
  }
})();
</script></body></html>"""
_MADE: Final = re.compile(r'<pre class="made" id="([^"]+)">(data:[^<]*)</pre>')


def save_figures(figures: Iterable[tuple[str, str, int]], folder: Path) -> list[Path]:
    """Write figures as PNG and SVG files, and return their paths.

    Args:
        figures: The name of each, its data and layout as JSON, and its height in CSS pixels.
        folder: Where they are written; created if it does not exist.

    Raises:
        RequestError: There is no Chromium or Chrome, or it does not draw the figures.
        OSError: The folder cannot be written.

    Example:
        >>> save_figures([], Path("figures"))
        []
    """
    wanted = [{"key": key, "figure": json.loads(text), "height": height} for key, text, height in figures]
    if not wanted:
        return []
    page = _PAGE % (
        plotly_js(),
        json.dumps(wanted).replace("<", "\\u003c"),
        json.dumps(FIGURE_FORMATS),
        WIDTH,
        SCALE,
    )
    made = dict(_MADE.findall(_drawn(page)))
    names = [f"{each['key']}.{kind}" for each in wanted for kind in FIGURE_FORMATS]
    if missing := [name for name in names if name not in made]:
        raise RequestError(f"the browser has not drawn {missing[0]}", where="--figures")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with write_atomically(folder / name) as draft:
            draft.write_bytes(_content(html.unescape(made[name])))
    return [folder / name for name in names]


def find_browser() -> str:
    """Return the program of an installed Chromium or Chrome.

    Raises:
        RequestError: There is none.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise RequestError(
            "figures are drawn by a browser, and there is none",
            where="--figures",
            allowed="Chromium or Google Chrome on the path, or the buttons beside each figure of report.html",
        )
    return found


def _drawn(page: str) -> str:
    """Return the content of a page once its scripts have run."""
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="distillab-figures-") as name:
        place = Path(name) / "page.html"
        place.write_text(page, encoding="utf-8")
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        options += [f"--user-data-dir={name}/profile", "--virtual-time-budget=60000", "--dump-dom"]
        try:
            run = subprocess.run(
                [browser, *options, place.as_uri()], capture_output=True, timeout=DRAWING_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RequestError(f"{browser} cannot be run ({error})", where="--figures") from error
    return run.stdout.decode("utf-8", errors="replace")


def _content(address: str) -> bytes:
    """Return the bytes in a data address."""
    head, _, content = address.partition(",")
    return base64.b64decode(content) if head.endswith(";base64") else unquote_to_bytes(content)
