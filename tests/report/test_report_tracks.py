"""Tracks over frames in the report."""

from __future__ import annotations

from dataclasses import replace

from distillab.report.contents.tracks import TrackMark, TrackStrip
from distillab.report.page.tracks import frame_with_tracks
from support.report_tracks import tracks


def test_boxes_and_trails_are_drawn_where_they_are() -> None:
    view = tracks()
    mark = TrackMark(1.0, 2.0, 11.0, 22.0, 7, 0, trail=((3.0, 20.0), (6.0, 22.0)))
    drawn = frame_with_tracks(view.frames[0], view.strips[1], [mark], "f-0", first=True)
    assert 'viewBox="0 0 64 64"' in drawn and 'aria-label="frame 0, teacher: 7"' in drawn
    assert drawn.count('<rect x="1.0" y="2.0" width="10.0" height="20.0"') == 2
    assert '<polyline points="3.0,20.0 6.0,22.0"' in drawn and ">7</text>" in drawn
    assert 'class="switch"' not in drawn and 'class="miss"' not in drawn
    assert '<image id="f-0"' in drawn
    again = frame_with_tracks(view.frames[0], view.strips[1], [mark], "f-0", first=False)
    assert "<image" not in again and '<use href="#f-0"/>' in again


def test_switches_and_tracks_without_an_object_are_marked() -> None:
    view = tracks()
    switch, lost = (
        replace(view.strips[0].frames[0][0], before=4),
        replace(view.strips[0].frames[0][1], found=False),
    )
    drawn = frame_with_tracks(view.frames[0], view.strips[2], [switch, lost], "f", first=False)
    assert drawn.count('class="switch"') == 1 and drawn.count('class="miss"') == 1
    assert "4→1" in drawn


def test_letters_are_never_written_over_others() -> None:
    view = tracks()
    mark = TrackMark(20.0, 20.0, 40.0, 40.0, 3, 0)
    drawn = frame_with_tracks(view.frames[0], TrackStrip("kd", "", ()), [mark] * 4, "f", first=False)
    assert drawn.count("<text") == 2  # above and below; there is no third place
