"""A small set of images with several labels each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LABELS = ("dot", "bar", "ring")


def write_label_sets(path: Path) -> None:
    """Write images in which bright squares at three places are labels; some labels are unknown."""
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 3)) < (0.5, 0.4, 0.3)).astype(np.int8)
    images = rng.integers(60, 120, (200, 8, 8), dtype=np.uint8)
    for label in range(3):
        images[labels[:, label] == 1, 2 * label : 2 * label + 2, :4] += 120
    labels[rng.random(labels.shape) < 0.05] = -1
    np.savez(
        path,
        x_train=images[:140],
        y_train=labels[:140],
        x_test=images[140:],
        y_test=labels[140:],
        class_names=list(LABELS),
    )
