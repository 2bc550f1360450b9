"""Where the attribution lies: within boxes, and near the border of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distillab.explain.agreement import TOP_SHARE, PerImage, divided, region_iou, top_region
from distillab.explain.attribution import Maps

ImageBoxes = Sequence[npt.ArrayLike]
"""ImageBoxes of each image: float ``[M, 4]`` of left, top, right and bottom in pixels."""
POINTING_TOLERANCE = 15 / 224
"""Share of the side by which a maximum may lie outside of a box: 15 pixels of 224 (Zhang et al., 2018)."""
_BORDER = 1 / 8  # of the side of the image


def pointing_game(maps: Maps, boxes: ImageBoxes, *, tolerance: float = 0.0) -> PerImage:
    """Return whether the maximum of each map lies in a box of its image: 1 or 0, float64 ``[N]``.

    Source: Zhang et al., "Top-down neural attention by excitation backprop", IJCV 2018, which allows 15
    pixels of tolerance in images of some hundred pixels.

    Args:
        maps: Normalized maps, float32 ``[N, H, W]``.
        boxes: The boxes of each image.
        tolerance: Pixels by which the maximum may lie outside.

    Returns:
        NaN for images without a box; 0 for maps that are 0 everywhere. Of several maxima, the mean counts.

    Example:
        >>> maps = np.zeros((2, 8, 8), np.float32)
        >>> maps[:, 2, 3] = 1
        >>> pointing_game(maps, [[[3, 2, 5, 4]], [[0, 0, 2, 2]]]).tolist()
        [1.0, 0.0]
    """
    found = np.full(len(maps), np.nan)
    for row, (values, mine) in enumerate(zip(maps, boxes, strict=True)):
        corners = box_array(mine)
        if len(corners):
            y, x = (each + 0.5 for each in np.nonzero((values == values.max()) & (values > 0)))
            left, top, right, bottom = corners.T[:, :, None]
            inside = (x >= left - tolerance) & (x <= right + tolerance)
            inside &= (y >= top - tolerance) & (y <= bottom + tolerance)
            found[row] = inside.any(axis=0).mean() if len(x) else 0.0
    return found


def box_iou(maps: Maps, boxes: ImageBoxes, *, share: float = TOP_SHARE) -> PerImage:
    """Return intersection over union of the top region of each map and the boxes of its image.

    Args:
        maps: Normalized maps, float32 ``[N, H, W]``.
        boxes: The boxes of each image.
        share: Of the pixels that form the top region.

    Returns:
        float64 ``[N]``; NaN for images without a box.

    Example:
        >>> maps = np.zeros((1, 4, 4), np.float32)
        >>> maps[:, :2, :2] = 1
        >>> box_iou(maps, [[[0, 0, 2, 2]]], share=0.25).tolist()
        [1.0]
    """
    masks = np.stack([box_mask(each, maps.shape[1], maps.shape[2]) for each in boxes])
    found = region_iou(top_region(maps, share), masks)
    found[~masks.any(axis=(1, 2))] = np.nan
    return found


def box_share(maps: Maps, boxes: ImageBoxes) -> PerImage:
    """Return the share of the attribution that lies within the boxes of each image, float64 ``[N]``.

    A map without preference has the share of the image that its boxes cover, :func:`box_area`.

    Args:
        maps: Normalized maps, float32 ``[N, H, W]``.
        boxes: The boxes of each image.

    Returns:
        NaN for images without a box, and for maps that are 0 everywhere.

    Example:
        >>> maps = np.zeros((1, 4, 4), np.float32)
        >>> maps[0, 0, 0], maps[0, 3, 3] = 1, 1
        >>> box_share(maps, [[[0, 0, 2, 2]]]).tolist(), box_area([[[0, 0, 2, 2]]], 4, 4).tolist()
        ([0.5], [0.25])
    """
    masks = np.stack([box_mask(each, maps.shape[1], maps.shape[2]) for each in boxes])
    found = divided(
        (maps * masks).sum(axis=(1, 2), dtype=np.float64), maps.sum(axis=(1, 2), dtype=np.float64)
    )
    found[~masks.any(axis=(1, 2))] = np.nan
    return found


def box_area(boxes: ImageBoxes, height: int, width: int, *, tolerance: float = 0.0) -> PerImage:
    """Return the share of the pixels of each image that its boxes cover, float64 ``[N]``.

    It is also the chance of a random pixel in the pointing game.

    Args:
        boxes: The boxes of each image.
        height: Height of the images in pixels.
        width: Width of the images.
        tolerance: Pixels by which the boxes are widened on every side.

    Returns:
        NaN for images without a box.

    Example:
        >>> box_area([[[0, 0, 2, 4]], []], 4, 4).tolist()
        [0.5, nan]
    """
    wider = np.array([-tolerance, -tolerance, tolerance, tolerance])
    areas = [box_mask(box_array(each) + wider, height, width).mean() for each in boxes]
    return np.array(
        [area if len(box_array(each)) else np.nan for area, each in zip(areas, boxes, strict=True)],
        np.float64,
    )


def center_maps(count: int, height: int, width: int) -> Maps:
    """Return maps whose maximum is the center of the image, float32 ``[N, H, W]``.

    Photographs and X-rays show what matters in their middle: a map should point better than this.

    Example:
        >>> center_maps(1, 4, 4)[0, 1].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    maps = np.zeros((count, height, width), np.float32)
    maps[:, (height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1] = 1
    return maps


def box_mask(boxes: npt.ArrayLike, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels whose centers lie in one of some boxes, bool ``[H, W]``.

    Example:
        >>> box_mask([[0, 0, 1, 2]], 2, 2).tolist()
        [[True, False], [True, False]]
    """
    y, x = np.mgrid[:height, :width] + 0.5
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in box_array(boxes):
        mask |= (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return mask


def box_array(boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return boxes as float64 ``[M, 4]``.

    Raises:
        ValueError: They are no such array, or a box has no area.

    Example:
        >>> box_array([]).shape
        (0, 4)
    """
    found = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not (np.isfinite(found).all() and (found[:, 2:] > found[:, :2]).all()):
        raise ValueError("boxes are left, top, right, bottom in pixels, with right > left and bottom > top")
    return found


def border_share(maps: Maps, *, border: float = _BORDER) -> PerImage:
    """Return the share of the attribution that lies near the border of the image, float64 ``[N]``.

    The border is a frame with a width of one eighth of each side. A map without preference has
    :func:`border_area` there. Attribution on the border is no proof of a shortcut, but the middle of most
    photographs holds their subject.

    Args:
        maps: Normalized maps, float32 ``[N, H, W]``.
        border: Width of the frame as a share of the side.

    Returns:
        NaN for maps that are 0 everywhere.

    Example:
        >>> maps = np.zeros((1, 8, 8), np.float32)
        >>> maps[0, 0, 0], maps[0, 4, 4] = 1, 1
        >>> border_share(maps).tolist(), border_area(8, 8)
        ([0.5], 0.4375)
    """
    frame = _frame(maps.shape[1], maps.shape[2], border)
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    outside = (maps * frame).sum(axis=(1, 2), dtype=np.float64)
    return divided(outside, total)


def border_area(height: int, width: int, *, border: float = _BORDER) -> float:
    """Return the share of the pixels that are the border of :func:`border_share`.

    Example:
        >>> border_area(16, 16)
        0.4375
    """
    return float(_frame(height, width, border).mean())


def _frame(height: int, width: int, border: float) -> npt.NDArray[np.bool_]:
    rows, columns = (max(1, round(border * side)) for side in (height, width))
    frame = np.ones((height, width), bool)
    frame[rows : height - rows, columns : width - columns] = False
    return frame
