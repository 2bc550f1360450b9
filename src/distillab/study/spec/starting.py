"""What a student starts from that its study makes itself, or that another study made: the key ``start``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from distillab.artefacts import WEIGHTS
from distillab.canonical import JsonObject, canonical_json
from distillab.config import PublicConfig
from distillab.errors import RequestError, read_each, validation_error
from distillab.study.spec.method_entries import (
    american_method,
    canonical_method,
    is_throughout,
    method_text,
    placed_method,
)

TEACHER: Literal["teacher"] = "teacher"
STORE = "store"  # the folder of a study's artifacts
_FORM = (
    "a method, {method: NAME, steps: N}, teacher, {run: DIR, id: RUN_ID}, or a list of stages of which each "
    "starts from the one before"
)


class StageSpec(PublicConfig):
    """A stage: the student is trained with a method before it is trained with those of the study.

    Attributes:
        method: The method, as an entry of ``methods``.
        steps: Its number of steps; by default that of the recipe.
        epochs: The same in epochs.

    Example:
        >>> StageSpec(method={"kd": {"temperature": 2}}, steps=200).text
        'kd(temperature=2) for 200 steps'
    """

    method: str | JsonObject
    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)

    def __hash__(self) -> int:
        return hash(canonical_json(self.model_dump(mode="json")))

    @model_validator(mode="after")
    def _one_length(self) -> StageSpec:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("the length is stated in steps or in epochs, not in both")
        return self

    @property
    def text(self) -> str:
        """The stage in a few words."""
        length = f"{self.steps} steps" if self.steps else f"{self.epochs} epochs" if self.epochs else ""
        return f"{method_text(self.method)}{f' for {length}' if length else ''}"

    def written(self) -> Any:
        """Return the stage as a study writes it, in its shortest form."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return values["method"] if values.keys() == {"method"} and isinstance(self.method, str) else values

    def placed(self, base: Path) -> StageSpec:
        """Return the stage with an absolute path of a method's file."""
        return self.model_copy(update={"method": placed_method(self.method, base)})


class RunReference(PublicConfig):
    """A run of another study, whose last weights a student starts from.

    Attributes:
        run: The folder of that study.
        id: The id of the student's run in it.

    Example:
        >>> RunReference(run="first", id="8f0c12").weights
        PosixPath('first/store/student/8f0c12/weights.safetensors')
    """

    run: Path
    id: str = Field(min_length=1, pattern=r"^[\w-]+$")

    @property
    def text(self) -> str:
        """The run in a few words."""
        return f"run {self.id[:8]}"

    @property
    def weights(self) -> Path:
        """The file of its weights."""
        return self.run / STORE / "student" / self.id / WEIGHTS

    def written(self) -> Any:
        """Return the reference as a study writes it."""
        return self.model_dump(mode="json")

    def placed(self, base: Path) -> RunReference:
        """Return the reference with an absolute path."""
        return self.model_copy(update={"run": base / self.run})


StartStage = Literal["teacher"] | RunReference | StageSpec


def read_stages(value: Any) -> tuple[StartStage, ...]:
    """Return the stages of a ``start``, each of which starts from the one before.

    Raises:
        RequestError: A stage is none, or something but the first one is no method.

    Example:
        >>> read_stages("teacher")
        ('teacher',)
        >>> [stage.text for stage in read_stages([{"method": "fitnet", "steps": 50}, "kd"])]
        ['fitnet for 50 steps', 'kd']
    """
    if not isinstance(value, list | tuple):
        return (_read_stage(value),)
    stages = tuple(read_each(value, _read_stage))
    for place, stage in enumerate(stages):
        if place and not isinstance(stage, StageSpec):
            raise RequestError(
                f"{stage_text(stage)} does not start from what is before it",
                where=str(place),
                allowed="a method, or this stage first",
            )
    return stages


def stage_text(stage: StartStage) -> str:
    """Return a stage in a few words.

    Example:
        >>> stage_text("teacher")
        'teacher'
    """
    return stage if isinstance(stage, str) else stage.text


def start_text(stages: tuple[StartStage, ...]) -> str:
    """Return a start in a few words.

    Example:
        >>> start_text(read_stages(["teacher", "kd"]))
        'teacher, kd'
    """
    return ", ".join(map(stage_text, stages))


def written_start(stages: tuple[StartStage, ...]) -> Any:
    """Return a start as a study writes it, in its shortest form.

    Example:
        >>> written_start(read_stages([{"method": "kd"}])), written_start(read_stages(["teacher", "kd"]))
        ('kd', ['teacher', 'kd'])
    """
    values = [stage if isinstance(stage, str) else stage.written() for stage in stages]
    return values[0] if len(values) == 1 else values


def american_start(start: Any) -> Any:
    """Return a written start with the settings of its methods in American spelling.

    Example:
        >>> american_start({"method": {"cat_kd": {"normalise": True}}, "steps": 9})
        {'method': {'cat_kd': {'normalize': True}}, 'steps': 9}
    """
    if isinstance(start, list):
        return [american_start(each) for each in start]
    if isinstance(start, Mapping) and "method" in start:
        return {**start, "method": american_method(start["method"])}
    return start


def _read_stage(value: Any) -> StartStage:
    if isinstance(value, StageSpec | RunReference):
        return value
    if value == TEACHER:
        return TEACHER
    if isinstance(value, str) and value:
        return StageSpec(method=canonical_method(value))
    if not isinstance(value, Mapping) or not value:
        raise RequestError(f"{_shown(value)} is nothing to start from", allowed=_FORM)
    kind: type[StageSpec] | type[RunReference] = StageSpec
    if value.keys() & {"run", "id"}:
        kind = RunReference
    elif not value.keys() & StageSpec.model_fields.keys():
        value = {"method": value}
    try:
        if "method" in value:
            value = {**value, "method": canonical_method(value["method"])}
        return kind.model_validate(dict(value))
    except ValidationError as error:
        raise validation_error(error, "", kind.model_fields) from error


def _shown(value: Any) -> str:
    """Return a value in one line, also one that contains itself."""
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


# -- methods with a start of their own -----------------------------------------------------------------------


def with_started_students(values: JsonObject) -> JsonObject:
    """Return a study in which methods with a ``start`` are methods of students that start there.

    ``{kd: {}, start: fitnet}`` among the methods stands for a further student of each network, which starts
    from ``fitnet`` and is trained with ``kd`` and, like every student, with the method of the plain student;
    and with the control ``ce_throughout`` if that is among the methods.

    Args:
        values: The content of a study file.

    Raises:
        RequestError: An entry has a start and no method, or a start is none.

    Example:
        >>> values = {"students": "resnet8", "methods": ["ce", "kd", {"kd": {}, "start": "fitnet"}]}
        >>> made = with_started_students(values)
        >>> made["methods"], made["students"][1]
        (['ce', 'kd'], {'model': 'resnet8', 'start': 'fitnet', 'methods': ['kd']})
    """
    methods, students = values.get("methods"), values.get("students")
    if not isinstance(methods, list | tuple) or not any(map(_has_start, methods)):
        return values
    usual = [entry for entry in methods if not _has_start(entry)]
    started: list[tuple[Any, list[Any]]] = []
    for place, entry in enumerate(methods):
        if _has_start(entry):
            start, method = _split(entry, place)
            together = next((each for known, each in started if known == start), None)
            if together is None:
                started.append((start, together := []))
            together.append(method)
    every = [*usual, *(entry for _, entries in started for entry in entries)]
    made = {"students": list(_students(students, usual, started))} if students else {}
    return {**values, "methods": list(_once(every)), **made}


def _students(students: Any, usual: list[Any], started: list[tuple[Any, list[Any]]]) -> Iterator[Any]:
    entries = students if isinstance(students, list | tuple) else [students]
    for entry in entries:
        keys = dict(entry) if isinstance(entry, Mapping) else {"model": entry}
        if not keys.get("methods") and usual:
            yield {**keys, "methods": usual}
        elif keys.get("methods"):
            yield keys
        if not keys.get("start"):
            for start, methods in started:
                named = f"{keys.get('name')}(start={start_text(read_stages(start))})"
                name = {"name": named} if keys.get("name") else {}
                controls = [each for each in usual if is_throughout(each) and each not in methods]
                yield {**keys, "start": start, "methods": [*methods, *controls], **name}


def _once(entries: list[Any]) -> Iterator[Any]:
    seen: list[Any] = []
    for entry in entries:
        if entry not in seen:
            seen.append(entry)
            yield entry


def _has_start(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "start" in entry


def _split(entry: JsonObject, place: int) -> tuple[Any, Any]:
    """Return the start of an entry in its written form, and the method without it."""
    method = {name: settings for name, settings in entry.items() if name != "start"}
    where = f"methods.{place}"
    if not method:
        raise RequestError("a start without a method", where=where, allowed="{kd: {}, start: fitnet}")
    try:
        start = written_start(read_stages(entry["start"]))
    except RequestError as error:
        raise error.under(where, "start") from error
    plain = len(method) == 1 and not next(iter(method.values()))
    return start, next(iter(method)) if plain else method
