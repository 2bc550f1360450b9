"""Batch normalization, addition and ReLU with as few passes over memory as possible, for one thread.

Images are C-contiguous ``[rows, columns]`` of bfloat16 viewed as uint16: their pixels, channels last, with
several pixels side by side in a row where channels are few, since long inner loops are fast. Vectors are
float32 with one number per channel. Everything is computed in float32, and the moments of blocks of rows are
combined in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ROWS_PER_BLOCK = 16  # summed before they leave the first-level cache

ZERO, ONE, HALF_WORD, ROUNDING = np.float32(0), np.uint32(1), np.uint32(16), np.uint32(0x7FFF)
BF16_NAN = np.uint16(0x7FC0)


def jit(function: Callable[..., Any]) -> Any:
    """Return ``function`` as machine code, compiled at the first call and cached on disk where possible."""
    try:
        return numba.njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:  # neither the folder of this file nor the user's cache is writable
        return numba.njit(function, nogil=True, error_model="numpy")


@jit
def to_float32(bits: Any) -> Any:
    """Return a bfloat16, given by its bits, as float32."""
    return np.uint32(np.uint32(bits) << HALF_WORD).view(np.float32)


@jit
def to_bfloat16(value: Any) -> Any:
    """Return the bits of a float32 as bfloat16, rounded to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> HALF_WORD) & ONE)
    rounded = np.uint16(np.uint32(bits + ROUNDING + odd) >> HALF_WORD)
    return rounded if value == value else BF16_NAN


@jit
def batch_statistics(
    x: Any, mean: Any, deviation: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> None:
    """Write the mean of each channel over the batch, and one over its standard deviation, into ``mean`` and
    ``deviation``, and update the running statistics, with the unbiased variance."""
    channels = len(mean)
    means, squares = moments(x)
    beside = len(means) // channels
    pixels = len(x) * beside
    for channel in range(channels):
        center = 0.0
        for j in range(channel, len(means), channels):
            center += means[j]
        center /= beside
        total = 0.0
        for j in range(channel, len(means), channels):
            total += squares[j] + len(x) * (means[j] - center) ** 2
        mean[channel] = center
        deviation[channel] = 1 / np.sqrt(total / pixels + eps)
        running_mean[channel] += momentum * (center - running_mean[channel])
        running_var[channel] += momentum * (total / (pixels - 1) - running_var[channel])


@jit
def moments(x: Any) -> Any:
    """Return the mean of each column and the sum of squared differences from it, float64.

    Source: Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """
    rows, columns = x.shape
    mean, squares = np.zeros(columns), np.zeros(columns)
    block_mean, block_squares = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for start in range(0, rows, ROWS_PER_BLOCK):
        end = min(start + ROWS_PER_BLOCK, rows)
        count = end - start
        block_mean[:] = ZERO
        block_squares[:] = ZERO
        for i in range(start, end):
            for j in range(columns):
                block_mean[j] += to_float32(x[i, j])
        part = np.float32(1 / count)
        for j in range(columns):
            block_mean[j] *= part
        for i in range(start, end):
            for j in range(columns):
                difference = to_float32(x[i, j]) - block_mean[j]
                block_squares[j] += difference * difference
        for j in range(columns):
            step = block_mean[j] - mean[j]
            mean[j] += step * count / end
            squares[j] += block_squares[j] + step * step * start * count / end
    return mean, squares


@jit
def per_column(columns: int, vector: Any) -> Any:
    """Return a vector of one number per channel as one number per column."""
    wide = np.empty(columns, np.float32)
    for j in range(columns):
        wide[j] = vector[j % len(vector)]
    return wide


@jit
def scale_and_shift(columns: int, weight: Any, bias: Any, mean: Any, deviation: Any) -> Any:
    """Return the normalization as ``scale x + shift``, one number per column each."""
    scale, shift = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for j in range(columns):
        channel = j % len(mean)
        scale[j] = weight[channel] * deviation[channel]
        shift[j] = bias[channel] - scale[j] * mean[channel]
    return scale, shift


@jit
def forward(x: Any, plus: Any, weight: Any, bias: Any, mean: Any, deviation: Any, out: Any) -> None:
    """Write ``relu(norm(x) + plus)`` into ``out``; ``plus`` may be None. NaN stays NaN."""
    rows, columns = x.shape
    scale, shift = scale_and_shift(columns, weight, bias, mean, deviation)
    for i in range(rows):
        for j in range(columns):
            value = to_float32(x[i, j]) * scale[j] + shift[j]
            if plus is not None:
                value += to_float32(plus[i, j])
            out[i, j] = to_bfloat16(ZERO if value <= ZERO else value)


@jit
def backward(
    gradient: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    deviation: Any,
    of_vectors: Any,
    of_x: Any,
) -> None:
    """Write the gradients of :func:`forward` without ``plus``, for moments of the batch.

    Those of weight and bias go into the two rows of ``of_vectors``, that of ``x`` into ``of_x``.
    """
    rows, columns = x.shape
    scale, shift = scale_and_shift(columns, weight, bias, mean, deviation)
    means = per_column(columns, mean)
    sums, products = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            value = to_float32(x[i, j])
            passed = ZERO if value * scale[j] + shift[j] <= ZERO else to_float32(gradient[i, j])
            sums[j] += passed
            products[j] += passed * (value - means[j])
    slope, offset = gradients_through_moments(rows, sums, products, scale, deviation, of_vectors)
    for i in range(rows):
        for j in range(columns):
            value = to_float32(x[i, j])
            passed = ZERO if value * scale[j] + shift[j] <= ZERO else to_float32(gradient[i, j])
            of_x[i, j] = to_bfloat16(scale[j] * passed + slope[j] * (value - means[j]) + offset[j])


@jit
def backward_with_plus(
    gradient: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    deviation: Any,
    of_vectors: Any,
    of_x: Any,
    out: Any,
    of_plus: Any,
) -> None:
    """Do the same with ``plus``; the ReLU lets its gradient ``of_plus`` pass where ``out`` is above 0."""
    rows, columns = x.shape
    scale, _ = scale_and_shift(columns, weight, bias, mean, deviation)
    means = per_column(columns, mean)
    sums, products = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            passed = ZERO if to_float32(out[i, j]) <= ZERO else to_float32(gradient[i, j])
            of_plus[i, j] = to_bfloat16(passed)
            sums[j] += passed
            products[j] += passed * (to_float32(x[i, j]) - means[j])
    slope, offset = gradients_through_moments(rows, sums, products, scale, deviation, of_vectors)
    for i in range(rows):
        for j in range(columns):
            moved = slope[j] * (to_float32(x[i, j]) - means[j]) + offset[j]
            of_x[i, j] = to_bfloat16(scale[j] * to_float32(of_plus[i, j]) + moved)


@jit
def gradients_through_moments(
    rows: int, sums: Any, products: Any, scale: Any, deviation: Any, of_vectors: Any
) -> Any:
    """Return what the dependence of mean and variance on the batch adds to the gradient of ``x``.

    It is ``slope (x - mean) + offset``, one number per column each. The gradients of weight and bias, from
    the sums of the columns, are written into ``of_vectors``.
    """
    columns, channels = len(sums), len(deviation)
    slope, offset = np.empty(columns, np.float32), np.empty(columns, np.float32)
    pixels = rows * (columns // channels)
    for channel in range(channels):
        summed, product = 0.0, 0.0
        for j in range(channel, columns, channels):
            summed += sums[j]
            product += products[j]
        product *= deviation[channel]
        of_vectors[0, channel], of_vectors[1, channel] = product, summed
        for j in range(channel, columns, channels):
            slope[j] = -scale[j] * deviation[channel] * product / pixels
            offset[j] = -scale[j] * summed / pixels
    return slope, offset
