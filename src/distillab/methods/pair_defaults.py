"""Defaults that the authors of a method chose for one pair of networks, and where they apply.

A method lists them in :attr:`~distillab.methods.Method.pair_defaults`. They take the place of the defaults of
its configuration where a study names that teacher and that student and leaves the setting open.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from distillab.methods.spec import MethodSpec
from distillab.methods.value_text import written
from distillab.models.input_transforms import split_input_size
from distillab.models.stems import split_stem

Names = tuple[str, str]


def for_pair(spec: MethodSpec, teacher: str, student: str) -> MethodSpec:
    """Return a method with the authors' settings for a pair of networks, if they are known.

    Args:
        spec: The method. What its study states is kept.
        teacher: The name of the network that teaches.
        student: The name of the student's network.

    Example:
        >>> from distillab.methods import parse_method
        >>> dkd, own = parse_method("dkd", "methods"), parse_method({"dkd": {"beta": 1}}, "methods")
        >>> [for_pair(each, "resnet56", "resnet20").config.beta for each in (dkd, own)]
        [2.0, 1.0]
        >>> for_pair(dkd, "resnet14", "resnet8").config.beta
        8.0
    """
    if spec.parts:
        return replace(spec, parts=tuple((w, for_pair(part, teacher, student)) for w, part in spec.parts))
    changes: dict[str, object] = dict(_open(spec, _table(spec, teacher, student)))
    for key, value in spec.config:
        if isinstance(value, MethodSpec) and (inner := for_pair(value, teacher, student)) is not value:
            changes[key] = inner
    return replace(spec, config=spec.config.model_copy(update=changes)) if changes else spec


def pair_notes(spec: MethodSpec, teacher: str, student: str) -> list[str]:
    """Return which settings of a method follow from the pair of networks, one sentence per method.

    Example:
        >>> from distillab.methods import parse_method
        >>> pair_notes(parse_method("dkd", "methods"), "resnet56", "resnet20")
        ['dkd: beta 2, as its authors have it for resnet56 -> resnet20.']
        >>> pair_notes(parse_method("dkd", "methods"), "resnet14", "resnet8")
        ['dkd: beta 8; its authors choose it by pair, and have no value for resnet14 -> resnet8.']
    """
    if not spec.distils:
        return []
    inner = [value for _, value in spec.config if isinstance(value, MethodSpec)]
    notes = [
        note for part in (*(p for _, p in spec.parts), *inner) for note in pair_notes(part, teacher, student)
    ]
    counts = Counter(key for table in spec.kind.pair_defaults.values() for key in table)
    always = {key: 0.0 for key, count in counts.items() if count == len(spec.kind.pair_defaults)}
    known = _table(spec, teacher, student)
    shown = _open(spec, known or always)
    if not shown:
        return notes
    resolved = for_pair(spec, teacher, student).config
    values = ", ".join(f"{key} {written(getattr(resolved, key))}" for key in shown)
    source = (
        f", as its authors have it for {teacher} -> {student}"
        if known
        else f"; its authors choose it by pair, and have no value for {teacher} -> {student}"
    )
    return [*notes, f"{spec.name}: {values}{source}."]


def _table(spec: MethodSpec, teacher: str, student: str) -> dict[str, float]:
    """Return the authors' settings for a pair; empty if they have none."""
    return dict(spec.kind.pair_defaults.get((_network(teacher), _network(student)), {}))


def _open(spec: MethodSpec, settings: dict[str, float]) -> dict[str, float]:
    """Return those of some settings that the study leaves open."""
    return {key: value for key, value in settings.items() if key not in spec.config.model_fields_set}


def _network(name: str) -> str:
    """Return the name of a network without its input size and its stem."""
    return split_stem(split_input_size(name)[0])[0]
