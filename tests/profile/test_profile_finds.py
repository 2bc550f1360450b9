"""A profile finds planted problems, and raises no alarm where nothing was planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples
from distillab.modalities.embedding.near_copies import find_near_copies
from distillab.profile import ProfiledDataset, profile_source
from distillab.profile.cues import CUES
from distillab.profile.families import (
    measure_association,
    measure_distance,
    measure_duplicates,
    measure_hidden_sources,
    measure_label_issues,
    measure_shortcuts,
)
from distillab.profile.families.label_issues import suspicious_labels
from distillab.profile.profile import measure_families
from distillab.sources.parsing import source_from_argument
from support.planted import CLASSES, Labels, Pixels, alarms, gratings, profiled, values

RNG = np.random.default_rng(0)


# -- labels ------------------------------------------------------------------------------------------------


def test_wrong_labels_are_found() -> None:
    images, labels = gratings(600)
    wrong = np.random.default_rng(0).permutation(600)[:30]
    spoiled = labels.copy()
    spoiled[wrong] = (labels[wrong] + 1) % 4
    data = profiled(images, spoiled)
    assert data.probe.accuracy > 0.85, "the probe must be reliable for this test"
    found = suspicious_labels(data.probe)
    assert len(np.intersect1d(found[:30], wrong)) >= 24
    family = measure_label_issues(data)
    assert values(family)["label_issues"] == pytest.approx(0.05, abs=0.025)
    assert "estimated to be wrong" in alarms(family)[0]
    assert "looks like" in family.galleries[0].rows[0][1][0].caption


def test_correct_labels_raise_no_alarm() -> None:
    family = measure_label_issues(profiled(*gratings(600)))
    assert values(family)["label_issues"] < 0.02 and alarms(family) == []


def test_unreliable_probe_does_not_judge_labels() -> None:
    noise = RNG.integers(0, 256, (200, 3, 16, 16), np.uint8)
    family = measure_label_issues(profiled(noise, np.arange(200) % 4))
    assert np.isnan(values(family)["label_issues"]) and alarms(family) == []
    assert "Cannot judge" in family.measures[0].means


# -- duplicates ----------------------------------------------------------------------------------------------


def random_photographs(count: int, seed: int = 0, side: int = 32) -> Pixels:
    """Draw smooth random color images, all different."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 1, side, side)) + 0.3 * rng.normal(size=(count, 3, side, side))
    spectrum = np.fft.fft2(noise)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    images = np.fft.ifft2(spectrum / (frequency + 0.04)).real
    images = 128 + 50 * (images - images.mean(axis=(1, 2, 3), keepdims=True)) / images.std()
    return images.clip(0, 255).astype(np.uint8)


def compress_and_fade(images: Pixels) -> Pixels:
    """Return the images after JPEG compression, with less contrast and more brightness."""
    import io

    found = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=60)
        found.append(np.asarray(Image.open(buffer)).transpose(2, 0, 1) * 0.8 + 20)
    return np.stack(found).clip(0, 255).astype(np.uint8)


def test_duplicates_are_found_within_and_across_splits() -> None:
    train, test = random_photographs(400), random_photographs(100, seed=1)
    train[390:] = train[:10]  # exact
    train[380:390] = compress_and_fade(train[10:20])
    test[:5] = train[20:25]
    test[5:10] = compress_and_fade(train[25:30])
    labels = np.arange(400) % 2
    labels[390] = 1 - labels[0]
    family = measure_duplicates(profiled(train, labels, test=(test, np.arange(100) % 2)))
    found = values(family)
    assert found["exact_duplicates"] == 10 / 400
    assert found["near_duplicates"] == pytest.approx(10 / 400, abs=1 / 400)
    assert found["effective_images"] == pytest.approx(380, abs=1)
    assert found["exact_leak_test"] == 0.05
    assert found["near_leak_test"] == pytest.approx(0.05, abs=0.01)
    assert found["duplicate_label_conflicts"] >= 1
    assert any("1 pair" in line or "pairs of duplicates" in line for line in alarms(family))
    across = next(g for g in family.galleries if "across" in g.title)
    assert all(len(row) == 2 for _, row in across.rows)


def test_different_images_are_not_near_copies() -> None:
    first, _ = find_near_copies(Examples.of(random_photographs(1500), [0] * 1500, ("a", "b")))
    assert len(first) == 0


def test_blank_images_are_exact_duplicates() -> None:
    train, test = random_photographs(300), random_photographs(50, seed=1)
    train[:100], test[:5] = 0, 0
    labels = np.arange(300) % 2
    found = values(measure_duplicates(profiled(train, labels, test=(test, np.arange(50) % 2))))
    assert found["exact_duplicates"] == pytest.approx(99 / 300)
    assert found["effective_images"] == 201
    assert found["exact_leak_test"] == 0.1
    assert found["duplicate_label_conflicts"] == 50


def test_leak_alarm_names_the_other_split() -> None:
    # Val and test share images; train shares none.
    images, val, test = (
        random_photographs(100),
        random_photographs(40, seed=1),
        random_photographs(40, seed=2),
    )
    test[:20] = val[:20]
    pixels = np.concatenate([images, val, test])
    whole = Examples.of(pixels, np.arange(180) % 2, ("a", "b"))
    train, held, tested = (whole.select(np.arange(*ends)) for ends in ((0, 100), (100, 140), (140, 180)))
    family = measure_duplicates(
        ProfiledDataset.of(Dataset("three", train, held, {"test": tested}, DataReport()))
    )
    assert any("50.0 % of test also occurs in val" in alarm for alarm in alarms(family))
    assert not any("in train" in alarm for alarm in alarms(family))


def test_flat_images_are_not_near_copies() -> None:
    flat = np.full((20, 3, 16, 16), 9, np.uint8)
    assert len(find_near_copies(Examples.of(flat, [0] * 20, ("a", "b")))[0]) == 0


# -- shortcuts -----------------------------------------------------------------------------------------------


def with_cue(cue: str, share: float = 1.0) -> tuple[Pixels, Labels]:
    """Return gratings with a cue that agrees with the class in a share of the images."""
    images, labels = gratings(480)
    marked = np.random.default_rng(2).random(480) < share
    mark = np.where(marked, labels, np.random.default_rng(3).integers(0, 4, 480))
    shade = (40 + 60 * mark).astype(np.uint8)[:, None, None, None]
    if cue == "border":  # a patch of two pixels in a corner
        images[:, :, :2, :8] = shade
    if cue == "background":
        corner = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))) > 1.1
        images = np.where(corner, shade, images)
    if cue == "mean_colour":
        tint = np.array([[1.3, 1, 0.7], [0.7, 1.3, 1], [1, 0.7, 1.3], [1.2, 1.2, 0.6]])[mark]
        images = (images * tint[:, :, None, None]).clip(0, 255).astype(np.uint8)
    if cue == "acquisition":
        noise = np.random.default_rng(4).normal(0, 1, images.shape) * (2 + 12 * mark)[:, None, None, None]
        images = (images + noise).clip(0, 255).astype(np.uint8)
    return images, labels


@pytest.mark.parametrize("cue", ["border", "background"])
def test_planted_cue_beside_the_subject_is_found(cue: str) -> None:
    family = measure_shortcuts(profiled(*with_cue(cue, 0.95)))
    assert values(family)[f"cue_{cue}"] > 0.6
    label = CUES[cue].label
    [alarm] = [line for line in alarms(family) if line.startswith(f"{label.capitalize()} alone")]
    assert "better than the middle of the image" in alarm and "a possible shortcut" in alarm
    assert any(label in gallery.title for gallery in family.galleries)


@pytest.mark.parametrize("cue", ["mean_colour", "acquisition"])
def test_cue_of_the_whole_image_is_shown_but_called_no_shortcut(cue: str) -> None:
    """Whether color belongs to the class, as it does to flowers, cannot be read from images."""
    family = measure_shortcuts(profiled(*with_cue(cue, 0.95)))
    assert values(family)[f"cue_{cue}"] > 0.6
    assert alarms(family) == []
    [measure] = [each for each in family.measures if each.key == f"cue_{cue}"]
    assert "No evidence of a shortcut" in measure.means and "Images cannot tell" in measure.means
    assert any(CUES[cue].label in gallery.title for gallery in family.galleries)


def flowers() -> tuple[Pixels, Labels]:
    """Return images whose class is a color that fills them, up to the border."""
    images, labels = gratings(480)
    colors = np.array([[70, 0, 0], [0, 70, 0], [0, 0, 70], [50, 50, 0]])[labels]
    return (0.6 * images + colors[:, :, None, None]).clip(0, 255).astype(np.uint8), labels


def test_color_that_defines_the_class_raises_no_alarm() -> None:
    data = profiled(*flowers())
    shortcuts, sources = measure_shortcuts(data), measure_hidden_sources(data)
    assert min(values(shortcuts)[f"cue_{cue}"] for cue in ("border", "background", "mean_colour")) > 0.7
    assert alarms(shortcuts) == alarms(sources) == []
    means = {each.key: each.means for each in shortcuts.measures}
    assert "the middle of the image predicts the class about as well" in means["cue_border"]


def test_images_without_cue_raise_no_alarm() -> None:
    family = measure_shortcuts(profiled(*with_cue("border", share=0.0)))
    found = values(family)
    assert found["whole_image_balanced_accuracy"] > 0.8
    assert alarms(family) == []
    for cue in ("border", "background", "mean_colour"):
        assert found[f"cue_{cue}"] == pytest.approx(0.25, abs=0.1)


def test_small_images_have_no_border_cue() -> None:
    images = RNG.integers(0, 256, (60, 1, 8, 8), np.uint8)
    family = measure_shortcuts(profiled(images, np.arange(60) % 2))
    assert "cue_border" not in values(family)
    assert any("below 16 pixels" in note for note in family.notes)


def write_pictures(folder: Path, spoil: str) -> Path:
    """Write gratings as files; ``bytes`` compresses one class more, ``size`` enlarges it, ``""`` neither."""
    images, labels = gratings(120, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        picture = Image.fromarray(image.transpose(1, 2, 0))
        if spoil == "size" and label:
            picture = picture.resize((48, 48))
        quality = 30 if spoil == "bytes" and label else 90
        (folder / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        picture.save(folder / CLASSES[label] / f"{row}.jpg", quality=quality)
    return folder


@pytest.mark.parametrize(("spoil", "cue"), [("bytes", "file_size"), ("size", "image_size"), ("", "")])
def test_file_cues_are_found_after_decoding(tmp_path: Path, spoil: str, cue: str) -> None:
    source = source_from_argument(str(write_pictures(tmp_path / "leaves", spoil)))
    profile = profile_source(source.model_copy(update={"resolution": 32}))
    found = [line for line in profile.alarms if "size" in line]
    assert bool(found) == bool(cue)
    if cue:
        assert profile.measures[f"cue_{cue}"].value > 0.95
    if spoil == "size":
        assert profile.measures["cramers_v_image_size"].value == pytest.approx(1, abs=1e-6)
    names = [p.name for f in profile.families for g in f.galleries for _, row in g.rows for p in row]
    assert names and all(name.endswith(".jpg") for name in names), "pictures are named after their files"


# -- sources and groups --------------------------------------------------------------------------------------


def with_two_sites(strength: float) -> tuple[Pixels, Labels]:
    """Return images of two sites, one with a bright background, that agree with class in a share."""
    images, labels = gratings(400, classes=2)
    rng = np.random.default_rng(5)
    site = np.where(rng.random(400) < strength, labels, rng.integers(0, 2, 400))
    ground = np.where(site[:, None, None, None] == 1, 230.0, 30.0) + rng.normal(0, 8, (400, 1, 1, 1))
    corner = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))) > 0.8
    return np.where(corner, ground, images).clip(0, 255).astype(np.uint8), labels


def test_hidden_source_is_found() -> None:
    family = measure_hidden_sources(profiled(*with_two_sites(0.9)))
    found = values(family)
    assert found["clusters_surroundings_silhouette"] > 0.5
    assert found["clusters_surroundings_cramers_v"] == pytest.approx(0.9, abs=0.1)
    assert "hidden source" in alarms(family)[0]


def test_sites_independent_of_class_raise_no_alarm() -> None:
    family = measure_hidden_sources(profiled(*with_two_sites(0.0)))
    assert values(family)["clusters_surroundings_silhouette"] > 0.5
    assert values(family)["clusters_surroundings_cramers_v"] < 0.15 and alarms(family) == []


def test_smallest_cell_has_its_own_interval() -> None:
    images, _ = gratings(1050, side=16)
    labels = np.repeat([0, 1], [1000, 50])
    sites = np.zeros(1050, dtype=np.int64)
    sites[:10], sites[1000:1005] = 1, 1
    seen = profiled(images, labels)
    groups = replace(seen.images, groups=sites, group_names=("usual", "rare"))
    family = measure_association(replace(seen, images=groups))
    assert family is not None
    [cell] = [each for each in family.measures if each.key.startswith("smallest_cell")]
    assert cell.value == 0.01 and cell.n == 1000
    assert cell.interval.low < cell.value < cell.interval.high < 0.02


def test_association_of_given_groups_is_measured() -> None:
    images, labels = gratings(400)
    plain = profiled(images, labels)
    assert measure_association(plain) is None, "there are no attributes"
    site = np.where(np.random.default_rng(0).random(400) < 0.8, labels % 2, 1 - labels % 2)
    grouped = replace(plain, images=replace(plain.images, groups=site, group_names=("here", "there")))
    family = measure_association(grouped)
    assert values(family)["cramers_v_group"] == pytest.approx(0.6, abs=0.1)
    assert "possible shortcut" in alarms(family)[0]


# -- another dataset -----------------------------------------------------------------------------------------


def test_distances_separate_near_and_far_datasets() -> None:
    images, labels = gratings(300)
    twin, far = gratings(300, seed=9), random_photographs(300)

    def distances(other: Pixels) -> dict[str, float]:
        against = ("other", Examples.of(other, labels, CLASSES))
        return values(measure_distance(profiled(images, labels, against=against)))

    near, away = distances(twin[0]), distances(far)
    assert near.keys() == {"frechet_distance", "mmd_distance", "transport_distance", "proxy_a_distance"}
    for key in near:
        assert away[key] > 1.4 * max(near[key], 0.01), key
    assert away["proxy_a_distance"] > 1.8 and near["proxy_a_distance"] < 0.5


# -- all of it -----------------------------------------------------------------------------------------------


def without_seconds(facts: Any) -> Any:
    """Remove all keys that hold seconds."""
    if isinstance(facts, dict):
        return {key: without_seconds(value) for key, value in facts.items() if "seconds" not in key}
    return [without_seconds(value) for value in facts] if isinstance(facts, list) else facts


def test_profile_is_deterministic() -> None:
    images, labels = with_cue("border", 0.9)
    first, again = (
        [without_seconds(family.as_dict()) for family in measure_families(profiled(images, labels))]
        for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize("count", [8, 24])
def test_tiny_datasets_are_profiled(count: int) -> None:
    images = RNG.integers(0, 256, (count, 3, 16, 16), np.uint8)
    assert measure_families(profiled(images, np.arange(count) % 2))


@pytest.mark.real
def test_background_of_corn_leaf_is_a_shortcut(real_data: Path) -> None:
    # Rust was photographed on black, blight on gray, and healthy leaves at close range.
    source = source_from_argument(str(real_data / "corn_leaf"))
    profile = profile_source(source.model_copy(update={"resolution": 64}))
    background = profile.measures["cue_background"]
    assert background.interval.low > 0.7, "chance is 0.25"
    assert "possible shortcut" in background.alarm
    assert profile.measures["clusters_surroundings_cramers_v"].value > 0.6
