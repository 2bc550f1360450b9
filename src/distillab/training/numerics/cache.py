"""The rates of earlier timed trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distillab.data.json_cache import JsonCache


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
        return cls(JsonCache.of_user("arithmetic").path)

    def rates(self, key: str) -> dict[str, float | None]:
        """Return the rates under a key, by the name of the candidate."""
        found = JsonCache(self.path).get(key) or {}
        return {name: rate for name, rate in found.items() if rate is None or isinstance(rate, float)}

    def add(self, key: str, rates: Mapping[str, float | None]) -> None:
        """Add rates under a key; the file is replaced as a whole."""
        JsonCache(self.path).add(key, self.rates(key) | dict(rates))
