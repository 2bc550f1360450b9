"""The report of a study, written again, and its tables and figures as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from distillab.api.studies import Finished, conclude
from distillab.api.trackers import entered, must_track
from distillab.study.folder import StudyFolder
from distillab.study.store import raising_disk_full


def report(
    path: str | Path, *, csv: bool = False, figures: bool = False, track: str | None = None
) -> Finished:
    """Write the tables and the report of a study again, from what has run so far.

    Args:
        path: The study's folder.
        csv: Whether ``results.csv`` and ``effects.csv`` are written beside the Parquet files.
        figures: Whether the figures of the report are written into ``figures/`` as PNG and SVG, which needs
            Chromium or Chrome.
        track: ``mlflow`` or ``tensorboard``, where every run is entered as well, once.

    Raises:
        RequestError: There is no study, no such tracker, or no browser for figures.

    Example:
        >>> report("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here ...
    """
    if track:
        must_track(track)
    finished = conclude(StudyFolder.open(Path(path)))
    files: list[Path] = []
    if csv or figures:
        from distillab.evidence.csv_tables import write_csv
        from distillab.report.collect.study import collect_contents
        from distillab.report.page.page import write_figures

        folder = finished.folder
        with raising_disk_full(folder.path):
            files += write_csv(folder) if csv else []
            if figures:
                files += write_figures(collect_contents(folder, finished.tables), folder.path / "figures")
    return replace(finished, files=tuple(files), tracked=entered(finished.folder, track))
