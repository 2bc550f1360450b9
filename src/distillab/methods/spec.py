"""Methods as a study writes them: a name, a name with settings, a sum of several, or a user's class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distillab.canonical import JsonObject
from distillab.config import canonical_settings
from distillab.errors import RequestError, unknown_name, validation_error
from distillab.methods.combined import Combined
from distillab.methods.method import Method, Need, Pair, Requirements, TeacherKind, methods
from distillab.methods.user_methods import UserMethod, is_user_method, load_user_method
from distillab.methods.value_text import written

ACCEPTED = (
    "a method's name such as kd, one with settings such as {kd: {temperature: 2}}, a sum such as "
    "{kd: {}, rkd: {weight: 0.5}}, or a class of your own such as my_methods.py:MyMethod"
)


@dataclass(frozen=True)
class MethodSpec:
    """A method and all its hyper-parameters.

    Attributes:
        name: The registered name; of a sum, those of its parts joined by ``+``; of a user's method, the
            class's.
        config: The whole configuration, defaults filled in; that of a sum is empty.
        parts: The methods of a sum with their weights; empty for a single method.
        own: Where a method that is not registered comes from.

    Example:
        >>> spec = parse_method({"kd": {"temperature": 2}, "rkd": {"weight": 0.5}}, "methods")
        >>> spec.label, spec.teacher, sorted(spec.needs)
        ('kd(temperature=2)+rkd(weight=0.5)', 'study', ['embedding', 'labels', 'logits'])
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
        """Whether it learns from the study's teacher; all other methods are controls."""
        return self.teacher == "study"

    @property
    def remembers_images(self) -> bool:
        """As :attr:`Method.remembers_images`."""
        wrapped = [value for _, value in self.config if isinstance(value, MethodSpec)]
        return self.kind.remembers_images or any(
            part.remembers_images for part in (*wrapped, *(each for _, each in self.parts))
        )

    @property
    def momentum_shift(self) -> float:
        """As :meth:`Method.momentum_shift_of`."""
        return self.kind.momentum_shift_of(self.config)

    @property
    def learns_unlabelled(self) -> bool:
        """Whether its batches hold unlabelled examples, if there are any."""
        if self.parts:
            return any(part.learns_unlabelled for _, part in self.parts)
        own = self.kind.learns_unlabelled
        return self.teacher != "none" if own is None else own

    @property
    def label(self) -> str:
        """The name, with the hyper-parameters that differ from their defaults: ``kd(temperature=2)``."""
        if self.parts:
            return "+".join(part._labelled({"weight": w} if w != 1 else {}) for w, part in self.parts)
        return self._labelled({})

    def __str__(self) -> str:
        return self.label

    def _labelled(self, more: Mapping[str, float]) -> str:
        known = type(self.config).model_fields  # a method whose code is not loaded has others
        own = sorted(self.config)
        changed = {key: value for key, value in own if key not in known or value != known[key].default}
        changed |= more
        settings = ", ".join(f"{key}={written(value)}" for key, value in changed.items())
        return f"{self.name}({settings})" if changed else self.name

    @property
    def settings(self) -> JsonObject:
        """All hyper-parameters, as plain values; those of a sum with the name of their part before a dot."""
        if not self.parts:
            return self.config.model_dump(mode="json")
        return {
            f"{part.name}.{key}": value
            for weight, part in self.parts
            for key, value in {**part.settings, "weight": weight}.items()
        }

    def as_dict(self) -> JsonObject:
        """Return what decides its numbers, JSON-able: part of a run's id. Where its code lies is left out."""
        if self.parts:
            return {"parts": [{"weight": weight, **part.as_dict()} for weight, part in self.parts]}
        code = {"code": self.own.digest} if self.own else {}
        revision = {"revision": self.revision} if self.revision > 1 else {}
        config = self.config.model_dump(mode="json")
        for key in self.kind.later_settings:
            if getattr(self.config, key) == type(self.config).model_fields[key].default:
                del config[key]
        return {"name": self.name, "config": config, **code, **revision}

    def canonical_key(self, key: str) -> str:
        """Return the key of a hyper-parameter in the spelling of :attr:`settings`; an unknown one as it is.

        Example:
            >>> parse_method("cat_kd", "methods").canonical_key("normalize")
            'normalise'
        """
        name, dot, own = key.rpartition(".")
        part = next((each for _, each in self.parts if each.name == name), self)
        [found] = canonical_settings(type(part.config), {own: None})
        return f"{name}{dot}{found}"

    def varied(self, settings: Mapping[str, object], where: str) -> MethodSpec:
        """Return the method with other values of some hyper-parameters, named as in :attr:`settings`.

        Args:
            settings: The values; keys of a sum have the name of their part before a dot.
            where: The place of the keys, such as ``study.yaml: tune.methods.kd``.

        Raises:
            RequestError: A key is unknown, or a value is out of its range.

        Example:
            >>> parse_method("kd", "methods").varied({"temperature": 2}, "tune.methods.kd").label
            'kd(temperature=2)'
        """
        if self.parts:
            return self._varied_parts(settings, where)
        own = type(self.config)
        try:
            # Values are written as in a study file, in either spelling of their keys. What a study leaves
            # open stays open: a pair of networks may decide it.
            stated = self.config.model_dump(mode="json", include=self.config.model_fields_set)
            written = stated | dict(canonical_settings(own, settings))
            return replace(self, config=own.model_validate(written))
        except ValidationError as error:
            raise validation_error(error, where, own.model_fields) from error

    def _varied_parts(self, settings: Mapping[str, object], where: str) -> MethodSpec:
        known, changes = self.settings, dict[str, dict[str, object]]()
        for key, value in settings.items():
            name, _, own = key.partition(".")
            if key not in known:
                raise unknown_name("key", key, known, where=where)
            changes.setdefault(name, {})[own] = value
        parts = []
        for weight, part in self.parts:
            mine = changes.get(part.name, {})
            if "weight" in mine:
                weight = _positive(mine.pop("weight"), f"{where}.{part.name}.weight")
            parts.append((weight, part.varied(mine, f"{where}.{part.name}")))
        return replace(self, parts=tuple(parts))

    @property
    def revision(self) -> int:
        """The revision of what it computes; part of a run's id from 2 on."""
        return self.kind.revision_of(self.config)

    @property
    def files(self) -> dict[str, str]:
        """``file.py:Class`` of methods that are not registered, by the digest of their code."""
        own = {self.own.digest: self.own.entry} if self.own else {}
        return own | {key: value for _, part in self.parts for key, value in part.files.items()}

    @classmethod
    def from_dict(cls, values: JsonObject, files: Mapping[str, str] | None = None) -> MethodSpec:
        """Return the method that :meth:`as_dict` and :attr:`files` described.

        Raises:
            RequestError: A file does not hold the code that was described, or the method has been revised.
        """
        if "parts" in values:
            parts = tuple((part["weight"], cls.from_dict(part, files)) for part in values["parts"])
            return _summed(parts, "method")
        if "code" not in values:
            spec = parse_method({values["name"]: dict(values["config"])}, "method")
            if spec.revision != values.get("revision", 1):
                raise RequestError(
                    f"method {spec.name} has been revised since the study was planned",
                    allowed="a new study, or the version that planned this one",
                )
            return spec
        entry = (files or {})[values["code"]]
        spec = parse_method({entry: dict(values["config"])}, "method")
        if spec.own is None or spec.own.digest != values["code"]:
            raise RequestError("the code of a method has changed since the study was planned", where=entry)
        return spec


def parse_method(entry: Any, where: str, base: Path | None = None) -> MethodSpec:
    """Return the method that a study describes: see :data:`ACCEPTED`.

    In a sum the first method is whole; the others add their transfer terms, without their supervised term,
    times their ``weight``.

    Args:
        entry: The name, or a mapping of names to settings.
        where: The place of the entry, such as ``study.yaml: methods``.
        base: The folder that files of methods are relative to; by default the working directory.

    Raises:
        RequestError: The method or a setting is unknown, a value is out of its range, a file cannot be
            loaded, parts have different teachers, or the entry has another form.

    Example:
        >>> parse_method({"kd": {"temperature": 2}}, "methods").config.temperature
        2.0
        >>> parse_method("kdd", "methods")
        Traceback (most recent call last):
        distillab.errors.RequestError: methods: unknown method 'kdd', did you mean 'kd'? (allowed: ab, ...
    """
    named = _names_and_settings(entry, where)
    if len(named) == 1:
        [(name, settings)] = named.items()
        return _single(name, settings, where, base)
    parts = []
    for name, settings in named.items():
        weight = _positive(settings.pop("weight", 1.0), f"{where}.{name}.weight")
        parts.append((weight, _single(name, settings, where, base)))
    return _summed(tuple(parts), where)


def _positive(weight: object, where: str) -> float:
    """Return the weight of a part of a sum. Raises RequestError."""
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
        raise RequestError(f"{weight!r} is not accepted", where=where, allowed="a number above 0")
    return float(weight)


def _single(name: str, settings: dict[str, object], where: str, base: Path | None) -> MethodSpec:
    own = load_user_method(name, where, base) if is_user_method(name) else None
    if own is None and name not in methods:
        raise unknown_name("method", name, methods, where=where)
    kind = own.kind if own else methods[name]
    config = kind.Config
    by_pair = {key for table in kind.pair_defaults.values() for key in table}
    settings = {key: value for key, value in settings.items() if key not in by_pair or value != "auto"}
    try:
        return MethodSpec(
            own.name if own else methods.canonical_name(name), config.model_validate(settings), own=own
        )
    except ValidationError as error:
        raise validation_error(error, f"{where}.{name}", config.model_fields) from error


def _summed(parts: tuple[tuple[float, MethodSpec], ...], where: str) -> MethodSpec:
    for _, part in parts:
        alone = "how long a student trains" if part.kind.matches_compute or part.kind.throughout else ""
        alone = "how gradients are used" if part.momentum_shift else alone
        if alone:
            raise RequestError(
                f"{part.name} decides {alone} and cannot be part of a sum",
                where=where,
                allowed="the method on its own",
            )
    exits = [part.name for _, part in parts if part.kind.keeps_exits]
    if len(exits) > 1:
        raise RequestError(
            f"{exits[0]} and {exits[1]} both give the student exits that stay in it",
            where=where,
            allowed="one of them, with methods that add terms, such as rkd",
        )
    teachers = {part.teacher: part.name for _, part in parts if part.teacher != "none"}
    if len(teachers) > 1:
        listed = ", ".join(f"{name} from {teacher!r}" for teacher, name in teachers.items())
        raise RequestError(
            f"methods that learn from different teachers cannot be added ({listed})",
            where=where,
            allowed="methods with the same teacher",
        )
    return MethodSpec("+".join(part.name for _, part in parts), Method.Config(), parts)


def _names_and_settings(entry: Any, where: str) -> dict[str, dict[str, object]]:
    if isinstance(entry, str):
        return {entry: {}}
    if isinstance(entry, Mapping) and entry:
        proper = all(
            isinstance(name, str) and (settings is None or isinstance(settings, Mapping))
            for name, settings in entry.items()
        )
        if proper:
            return {name: dict(settings or {}) for name, settings in entry.items()}
    raise RequestError(f"{entry!r} is not a method", where=where, allowed=ACCEPTED)


def build_method(spec: MethodSpec, pair: Pair) -> Method:
    """Build a method for a pair of networks.

    What it owns is initialized from torch's random generator.

    Args:
        spec: The method and its hyper-parameters.
        pair: The networks, and what is known of the transfer set.

    Raises:
        RequestError: The method does not hold for the task, or a network of the pair lacks what it needs.

    Example:
        >>> import torch
        >>> from distillab.methods import Batch
        >>> from distillab.models import Outputs, OutputShapes
        >>> shapes = OutputShapes(classes=3)
        >>> kd = build_method(parse_method("kd", "methods"), Pair(shapes, shapes, n_train=2))
        >>> positions = torch.arange(2)
        >>> batch = Batch(torch.tensor([0, 2]), positions, positions, epoch=0, progress=0.0, epoch_length=1)
        >>> student, teacher = Outputs(torch.zeros(2, 3)), Outputs(torch.eye(3)[:2])
        >>> {name: round(term.item(), 3) for name, term in kd.total(student, teacher, batch).items()}
        {'ce': 0.11, 'kd': 0.105}
    """
    if spec.parts:
        return Combined([(weight, part.name, build_method(part, pair)) for weight, part in spec.parts], pair)
    return spec.kind(spec.config, pair)


_PLACE = "of"


def inner_method(entry: Any) -> MethodSpec:
    """Return the method that another one wraps, from its key ``of``; errors name their place below it.

    Raises:
        RequestError: As :func:`parse_method`.

    Example:
        >>> inner_method({"kd": {"temperature": 2}}).label
        'kd(temperature=2)'
    """
    if isinstance(entry, MethodSpec):
        return entry
    try:
        return parse_method(entry, _PLACE)
    except RequestError as error:
        place = (error.where or "").removeprefix(_PLACE).removeprefix(".") or None
        raise RequestError(error.what, where=place, allowed=error.allowed) from error


def method_entry(spec: MethodSpec) -> JsonObject:
    """Return a single method of the library as a study writes it, with all its settings.

    Example:
        >>> method_entry(parse_method("hard_labels", "methods"))
        {'hard_labels': {'ce_weight': 0.5, 'hard_weight': 0.5}}
    """
    return {spec.name: spec.as_dict()["config"]}
