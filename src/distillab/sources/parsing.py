"""Sources from the text of a study file or of a command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distillab.config import expand_home
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.sources.source import Source, sources


def parse_source(entry: Any, base: Path, where: str) -> Source:
    """Return the source that an entry such as ``{source: folder, path: leaves}`` describes.

    Args:
        entry: A mapping with the key ``source`` and that source's keys.
        base: What relative paths are relative to (the study file's folder).
        where: The place of the entry, for messages, such as ``study.yaml: data``.

    Raises:
        RequestError: An unknown source or key, a missing key, or a value that is not accepted.

    Example:
        >>> parse_source({"source": "digits", "resolution": 16}, Path(), "study.yaml: data").entry()
        {'source': 'digits', 'resolution': 16}
    """
    if not isinstance(entry, dict) or "source" not in entry:
        what = "key 'source' is missing" if isinstance(entry, dict) else f"{entry!r} is not a source"
        raise RequestError(what, where=where, allowed=f"source: {' | '.join(sources)}, and its keys")
    kind = str(entry["source"])
    if kind not in sources:
        raise unknown_name("source", kind, sources, where=f"{where}.source")
    cls = sources[kind]
    try:
        keys = {key: value for key, value in entry.items() if key != "source"}
        return cls.model_validate(keys, context={"base": base})
    except ValidationError as error:
        raise validation_error(error, where, cls.model_fields) from None


def source_from_argument(argument: str) -> Source:
    """Return the source that ``DATA`` on the command line means.

    Args:
        argument: A source by name with its main key (``torchvision:FashionMNIST``, ``folder:leaves``,
            ``digits``), or the path of a folder of images, of Parquet files or of tar shards, or of a file
            ``.parquet``, ``.csv``, ``.tsv``, ``.npz`` or ``.tar``. Where a source without a main key and a
            path share a name, ``./digits`` is the path and ``digits:`` the source.

    Raises:
        RequestError: There is no such source and no such path, or there are both.

    Example:
        >>> source_from_argument("torchvision:FashionMNIST").entry()
        {'source': 'torchvision', 'dataset': 'FashionMNIST'}
    """
    kind, colon, rest = argument.partition(":")
    path = expand_home(Path(argument))
    key = sources[kind].argument if kind in sources else None
    if kind in sources and key is None and not colon and path.exists():
        raise RequestError(
            f"{argument!r} is the name of a source and of a path here",
            allowed=f".{os.sep}{argument} for the path, {argument}: for the source",
        )
    if kind in sources and (colon or key is None or not path.exists()):
        if rest and key is None:
            raise RequestError(f"source {kind!r} takes no argument", where=argument, allowed=kind)
        return parse_source({"source": kind, **({key: rest} if colon and key else {})}, Path(), argument)
    if not path.exists():
        if colon and kind.isidentifier() and len(kind) > 1:  # one letter is a drive
            raise unknown_name("source", kind, sources, where=argument)
        raise RequestError(
            f"there is no file, folder or source {argument!r}",
            allowed="a folder, a .parquet, .csv, .npz or .tar file, or source:argument with one of "
            + ", ".join(sources),
        )
    if path.is_dir():
        tables = any(path.glob("*.parquet")) or any(path.glob("data/*.parquet"))
        shards = any(path.glob("*.tar"))
        kind = "parquet" if tables else "webdataset" if shards else "folder"
        return parse_source({"source": kind, "path": path}, Path(), argument)
    kinds = {
        ".parquet": "parquet",
        ".csv": "csv",
        ".tsv": "csv",
        ".tab": "csv",
        ".npz": "npz",
        ".tar": "webdataset",
    }
    if path.suffix.lower() not in kinds:
        allowed = f"a folder, {', '.join(kinds)}"
        raise RequestError("this file is not a dataset", where=argument, allowed=allowed)
    return parse_source({"source": kinds[path.suffix.lower()], "path": path}, Path(), argument)
