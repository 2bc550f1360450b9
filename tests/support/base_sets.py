"""Contexts of several base sets with planted gains, for conclusions across data sets."""

from __future__ import annotations

import numpy as np

from distillab.evidence.across import ContextTable, StudiedContext

SETS = tuple(f"set-{number}" for number in range(14))


def planted_contexts(
    *,
    base_sets: int = 8,
    per_set: int = 4,
    seeds: int = 6,
    gain: float = 0.03,
    between: float = 0.004,
    noise: float = 0.004,
    harms: dict[str, float] | None = None,
    random_seed: int = 0,
) -> ContextTable:
    """Return contexts in which ``kd`` gains accuracy, and changes other metrics by ``harms``.

    The true gain varies between base sets with a standard deviation of ``between``, and pairs differ by
    ``noise``. ``attention`` has half the gain of ``kd``, ``random_teacher`` none.
    """
    rng = np.random.default_rng(random_seed)
    contexts = []
    for name in SETS[:base_sets]:
        of_set = gain + rng.normal(0, between)
        for number in range(per_set):
            scores: dict[tuple[str, str], dict[int, float]] = {}
            plain = rng.uniform(0.5, 0.7) + rng.normal(0, 0.01, seeds)
            for method, share in (("ce", 0.0), ("kd", 1.0), ("attention", 0.5), ("random_teacher", 0.0)):
                added = share * of_set + (rng.normal(0, noise, seeds) if method != "ce" else 0.0)
                scores[method, "accuracy"] = dict(enumerate((plain + added).tolist()))
                for metric, change in (harms or {}).items():
                    moved = 0.4 + (change if method == "kd" else 0.0) + rng.normal(0, 0.002, seeds)
                    scores[method, metric] = dict(enumerate(moved.tolist()))
            levels: dict[str, float | str] = {"size": 25.0 * 2**number, "provenance": "full"}
            contexts.append(StudiedContext(f"{name}-{number}", name, levels, scores, 0.8 + 0.01 * number))
    return ContextTable(tuple(contexts), source="planted")
