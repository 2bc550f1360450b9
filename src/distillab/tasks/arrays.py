"""Types of the arrays that metrics are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.floating[Any]]
"""float ``[N, head_width]``."""

LabelArray = npt.NDArray[np.int64]
"""int64 ``[N]``, one class per example."""

LabelSetArray = npt.NDArray[np.int8]
"""int8 ``[N, K]``: 1, 0, or -1 where a label is not known."""

GroupArray = npt.NDArray[np.int64]
"""int64 ``[N]``, the group of each example."""

Values = npt.NDArray[np.float64]
"""float64, one number per class or example."""

Flags = npt.NDArray[np.bool_]
"""bool, one per example, class or pair of both."""

ECE_BINS = 15
"""Bins of equal width of calibration errors."""
