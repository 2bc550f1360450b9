"""Templates, style sheets and scripts of the pages, and how a page is written."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from distillab.artefacts import write_atomically
from distillab.printable import printable
from distillab.report.page import wording
from distillab.report.page.pictures import data_uri, grouped_tiles, labels_text, sound_uri


@cache
def shared_environment() -> jinja2.Environment:
    """Return the templates with everything that all of them may use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("distillab.report.page", "templates"),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = coded
    environment.globals |= {
        "w": wording,
        "data_uri": data_uri,
        "sound_uri": sound_uri,
        "grouped_tiles": grouped_tiles,
        "labels_text": labels_text,
        "glyphs": wording.VERDICT_GLYPHS,
        "verdict_names": wording.VERDICT_NAMES,
    }
    return environment


def shown(value: object) -> object:
    """Return what a template prints of a value: text without characters that are not safe to show."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n\t")
    return value


def coded(text: str) -> Markup:
    """Return text for a page, with everything between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(printable(text, keep="\n\t")))))


@cache
def plotly_js() -> Markup:
    """Return Plotly's JavaScript; a ``</script`` in one of its strings would end the element early."""
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def asset(name: str) -> Markup:
    """Return a style sheet or script of the package, to be embedded unchanged."""
    environment = shared_environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def write_page(text: str, path: Path) -> None:
    """Write a page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    with write_atomically(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
