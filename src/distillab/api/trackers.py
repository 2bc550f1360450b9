"""Whether and where the runs of a study are entered into a tracker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distillab.study.folder import StudyFolder

if TYPE_CHECKING:
    from distillab.track import Tracked

# Tracking reads the evidence, which takes a second to import that no study without a tracker should wait for.


def must_track(tracker: str) -> None:
    """Raise RequestError unless there is such a tracker, and what it needs is installed."""
    from distillab.track import check_tracker

    check_tracker(tracker)


def entered(folder: StudyFolder, tracker: str | None) -> Tracked | None:
    """Enter the runs of a study into a tracker, if one is named."""
    if not tracker:
        return None
    from distillab.track import track_study

    return track_study(folder, tracker)
