"""Methods as a study writes them: a name, a name with settings, a sum of several, or a class of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distillab.errors import RequestError, unknown_name, validation_error
from distillab.methods.combined import Combined
from distillab.methods.method import Method, Need, Pair, Requirements, TeacherKind, methods
from distillab.methods.user_methods import UserMethod, is_user_method, load_user_method

WRITTEN = (
    "a method's name such as kd, one with settings such as {kd: {temperature: 2}}, a sum such as "
    "{kd: {}, rkd: {weight: 0.5}}, or a class of your own such as my_methods.py:MyMethod"
)


@dataclass(frozen=True)
class MethodSpec:
    """A method and all its hyper-parameters.

    Attributes:
        name: the registered name; of a sum, those of its parts joined by ``+``; of one's own, the class's.
        config: the whole configuration, defaults filled in; that of a sum is empty.
        parts: the methods of a sum with their weights; empty for a single method.
        own: where a method that is not registered comes from.
    """

    name: str
    config: Method.Config
    parts: tuple[tuple[float, MethodSpec], ...] = ()
    own: UserMethod | None = None

    @property
    def kind(self) -> type[Method]:
        """The class that computes it."""
        if self.parts:
            return Combined
        return self.own.kind if self.own else methods[self.name]

    @property
    def requirements(self) -> Requirements:
        """What it requires of networks, labels and batches."""
        if not self.parts:
            return self.kind.requirements(self.config)
        parts = [part.requirements for _, part in self.parts]
        return Requirements(
            frozenset().union(*(part.needs for part in parts)),
            frozenset().union(*(part.teacher_needs for part in parts)),
            next((part.teacher for part in parts if part.teacher != "none"), "none"),
        )

    @property
    def needs(self) -> frozenset[Need]:
        """What it uses of the student, the labels and the batch."""
        return self.requirements.needs

    @property
    def teacher_needs(self) -> frozenset[Need]:
        """What it uses of the teacher; empty without one."""
        return self.requirements.teacher_needs

    @property
    def teacher(self) -> TeacherKind:
        """Whose outputs it learns from."""
        return self.requirements.teacher

    @property
    def distils(self) -> bool:
        """Whether it learns from a teacher of the study; all else is a control."""
        return self.teacher not in ("none", "self", "untrained")

    @property
    def remembers_images(self) -> bool:
        """As :attr:`Method.remembers_images`."""
        return self.kind.remembers_images or any(part.remembers_images for _, part in self.parts)

    @property
    def label(self) -> str:
        """The name, with the hyper-parameters that differ from their defaults: ``kd(temperature=2)``."""
        if self.parts:
            return "+".join(part._labelled({"weight": w} if w != 1 else {}) for w, part in self.parts)
        return self._labelled({})

    def __str__(self) -> str:
        return self.label

    def _labelled(self, more: Mapping[str, Any]) -> str:
        changed = {
            key: value
            for key, value in sorted(self.config)
            if value != type(self.config).model_fields[key].default
        } | dict(more)
        settings = ", ".join(f"{key}={written(value)}" for key, value in changed.items())
        return f"{self.name}({settings})" if changed else self.name

    @property
    def settings(self) -> dict[str, Any]:
        """All hyper-parameters, as plain values; those of a sum with the name of their part before a dot."""
        if not self.parts:
            return self.config.model_dump(mode="json")
        return {
            f"{part.name}.{key}": value
            for weight, part in self.parts
            for key, value in (part.settings | {"weight": weight}).items()
        }

    def as_dict(self) -> dict[str, Any]:
        """What decides its numbers, JSON-able: part of a run's id. Where its code lies is not in it."""
        if self.parts:
            return {"parts": [{"weight": weight, **part.as_dict()} for weight, part in self.parts]}
        code: dict[str, Any] = {"code": self.own.digest} if self.own else {}
        code |= {"revision": self.kind.revision} if self.kind.revision > 1 else {}
        return {"name": self.name, "config": self.config.model_dump(mode="json"), **code}

    @property
    def files(self) -> dict[str, str]:
        """``file.py:Class`` of methods that are not registered, by the digest of their code."""
        mine = {self.own.digest: self.own.entry} if self.own else {}
        return mine | {key: value for _, part in self.parts for key, value in part.files.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], files: Mapping[str, str] | None = None) -> MethodSpec:
        """The method that :meth:`as_dict` and :attr:`files` described.

        Raises:
            RequestError: a file does not hold the code that was described, or the method has been revised.
        """
        if "parts" in values:
            parts = tuple((part["weight"], cls.from_dict(part, files)) for part in values["parts"])
            return _summed(parts, "method")
        if "code" not in values:
            spec = parse_method({values["name"]: dict(values["config"])}, "method")
            if spec.kind.revision != values.get("revision", 1):
                raise RequestError(
                    f"method {spec.name} computes otherwise than when the study was planned",
                    allowed="the study begun anew, or the version that planned it",
                )
            return spec
        entry = (files or {})[values["code"]]
        spec = parse_method({entry: dict(values["config"])}, "method")
        if spec.own is None or spec.own.digest != values["code"]:
            raise RequestError("the code of a method has changed since the study was planned", where=entry)
        return spec


def written(value: Any) -> str:
    """A value in its shortest exact form: 2.0 is 2, as YAML has it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def parse_method(entry: Any, where: str, base: Path | None = None) -> MethodSpec:
    """A method as a study writes it: see :data:`WRITTEN`.

    In a sum the first method is whole; the others add what they learn from the teacher, without their
    cross-entropy, times their ``weight``.

    Args:
        entry: the name, or a mapping of names to settings.
        where: the place of the entry, such as ``study.yaml: methods``.
        base: the folder that files of methods are relative to; by default the working directory.

    Raises:
        RequestError: an unknown method or setting, a value out of its range, a file that cannot be loaded,
            parts with different teachers, or another form.
    """
    named = _names_and_settings(entry, where)
    if len(named) == 1:
        [(name, settings)] = named.items()
        return _single(name, settings, where, base)
    parts = []
    for name, settings in named.items():
        weight = settings.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
            raise RequestError(
                f"{weight!r} is not accepted", where=f"{where}.{name}.weight", allowed="a number above 0"
            )
        parts.append((float(weight), _single(name, settings, where, base)))
    return _summed(tuple(parts), where)


def _single(name: str, settings: dict[str, Any], where: str, base: Path | None) -> MethodSpec:
    own = load_user_method(name, where, base) if is_user_method(name) else None
    if own is None and name not in methods:
        raise unknown_name("method", name, methods, where=where)
    config = (own.kind if own else methods[name]).Config
    try:
        return MethodSpec(
            own.name if own else methods.canonical_name(name), config.model_validate(settings), own=own
        )
    except ValidationError as error:
        raise validation_error(error, f"{where}.{name}", config.model_fields) from error


def _summed(parts: tuple[tuple[float, MethodSpec], ...], where: str) -> MethodSpec:
    teachers = {part.teacher: part.name for _, part in parts if part.teacher != "none"}
    if len(teachers) > 1:
        told = ", ".join(f"{name} from {teacher!r}" for teacher, name in teachers.items())
        raise RequestError(
            f"methods that learn from different teachers cannot be added ({told})",
            where=where,
            allowed="methods with the same teacher",
        )
    return MethodSpec("+".join(part.name for _, part in parts), Method.Config(), parts)


def _names_and_settings(entry: Any, where: str) -> dict[str, dict[str, Any]]:
    if isinstance(entry, str):
        return {entry: {}}
    if isinstance(entry, Mapping) and entry:
        proper = all(
            isinstance(name, str) and (settings is None or isinstance(settings, Mapping))
            for name, settings in entry.items()
        )
        if proper:
            return {name: dict(settings or {}) for name, settings in entry.items()}
    raise RequestError(f"{entry!r} is not a method", where=where, allowed=WRITTEN)


def build_method(spec: MethodSpec, pair: Pair) -> Method:
    """The method of ``spec`` for a pair of networks; what it owns is initialised from torch's generator."""
    if spec.parts:
        return Combined([(weight, part.name, build_method(part, pair)) for weight, part in spec.parts], pair)
    return spec.kind(spec.config, pair)
