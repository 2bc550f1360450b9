"""The rates of earlier timed trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.data.storage import cache_folder


@dataclass(frozen=True)
class BenchmarkCache:
    """Rates of earlier trials in a JSON file: by machine and workload, then by candidate.

    A file that cannot be read counts as empty, and one that cannot be written is left as it is: the trials
    are then made again. To measure anew, delete the file.

    Attributes:
        path: The file.

    Example:
        >>> import tempfile
        >>> cache = BenchmarkCache(Path(tempfile.mkdtemp()) / "rates.json")
        >>> cache.add("this machine; resnet8", {"fp32": 900.0})
        >>> cache.rates("this machine; resnet8")
        {'fp32': 900.0}
    """

    path: Path

    @classmethod
    def of_user(cls) -> BenchmarkCache:
        """Return the one in the :func:`~distillab.data.storage.cache_folder`."""
        return cls(cache_folder() / "arithmetic.json")

    def rates(self, key: str) -> dict[str, float | None]:
        """Return the rates under a key, by the name of the candidate."""
        found = self._read().get(key)
        if not isinstance(found, dict):
            return {}
        return {name: rate for name, rate in found.items() if rate is None or isinstance(rate, float)}

    def add(self, key: str, rates: Mapping[str, float | None]) -> None:
        """Add rates under a key; the file is replaced as a whole."""
        everything = {**self._read(), key: self.rates(key) | dict(rates)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as draft:
                draft.write_text(json.dumps(everything, indent=1, sort_keys=True), encoding="utf-8")
        except OSError:
            return  # a cache folder that cannot be written costs a trial per study, and no result

    def _read(self) -> JsonObject:
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}
