"""Are the hardest images those with wrong labels? 20 classes of CIFAR-100, 20 % of the labels changed.

    python benchmarks/hardest.py $DISTILLAB_DATA/cifar100

Prints the share of changed labels among all images, among the hardest fifth of each class, and among the
easiest. Takes about 10 seconds of one idle core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from distillab.factors import LabelNoise, Selection, apply_factor
from distillab.sources.ingest import load_dataset
from distillab.sources.parsing import parse_source


def main(folder: Path) -> None:
    """Print the shares."""
    source = {
        "train": "train.parquet",
        "test": "test.parquet",
        "label": "fine_label",
        "classes": 20,
        "val": 0.05,
    }
    train = load_dataset(parse_source({"source": "parquet", **source}, folder, "cifar100")).train
    noisy, _ = apply_factor(train, LabelNoise(level=0.2), seed=0)
    true = dict(zip(train.ids.tolist(), train.labels.tolist(), strict=True))
    print(f"all images: {np.mean(noisy.labels != train.labels):.3f} of {len(train):,} labels changed")
    for rule in ("hardest", "random", "easiest"):
        chosen, _ = apply_factor(noisy, Selection(level=rule, budget=0.2), seed=0)
        changed = [true[i] != label for i, label in zip(chosen.ids.tolist(), chosen.labels, strict=True)]
        print(f"{rule} fifth: {np.mean(changed):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
