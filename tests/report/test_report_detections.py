"""Boxes over pictures in the report."""

from __future__ import annotations

import re
from dataclasses import replace

from distillab.report.contents.detections import BoxTile, DrawnBox
from distillab.report.page.detections import (
    MOST_CURVES,
    class_precision_table,
    picture_with_boxes,
    precision_plots,
)
from distillab.tasks import Detection
from support.report_detections import detections

CELLS = ("red cell", "white cell")


def test_boxes_are_drawn_where_they_are_in_pixels_of_the_image() -> None:
    image = detections(CELLS).images[0]
    tile = BoxTile("kd", (DrawnBox(1.0, 2.0, 11.0, 22.0, 1, "white cell", 0.5),))
    drawn = picture_with_boxes(image, tile, "found-0", first=True)
    assert 'viewBox="0 0 64 64"' in drawn and 'aria-label="test image 0, kd: white cell 0.50"' in drawn
    assert drawn.count('<rect x="1.0" y="2.0" width="10.0" height="20.0"') == 2
    assert 'class="miss"' not in drawn
    missed = replace(tile, boxes=(replace(tile.boxes[0], found=False),))
    assert 'class="miss"' in picture_with_boxes(image, missed, "found-0", first=True)


def test_letters_are_never_written_over_others() -> None:
    image = detections(CELLS).images[0]
    box = DrawnBox(20.0, 20.0, 40.0, 40.0, 0, "cell", 0.5)
    drawn = picture_with_boxes(image, BoxTile("kd", (box, box, box)), "found-0", first=False)
    heights = re.findall(r'<text x="20.0" y="([\d.]+)"', drawn)
    assert len(heights) == len(set(heights)) == 2  # above and below; there is no third place


def test_a_crowd_has_no_letters() -> None:
    image = detections(CELLS, boxes=40).images[0]
    drawn = picture_with_boxes(image, image.tiles[1], "found-0", first=False)
    assert "<text" not in drawn and drawn.count("<title>") == 40


def test_the_classes_with_most_objects_are_plotted_and_all_are_in_the_table() -> None:
    view = detections(tuple(f"class {number}" for number in range(9)))
    plots = precision_plots(view, {}, Detection())
    assert len(plots) == MOST_CURVES and plots[0].title == "class 8: 80 objects"
    table = class_precision_table(view, Detection())
    assert table is not None and len(table.rows) == 9
    assert [cell.text for cell in table.rows[1]] == ["class 1", "10", *["50.0 ± 1.0"] * 3]
    assert [cell.text for cell in table.rows[0]][2:] == ["–"] * 3  # a class without objects
