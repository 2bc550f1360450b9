"""Closed-form outputs of networks for tracking, for the tests of methods that are defined for these."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from distillab.data.tracks import Tracks
from distillab.methods import Batch, Method, Pair, build_method, methods, parse_method
from distillab.models import Outputs, OutputShapes
from distillab.models.tracking_networks import center_grid
from distillab.tasks import Tracking
from distillab.tasks.dense_outputs import CENTERS, EMBEDDING_SIZE, DenseOutputs

OF_TRACKERS = [name for name in methods if methods[name].tasks == {"tracking"}]
"""The methods that are defined for tracking alone."""
ROWS, COLUMNS = 3, 4
OBJECTS = [[(0, 0, 0, 6, 10, 0), (0, 8, 2, 14, 12, 1)], [(0, 5, 1, 9, 9, 1)], [], [(0, 1, 1, 9, 11, 2)]]
LABELS = torch.from_numpy(Tracks.of(OBJECTS, 1).values)
CHANNELS = {"student": 2, "teacher": 3}
RATES = {"student": 0.37, "teacher": 0.23}


def waves(*shape: int, rate: float) -> Tensor:
    """Return a tensor float64 whose n-th entry is sin(rate n + 0.1)."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(rate * place + 0.1).reshape(shape)


def tracked_outputs(role: str, channels: int) -> Outputs:
    """Return the outputs of a student or a teacher for four images, float64."""
    count, cells, rate = len(OBJECTS), ROWS * COLUMNS, RATES[role]
    looks = F.normalize(waves(count, cells, EMBEDDING_SIZE, rate=rate + 0.3), dim=2)
    scores = 2 * waves(count, cells, 1, rate=rate + 0.6) - 1
    boxes = waves(count, cells, 4, rate=rate + 0.4)
    anchors = center_grid(ROWS, COLUMNS).double()
    found = DenseOutputs(scores, boxes, torch.zeros_like(scores[..., 0]), anchors, CENTERS, looks).tensor()
    return Outputs(found, maps=(waves(count, channels, ROWS, COLUMNS, rate=rate),))


def tracked_shapes(channels: int) -> OutputShapes:
    """Return the shapes of :func:`tracked_outputs`."""
    shape = (channels, ROWS, COLUMNS)
    return OutputShapes(1, None, (shape,), (shape[1:],), cells=ROWS * COLUMNS, identities=True)


def tracked_method(entry: Any, teacher: str = "teacher") -> Method:
    """Build a method for a student and a teacher of tracking, float64; ``student`` makes both alike."""
    shapes = tracked_shapes(CHANNELS["student"]), tracked_shapes(CHANNELS[teacher])
    pair = Pair(*shapes, n_train=len(OBJECTS), labels=LABELS, task=Tracking())
    torch.manual_seed(0)
    return build_method(parse_method(entry, "methods"), pair).double()


def tracked_batch(labels: Tensor = LABELS) -> Batch:
    """Return a batch of the four images."""
    places = torch.arange(len(labels))
    return Batch(labels, places, places, epoch=0, progress=0.5, epoch_length=1)


def tracked_cases() -> Iterator[tuple[str, str, Batch]]:
    """Return the cases of the golden table: their names, who teaches, and the batch."""
    some = LABELS.clone()
    some[1] = -1
    yield "middle", "teacher", tracked_batch()
    yield "partly labelled", "teacher", tracked_batch(some)
    yield "equal networks", "student", tracked_batch()
