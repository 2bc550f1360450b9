"""The mapping of a teacher's classes to those of a student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distillab.data.examples import Examples
from distillab.errors import RequestError

ClassMap = tuple[int, ...]
"""For each class of the teacher, the student's class or :data:`UNMAPPED`."""
UNMAPPED = -1
"""In place of a student's class: the student does not know this class of the teacher."""


def class_map(
    teacher: Sequence[str], student: Sequence[str], read: Examples, names: Mapping[str, str] | None = None
) -> ClassMap | None:
    """Return the student's class of each class of the teacher, or None if both have the same classes.

    A class is found by its name, or by the coarser class that it belongs to in the data.

    Args:
        teacher: Classes of the teacher, in the order of its logits.
        student: Classes of the student, in label order.
        read: Examples as they were read, for the coarser classes.
        names: What the data call the teacher's classes, where the names differ.

    Raises:
        RequestError: A class of the student corresponds to no class of the teacher, or ``names`` contains a
            class that does not exist.

    Example:
        >>> import numpy as np
        >>> images = Examples.of(np.zeros((2, 1, 8, 8), np.uint8), [0, 1], ("cat", "dog"))
        >>> class_map(("dog", "cow", "cat"), ("cat", "dog"), images)
        (1, -1, 0)
    """
    names = names or {}
    for known, own in names.items():
        if known not in teacher or own not in {*student, *read.classes, *read.parents}:
            unknown, whose = (known, "the teacher") if known not in teacher else (own, "the data")
            raise RequestError(
                f"{unknown!r} is not a class of {whose}",
                where="teacher.class_map",
                allowed="a mapping of the teacher's classes to those of the data",
            )
    if tuple(teacher) == tuple(student) and not names:
        return None
    parents = dict(zip(read.classes, read.parents, strict=False))
    places = {name: label for label, name in enumerate(student)}
    found = [names.get(known, known) for known in teacher]
    mapped = tuple(places.get(name, places.get(parents.get(name, ""), UNMAPPED)) for name in found)
    if missing := sorted(set(places) - {student[label] for label in mapped if label != UNMAPPED}):
        raise RequestError(
            f"no class of the teacher corresponds to {', '.join(map(repr, missing[:5]))}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            where="teacher.class_map",
            allowed="a class of the teacher for every class of the student",
        )
    return mapped


def merges(mapping: ClassMap | None) -> bool:
    """Return True if several classes of the teacher map to one of the student.

    Example:
        >>> merges((0, 0, 1)), merges((0, UNMAPPED, 1))
        (True, False)
    """
    known = [label for label in mapping or () if label != UNMAPPED]
    return len(set(known)) < len(known)
