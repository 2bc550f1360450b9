"""A profile for people who look: one HTML file with its pictures inside."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from distillab.profile.measure import Family, Gallery, Grid
from distillab.profile.profile import Profile
from distillab.profile.wording import format_interval, format_value
from distillab.report.page.figures import script_json
from distillab.report.page.page import asset, put_page, shared_environment
from distillab.report.page.palette import SHADES, dark_twins
from distillab.report.page.tables import Column, Entry, Table

LARGE_SIDE, SMALL_SIDE = 92, 64  # CSS pixels of a picture
ROWS_OPEN = 12  # rows of a table that is not folded away


def render_profile(profile: Profile) -> str:
    """The profile as one HTML document that asks the network for nothing."""
    return shared_environment().get_template("profile.html.j2").render(_context(profile))


def write_profile(profile: Profile, path: Path | str) -> None:
    """Write the page whole or not at all. Raises OSError if the folder is not there or cannot be written."""
    put_page(render_profile(profile), Path(path))


def _context(profile: Profile) -> dict[str, Any]:
    channels, height, width = profile.shape
    side = SMALL_SIDE if max(height, width) <= 64 else LARGE_SIDE
    return {
        "p": profile,
        "version": metadata.version("distillab"),
        "shades": SHADES,
        "css": asset("style.css") + asset("profile.css"),
        "js": asset("page.js"),
        "twins": Markup(script_json(dark_twins())),
        "size": f"{width}×{height}",
        "colours": "RGB" if channels == 3 else "grey",
        "side": side,
        "families": [_family(family) for family in profile.families],
        "value_words": format_value,
        "interval_words": format_interval,
        "shared": [(name, seconds) for name, seconds in profile.shared.items() if seconds >= 0.05],
    }


def _family(family: Family) -> dict[str, Any]:
    tables = [_table(grid, f"{family.key}-{place}") for place, grid in enumerate(family.grids)]
    return {
        "family": family,
        "tables": [(table, len(table.rows) <= ROWS_OPEN) for table in tables],
        "galleries": [(gallery, _captioned(gallery)) for gallery in family.galleries],
    }


def _captioned(gallery: Gallery) -> bool:
    """Whether captions say more than the titles of the rows."""
    return any(
        picture.caption and picture.caption not in title for title, row in gallery.rows for picture in row
    )


def _table(grid: Grid, key: str) -> Table:
    numeric = [
        bool(grid.rows) and all(_order(row[place]) is not None for row in grid.rows)
        for place in range(len(grid.columns))
    ]
    columns = tuple(
        Column(title, numeric=numeric[place] and place > 0) for place, title in enumerate(grid.columns)
    )
    rows = tuple(tuple(Entry(_text(cell), _order(cell)) for cell in row) for row in grid.rows)
    return Table(key, grid.title, columns, rows)


def _text(cell: str | float | int) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:g}"


def _order(cell: str | float | int) -> float | None:
    """What a cell is sorted by: its number, also that of a percentage."""
    if not isinstance(cell, str):
        return float(cell)
    if not cell.endswith(" %"):
        return None
    try:
        return float(cell.removesuffix(" %"))
    except ValueError:
        return None
