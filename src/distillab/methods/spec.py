"""Methods as a study writes them: a name, or a name with some hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from distillab.errors import RequestError, unknown_name, validation_error
from distillab.methods.method import Method, Pair, methods

WRITTEN = "a method's name such as kd, or one with settings such as {kd: {temperature: 2}}"


@dataclass(frozen=True)
class MethodSpec:
    """A method and all its hyper-parameters.

    Attributes:
        name: the registered name.
        config: the whole configuration, defaults filled in.
    """

    name: str
    config: Method.Config

    @property
    def label(self) -> str:
        """The name, with the hyper-parameters that differ from their defaults: ``kd(temperature=2)``."""
        changed = {
            key: value
            for key, value in sorted(self.config)
            if value != type(self.config).model_fields[key].default
        }
        settings = ", ".join(f"{key}={_written(value)}" for key, value in changed.items())
        return f"{self.name}({settings})" if changed else self.name


def _written(value: Any) -> str:
    """A value in its shortest exact form: 2.0 is 2, as YAML has it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_method(entry: str | Mapping[str, Any], where: str) -> MethodSpec:
    """A method as a study writes it: ``kd``, or ``{kd: {temperature: 2}}``.

    Args:
        entry: the name, or a mapping of the one name to its settings.
        where: the place of the entry, such as ``study.yaml: methods``.

    Raises:
        RequestError: an unknown method or setting, a value out of its range, or another form.
    """
    name, settings = _name_and_settings(entry, where)
    if name not in methods:
        raise unknown_name("method", name, methods, where=where)
    kind = methods[name].Config
    try:
        return MethodSpec(name, kind.model_validate(settings))
    except ValidationError as error:
        raise validation_error(error, f"{where}.{name}", kind.model_fields) from error


def _name_and_settings(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        [(name, settings)] = entry.items()
        if isinstance(name, str) and (settings is None or isinstance(settings, Mapping)):
            return name, dict(settings or {})
    raise RequestError(f"{entry!r} is not a method", where=where, allowed=WRITTEN)


def build_method(spec: MethodSpec, pair: Pair) -> Method:
    """The method of ``spec`` for a pair of networks; what it owns is initialised from torch's generator."""
    return methods[spec.name](spec.config, pair)
