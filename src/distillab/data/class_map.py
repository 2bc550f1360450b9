"""From a teacher's classes to a student's: which of theirs speak for which of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distillab.data.examples import Examples
from distillab.errors import RequestError

ClassMap = tuple[int, ...]
NOBODY = -1  # a class of the teacher that the student does not know


def class_map(
    theirs: Sequence[str], ours: Sequence[str], read: Examples, names: Mapping[str, str] | None = None
) -> ClassMap | None:
    """For each class of the teacher the student's class, or :data:`NOBODY`; None if both know the same.

    A class is found by its name, or by the coarser class that it belongs to in the data.

    Args:
        theirs: the teacher's classes, in the order of its logits.
        ours: the student's classes, in label order.
        read: images as they were read, for the coarser classes.
        names: what the data call the teacher's classes, where the names differ.

    Raises:
        RequestError: a class of the student that no class of the teacher stands for, or a name that neither
            knows.
    """
    names = names or {}
    for their, our in names.items():
        if their not in theirs or our not in {*ours, *read.classes, *read.parents}:
            unknown, whose = (their, "the teacher") if their not in theirs else (our, "the data")
            raise RequestError(
                f"{unknown!r} is not a class of {whose}",
                where="teacher.class_map",
                allowed="a mapping of the teacher's classes to those of the data",
            )
    if tuple(theirs) == tuple(ours) and not names:
        return None
    parents = dict(zip(read.classes, read.parents, strict=False))
    places = {name: label for label, name in enumerate(ours)}
    found = [names.get(their, their) for their in theirs]
    mapped = tuple(places.get(name, places.get(parents.get(name, ""), NOBODY)) for name in found)
    if missing := sorted(set(places) - {ours[label] for label in mapped if label != NOBODY}):
        raise RequestError(
            f"no class of the teacher stands for {', '.join(map(repr, missing[:5]))}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            where="teacher.class_map",
            allowed="a class of the teacher for every class of the student",
        )
    return mapped


def merges(mapping: ClassMap | None) -> bool:
    """Whether several of the teacher's classes are one of the student's."""
    known = [label for label in mapping or () if label != NOBODY]
    return len(set(known)) < len(known)
