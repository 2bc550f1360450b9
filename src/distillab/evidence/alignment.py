"""How alike the representations of two networks are, over the orbit of each example."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distillab.tasks.arrays import Values

Representation = npt.NDArray[np.floating]
"""float ``[N, D]``, one row per input."""


def linear_cka(first: Representation, second: Representation) -> float:
    """Return the linear centered kernel alignment of two representations of the same inputs.

    |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms, of columns of mean 0. It is 1 for representations that differ
    by a rotation, a mirror image and a scale alone, 0 for uncorrelated ones, and NaN if one is constant.

    Args:
        first: float ``[N, D1]``.
        second: float ``[N, D2]``, for the same inputs in the same order.

    Source: Kornblith et al., "Similarity of neural network representations revisited", ICML 2019, equation 4.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> round(linear_cka(x, -3 * x[:, ::-1]), 6)
        1.0
    """
    x, y = (each.astype(np.float64) - each.mean(axis=0, dtype=np.float64) for each in (first, second))
    together = np.linalg.norm(y.T @ x) ** 2
    alone = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.clip(together / alone, 0.0, 1.0)) if alone > 0 else float("nan")


def orbit_cosine(first: Representation, second: Representation) -> float:
    """Return the mean cosine between two networks' logits over the orbits of some examples.

    Each row is centered first, because a constant added to all logits changes no prediction. Rows that are
    constant do not count.

    Args:
        first: float ``[N, views, C]``.
        second: float ``[N, views, C]``, for the same views.

    Example:
        >>> logits = np.array([[[2.0, 0.0], [0.0, 1.0]]])
        >>> orbit_cosine(logits, logits + 5), orbit_cosine(logits, -logits)
        (1.0, -1.0)
    """
    x, y = (_centered(each) for each in (first, second))
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    counted = lengths > 0
    return float(((x * y).sum(axis=-1)[counted] / lengths[counted]).mean()) if counted.any() else float("nan")


def orbit_spread(logits: Representation) -> float:
    """Return how much the predictions of a network differ between views of one example.

    The mean over examples of the share of views whose predicted class is not the most frequent one of the
    example: 0 for a network that does not depend on the view.

    Args:
        logits: float ``[N, views, C]``.

    Example:
        >>> orbit_spread(np.array([[[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [3.0, 0.0]]]))
        0.25
    """
    predicted = logits.argmax(axis=-1)
    classes = logits.shape[-1]
    counts: Values = np.stack([(predicted == label).sum(axis=1) for label in range(classes)], axis=1)
    return float(1 - (counts.max(axis=1) / logits.shape[1]).mean())


def _centered(logits: Representation) -> Values:
    wide = logits.astype(np.float64)
    return np.asarray(wide - wide.mean(axis=-1, keepdims=True))
