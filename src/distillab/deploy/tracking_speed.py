"""Frames per second of a network for tracking and its tracker together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from distillab.data.examples import Items
from distillab.deploy.detection_postprocessing import objects_of_cells
from distillab.deploy.detector_files import tracker_settings
from distillab.deploy.frames import frames_in
from distillab.deploy.loaded import LoadedModel
from distillab.deploy.preprocessing import preprocess_images
from distillab.deploy.tracked import require_tracker
from distillab.tasks.tracker import ObjectTracker, TrackerSettings

MOST_TIMED_FRAMES = 300
"""Frames that are held in memory."""


def following_pass(
    outputs: Callable[[Items], Items], items: Items, size: tuple[int, int], settings: TrackerSettings
) -> Callable[[], object]:
    """Return a function that follows objects through one more frame at every call.

    It goes from items to objects with identities: network, boxes and embeddings, tracker. After the last
    frame it begins with the first one and a new tracker.

    Args:
        outputs: From items ``[1, ...]`` to raw outputs, float32 ``[1, A, K + 42]``.
        items: The frames as the network takes them, in order.
        size: Height and width of the inputs of the network.
        settings: The thresholds of the tracker.
    """
    places = itertools.cycle(range(len(items)))
    tracker = ObjectTracker(settings)

    def follow() -> object:
        nonlocal tracker
        place = next(places)
        if place == 0:
            tracker = ObjectTracker(settings)
        [boxes], [looks] = objects_of_cells(outputs(items[place : place + 1]), *size)
        return tracker.next_frame(boxes, looks)

    return follow


def model_pass(model: LoadedModel, frames: str | Path) -> Callable[[], object]:
    """Return the pass of an exported model over a folder of frames, which are decoded before.

    Args:
        model: The model.
        frames: The folder.

    Raises:
        RequestError: The model follows no objects, or a frame cannot be decoded.
    """
    require_tracker(model.description, model.path, "--frames is about tracks")
    items = preprocess_images(frames_in([frames])[:MOST_TIMED_FRAMES], model.description)
    inputs = model.description.network_input

    def outputs(some: Items) -> Items:
        return np.asarray(model.engine.outputs(some)[0])

    return following_pass(outputs, items, (inputs.height, inputs.width), tracker_settings(model.description))
