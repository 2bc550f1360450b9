"""Written views: one canonical form, read back exactly, and one-line messages for mistakes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillab.canonical import canonical_json
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.views import Views, WrittenViews, canonical_views, operations

RATIO = [0.75, 4 / 3]


@pytest.mark.parametrize("kind", ["auto", "none", "flip", "crop", "crop_flip"])
def test_kinds_are_canonical(kind: str) -> None:
    assert canonical_views(kind) == kind


def test_lists_are_written_with_every_setting() -> None:
    written = canonical_views(["random_resized_crop", "flip", {"rand_augment": {"n": 3}}, {"mixup": None}])
    assert written == [
        {"random_resized_crop": {"scale": [0.08, 1.0], "ratio": RATIO}},
        {"flip": {}},
        {"rand_augment": {"n": 3, "magnitude": 10}},
        {"mixup": {"alpha": 0.2}},
    ]
    assert canonical_views(written) == written


def test_defaults_are_those_of_the_papers() -> None:
    defaults = {name: operations[name]().model_dump(mode="json") for name in operations}
    assert defaults == {
        "character_drop": {"share": 0.1},
        "character_swap": {"share": 0.05},
        "colour_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
        "crop": {"pad": "auto"},
        "cutmix": {"alpha": 1.0},
        "dihedral": {},
        "flip": {},
        "mixup": {"alpha": 0.2},
        "noise": {"strength": 3.0},
        "rand_augment": {"n": 2, "magnitude": 10},
        "random_resized_crop": {"scale": [0.08, 1.0], "ratio": RATIO},
        "spec_augment": {"band_masks": 2, "band_width": 0.15, "frame_masks": 2, "frame_width": 0.1},
        "time_shift": {"share": 0.1},
    }


UNMIXED = sorted(name for name in operations if operations[name].modality == "image")
CHAINS = st.lists(st.sampled_from(UNMIXED), min_size=1, unique=True)


@given(chain=CHAINS, mixing=st.sampled_from([None, "mixup", "cutmix"]), resolution=st.integers(4, 300))
def test_resolved_views_survive_json(chain: list[str], mixing: str | None, resolution: int) -> None:
    chain = chain + [mixing] * (mixing is not None)  # type: ignore[list-item]
    views = modalities["image"].views(chain, (3, resolution, resolution))  # type: ignore[arg-type]
    kept = json.loads(json.dumps(views.written))
    assert kept == views.written
    assert Views.read(kept, views.pad) == views
    assert Views.read(json.loads(canonical_json(kept)), views.pad) == views  # canonical JSON writes 1.0 as 1
    assert "auto" not in json.dumps(kept)


def test_crop_with_its_own_padding_is_counted() -> None:
    views = modalities["image"].views([{"crop": {"pad": 2}}], (3, 32, 32))
    assert (views.kind, views.pad, views.count) == ("crop", 2, 25)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("rotate", ("unknown view 'rotate'", "allowed: auto, ", "rand_augment")),
        ("random_resize_crop", ("did you mean 'random_resized_crop'?",)),
        (["flip", "cutmixx"], ("unknown view 'cutmixx', did you mean 'cutmix'?",)),
        ([{"mixup": {"alpa": 0.3}}], ("mixup: unknown key 'alpa', did you mean 'alpha'?",)),
        ([{"mixup": {"alpha": 0}}], ("mixup.alpha: 0 is not accepted", "greater than 0")),
        ([{"mixup": {"alpha": float("nan")}}], ("mixup.alpha",)),
        ([{"rand_augment": {"n": 0}}], ("rand_augment.n", "at least 1")),
        ([{"rand_augment": {"magnitude": 31}}], ("rand_augment.magnitude", "less than 31")),
        ([{"crop": {"pad": -1}}], ("crop.pad", "at least 1")),
        ([{"colour_jitter": {"hue": 0.6}}], ("colour_jitter.hue", "at most 0.5")),
        (
            [{"random_resized_crop": {"scale": [0.5, 0.1]}}],
            ("random_resized_crop.scale", "lower bound first"),
        ),
        ([{"random_resized_crop": {"scale": [0.5, 2]}}], ("random_resized_crop.scale", "at most 1")),
        (["mixup", "flip"], ("mixup does not come last", "at the end")),
        (["mixup", "cutmix"], ("mixup does not come last", "one view that mixes")),
        (["flip", "crop", "flip"], ("flip occurs twice",)),
        ([], ("an empty list is not a choice of views", "none")),
        ([3], ("3 is not a view",)),
        ([{"flip": {}, "crop": {}}], ("is not a view", "a list such as")),
        ([{"mixup": 0.3}], ("is not a view",)),
        (None, ("None is not a choice of views",)),
        ({"mixup": {"alpha": 0.2}}, ("is not a choice of views", "a list such as")),
    ],
)
def test_mistakes_are_reported_in_one_line(entry: object, message: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        canonical_views(entry)
    line = str(caught.value)
    assert "\n" not in line
    for part in message:
        assert part in line


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("crop_flip", "crop_flip (pad 4)"),
        (["flip", {"rand_augment": {"n": 3}}, "mixup"], "flip, rand_augment(n=3), mixup"),
    ],
)
def test_labels_show_settings_that_are_not_the_default(written: WrittenViews, label: str) -> None:
    assert modalities["image"].views(written, (3, 32, 32)).label == label


def test_american_spelling_is_accepted() -> None:
    assert canonical_views(["color_jitter"]) == canonical_views(["colour_jitter"])
    assert canonical_views("color_jitter") == canonical_views("colour_jitter")
