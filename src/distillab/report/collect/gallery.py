"""Pictures of a study's own examples, before and after each of its factors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from distillab.data.examples import Examples, Indices, Pixels
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.factors import Factor, apply_chain, level_text
from distillab.report.contents.pictures import Check, Pictures, Strip, Tile
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder

PICKED = 24  # examples in a strip
ADDED = 8  # examples that a factor added
MOST_LEVELS = 6  # strips per factor; of more levels the first, the last and some in between are shown


def galleries(folder: StudyFolder, conditions: Sequence[ConditionRecord]) -> tuple[Pictures, ...]:
    """Return, for every factor, the same examples as read and at each level, drawn with the first seed.

    Each factor is shown alone, on its first role, so that its own effect can be seen. A factor that cannot be
    applied alone is shown after the first level of the factors before it.
    """
    levels, seed = folder.spec.factor_levels(), folder.spec.seed_list[0]
    return tuple(
        _gallery(folder, mine, [earlier[0] for earlier in levels[:place]], seed, conditions)
        for place, mine in enumerate(levels)
    )


def _gallery(
    folder: StudyFolder,
    levels: Sequence[Factor],
    earlier: Sequence[Factor],
    seed: int,
    conditions: Sequence[ConditionRecord],
) -> Pictures:
    role = levels[0].roles[0]
    read, making = _examples_of(folder, role), folder.conditions

    def after(chain: Sequence[Factor]) -> Examples:
        return apply_chain(read, chain, role, seed, context=making.context(role))[0]

    try:
        before, made = read, {each.level: after([each]) for each in _some(levels)}
    except RequestError:  # such as unlabelled examples taken from those that `size` dropped
        before, made = after(earlier), {each.level: after([*earlier, each]) for each in _some(levels)}
    shown = _pick(before, list(made.values()))
    names = tuple(dict.fromkeys(name for examples in (before, *made.values()) for name in examples.classes))
    return Pictures(
        factor=levels[0].name,
        dataset=folder.dataset.name,
        classes=names,
        before=Strip(
            "as read" if before is read else "before",
            _tiles(before, before, shown),
            class_counts(before, names),
        ),
        after=tuple(
            Strip(
                factor.description,
                _tiles(before, made[factor.level], shown),
                class_counts(made[factor.level], names),
            )
            for factor in _some(levels)
        ),
        checks=_checks(levels[0].name, folder.dataset.name, conditions),
        note=f"Examples of every class, picked to show what the factor changes; drawn with seed {seed}.",
    )


def _examples_of(folder: StudyFolder, role: str) -> Examples:
    dataset = folder.dataset
    if role == "eval":
        return next(iter(dataset.eval.values()))
    return dataset.val if role == "val" else dataset.train


def _some(levels: Sequence[Factor]) -> list[Factor]:
    if len(levels) <= MOST_LEVELS:
        return list(levels)
    places = np.linspace(0, len(levels) - 1, MOST_LEVELS).round().astype(int)
    return [levels[place] for place in dict.fromkeys(places.tolist())]


def _pick(before: Examples, made: Sequence[Examples]) -> Indices:
    """Return positions in ``before``, from every class in turn.

    Within a class, examples that are kept at every level, at all but one, and so on, take turns as well, each
    class beginning with another kind, so that the effect of every level can be seen.
    """
    rng = np.random.default_rng(0)
    kept = np.sum([np.isin(before.ids, examples.ids) for examples in made], axis=0)
    queues = []
    for label in range(len(before.classes)):
        members = rng.permutation(np.flatnonzero(before.labels == label))
        kinds = [members[kept[members] == times] for times in np.unique(kept[members])[::-1]]
        start = label % max(1, len(kinds))
        queues.append(list(_in_turn(kinds[start:] + kinds[:start])))
    shown = list(_in_turn(queues))[:PICKED]
    return np.asarray(sorted(shown, key=lambda place: before.labels[place]), dtype=np.int64)


def _in_turn(queues: Iterable[Sequence[int] | Indices]) -> Iterator[int]:
    """Yield the first item of every queue, then the second of every queue that has one, and so on."""
    for turn in itertools.zip_longest(*queues):
        yield from (int(item) for item in turn if item is not None)


def _tiles(before: Examples, after: Examples, shown: Indices) -> tuple[Tile, ...]:
    """Return the examples at positions of ``before`` as they are now, and some of the added ones."""
    place = {int(name): i for i, name in enumerate(after.ids)}
    tiles = []
    for position, pixels in zip(shown, before.pixels(shown), strict=True):
        label = _label(before, position)
        i = place.get(int(before.ids[position]))
        if i is None:
            tiles.append(Tile(pixels, label, dropped=True))
        else:
            tiles.append(Tile(_as_student_input(after, i), label, _label(after, i)))
    added = np.flatnonzero(~np.isin(after.ids, before.ids))
    some = added[np.linspace(0, len(added) - 1, min(ADDED, len(added))).astype(int)]
    return (*tiles, *(Tile(_as_student_input(after, i), "added", _label(after, i)) for i in some.tolist()))


def _label(examples: Examples, position: int) -> str:
    label = int(examples.labels[position])
    return "no label" if label == UNLABELLED else examples.classes[label]


def _as_student_input(examples: Examples, position: int) -> Pixels:
    """Return an example after the student transform, uint8 ``[C, H, W]``."""
    pixels = examples.pixels(np.array([position]))
    if examples.student_transform is None:
        return np.asarray(pixels[0])
    transformed = examples.student_transform(torch.from_numpy(pixels.astype(np.float32)))
    return np.asarray(transformed[0].round().clamp(0, 255).numpy().astype(np.uint8))


def class_counts(examples: Examples, names: Sequence[str]) -> tuple[int, ...]:
    """Return the number of examples of the classes with these names."""
    counts = dict(zip(examples.classes, examples.counts.tolist(), strict=True))
    return tuple(counts.get(name, 0) for name in names)


def _checks(factor: str, dataset: str, conditions: Sequence[ConditionRecord]) -> tuple[Check, ...]:
    """Return the checks of all conditions; equal ones of several seeds are listed once."""
    found: dict[Check, None] = {}
    for condition in conditions:
        for check in condition.checks:
            if check.factor == factor:
                level = level_text(condition.levels[factor])
                shown = Check(
                    factor=factor,
                    where=f"{dataset}, level {level}",
                    measure=check.measure,
                    requested=check.requested,
                    measured=check.measured,
                    tolerance=check.tolerance,
                    passed=check.passed,
                    note=check.note,
                )
                found[shown] = None
    return tuple(found)
