"""Small designs of an evidence base, whose contexts take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from distillab.base.design import Design, read_design

METHODS = ["ce", "kd"]
RANGES: dict[str, Any] = {
    "classes": {"between": [2, 3], "whole": True},
    "size": {"between": [4, 8], "whole": True},
    "resolution": {8: 1},
    "provenance": {"full": 1, "same": 1},
    "teacher": {"convnet3": 1},
    "teacher_age": {"between": [0.5, 1.0]},
    "student": {"convnet3": 1},
    "steps": {"between": [2, 3], "whole": True},
}
STUDY: dict[str, Any] = {
    "methods": METHODS,
    "recipe": {"batch_size": 4, "lr": 0.05, "precision": "fp32"},
    "evidence": {"probes": 1, "probed_methods": ["ce"]},
    "curves": {"test": True},
}
TUNE = {"lr": [0.02, 0.05], "budget": 2, "seeds": 1, "default_runs": False}


def write_design(folder: Path, *, contexts: int = 2, tuned: bool = False, **changes: Any) -> Design:
    """Write a design of tier R on the bundled digits, with 2 pairs per context, and read it."""
    values: dict[str, Any] = {
        "tier": "R",
        "prefix": "r",
        "contexts": contexts,
        "sobol_seed": 5,
        "pairs": 2,
        "sets": {"digits": {"source": "digits", "train_images": 40, "test_images": 10}},
        "ranges": RANGES,
        "study": STUDY | ({"tune": TUNE} if tuned else {}),
    }
    path = folder / "design.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False))
    return read_design(path)
