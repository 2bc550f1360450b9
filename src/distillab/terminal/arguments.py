"""Arguments of the command line that are read before a verb is called."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.sources import sources
from distillab.study.spec.study_yaml import load_study_yaml

_HINT = re.compile(r"`([a-z_]+)(?:: ([^`]+))?`")  # `key` or `key: value`, as a study file has it
_OTHER_PLACES = re.compile(r"(^|: )(--)?(teacher|student|recipe|others|splits)")  # their keys are not of DATA


def with_settings(error: RequestError) -> RequestError:
    """Return an error whose hints on keys of a source are also written as ``--set``.

    Messages name keys as study files have them. Commands that take DATA have no study file.

    Args:
        error: An error of a command with the option ``--set``.

    Example:
        >>> print(with_settings(RequestError("3 images are broken", allowed="`on_broken: skip`")))
        3 images are broken (allowed: `on_broken: skip` (on the command line --set on_broken=skip))
    """
    keys = {key for name in sources for key in sources[name].model_fields}
    inside = error.where is not None and _OTHER_PLACES.search(error.where)
    first = True

    def written(found: re.Match[str]) -> str:
        nonlocal first
        key, value = found[1], (found[2] or "VALUE").split(" | ")[0]
        if key not in keys or (inside and key != inside[3]):
            return found[0]
        option = f"--set {shlex.quote(f'{key}={value}')}"
        lead, first = "on the command line " if first else "", False
        return f"{found[0]} ({lead}{option})"

    if not error.allowed:
        return error
    return RequestError(error.what, where=error.where, allowed=_HINT.sub(written, error.allowed))


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
