"""Batch normalisation, addition and ReLU in as few readings of memory as they take, for one thread.

Images are C-contiguous ``[rows, columns]`` of bfloat16 seen as uint16: their pixels, channels last, with
several pixels side by side in a row where channels are few, since long inner loops are quick. Vectors are
float32 and have one number a channel. Everything is computed in float32, and the moments of blocks of rows
are joined in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

BLOCK = 16  # rows that are summed before they leave the first-level cache

ZERO, ONE, HALF_WORD, ROUNDING = np.float32(0), np.uint32(1), np.uint32(16), np.uint32(0x7FFF)
BF16_NAN = np.uint16(0x7FC0)


def compiled(function: Callable[..., Any]) -> Any:
    """``function`` as machine code, made at the first call and kept for other processes if that may be."""
    try:
        return numba.njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:  # neither the folder of this file nor the user's cache can be written
        return numba.njit(function, nogil=True, error_model="numpy")


@compiled
def widened(bits: Any) -> Any:
    """The number that a bfloat16 stands for, float32."""
    return np.uint32(np.uint32(bits) << HALF_WORD).view(np.float32)


@compiled
def narrowed(value: Any) -> Any:
    """A float32 as bfloat16, rounded to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> HALF_WORD) & ONE)
    rounded = np.uint16(np.uint32(bits + ROUNDING + odd) >> HALF_WORD)
    return rounded if value == value else BF16_NAN


@compiled
def learned(
    x: Any, mean: Any, deviation: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> None:
    """Mean of each channel over the batch, and one over its standard deviation, into ``mean`` and
    ``deviation``; the running statistics take their part, of the unbiased variance."""
    channels = len(mean)
    means, squares = moments(x)
    beside = len(means) // channels
    pixels = len(x) * beside
    for channel in range(channels):
        centre = 0.0
        for j in range(channel, len(means), channels):
            centre += means[j]
        centre /= beside
        total = 0.0
        for j in range(channel, len(means), channels):
            total += squares[j] + len(x) * (means[j] - centre) ** 2
        mean[channel] = centre
        deviation[channel] = 1 / np.sqrt(total / pixels + eps)
        running_mean[channel] += momentum * (centre - running_mean[channel])
        running_var[channel] += momentum * (total / (pixels - 1) - running_var[channel])


@compiled
def moments(x: Any) -> Any:
    """Mean of each column and sum of squared differences from it, float64 (Chan et al., "Updating formulae
    and a pairwise algorithm for computing sample variances", 1979)."""
    rows, columns = x.shape
    mean, squares = np.zeros(columns), np.zeros(columns)
    block_mean, block_squares = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for start in range(0, rows, BLOCK):
        end = min(start + BLOCK, rows)
        count = end - start
        block_mean[:] = ZERO
        block_squares[:] = ZERO
        for i in range(start, end):
            for j in range(columns):
                block_mean[j] += widened(x[i, j])
        part = np.float32(1 / count)
        for j in range(columns):
            block_mean[j] *= part
        for i in range(start, end):
            for j in range(columns):
                difference = widened(x[i, j]) - block_mean[j]
                block_squares[j] += difference * difference
        for j in range(columns):
            step = block_mean[j] - mean[j]
            mean[j] += step * count / end
            squares[j] += block_squares[j] + step * step * start * count / end
    return mean, squares


@compiled
def tiled(columns: int, vector: Any) -> Any:
    """A number a channel as a number a column."""
    wide = np.empty(columns, np.float32)
    for j in range(columns):
        wide[j] = vector[j % len(vector)]
    return wide


@compiled
def line(columns: int, weight: Any, bias: Any, mean: Any, deviation: Any) -> Any:
    """Normalisation as ``scale x + shift``, a number a column each."""
    scale, shift = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for j in range(columns):
        channel = j % len(mean)
        scale[j] = weight[channel] * deviation[channel]
        shift[j] = bias[channel] - scale[j] * mean[channel]
    return scale, shift


@compiled
def forward(x: Any, plus: Any, weight: Any, bias: Any, mean: Any, deviation: Any, out: Any) -> None:
    """``out = relu(norm(x) + plus)``, where ``plus`` may be None. What is not a number stays so."""
    rows, columns = x.shape
    scale, shift = line(columns, weight, bias, mean, deviation)
    for i in range(rows):
        for j in range(columns):
            value = widened(x[i, j]) * scale[j] + shift[j]
            if plus is not None:
                value += widened(plus[i, j])
            out[i, j] = narrowed(ZERO if value <= ZERO else value)


@compiled
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
    """Gradients of :func:`forward` without ``plus``, for moments of the batch: of weight and bias, the rows
    of ``of_vectors``, and of ``x``."""
    rows, columns = x.shape
    scale, shift = line(columns, weight, bias, mean, deviation)
    means = tiled(columns, mean)
    sums, products = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            value = widened(x[i, j])
            passed = ZERO if value * scale[j] + shift[j] <= ZERO else widened(gradient[i, j])
            sums[j] += passed
            products[j] += passed * (value - means[j])
    slope, offset = through_moments(rows, sums, products, scale, deviation, of_vectors)
    for i in range(rows):
        for j in range(columns):
            value = widened(x[i, j])
            passed = ZERO if value * scale[j] + shift[j] <= ZERO else widened(gradient[i, j])
            of_x[i, j] = narrowed(scale[j] * passed + slope[j] * (value - means[j]) + offset[j])


@compiled
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
    """The same with ``plus``: its gradient, ``of_plus``, is what ReLU lets pass, by what came ``out``."""
    rows, columns = x.shape
    scale, _ = line(columns, weight, bias, mean, deviation)
    means = tiled(columns, mean)
    sums, products = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    for i in range(rows):
        for j in range(columns):
            passed = ZERO if widened(out[i, j]) <= ZERO else widened(gradient[i, j])
            of_plus[i, j] = narrowed(passed)
            sums[j] += passed
            products[j] += passed * (widened(x[i, j]) - means[j])
    slope, offset = through_moments(rows, sums, products, scale, deviation, of_vectors)
    for i in range(rows):
        for j in range(columns):
            moved = slope[j] * (widened(x[i, j]) - means[j]) + offset[j]
            of_x[i, j] = narrowed(scale[j] * widened(of_plus[i, j]) + moved)


@compiled
def through_moments(rows: int, sums: Any, products: Any, scale: Any, deviation: Any, of_vectors: Any) -> Any:
    """Gradients of weight and bias from the columns' sums, and what the dependence of mean and variance on
    the batch adds to an input's gradient: ``slope (x - mean) + offset``, a number a column each."""
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
