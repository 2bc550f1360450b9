"""Python objects in the place of what a study file can name: data and networks."""

from __future__ import annotations

from collections.abc import Mapping

from distillab.canonical import JsonObject
from distillab.sources.memory import HeldData
from distillab.sources.python_data import entry_of


def data_of_study(values: JsonObject) -> tuple[dict[str, object], tuple[HeldData, ...]]:
    """Return the keys of a study with entries of sources in the place of data, and what holds those data.

    Args:
        values: Keys of a study; ``data`` and the values of ``others`` may be Python objects.

    Raises:
        RequestError: Data are not accepted.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((4, 8, 8), np.uint8)
        >>> values, held = data_of_study({"study": "tiny", "data": (images, [0, 1, 0, 1])})
        >>> values["data"]["source"], len(held)
        ('memory', 1)
    """
    written, held = dict(values), []
    if "data" in values:
        written["data"], data = entry_of(values["data"], "study: data")
        held.append(data)
    others = values.get("others")
    if isinstance(others, Mapping):
        written["others"] = {}
        for name, other in others.items():
            written["others"][name], data = entry_of(other, f"study: others.{name}")
            held.append(data)
    return written, tuple(each for each in held if each is not None)
