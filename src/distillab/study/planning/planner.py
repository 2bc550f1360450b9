"""The planner: expands a study into jobs, level by level, each fact found where it is decided."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from distillab.canonical import seed_from, spec_id
from distillab.data.class_map import ClassMap
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.factors import apply_factor
from distillab.models import InputSpec
from distillab.models.outputs import LIVE, STORABLE, OutputShapes
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import Job
from distillab.study.planning import teacher_jobs as teachers
from distillab.study.planning.conditions import Condition, Conditions
from distillab.study.planning.costs import CostsOf, ModelCosts, check_pair, file_digest
from distillab.study.planning.external_teacher import given_teacher
from distillab.study.planning.planned_method import PlannedMethod, PlannedRecipe
from distillab.study.planning.replicate import Replicate
from distillab.study.planning.student_jobs import Pairing
from distillab.study.spec.study import StudySpec
from distillab.training.numerics.config import NumericsConfig

FACTORS_KEPT = 32  # applications of a factor: conditions next to each other share all but the last of them


class Planner:
    """What every condition of the study has in common, and the plan in the making.

    A plan can hold a hundred thousand runs, so each fact is found, and serialised, at the level where it is
    decided: here what the study decides, in ``Replicate`` what a condition and a seed do, in ``Pairing`` what
    a provenance and a student do.
    """

    def __init__(
        self,
        spec: StudySpec,
        dataset: Dataset,
        numerics: Mapping[str, NumericsConfig],
        largest: int,
        costs_of: CostsOf,
    ) -> None:
        self.spec, self.dataset, self.numerics, self.largest = spec, dataset, numerics, largest
        self.stored_bytes: dict[str, int] = {}
        self.arms = [PlannedMethod.of(each) for each in spec.method_specs()]
        self.levels = spec.factor_levels()
        self.recipes = {"student": spec.recipe} | {
            each: spec.teacher_recipe(each) for each in spec.teacher.provenance
        }
        self.resolved: dict[tuple[Any, ...], PlannedRecipe] = {}
        self.can_be_stored: dict[tuple[Any, ...], dict[PlannedMethod, bool]] = {}
        self.costs_of = costs_of
        step = lru_cache(FACTORS_KEPT)(apply_factor)
        self.making = Conditions(dataset, step, given_teacher(spec, dataset))
        self.statistics = mean, std = dataset.normalization()
        self.normalisation = spec_id([mean.tolist(), std.tolist()])
        self.view_seed = seed_from("views", spec.seed)
        self.seed = cache(seed_from)
        self.file_digest = cache(file_digest)
        self.class_maps: dict[tuple[tuple[str, ...], tuple[str, ...]], ClassMap | None] = {}
        self.checked: set[tuple[Any, ...]] = set()
        self.jobs: dict[str, Job] = {}
        self.conditions: list[ConditionRecord] = []
        self.cells: list[Cell] = []

    def expand(self) -> None:
        """Fill ``jobs``, ``conditions`` and ``cells``. Raises RequestError for what the data, or the models,
        cannot give."""
        spec = self.spec
        teachers.check(self)
        table: dict[tuple[int, int], list[Cell]] = {}
        # Seeds run in the outer loop: a study stopped half way holds whole replicates of every condition.
        for replicate, seed in enumerate(spec.seed_list):
            for number, chain in enumerate(itertools.product(*self.levels)):
                condition = Condition(chain, seed)
                setting = Replicate(self, condition, self.making.roles(condition), replicate)
                self.conditions.append(setting.record())
                for place, cell in enumerate(self._cells(setting)):
                    table.setdefault((number, place), []).append(cell)
        # The table reads by condition, then arm, then seed.
        self.cells = [cell for row in sorted(table) for cell in table[row]]

    def _cells(self, setting: Replicate) -> Iterator[Cell]:
        for provenance, student in itertools.product(self.spec.teacher.provenance, self.spec.students):
            pairing = None if setting.excluded else Pairing(setting, provenance, student)
            for arm in self.arms:
                yield Cell(
                    levels=setting.levels,
                    provenance=provenance,
                    teacher=self.spec.teacher.label,
                    student=student,
                    method=arm.label,
                    seed=setting.condition.seed,
                    n_train=setting.labelled,
                    n_unlabelled=setting.unlabelled,
                    run=pairing.student_job(arm) if pairing else None,
                    outputs=pairing.study_outputs if pairing else None,
                    teacher_run=pairing.study_teacher if pairing else None,
                    excluded=setting.excluded,
                )

    def recipe(self, whose: str, model: str, images: Examples) -> PlannedRecipe:
        """The recipe of the students, or of the teachers of a provenance, for a network and a training set.
        It follows from the number of images and their shape."""
        key = whose, model, len(images), images.shape
        if key not in self.resolved:
            self.resolved[key] = PlannedRecipe.of(self.recipes[whose], images, self.numerics[model])
        return self.resolved[key]

    def costs(self, images: Examples, *, seen: bool = False, classes: int | None = None) -> ModelCosts:
        """Costs of networks for images as they are, or as a student has ``seen`` them."""
        inputs = InputSpec(*(images.student_shape if seen else images.shape))
        return self.costs_of(classes or len(images.classes), inputs)

    def check(
        self, student: OutputShapes, teacher: OutputShapes, merged: bool, unlabelled: bool, mixes: bool
    ) -> None:
        """Raise RequestError if a method of the study cannot serve a pair of networks, or its views."""
        key = student, teacher, merged, unlabelled, mixes
        if key not in self.checked:
            specs = self.spec.method_specs()
            check_pair(specs, student, teacher, merged=merged, unlabelled=unlabelled, mixes=mixes)
            self.checked.add(key)

    def stored(self, pairing: Pairing) -> dict[PlannedMethod, bool]:
        """Whether each method can be served from stored outputs: whole feature maps are never stored, and
        what is stored of a teacher must fit together, methods that need little first."""
        possible = [
            a for a in self.arms if not a.teacher_needs & LIVE and teachers.storable(self.spec, a.teacher)
        ]
        kinds = {arm.teacher for arm in possible}
        sizes = tuple((kind, pairing.teacher_costs(kind)) for kind in sorted(kinds))
        key = pairing.student, len(pairing.roles.transfer), sizes
        if key not in self.can_be_stored:
            fits = dict.fromkeys(self.arms, False)
            kept: dict[str, frozenset[str]] = defaultdict(frozenset)
            for arm in sorted(possible, key=lambda arm: len(arm.teacher_needs & STORABLE)):
                kind = arm.teacher
                together = kept[kind] | arm.teacher_needs
                if pairing.stored_bytes(together, kind) <= self.largest:
                    kept[kind], fits[arm] = together, True
            self.can_be_stored[key] = fits
        return self.can_be_stored[key]

    def add(self, job: Job) -> str:
        """Enter a job unless the same one is planned already; return its id."""
        return self.jobs.setdefault(job.id, job).id
