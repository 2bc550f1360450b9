"""The page of a profile: one HTML file with its pictures inside."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from markupsafe import Markup

from distillab.modalities import modalities
from distillab.profile.claims import CLAIMS
from distillab.profile.measure import Family, Gallery, Grid
from distillab.profile.profile import Profile
from distillab.profile.wording import format_interval, format_value, noun_of
from distillab.report.page import wording
from distillab.report.page.assets import asset, shared_environment, write_page
from distillab.report.page.figures import script_json
from distillab.report.page.palette import SHADES, dark_shades
from distillab.report.page.table import Column, Table, TableCell

LARGE_SIDE, SMALL_SIDE, TEXT_SIDE = 92, 64, 200  # CSS pixels of a picture or a text
ROWS_OPEN = 12  # tables with more rows are folded


def render_profile(profile: Profile) -> str:
    """Return the profile as one HTML document that loads nothing from the network."""
    return shared_environment().get_template("profile.html.j2").render(_context(profile))


def write_profile(profile: Profile, path: Path | str) -> None:
    """Write the page completely or not at all.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    write_page(render_profile(profile), Path(path))


def _context(profile: Profile) -> dict[str, object]:
    _, height, width = profile.shape
    side = TEXT_SIDE if profile.modality == "text" else SMALL_SIDE if max(height, width) <= 64 else LARGE_SIDE
    return {
        "p": profile,
        "version": metadata.version("distillab"),
        "shades": SHADES,
        "css": asset("style.css") + asset("profile.css"),
        "js": asset("page.js"),
        "dark_shades": Markup(script_json(dark_shades())),
        "noun": noun_of(profile.modality),
        "described": modalities[profile.modality].describe(profile.shape),
        "side": side,
        "families": [_family(family) for family in profile.families],
        "format_value": format_value,
        "format_interval": format_interval,
        "claims": [CLAIMS[key] for key in profile.claims],
        "claim_titles": {key: CLAIMS[key].title for key in profile.claims},
        "shared": [(name, seconds) for name, seconds in profile.shared.items() if seconds >= 0.05],
    }


def _family(family: Family) -> dict[str, object]:
    tables = [_table(grid, f"{family.key}-{place}") for place, grid in enumerate(family.grids)]
    return {
        "family": family,
        "tables": [(table, len(table.rows) <= ROWS_OPEN) for table in tables],
        "galleries": [(gallery, _captioned(gallery)) for gallery in family.galleries],
    }


def _captioned(gallery: Gallery) -> bool:
    """Return True if captions add something to the titles of the rows."""
    return any(
        picture.caption and picture.caption not in title for title, row in gallery.rows for picture in row
    )


def _table(grid: Grid, key: str) -> Table:
    numeric = [
        any(_order(row[place]) is not None for row in grid.rows)
        and all(_order(row[place]) is not None or row[place] == wording.DASH for row in grid.rows)
        for place in range(len(grid.columns))
    ]
    columns = tuple(
        Column(title, numeric=numeric[place] and place > 0) for place, title in enumerate(grid.columns)
    )
    rows = tuple(tuple(TableCell(_text(cell), _order(cell)) for cell in row) for row in grid.rows)
    return Table(key, grid.title, columns, rows)


def _text(cell: str | float | int) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:g}"


def _order(cell: str | float | int) -> float | None:
    """Return the number by which a cell is sorted, also that of a percentage."""
    if not isinstance(cell, str):
        return float(cell)
    if not cell.endswith(" %"):
        return None
    try:
        return float(cell.removesuffix(" %"))
    except ValueError:
        return None
