"""What the report shows of where networks look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillab.evidence.pairs import Row


@dataclass(frozen=True)
class ExplainedTile:
    """One map drawn over its image.

    Attributes:
        picture: uint8 ``[3, H, W]``.
        note: What the network predicts of the image, or "" for the image itself.
    """

    picture: npt.NDArray[np.uint8]
    note: str = ""


@dataclass(frozen=True)
class MapGallery:
    """The maps of several networks for the same test images.

    Attributes:
        title: The attribution and where the networks are from.
        columns: What each column shows: the image, the teacher, the students by method.
        rows: For each image its name and one tile per column.

    Example:
        >>> MapGallery("grad_cam", ("image", "teacher"), ()).columns
        ('image', 'teacher')
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ExplainedTile, ...]], ...]


@dataclass(frozen=True)
class ExplanationsView:
    """The section on explanations.

    Attributes:
        galleries: One per attribution.
        gains: The rows of ``explanation_gains.parquet``.
        runs: The rows of ``explanations.parquet``.
        images: How many images were explained, at most.
        classes: The rows of ``explanation_classes.parquet``.

    Example:
        >>> ExplanationsView((), (), (), 100).images
        100
    """

    galleries: tuple[MapGallery, ...]
    gains: tuple[Row, ...]
    runs: tuple[Row, ...]
    images: int
    classes: tuple[Row, ...] = ()
