"""Pictures of a study's own examples, before and after each of its factors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from distillab.data.examples import Examples, Indices, Items
from distillab.data.originals import Originals
from distillab.data.targets import Labels
from distillab.errors import RequestError
from distillab.factors import Factor, apply_chain, level_text
from distillab.modalities import Preview, modality_of
from distillab.report.collect.spectrograms import spectrogram_axes
from distillab.report.contents.pictures import Check, Pictures, Strip, Tile
from distillab.study.design import ConditionRecord
from distillab.study.folder import StudyFolder

PICKED = 24  # examples in a strip
ADDED = 8  # examples that a factor added
MOST_LEVELS = 6  # strips per factor; of more levels the first, the last and some in between are shown
SOUNDS = 8  # examples of a strip that can be played, so that the page stays small


def galleries(folder: StudyFolder, conditions: Sequence[ConditionRecord]) -> tuple[Pictures, ...]:
    """Return, for every factor, the same examples as read and at each level, drawn with the first seed.

    Each factor is shown alone, on its first role, so that its own effect can be seen. A factor that cannot be
    applied alone is shown after the first level of the factors before it. One that changes no example is not
    shown.
    """
    levels, seed = folder.spec.factor_levels(), folder.spec.seed_list[0]
    return tuple(
        _gallery(folder, mine, [earlier[0] for earlier in levels[:place]], seed, conditions)
        for place, mine in enumerate(levels)
        if mine[0].changes
    )


def _gallery(
    folder: StudyFolder,
    levels: Sequence[Factor],
    earlier: Sequence[Factor],
    seed: int,
    conditions: Sequence[ConditionRecord],
) -> Pictures:
    role = levels[0].roles[0]
    read, context = _examples_of(folder, role), folder.conditions.context(role)

    def after(chain: Sequence[Factor]) -> Examples:
        return apply_chain(read, chain, role, seed, context=context)[0]

    shown_levels = _some(levels)
    try:
        before, made = read, [after([each]) for each in shown_levels]
    except RequestError:  # such as unlabelled examples taken from those that `size` dropped
        before, made = after(earlier), [after([*earlier, each]) for each in shown_levels]
    shown = _Shown(before, _pick(before, made), folder.dataset.originals)
    names = tuple(dict.fromkeys(name for examples in (before, *made) for name in examples.classes))
    return Pictures(
        factor=levels[0].name,
        dataset=folder.dataset.name,
        classes=names,
        before=Strip("as read" if before is read else "before", shown.before(), class_counts(before, names)),
        after=tuple(
            Strip(factor.description, shown.after(examples), class_counts(examples, names))
            for factor, examples in zip(shown_levels, made, strict=True)
        ),
        checks=_checks(levels[0].name, folder.dataset.name, conditions),
        note=f"Examples of every {folder.spec.task_config().class_noun}, picked to show what the factor "
        f"changes; drawn with seed {seed}.",
        several_labels=not isinstance(before.targets, Labels),
        axes=spectrogram_axes(folder),
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
    """Return positions in ``before``, from every class in turn, then those that belong to no class.

    Within a class, examples that are kept at every level, at all but one, and so on, take turns as well, each
    class beginning with another kind, so that the effect of every level can be seen.
    """
    rng = np.random.default_rng(0)
    kept = np.sum([np.isin(before.ids, examples.ids) for examples in made], axis=0)
    belongs = before.targets.members
    in_no_class = before.labelled & ~belongs.any(axis=1)
    queues = []
    for place, mask in enumerate([*belongs.T, in_no_class]):
        members = rng.permutation(np.flatnonzero(mask))
        kinds = [members[kept[members] == times] for times in np.unique(kept[members])[::-1]]
        start = place % max(1, len(kinds))
        queues.append(list(take_turns(kinds[start:] + kinds[:start])))
    picked = list(dict.fromkeys(take_turns(queues)))[:PICKED]
    return np.asarray(sorted(picked, key=lambda i: tuple(np.flatnonzero(belongs[i]))), dtype=np.int64)


def take_turns(queues: Iterable[Sequence[int] | Indices]) -> Iterator[int]:
    """Yield the first item of every queue, then the second of every queue that has one, and so on."""
    for turn in itertools.zip_longest(*queues):
        yield from (int(item) for item in turn if item is not None)


@dataclass(frozen=True)
class _Shown:
    """The examples that all strips of a factor show.

    Attributes:
        examples: The examples before the factor.
        positions: Which of them are shown.
        originals: What the items were computed from, if it is kept.
    """

    examples: Examples
    positions: Indices
    originals: Originals | None

    def before(self) -> tuple[Tile, ...]:
        """Return the examples before the factor; the first ones can be played if they are sounds."""
        tiles = []
        for number, position in enumerate(self.positions.tolist()):
            preview = self._preview(self.examples, position)
            sound = preview.sound if number < SOUNDS else None
            tiles.append(
                Tile(preview.picture, tile_labels(self.examples, position), sound=sound, text=preview.text)
            )
        return tuple(tiles)

    def after(self, made: Examples) -> tuple[Tile, ...]:
        """Return the same examples after the factor, and some of those that it added."""
        place = {int(name): i for i, name in enumerate(made.ids)}
        tiles = []
        for position in self.positions.tolist():
            labels = tile_labels(self.examples, position)
            i = place.get(int(self.examples.ids[position]))
            if i is None:
                preview = self._preview(self.examples, position)
                tiles.append(Tile(preview.picture, labels, dropped=True, text=preview.text))
            else:
                preview = self._preview(made, i)
                tiles.append(Tile(preview.picture, labels, tile_labels(made, i), text=preview.text))
        added = np.flatnonzero(~np.isin(made.ids, self.examples.ids))
        some = added[np.linspace(0, len(added) - 1, min(ADDED, len(added))).astype(int)]
        for position in some.tolist():
            preview = self._preview(made, position)
            tiles.append(Tile(preview.picture, tile_labels(made, position), added=True, text=preview.text))
        return tuple(tiles)

    def _preview(self, examples: Examples, position: int) -> Preview:
        return preview_of(examples, position, self.originals)


def preview_of(examples: Examples, position: int, originals: Originals | None) -> Preview:
    """Return how an example is shown, after the student transform.

    Args:
        examples: A set of examples.
        position: The position of the example in it.
        originals: What the items were computed from, if it is kept.
    """
    item: Items = examples.items(np.array([position]))[0]
    if examples.student_transform is not None:
        transformed = examples.student_transform(torch.from_numpy(item[None].astype(np.float32)))
        item = transformed[0].numpy()
    original = originals.of(int(examples.ids[position])) if originals else None
    return modality_of(examples).preview(item, original)


def tile_labels(examples: Examples, position: int) -> tuple[str, ...]:
    """Return the names of the classes of an example."""
    belongs = examples.targets.take(np.array([position])).members[0]
    return tuple(examples.classes[label] for label in np.flatnonzero(belongs))


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
