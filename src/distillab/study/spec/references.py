"""What a study refers to outside of its file, checked before data are read: networks, files, other datasets.

Reading a large folder takes minutes, and a misspelt network must not be found after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distillab.errors import RequestError, unknown_name
from distillab.factors import Initialisation
from distillab.models import check_model_name, find_pretrained
from distillab.models.black_box import BLACK_BOXES, is_black_box
from distillab.sources import Source
from distillab.study.spec.study import StudySpec


def check_references(spec: StudySpec) -> None:
    """Raise RequestError if a network, a file or another dataset that a study names does not exist.

    No example is read and no network built: whether networks fit the data is found later.

    Args:
        spec: The study.

    Raises:
        RequestError: The message names the file of the study, the key and the nearest known name.

    Example:
        >>> check_references(StudySpec(
        ...     study="tiny", data={"source": "digits"}, teacher={"model": "resnet8"}, students="resnet18",
        ...     methods=["kd"],
        ... ))
        Traceback (most recent call last):
        distillab.errors.RequestError: study: students: unknown model 'resnet18', did you mean ...
    """
    try:
        _check_unknown_labels(spec)
        for key, name in _networks(spec):
            _check_network(key, name)
        for key, name in _pretrained_networks(spec):
            _check_pretrained(key, name)
        for key, path in _files(spec):
            check_readable(path, key)
        for name, source in spec.other_sources().items():  # `data` are looked for at once
            _check_source(f"others.{name}", source)
        _check_datasets(spec)
    except RequestError as error:
        raise error.within(spec.where) from error


def _check_unknown_labels(spec: StudySpec) -> None:
    """Raise RequestError if blank labels would become present or absent with those that are uncertain."""
    policy = getattr(spec.task_config(), "uncertain", "ignore")
    blank = getattr(spec.source(), "blank", "zeros")
    if policy != "ignore" and blank == "ignore":
        raise RequestError(
            f"'uncertain: {policy}' also applies to blank labels, which 'blank: ignore' makes unknown",
            where="task",
            allowed="uncertain: ignore, or blank: zeros",
        )


def check_readable(path: Path, where: str) -> None:
    """Raise RequestError unless a file can be opened.

    Example:
        >>> check_readable(Path("teacher.pt"), "teacher.weights")
        Traceback (most recent call last):
        distillab.errors.RequestError: teacher.weights: cannot read teacher.pt (No such file or directory)
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise RequestError(f"cannot read {path} ({error.strerror})", where=where) from error


def _networks(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Go through the networks that a study names, each with its key."""
    teacher = spec.teacher
    yield from (("students", entry.model) for entry in spec.student_entries)
    yield from (("teacher.models", name) for name in teacher.models)
    if teacher.model:
        yield "teacher.model", teacher.model
    yield from (("teacher.assistants", name) for name in teacher.assistants)


def _pretrained_networks(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Go through the networks that start from their pretrained weights at some level, each with its key."""
    varied = {
        role
        for levels in spec.factor_levels()
        for factor in levels
        if isinstance(factor, Initialisation) and factor.level == "pretrained"
        for role in factor.roles
    }
    for entry in spec.student_entries:
        if entry.pretrained or (entry.weights is None and "transfer" in varied):
            yield "students", entry.model
    if spec.teacher.model and (spec.teacher.pretrained or "teacher" in varied):
        yield "teacher.model", spec.teacher.model


def _check_pretrained(key: str, name: str) -> None:
    try:
        find_pretrained(name)
    except RequestError as error:
        raise error.within(key) from error


def _check_network(key: str, name: str) -> None:
    try:
        if is_black_box(name) and key != "teacher.model":
            raise RequestError(
                f"{BLACK_BOXES[name]} is a teacher alone", allowed="a network that can be trained"
            )
        check_model_name(name)
    except RequestError as error:
        raise error.within(key) from error


def _files(spec: StudySpec) -> Iterator[tuple[str, Path]]:
    """Go through the files, other than data, that a study names, each with its key."""
    for number in range(len(spec.teacher.files)):
        if (weights := spec.weights_path(number)) is not None:
            yield "teacher.weights", weights
    yield from (("students.weights", entry.weights) for entry in spec.student_entries if entry.weights)
    for levels in spec.factor_levels():
        for factor in levels:
            yield from (
                (f"factors.{factor.name}.{key}", value) for key, value in factor if isinstance(value, Path)
            )


def _check_source(key: str, source: Source) -> None:
    try:
        source.check_paths()
    except RequestError as error:
        raise error.within(key) from error


def _check_datasets(spec: StudySpec) -> None:
    """Raise RequestError if a factor takes examples from a dataset that the study does not name."""
    for levels in spec.factor_levels():
        for factor in levels:
            name = factor.other_dataset
            if name is not None and name not in spec.others:
                raise unknown_name(
                    "dataset",
                    name,
                    spec.others or ["a dataset under `others`"],
                    where=f"factors.{factor.name}",
                )
