"""Pictures of a study's own images, before and after each of its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distillab.data.imageset import ImageSet, Indices
from distillab.factors import Factor, apply_chain
from distillab.report.asked import Check, Pictures, Strip, Tile
from distillab.study.folder import StudyFolder

TILES = 24  # pictures in a strip
MOST_LEVELS = 6  # strips after a factor; of more levels the first, the last and some between are shown


def galleries(folder: StudyFolder, conditions: Sequence[Mapping[str, Any]]) -> tuple[Pictures, ...]:
    """For every factor: the same real images as read and at each level, drawn with the first seed.

    Each factor is shown alone, on the role it names first, so that what it does can be seen by itself.
    """
    spec = folder.spec
    seed = spec.seeds[0]
    return tuple(_gallery(folder, levels, seed, conditions) for levels in spec.factor_levels())


def _gallery(
    folder: StudyFolder, levels: Sequence[Factor], seed: int, conditions: Sequence[Mapping[str, Any]]
) -> Pictures:
    role = levels[0].roles[0]
    before = _images_of(folder, role)
    made = {factor.level: apply_chain(before, [factor], role, seed)[0] for factor in _some(levels)}
    shown = _pick(before, list(made.values()))
    return Pictures(
        factor=levels[0].name,
        dataset=folder.dataset.name,
        classes=before.classes,
        before=Strip("as read", _tiles(before, before, shown), _counts(before)),
        after=tuple(
            Strip(
                f"{factor.name.replace('_', ' ')} {factor.level:g}",
                _tiles(before, made[factor.level], shown),
                _counts(made[factor.level]),
            )
            for factor in _some(levels)
        ),
        checks=_checks(levels[0].name, folder.dataset.name, conditions),
        note=f"Images drawn at random from every class in turn; the factor's draw is that of seed {seed}.",
    )


def _images_of(folder: StudyFolder, role: str) -> ImageSet:
    dataset = folder.dataset
    if role == "eval":
        return next(iter(dataset.eval.values()))
    return dataset.val if role == "val" else dataset.train


def _some(levels: Sequence[Factor]) -> list[Factor]:
    if len(levels) <= MOST_LEVELS:
        return list(levels)
    places = np.linspace(0, len(levels) - 1, MOST_LEVELS).round().astype(int)
    return [levels[place] for place in dict.fromkeys(places.tolist())]


def _pick(before: ImageSet, made: Sequence[ImageSet]) -> Indices:
    """Positions in ``before``: classes in turn, and within a class first an image that the factor keeps at
    every level (its fate shows best), then one that it leaves out."""
    rng = np.random.default_rng(0)
    kept = np.mean([np.isin(before.ids, images.ids) for images in made], axis=0)
    lists = []
    for label in range(len(before.classes)):
        members = rng.permutation(np.flatnonzero(before.labels == label))
        by_fate = members[np.argsort(-kept[members], kind="stable")]
        # The image kept longest, then the one dropped first, and so on inwards.
        half = (len(by_fate) + 1) // 2
        order = np.empty_like(by_fate)
        order[0::2], order[1::2] = by_fate[:half], by_fate[half:][::-1]
        lists.append(order)
    turns = [order[i] for i in range(TILES) for order in lists if i < len(order)]
    return np.asarray(sorted(turns[:TILES], key=lambda place: before.labels[place]), dtype=np.int64)


def _tiles(before: ImageSet, after: ImageSet, shown: Indices) -> tuple[Tile, ...]:
    place = {int(name): i for i, name in enumerate(after.ids)}
    tiles = []
    for position, pixels in zip(shown, before.pixels(shown), strict=True):
        label = before.classes[before.labels[position]]
        i = place.get(int(before.ids[position]))
        if i is None:
            tiles.append(Tile(pixels, label, dropped=True))
        else:
            image = after.pixels(np.array([i]))[0]
            tiles.append(Tile(image, label, after.classes[after.labels[i]]))
    return tuple(tiles)


def _counts(images: ImageSet) -> tuple[int, ...]:
    return tuple(int(count) for count in images.counts)


def _checks(factor: str, dataset: str, conditions: Sequence[Mapping[str, Any]]) -> tuple[Check, ...]:
    """The checks of all conditions; those of several seeds that measured the same are told once."""
    found: dict[Check, None] = {}
    for condition in conditions:
        for check in condition["checks"]:
            if check["factor"] == factor:
                level = f"{condition['levels'][factor]:g}"
                shown = {key: check[key] for key in ("measure", "asked", "measured", "tolerance", "passed")}
                found[Check(factor=factor, where=f"{dataset}, level {level}", **shown)] = None
    return tuple(found)
