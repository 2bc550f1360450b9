"""Views in recipes: kinds keep the run ids of earlier versions, and lists are read from JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from distillab.canonical import canonical_json, spec_id
from distillab.training.recipe import Recipe, ResolvedRecipe
from support.training import examples_of, recipe

# What 'views' and 'pad' are in the specs of all earlier runs, and the id of a whole recipe with them.
KEPT = {
    "none": ('"pad":0', '"views":"none"', "c277f6f3c4cc56d8db384419"),
    "flip": ('"pad":0', '"views":"flip"', "e210e7cb919dcfb3067c94c3"),
    "crop": ('"pad":1', '"views":"crop"', "fdf0dd6ad443d2471ccc17cc"),
    "crop_flip": ('"pad":1', '"views":"crop_flip"', "2b0f9ec362254fe45073ec0b"),
}
CHAINS: list[Any] = [
    ["random_resized_crop", "flip", {"rand_augment": {"n": 1}}, {"mixup": {"alpha": 0.4}}],
    [{"crop": {"pad": 3}}, "colour_jitter"],
    "cutmix",
]


@pytest.mark.parametrize("kind", KEPT)
def test_a_kind_has_the_id_of_earlier_versions(kind: str) -> None:
    written = recipe(examples_of(40, 3), steps=8, batch_size=8, views=kind, precision="fp32").as_dict()
    pad, views, identity = KEPT[kind]
    assert pad in canonical_json(written)
    assert views in canonical_json(written)
    assert spec_id(written) == identity


@pytest.mark.parametrize("views", [["flip", "crop"], ["crop", "flip"], [{"crop": {"pad": "auto"}}, "flip"]])
def test_equal_views_have_equal_ids(views: Any) -> None:
    images = examples_of(40, 3)
    assert recipe(images, views=views) == recipe(images, views="crop_flip")


@pytest.mark.parametrize("views", CHAINS)
def test_a_list_is_read_from_its_json(views: Any) -> None:
    resolved = recipe(examples_of(40, 3), views=views)
    again = ResolvedRecipe.from_dict(json.loads(json.dumps(resolved.as_dict())))
    assert again == resolved
    assert again.view_spec == resolved.view_spec
    assert again.stream_facts == resolved.stream_facts
    canonical = ResolvedRecipe.from_dict(json.loads(canonical_json(resolved.as_dict())))
    assert canonical.view_spec == resolved.view_spec


@pytest.mark.parametrize("views", CHAINS)
def test_a_dumped_recipe_is_the_recipe(views: Any) -> None:
    written_recipe = Recipe(views=views)
    assert Recipe.model_validate(written_recipe.model_dump(mode="json")) == written_recipe


def test_all_settings_are_part_of_the_id() -> None:
    images = examples_of(40, 3)
    ids = [
        spec_id(recipe(images, views=[{"mixup": settings}]).as_dict())
        for settings in ({"alpha": 0.2}, None, {"alpha": 0.3})
    ]
    assert ids[0] == ids[1] != ids[2]


def test_an_unknown_view_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValidationError, match=r"unknown view 'mixupp', did you mean 'mixup'"):
        Recipe(views=["flip", "mixupp"])  # type: ignore[arg-type]
