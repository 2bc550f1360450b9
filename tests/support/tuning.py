"""Small studies with tuning."""

from __future__ import annotations

from typing import Any

from support.studies import study

# The learning rate of the recipe is a thousand times too small, so tuning must leave it.
TINY: dict[str, Any] = {
    "data": {"classes": 3},
    "teacher": {"model": "convnet3", "provenance": "same"},
    "students": ["convnet3"],
    "methods": ["ce", "kd"],
    "factors": {"size": [12]},
    "seeds": 2,
    "recipe": {"steps": 12, "batch_size": 16, "lr": 0.00005, "views": "none"},
    "tune": {"lr": [0.00005, 0.05], "budget": 2, "seeds": 2},
}


def tuned_study(**changes: Any) -> dict[str, Any]:
    """Return a study with tuning that runs in seconds, with other values."""
    return study(**TINY | changes)
