"""How far two attribution maps agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from distillab.explain.attribution import Maps

PerImage = npt.NDArray[np.float64]
"""One value per image, float64 ``[N]``; NaN where it is not defined."""
TOP_SHARE = 0.2
_SIGMA, _TRUNCATE = 1.5, 3.5  # a Gaussian window of 11 pixels
_K1, _K2 = 0.01, 0.03
_CONSTANT = 1e-9  # norms up to this are those of constant maps


def agreement_of(first: Maps, second: Maps) -> dict[str, PerImage]:
    """Return the agreement of two networks' maps of the same images, by measure: one value per image.

    Args:
        first: Normalized maps, float32 ``[N, H, W]``.
        second: Those of another network, of the same images and classes.

    Example:
        >>> maps = np.random.default_rng(0).random((2, 16, 16), np.float32)
        >>> {name: values.round(6).tolist() for name, values in agreement_of(maps, maps).items()}
        {'iou': [1.0, 1.0], 'pearson': [1.0, 1.0], 'ssim': [1.0, 1.0]}
    """
    return {"iou": top_iou(first, second), "pearson": pearson(first, second), "ssim": ssim(first, second)}


def top_region(maps: Maps, share: float = TOP_SHARE) -> npt.NDArray[np.bool_]:
    """Return the pixels with the largest values, bool ``[N, H, W]``.

    They are a share of all pixels; more where several have the value at the limit, fewer where a map has
    fewer positive values: a pixel without attribution is never among them.

    Args:
        maps: Normalized maps, float32 ``[N, H, W]``.
        share: Of the pixels, in (0, 1].

    Example:
        >>> top_region(np.array([[[0.0, 0.1], [1.0, 0.5]]], np.float32), 0.5).tolist()
        [[[False, False], [True, True]]]
    """
    flat = maps.reshape(len(maps), -1)
    count = max(1, round(share * flat.shape[1]))
    limit = np.partition(flat, -count, axis=1)[:, -count]
    found: npt.NDArray[np.bool_] = (maps >= limit[:, None, None]) & (maps > 0)
    return found


def top_iou(first: Maps, second: Maps, share: float = TOP_SHARE) -> PerImage:
    """Return intersection over union of the top regions of two maps, float64 ``[N]``.

    It is 1 for equal maps, 0 for disjoint ones, and NaN if both are 0 everywhere.

    Args:
        first: Normalized maps, float32 ``[N, H, W]``.
        second: Other maps of the same images.
        share: Of the pixels that form a top region.

    Example:
        >>> left = np.zeros((1, 2, 4), np.float32)
        >>> left[:, :, :1], right = 1, left[:, :, ::-1].copy()
        >>> right[:, :, -1:] = 1
        >>> top_iou(left, left).tolist(), top_iou(left, right).tolist()
        ([1.0], [0.0])
    """
    return region_iou(top_region(first, share), top_region(second, share))


def region_iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PerImage:
    """Return intersection over union of regions, bool ``[N, H, W]``; NaN if both are empty."""
    either = (first | second).sum(axis=(1, 2)).astype(np.float64)
    both = (first & second).sum(axis=(1, 2)).astype(np.float64)
    return divided(both, either)


def divided(values: npt.NDArray[np.float64], by: npt.NDArray[np.float64], least: float = 0.0) -> PerImage:
    """Return quotients, NaN where the divisor is not above ``least``.

    Example:
        >>> divided(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
        [0.5, nan]
    """
    found: PerImage = np.full(len(values), np.nan)
    np.divide(values, by, out=found, where=by > least)
    return found


def pearson(first: Maps, second: Maps) -> PerImage:
    """Return Pearson's correlation of two maps over pixels, float64 ``[N]``; NaN if a map is constant.

    Example:
        >>> maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
        >>> pearson(maps, 2 * maps).round(6).tolist(), pearson(maps, -maps).round(6).tolist()
        ([1.0], [-1.0])
    """
    a, b = (each.reshape(len(each), -1).astype(np.float64) for each in (first, second))
    a, b = (each - each.mean(axis=1, keepdims=True) for each in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = (a * b).sum(axis=1)
    return divided(products, norms, _CONSTANT)


def ssim(first: Maps, second: Maps) -> PerImage:
    """Return the structural similarity of two maps in [0, 1], float64 ``[N]``.

    The window is a Gaussian of 11 pixels with a standard deviation of 1.5, and the range of values is 1.
    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP
    2004, equation 13.

    Example:
        >>> maps = np.random.default_rng(0).random((1, 16, 16), np.float32)
        >>> ssim(maps, maps).round(6).tolist()
        [1.0]
    """

    def smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = gaussian_filter(
            values, sigma=(0, _SIGMA, _SIGMA), truncate=_TRUNCATE, mode="reflect"
        )
        return found

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    found: PerImage = (similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean(axis=(1, 2))
    return found
