"""Tracks for files: the objects in each frame of a sequence, with identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from distillab.deploy.detecting import FileDetections
from distillab.deploy.frames import require_one_size
from distillab.deploy.loaded import LoadedModel
from distillab.deploy.preprocessing import preprocess_image, upright_picture
from distillab.deploy.tracked import FrameTracker
from distillab.errors import RequestError


def track_files(
    model: LoadedModel, frames: Sequence[Path], *, least: float = 0.0
) -> Iterator[FileDetections]:
    """Yield the boxes with identities in each frame of a sequence, in order.

    A frame that cannot be read does not stop the others: time passes, and tracks go on behind it.

    Args:
        model: A network for tracking.
        frames: The files, in the order of time.
        least: Confidence below which a box is left out. It is followed all the same.

    Raises:
        RequestError: Frames are of different sizes, or the network gives outputs that are not finite.

    Example:
        >>> import numpy as np
        >>> from distillab.deploy.description import ModelDescription
        >>> from distillab.deploy.loaded import TorchEngine
        >>> from distillab.models import InputSpec
        >>> description = ModelDescription(
        ...     architecture="fairmot_resnet_s", classes=("walker",), item=InputSpec(1, 32, 32),
        ...     mean=np.zeros(1, np.float32), std=np.ones(1, np.float32), task={"name": "tracking"},
        ... )
        >>> model = LoadedModel(Path("model"), description, TorchEngine(description.build(), description))
        >>> [each.error for each in track_files(model, [Path("missing.png")])]
        ['there is no such file']
    """
    require_one_size(frames)
    tracker, passed = FrameTracker(model.description), 1
    for frame in frames:
        where = str(frame)
        try:
            item = preprocess_image(frame, model.description, where)
            picture = upright_picture(frame, model.description, where)
        except RequestError as error:
            passed += 1
            yield FileDetections(where, error=str(error).removeprefix(f"{where}: "))
            continue
        [cells], _ = model.engine.outputs(item[None])
        boxes = tracker.next_frame(cells, picture.size[::-1], where, least=least, passed=passed)
        passed = 1
        yield FileDetections(where, boxes, picture)
