"""Arguments of the command line that are read before a verb is called."""

from __future__ import annotations

from pathlib import Path

import yaml

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.study.spec.study_yaml import load_study_yaml


def source_keys(settings: list[str]) -> JsonObject:
    """Return the keys of a source as a study file would hold them.

    Args:
        settings: What was written, such as ``label=fine_label``.

    Raises:
        RequestError: A setting has no ``=``, or its value is not YAML.

    Example:
        >>> source_keys(["label=fine_label", "resolution=32"])
        {'label': 'fine_label', 'resolution': 32}
    """
    keys = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise RequestError(f"{setting!r} is not a setting", where="--set", allowed="KEY=VALUE")
        try:
            keys[key.strip()] = load_study_yaml(value, ("data", key.strip()))
        except yaml.YAMLError:
            raise RequestError(f"{value!r} cannot be read", where=f"--set {key}", allowed="YAML") from None
    return keys


def require_writable(out: Path | None) -> None:
    """Raise RequestError unless a page can be written there, before it is made.

    Args:
        out: What ``--out`` names; None if it is not given.

    Example:
        >>> require_writable(Path("/no/such/folder/page.html"))
        Traceback (most recent call last):
        distillab.errors.RequestError: --out /no/such/folder/page.html: cannot be written ...
    """
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        raise RequestError("cannot be written", where=f"--out {out}", allowed="a file in an existing folder")
