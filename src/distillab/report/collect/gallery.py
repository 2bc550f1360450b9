"""Pictures of a study's own images, before and after each of its factors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from distillab.data.examples import Examples, Indices, Pixels
from distillab.data.targets import UNLABELLED
from distillab.errors import RequestError
from distillab.factors import Factor, apply_chain, level_text
from distillab.report.contents.question import Check, Pictures, Strip, Tile
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder

TILES = 24  # pictures in a strip
ADDED = 8  # pictures of images that a factor added
MOST_LEVELS = 6  # strips after a factor; of more levels the first, the last and some between are shown


def galleries(folder: StudyFolder, conditions: Sequence[ConditionRecord]) -> tuple[Pictures, ...]:
    """For every factor: the same real images as read and at each level, drawn with the first seed.

    Each factor is shown alone, on the role it names first, so that what it does can be seen by itself; one
    that cannot stand alone, after the first level of those written before it.
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
    read, making = _images_of(folder, role), folder.conditions

    def after(chain: Sequence[Factor]) -> Examples:
        return apply_chain(read, chain, role, seed, context=making.context(role))[0]

    try:
        before, made = read, {each.level: after([each]) for each in _some(levels)}
    except RequestError:  # such as unlabelled images from what `size` left out
        before, made = after(earlier), {each.level: after([*earlier, each]) for each in _some(levels)}
    shown = _pick(before, list(made.values()))
    names = tuple(dict.fromkeys(name for images in (before, *made.values()) for name in images.classes))
    return Pictures(
        factor=levels[0].name,
        dataset=folder.dataset.name,
        classes=names,
        before=Strip(
            "as read" if before is read else "before", _tiles(before, before, shown), _counts(before, names)
        ),
        after=tuple(
            Strip(
                factor.description,
                _tiles(before, made[factor.level], shown),
                _counts(made[factor.level], names),
            )
            for factor in _some(levels)
        ),
        checks=_checks(levels[0].name, folder.dataset.name, conditions),
        note=f"Images of every class, picked so that they fare differently; the draw is that of seed {seed}.",
    )


def _images_of(folder: StudyFolder, role: str) -> Examples:
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
    """Positions in ``before``, from every class in turn, of images that fare differently over the levels.

    Within a class the fates (kept at every level, at all but one, ...) take turns as well, each class
    beginning with another, so that what a level takes away can be seen.
    """
    rng = np.random.default_rng(0)
    kept = np.sum([np.isin(before.ids, images.ids) for images in made], axis=0)
    queues = []
    for label in range(len(before.classes)):
        members = rng.permutation(np.flatnonzero(before.labels == label))
        fates = [members[kept[members] == fate] for fate in np.unique(kept[members])[::-1]]
        start = label % max(1, len(fates))
        queues.append(list(_in_turn(fates[start:] + fates[:start])))
    shown = list(_in_turn(queues))[:TILES]
    return np.asarray(sorted(shown, key=lambda place: before.labels[place]), dtype=np.int64)


def _in_turn(queues: Iterable[Sequence[int] | Indices]) -> Iterator[int]:
    """The first of every queue, then the second of every queue that has one, and so on."""
    for turn in itertools.zip_longest(*queues):
        yield from (int(item) for item in turn if item is not None)


def _tiles(before: Examples, after: Examples, shown: Indices) -> tuple[Tile, ...]:
    """The images at positions of ``before`` as they now are, and some of those that were added."""
    place = {int(name): i for i, name in enumerate(after.ids)}
    tiles = []
    for position, pixels in zip(shown, before.pixels(shown), strict=True):
        label = _label(before, position)
        i = place.get(int(before.ids[position]))
        if i is None:
            tiles.append(Tile(pixels, label, dropped=True))
        else:
            tiles.append(Tile(_seen(after, i), label, _label(after, i)))
    added = np.flatnonzero(~np.isin(after.ids, before.ids))
    some = added[np.linspace(0, len(added) - 1, min(ADDED, len(added))).astype(int)]
    return (*tiles, *(Tile(_seen(after, i), "added", _label(after, i)) for i in some.tolist()))


def _label(images: Examples, position: int) -> str:
    label = int(images.labels[position])
    return "no label" if label == UNLABELLED else images.classes[label]


def _seen(images: Examples, position: int) -> Pixels:
    """An image as a student sees it, uint8 ``[C, H, W]``."""
    pixels = images.pixels(np.array([position]))
    if images.student_transform is None:
        return np.asarray(pixels[0])
    seen = images.student_transform(torch.from_numpy(pixels.astype(np.float32)))
    return np.asarray(seen[0].round().clamp(0, 255).numpy().astype(np.uint8))


def _counts(images: Examples, names: Sequence[str]) -> tuple[int, ...]:
    """Images of the classes of these names."""
    counts = dict(zip(images.classes, images.counts.tolist(), strict=True))
    return tuple(counts.get(name, 0) for name in names)


def _checks(factor: str, dataset: str, conditions: Sequence[ConditionRecord]) -> tuple[Check, ...]:
    """The checks of all conditions; those of several seeds that measured the same are told once."""
    found: dict[Check, None] = {}
    for condition in conditions:
        for check in condition.checks:
            if check.factor == factor:
                level = level_text(condition.levels[factor])
                shown = Check(
                    factor=factor,
                    where=f"{dataset}, level {level}",
                    measure=check.measure,
                    asked=check.requested,
                    measured=check.measured,
                    tolerance=check.tolerance,
                    passed=check.passed,
                    note=check.note,
                )
                found[shown] = None
    return tuple(found)
