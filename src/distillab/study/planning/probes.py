"""Probes: students of the first seeds over twice the steps, to see what more training changes.

A probe has the teacher, the examples, the initial weights, the order and the views of the student that it
is a probe of. It is no cell of the design: it is compared with that student on the validation set, and no
effect rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from distillab.study.design import Cell
from distillab.study.planning.context import PlanContext
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.replicate import Replicate


def probed(context: PlanContext, replicates: Iterable[Replicate]) -> Iterator[Replicate]:
    """Go through the replicates whose students are probed, with the recipe of the probes.

    They are those of the first seeds. Conditions that are excluded have none. Teachers keep their length,
    those that are copies of the student included.

    Args:
        context: The study on its data.
        replicates: The replicates of the study.
    """
    spec = context.spec
    seeds = spec.evidence.probed_seeds(spec.looks[0] if spec.looks else len(spec.seed_list))
    for replicate in replicates:
        if replicate.number < seeds and replicate.sets is not None:
            sets = replicate.sets
            twice = _doubled(sets.recipe)
            labelled = twice if sets.labelled_recipe is sets.recipe else _doubled(sets.labelled_recipe)
            yield replace(replicate, sets=replace(sets, recipe=twice, labelled_recipe=labelled))


def _doubled(recipe: PlannedRecipe) -> PlannedRecipe:
    return recipe.with_steps(2 * recipe.resolved.steps)


def probe_runs(cells: Iterable[Cell]) -> list[str]:
    """Return the ids of the probes that are no runs of the design themselves."""
    every = list(cells)
    runs = {cell.run for cell in every}
    doubled = (cell.doubled for cell in every if cell.doubled)
    return list(dict.fromkeys(run for run in doubled if run not in runs))
