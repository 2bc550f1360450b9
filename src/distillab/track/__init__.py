"""Runs of a study in MLflow or TensorBoard: parameters, curves, metrics and artifacts, each run once."""

from distillab.track.runs import TrackedRun, tracked_runs
from distillab.track.tracking import TRACKERS, Tracked, check_tracker, track_study

__all__ = ["TRACKERS", "Tracked", "TrackedRun", "check_tracker", "track_study", "tracked_runs"]
