"""The section on detections: pictures with boxes, precision by recall, and AP50 of every class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

from distillab.modalities.image.box_pictures import box_color
from distillab.printable import printable
from distillab.report.contents.detections import (
    ArmPrecision,
    BoxTile,
    ClassPrecision,
    DetectedImage,
    DetectionsView,
    DrawnBox,
)
from distillab.report.page import wording
from distillab.report.page.dose_response import ROLE_STYLES
from distillab.report.page.figures import Plot, Style, axis, base_figure, legend_name, plain
from distillab.report.page.palette import color
from distillab.report.page.pictures import data_uri
from distillab.report.page.table import Column, Table, TableCell, count_cell, number_cell
from distillab.tasks import Task

MOST_CURVES = 6  # classes that are drawn, those with the most objects; the table has all of them
PICTURE_SIDE = 400  # pixels to which larger pictures are reduced: twice the width of a tile
_WIDTH = 200  # CSS pixels of a tile, for which the size of letters is set
_LETTERS = 10  # height of letters in CSS pixels
_LETTER_WIDTH = 0.6  # of a letter, in heights
_NAMED = 6  # boxes of an image up to which names are written
_NUMBERED = 14  # and up to which confidences are
_NAME_LENGTH = 12


def picture_with_boxes(image: DetectedImage, tile: BoxTile, key: str, *, first: bool) -> Markup:
    """Return a picture with boxes as an SVG element.

    Boxes that find no object of their class are dashed. The picture is embedded by the first of the tiles
    alone, and the others refer to it.

    Args:
        image: The image.
        tile: The boxes.
        key: The id of the picture on the page.
        first: Whether this is the first tile of the image.

    Example:
        >>> image = DetectedImage(np.zeros((1, 8, 8), np.uint8), "test image 0", "", ())
        >>> tile = BoxTile("teacher", (DrawnBox(0.0, 0.0, 4.0, 4.0, 0, "<b>"),))
        >>> "&lt;b&gt;" in picture_with_boxes(image, tile, "found-0", first=False)
        True
    """
    height, width = image.size
    if first:
        uri = data_uri(image.picture, PICTURE_SIDE)
        shown = f'<image id="{key}" width="{width}" height="{height}" href="{uri}"/>'
    else:
        shown = f'<use href="#{key}"/>'
    letters = "".join(_letters(tile.boxes, width, height))
    boxes = "".join(_box(box) for box in reversed(tile.boxes)) + letters
    listed = ", ".join(box.text for box in tile.boxes) or "no box"
    alt = escape(printable(f"{image.name}, {tile.network}: {listed}"))
    opening = f'<svg class="boxes" viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">'
    return Markup(f"{opening}{shown}{boxes}</svg>")


def _box(box: DrawnBox) -> str:
    """Return the element of one box; the last one of an image lies on top."""
    shape = (
        f'x="{box.left:.1f}" y="{box.top:.1f}" width="{box.right - box.left:.1f}" '
        f'height="{box.bottom - box.top:.1f}"'
    )
    dashed = "" if box.found else ' class="miss"'
    text, shade = escape(printable(box.text)), box_color(box.label)
    return f'<g{dashed}><title>{text}</title><rect {shape}/><rect {shape} stroke="{shade}"/></g>'


def _letters(boxes: Sequence[DrawnBox], width: int, height: int) -> Iterator[str]:
    """Yield what is written at each box: above it, below it, or nothing where others are written already."""
    size = _LETTERS * width / _WIDTH
    taken: list[tuple[float, float, float]] = []
    for box in boxes:
        parts = [box.name[:_NAME_LENGTH]] if len(boxes) <= _NAMED else []
        if box.confidence is not None and len(boxes) <= _NUMBERED:
            parts.append(f"{100 * box.confidence:.0f}")
        text = " ".join(parts)
        long = _LETTER_WIDTH * size * len(text)
        x = min(box.left, max(0.0, width - long))
        for y in (box.top - 0.25 * size, box.bottom + 0.95 * size):
            is_free = all(abs(y - low) > size or x + long < left or right < x for left, right, low in taken)
            if text and 0.75 * size < y <= height and is_free:
                taken.append((x, x + long, y))
                yield (
                    f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.2f}" fill="{box_color(box.label)}">'
                    f"{escape(printable(text))}</text>"
                )
                break


def precision_plots(view: DetectionsView | None, styles: Mapping[str, Style], task: Task) -> list[Plot]:
    """Return a plot of precision by recall for each of the classes with the most objects.

    Args:
        view: The section; None without one.
        styles: How methods are drawn, by name.
        task: The task.
    """
    if view is None:
        return []
    known = sorted((each for each in view.classes if each.objects), key=lambda each: -each.objects)
    return [_plot(each, i, styles, task) for i, each in enumerate(known[:MOST_CURVES])]


def _plot(shown: ClassPrecision, index: int, styles: Mapping[str, Style], task: Task) -> Plot:
    figure = base_figure(330, showlegend=True)
    recalls = np.linspace(0, 100, 101).tolist()
    for arm in shown.arms:
        style = ROLE_STYLES.get(arm.role) or styles.get(arm.name) or Style(color("accent"), "circle")
        figure.add_scatter(
            x=recalls,
            y=[round(100 * value, 2) for value in arm.curve],
            mode="lines",
            name=legend_name(arm.name),
            line={"color": style.color, "width": 2, "dash": style.dash},
            hovertemplate=f"<b>{plain(arm.name)}</b><br>recall %{{x:.0f}} %, precision %{{y:.1f}} %"
            "<extra></extra>",
        )
    figure.update_layout(
        xaxis=axis("recall, %", range=[0, 100]),
        yaxis=axis("precision, %", range=[0, 102]),
    )
    texts = ", ".join(f"{arm.name} {_score(arm, task)}" for arm in shown.arms)
    title = f"{shown.name}: {shown.objects:,} object{'s' if shown.objects != 1 else ''}"
    return Plot(f"precision-{index}", title, f"Precision by recall of {shown.name}. AP50: {texts}.", figure)


def class_precision_table(view: DetectionsView | None, task: Task) -> Table | None:
    """Return AP50 of every class, one column per method; None without a section or a class.

    Args:
        view: The section.
        task: The task.
    """
    if view is None or not view.classes:
        return None
    arms = view.classes[0].arms
    columns = (
        Column(wording.capital(task.class_noun)),
        Column("Objects", True, "in the test set"),
        *(Column(arm.name, True, f"{arm.runs} network{'s' if arm.runs != 1 else ''}") for arm in arms),
    )
    rows = tuple(
        (
            TableCell(each.name),
            count_cell(each.objects),
            *(number_cell(_score(arm, task), arm.ap50) for arm in each.arms),
        )
        for each in view.classes
    )
    caption = f"AP50 of every {task.class_noun}, %, of {view.place}: mean ± standard deviation over seeds"
    return Table("class-precision-table", caption, columns, rows)


def _score(arm: ArmPrecision, task: Task) -> str:
    metric = task.class_metric
    text = wording.scaled(arm.ap50, metric)
    return text if wording.missing(arm.spread) else f"{text} ± {wording.scaled(arm.spread, metric)}"


def box_key(labels: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Return the color and the name of each class that is drawn.

    Example:
        >>> box_key([(0, "cell")])[0][1]
        'cell'
    """
    return [(box_color(label), name) for label, name in labels]
