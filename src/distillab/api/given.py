"""Python objects in the place of what a study file can name: data and networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.models.black_box import black_box_of
from distillab.models.object_files import copy_objects, in_folder, texts_in
from distillab.models.objects import write_factory, write_network
from distillab.sources.memory import HeldData
from distillab.sources.python_data import entry_of
from distillab.study.spec import StudentEntry

_OF_TEACHER = "teacher."
NETWORK_ALLOWED = "the name of a model, an nn.Module, or a function or class that builds one"


@dataclass(frozen=True, eq=False)
class GivenStudy:
    """The keys of a study, with names in the place of the Python objects that were given.

    Attributes:
        values: The keys. Weights of networks are files of this process.
        held: What holds the data that were given.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((4, 8, 8), np.uint8)
        >>> given = GivenStudy.of({"data": (images, [0, 1, 0, 1]), "teacher": nn.Linear(64, 2)})
        >>> given.values["data"]["source"], given.values["teacher"]["provenance"]
        ('memory', 'external')
    """

    values: JsonObject
    held: tuple[HeldData, ...] = ()

    @classmethod
    def of(cls, values: JsonObject) -> GivenStudy:
        """Return the keys of a study of which data and networks may be Python objects.

        Raises:
            RequestError: An object is not accepted.
        """
        written, held = dict(values), []
        if "data" in values:
            written["data"], data = entry_of(values["data"], "study: data")
            held.append(data)
        others = values.get("others")
        if isinstance(others, Mapping):
            entries = {name: entry_of(other, f"study: others.{name}") for name, other in others.items()}
            written["others"] = {name: entry for name, (entry, _) in entries.items()}
            held += [data for _, data in entries.values()]
        if "teacher" in values:
            written["teacher"] = teacher_entry(values["teacher"])
        if "students" in values:
            written["students"] = student_entries(values["students"])
        return cls(written, tuple(each for each in held if each is not None))

    def values_in(self, folder: Path) -> JsonObject:
        """Copy the files of networks into a folder and return the keys with their paths there.

        Args:
            folder: The folder; it is created if there are such files.

        Raises:
            OSError: A file cannot be written.
        """
        copy_objects(texts_in(self.values), folder)
        placed = _placed(self.values, folder)
        assert isinstance(placed, Mapping)
        return placed


def teacher_entry(teacher: Any) -> Any:
    """Return the key ``teacher`` of a study with names in the place of networks.

    A network brings its weights, so it is a teacher of provenance ``external``. A function or class builds
    one that is trained in the study.

    Args:
        teacher: A network, a function that builds one, the name of a model, the file of a black box, or a
            mapping of keys of which ``model``, ``models`` and ``assistants`` may hold networks.

    Raises:
        RequestError: A network stands where one without weights is needed, or contradicts a key.

    Example:
        >>> teacher_entry("resnet20"), teacher_entry({"model": "resnet20", "provenance": "full"})
        ({'model': 'resnet20'}, {'model': 'resnet20', 'provenance': 'full'})
    """
    if isinstance(teacher, str | Path) and black_box_of(teacher):
        return {"weights": str(teacher)}
    if not isinstance(teacher, Mapping):
        teacher = {"model": teacher}
    written = dict(teacher)
    where = "study: teacher"
    for key in ("models", "assistants"):
        if key in teacher:
            several = teacher[key] if isinstance(teacher[key], list | tuple) else [teacher[key]]
            written[key] = [_trained_here(each, f"{where}.{key}") for each in several]
    if not isinstance(teacher.get("model"), nn.Module):
        if "model" in teacher:
            written["model"] = _trained_here(teacher["model"], where)
        return written
    if teacher.get("provenance", "external") not in ("external", ["external"], ("external",)):
        raise RequestError(
            "a network given as an object is not trained",
            where=f"{where}.provenance",
            allowed="external, or a function or class that builds the network",
        )
    if "weights" in teacher:
        raise RequestError("a network given as an object has weights", where=f"{where}.weights")
    name, weights = write_network(teacher["model"], where)
    return written | {"model": name, "provenance": "external", "weights": str(weights)}


def student_entries(students: Any) -> Any:
    """Return the key ``students`` of a study with names in the place of networks.

    A network starts from the weights that it has, in every run; a function or class builds a new one in each.

    Args:
        students: A student or a list of them, each a network, a function or class that builds one, the name
            of a model, a mapping of keys whose ``model`` is one of these, or an entry of a study.

    Raises:
        RequestError: One is something else.

    Example:
        >>> student_entries("resnet8"), student_entries(nn.Linear(2, 2))[0]["name"]
        (['resnet8'], 'Linear')
    """
    several = students if isinstance(students, list | tuple) else [students]
    entries: list[Any] = []
    for student in several:
        where = "study: students"
        if isinstance(student, StudentEntry):
            entries.append(student)
            continue
        entry = student if isinstance(student, Mapping) else {"model": student}
        model = entry.get("model")
        if isinstance(model, nn.Module):
            if entry.keys() & {"weights", "pretrained"}:
                raise RequestError("a network given as an object has weights", where=where)
            name, weights = write_network(model, where)
            label = _label(type(model).__name__, entries, weights)
            entries.append({"name": label, **entry, "model": name, "weights": str(weights)})
        elif not isinstance(student, Mapping):
            entries.append(_trained_here(student, where))
        else:
            entries.append({**entry, "model": _trained_here(model, where)} if "model" in entry else entry)
    return entries


def _label(name: str, entries: list[Any], weights: Path) -> str:
    """Return the name of a network's class, or one that tells it from another student of this class."""
    used = {entry.get("name") for entry in entries if isinstance(entry, Mapping)}
    return name if name not in used else f"{name}-{weights.stem[:6]}"


def _trained_here(model: Any, where: str) -> str:
    """Return the name of a network without given weights."""
    if isinstance(model, str):
        return model
    if isinstance(model, nn.Module):
        raise RequestError(
            "a network given as an object has weights, and this one is trained from the beginning",
            where=where,
            allowed="the name of a model, or a function or class that builds one",
        )
    if callable(model):
        return write_factory(model, where)
    raise RequestError(f"{type(model).__name__} is no network", where=where, allowed=NETWORK_ALLOWED)


def _placed(value: Any, folder: Path) -> Any:
    """Return a value with the paths of weights in a folder."""
    if isinstance(value, Mapping):
        return {key: _placed(each, folder) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_placed(each, folder) for each in value]
    return in_folder(value, folder) if isinstance(value, str) else value


def split_keys(keys: JsonObject) -> tuple[JsonObject, JsonObject]:
    """Return the keys of a source, and those of a teacher, which begin with ``teacher.``.

    Example:
        >>> split_keys({"label": "fine_label", "teacher.entry": "ema"})
        ({'label': 'fine_label'}, {'entry': 'ema'})
    """
    of_teacher = {key.removeprefix(_OF_TEACHER): keys[key] for key in keys if key.startswith(_OF_TEACHER)}
    return {key: keys[key] for key in keys if not key.startswith(_OF_TEACHER)}, of_teacher
