"""Tuning: which settings are tried for each method, and the pairings and methods under a setting."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property

from distillab.canonical import canonical_json
from distillab.errors import RequestError
from distillab.study.job import TrainSet
from distillab.study.planning.context import PlanContext
from distillab.study.planning.pairing import Pairing, pairings_of, with_stages
from distillab.study.planning.planned_method import PlannedMethod
from distillab.study.planning.planned_recipe import PlannedRecipe
from distillab.study.planning.replicate import Replicate, TeacherSet, expand
from distillab.study.spec.tuning import Designer, steps_of
from distillab.study.trial import Choice, GroupKey, Setting, group_key


class Tuning:
    """The settings of a study that tunes its methods.

    Args:
        context: The study on its data.

    Raises:
        RequestError: The study has no validation set.
    """

    def __init__(self, context: PlanContext) -> None:
        if context.spec.tune is None:
            raise ValueError("the study tunes nothing")
        if not len(context.dataset.val):
            raise RequestError("there are no val examples", where=f"{context.spec.where}: tune.on")
        self.context, self.tune = context, context.spec.tune
        self._specs = {spec.label: spec for spec in context.spec.method_specs()}
        self._designer = Designer(self.tune, list(self._specs.values()))
        self._settings = cache(self._designed)
        self._methods: dict[tuple[str, str], PlannedMethod] = {}
        self._recipes: dict[tuple[PlannedRecipe, float, float, float], PlannedRecipe] = {}
        self._learning_rate: float | None = None

    def settings(self, pairing: Pairing, method: PlannedMethod) -> tuple[Setting, ...]:
        """Return the settings that are tried for a method under a pairing, the default setting first."""
        resolved = pairing.recipe.resolved
        if not self.tune.per_condition:
            self._must_be_one(resolved.lr)
        steps = self._most_steps.get(self._tuned_together(pairing.replicate), resolved.steps)
        return self._settings(resolved.lr, resolved.weight_decay, steps)[method.label]

    def choice(
        self,
        pairing: Pairing,
        method: PlannedMethod,
        chosen: Mapping[GroupKey, Choice | None] | None = None,
    ) -> Choice | None:
        """Return the choice for a method under a pairing; see :meth:`Planner.add_tuned`."""
        settings = self.settings(pairing, method)
        if chosen is None:
            others = list(enumerate(settings))[1:] or [(0, settings[0])]
            # A run of the usual setting at twice the length may be a probe of the default runs already.
            number, setting = max(
                others,
                key=lambda entry: (
                    entry[1].length,
                    replace(entry[1], length=settings[0].length) != settings[0],
                ),
            )
            return Choice(number, setting, None, len(settings))
        levels, names = pairing.replicate.record.levels, (pairing.provenance, pairing.label, method.label)
        key = group_key(levels, *names, per_condition=self.tune.per_condition)
        return chosen[key] if key in chosen else Choice(0, settings[0], None, 0)

    def nothing_to_choose(self, pairing: Pairing) -> RequestError:
        """Return the error of a study whose methods have no setting but the default one."""
        recipe = pairing.recipe.resolved
        return RequestError(
            "no value differs from the default setting, so that there is nothing to choose",
            where=f"{self.context.spec.where}: tune",
            allowed=f"another lr than {recipe.lr:g}, a length of more or fewer steps than {recipe.steps}, "
            f"another weight_decay than {recipe.weight_decay:g}, or keys of methods",
        )

    def under(
        self, pairing: Pairing, method: PlannedMethod, number: int, setting: Setting
    ) -> tuple[Pairing, PlannedMethod]:
        """Return a pairing and a method under a setting; for the default setting they stay as they are."""
        if number == 0:
            return pairing, method
        return self._under(pairing, setting), self._method(method, setting)

    @cached_property
    def replicates(self) -> tuple[Replicate, ...]:
        """The replicates of tuning, which have no test sets.

        Where one setting is chosen for all conditions, each setting has one run under each of them, under one
        tuning seed after the other, and at least one run under each seed.
        """
        seeds = self.tune.seed_list(self.context.spec.seed_list)
        replicates = tuple(map(without_tests, expand(self.context, seeds)))
        if self.tune.per_condition:
            return replicates
        each = len(replicates) // len(seeds)
        places = range(max(each, len(seeds)))
        return tuple(replicates[place % len(seeds) * each + place % each] for place in places)

    @cached_property
    def _most_steps(self) -> Mapping[Hashable, int]:
        """The steps of the longest recipe among replicates that are tuned together: lengths that differ in
        steps under one of them are different settings."""
        most: dict[Hashable, int] = {}
        for replicate in self.replicates:
            if replicate.sets is not None:
                key, steps = self._tuned_together(replicate), replicate.sets.recipe.resolved.steps
                most[key] = max(steps, most.get(key, steps))
        return most

    def _tuned_together(self, replicate: Replicate) -> Hashable:
        """Return what the replicates have in common for which one setting is chosen."""
        return tuple(replicate.record.levels.items()) if self.tune.per_condition else ()

    def pairings(self, replicates: Iterable[Replicate]) -> Iterator[Pairing]:
        """Go through the pairings of replicates under the longest recipe of each, which needs most space."""
        for pairing in pairings_of(self.context, replicates):
            length = max((1.0, *self.tune.length))
            setting = Setting(pairing.recipe.resolved.lr, length, pairing.recipe.resolved.weight_decay)
            yield pairing if length == 1.0 else self._under(pairing, setting)

    # -- inside ---------------------------------------------------------------------------------------------

    def _designed(self, lr: float, weight_decay: float, steps: int) -> dict[str, tuple[Setting, ...]]:
        try:
            return self._designer.settings(lr, weight_decay, steps)
        except RequestError as error:
            raise error.within(self.context.spec.where) from error

    def _under(self, pairing: Pairing, setting: Setting) -> Pairing:
        recipe, labelled = (self._recipe(each, setting) for each in (pairing.recipe, pairing.labelled_recipe))
        return pairing.with_recipes(recipe, labelled)

    def _recipe(self, recipe: PlannedRecipe, setting: Setting) -> PlannedRecipe:
        key = recipe, setting.lr, setting.length, setting.weight_decay
        if key not in self._recipes:
            steps = steps_of(setting.length, recipe.resolved.steps)
            self._recipes[key] = recipe.with_setting(setting.lr, steps, setting.weight_decay)
        return self._recipes[key]

    def _method(self, method: PlannedMethod, setting: Setting) -> PlannedMethod:
        """Return a method with the keys of a setting. It keeps its label, under which it is compared."""
        if not setting.keys:
            return method
        key = method.label, canonical_json(dict(setting.keys))
        if key not in self._methods:
            changed = self._specs[method.label].varied(setting.keys, "tune.methods")
            self._methods[key] = replace(PlannedMethod.of(changed, self.context.task), label=method.label)
        return self._methods[key]

    def _must_be_one(self, lr: float) -> None:
        self._learning_rate = self._learning_rate or lr
        if lr != self._learning_rate:
            raise RequestError(
                f"one setting cannot be chosen for all conditions, since their learning rates differ "
                f"({self._learning_rate:g} and {lr:g})",
                where=f"{self.context.spec.where}: tune.per",
                allowed="per: condition, or a number for recipe.lr",
            )


def without_tests(replicate: Replicate) -> Replicate:
    """Return a replicate whose students, and teachers that no other seed shares, are tested on nothing."""
    if replicate.sets is None:
        return replicate
    sets = replicate.sets
    own: dict[TrainSet, TeacherSet] = {
        which: replace(taught, digests=replace(taught.digests, eval={}))
        for which, taught in sets.teachers.items()
        if which != "full"
    }
    untested = replace(
        sets,
        digests=replace(sets.digests, eval={}),
        labelled_digests=replace(sets.labelled_digests, eval={}),
        eval_images={},
        n_eval=0,
        teachers={**sets.teachers, **own},
    )
    return replace(replicate, sets=untested)


def pairings_to_store(
    context: PlanContext, tuning: Tuning | None, replicates: Sequence[Replicate]
) -> Iterator[Pairing]:
    """Go through the pairings whose stored outputs share the budget of a study.

    Args:
        context: The study on its data.
        tuning: What the study tunes; None for nothing.
        replicates: The replicates of the comparison, under the longest recipe if there is tuning.
    """
    if tuning is None:
        yield from with_stages(pairings_of(context, replicates))
    else:
        yield from tuning.pairings((*tuning.replicates, *replicates))
