"""JsonCache: small results that are expensive to compute, kept in one JSON file of the user."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.machine import cache_folder


@dataclass(frozen=True)
class JsonCache:
    """JSON objects by key in a file.

    A file that cannot be read counts as empty, and one that cannot be written is left as it is: results are
    then computed again. To compute them anew, delete the file.

    Attributes:
        path: The file.

    Example:
        >>> import tempfile
        >>> cache = JsonCache(Path(tempfile.mkdtemp()) / "results.json")
        >>> cache.add("a set of images", {"near copies": 9})
        >>> cache.get("a set of images"), cache.get("another one")
        ({'near copies': 9}, None)
    """

    path: Path

    @classmethod
    def of_user(cls, name: str) -> JsonCache:
        """Return the one with a name in the :func:`~distillab.data.storage.cache_folder`."""
        return cls(cache_folder() / f"{name}.json")

    def get(self, key: str) -> JsonObject | None:
        """Return what is kept under a key, or None."""
        found = self._read().get(key)
        return found if isinstance(found, dict) else None

    def add(self, key: str, value: JsonObject) -> None:
        """Keep a JSON object under a key; the file is replaced as a whole."""
        everything = {**self._read(), key: dict(value)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as draft:
                draft.write_text(json.dumps(everything, indent=1, sort_keys=True), encoding="utf-8")
        except OSError:
            return  # a cache folder that cannot be written costs a computation, and no result

    def _read(self) -> JsonObject:
        try:
            held = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}
