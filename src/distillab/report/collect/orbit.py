"""Pictures of what quarter turns and mirror images make of a study's own examples."""

from __future__ import annotations

import numpy as np
import torch

from distillab.data.examples import Examples
from distillab.evidence.orbits import has_orbits
from distillab.modalities import modality_of
from distillab.modalities.views.dihedral import ORDER, dihedral_view
from distillab.report.contents.pictures import Pictures, Strip, Tile
from distillab.study.folder import StudyFolder

ORBITS = 3  # examples that are shown, each of another class


def orbit_pictures(folder: StudyFolder) -> tuple[Pictures, ...]:
    """Return the eight views of a few training examples; nothing for a study whose views are others."""
    if not has_orbits(folder.spec):
        return ()
    train = folder.dataset.train
    chosen = [int(np.flatnonzero(of_class)[0]) for of_class in train.targets.members.T if of_class.any()]
    strips = tuple(Strip(f"example {train.ids[place]}", _tiles(train, place)) for place in chosen[:ORBITS])
    note = (
        "The eight views of an example: four quarter turns, and those of its mirror image. The student is "
        "given one of them, another one in each epoch; the outputs of a teacher over its orbit are the mean "
        "over all."
    )
    name = folder.dataset.name
    return (Pictures("orbit", name, train.classes, Strip(""), strips, note=note, is_factor=False),)


def _labels(examples: Examples, place: int) -> tuple[str, ...]:
    belongs = examples.targets.take(np.array([place])).members[0]
    return tuple(examples.classes[label] for label in np.flatnonzero(belongs))


def _tiles(examples: Examples, place: int) -> tuple[Tile, ...]:
    item, modality = torch.from_numpy(examples.items(np.array([place]))[0]), modality_of(examples)
    turned = [dihedral_view(item, number).contiguous().numpy() for number in range(ORDER)]
    labels = _labels(examples, place)
    return tuple(Tile(modality.preview(each).picture, labels) for each in turned)
