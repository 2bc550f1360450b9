"""Metrics of tracks, by TrackEval: MOTA, IDF1, HOTA and identity switches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from distillab.data.tracks import Tracks
from distillab.extras import import_extra
from distillab.tasks.arrays import Logits, Values
from distillab.tasks.detections import detections_in
from distillab.tasks.track_matches import counted_overlaps
from distillab.tasks.tracked_outputs import embeddings_in
from distillab.tasks.tracker import (
    FoundObjects,
    TrackedObjects,
    TrackerSettings,
    follow_objects,
)

TRACKING_COLUMNS = ("mota", "idf1", "hota", "deta", "assa", "id_switches")
"""What :func:`tracking_metrics` returns."""


def follow_stored(stored: Logits, tracks: Tracks, settings: TrackerSettings) -> list[TrackedObjects]:
    """Return the objects with identities of each image, sequence by sequence; the classes are one.

    Args:
        stored: What :func:`~distillab.tasks.tracked_outputs.find_tracked` returned of N images.
        tracks: Their targets, of which only the frames are used.
        settings: The thresholds of the tracker.
    """
    detections, embeddings = detections_in(stored), embeddings_in(stored)
    empty = TrackedObjects(np.empty(0, dtype=np.int64), np.empty((0, 4)))
    found = [empty] * len(tracks)
    for positions in tracks.sequences():
        frames = [
            FoundObjects.of_rows(int(tracks.frames[position, 1]), detections[position], embeddings[position])
            for position in positions
        ]
        for position, objects in zip(positions, follow_objects(frames, settings), strict=True):
            found[position] = objects
    return found


def tracking_metrics(found: Sequence[TrackedObjects], tracks: Tracks) -> dict[str, float]:
    """Return the metrics of tracks over all labelled images of some sequences, by column.

    ``mota`` (Bernardin and Stiefelhagen, 2008), ``idf1`` (Ristani et al., ECCV 2016), ``hota`` with its parts
    ``deta`` and ``assa`` (Luiten et al., IJCV 2021), and ``id_switches`` per object of the ground truth. As
    in MOTChallenge, tracks are left out where they match a box that is not counted.

    Args:
        found: The objects of each of N images.
        tracks: Their targets.

    Raises:
        RequestError: The package of the extra ``tracking`` is not installed.
    """
    metrics = trackeval_metrics()
    made = {
        "clear": metrics.CLEAR({"PRINT_CONFIG": False}),
        "identity": metrics.Identity({"PRINT_CONFIG": False}),
        "hota": metrics.HOTA(),
    }
    labelled = tracks.labelled
    sequences = [
        _sequence(
            [found[position] for position in positions if labelled[position]],
            tracks.values[positions[labelled[positions]]],
        )
        for positions in tracks.sequences()
    ]
    totals = {
        name: metric.combine_sequences(
            {str(number): metric.eval_sequence(data) for number, data in enumerate(sequences)}
        )
        for name, metric in made.items()
    }
    objects = sum(data["num_gt_dets"] for data in sequences)
    if not objects:
        return dict.fromkeys(TRACKING_COLUMNS, float("nan"))
    return {
        "mota": float(totals["clear"]["MOTA"]),
        "idf1": float(totals["identity"]["IDF1"]),
        "hota": float(np.mean(totals["hota"]["HOTA"])),
        "deta": float(np.mean(totals["hota"]["DetA"])),
        "assa": float(np.mean(totals["hota"]["AssA"])),
        "id_switches": float(totals["clear"]["IDSW"]) / objects,
    }


def trackeval_metrics() -> Any:
    """Return the metrics of TrackEval.

    Raises:
        RequestError: The package of the extra ``tracking`` is not installed.
    """
    return import_extra("trackeval.metrics", "tracking", "the task tracking", where="task")


class _Sequence(TypedDict):
    """A sequence in the form that TrackEval's metrics take; identities are numbers from 0."""

    num_timesteps: int
    num_gt_dets: int
    num_tracker_dets: int
    num_gt_ids: int
    num_tracker_ids: int
    gt_ids: list[npt.NDArray[np.int64]]
    tracker_ids: list[npt.NDArray[np.int64]]
    similarity_scores: list[Values]


def _sequence(found: Sequence[TrackedObjects], values: npt.NDArray[np.float32]) -> _Sequence:
    """Return one sequence in the form that TrackEval's metrics take."""
    wanted, given, overlaps = [], [], []
    for here, rows in zip(found, values, strict=True):
        objects, overlap, kept = counted_overlaps(here, rows)
        wanted.append(objects)
        given.append(here.identities[kept])
        overlaps.append(overlap)
    own, numbered = _from_zero(wanted)
    others, renumbered = _from_zero(given)
    return {
        "num_timesteps": len(overlaps),
        "num_gt_dets": sum(map(len, wanted)),
        "num_tracker_dets": sum(map(len, given)),
        "num_gt_ids": own,
        "num_tracker_ids": others,
        "gt_ids": numbered,
        "tracker_ids": renumbered,
        "similarity_scores": overlaps,
    }


def _from_zero(identities: Sequence[npt.NDArray[np.int64]]) -> tuple[int, list[npt.NDArray[np.int64]]]:
    """Return how many identities occur, and the same arrays with these numbered from 0."""
    names = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *identities]))
    return len(names), [np.searchsorted(names, each) for each in identities]
