"""What is planted in a dataset is found, and where nothing is planted nothing is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distillab.data.dataset import DataReport, Dataset
from distillab.data.examples import Examples
from distillab.profile import profile_source
from distillab.profile.cues import CUES
from distillab.profile.families import (
    association,
    distance,
    duplicates,
    label_issues,
    shortcuts,
    sources,
)
from distillab.profile.near_copies import copies
from distillab.profile.profile import measure_all
from distillab.profile.subject import Subject
from distillab.sources.parsing import source_from_argument
from support.planted import CLASSES, Labels, Pixels, alarms, gratings, subject, values

RNG = np.random.default_rng(0)


# --- labels ----------------------------------------------------------------------------------------------


def test_wrong_labels_are_found() -> None:
    images, labels = gratings(600)
    wrong = np.random.default_rng(0).permutation(600)[:30]
    spoiled = labels.copy()
    spoiled[wrong] = (labels[wrong] + 1) % 4
    profiled = subject(images, spoiled)
    assert profiled.probe.accuracy > 0.85, "the probe must know the classes for this test to mean anything"
    found = label_issues.issues(profiled.probe)
    assert len(np.intersect1d(found[:30], wrong)) >= 24
    family = label_issues.measure(profiled)
    assert values(family)["label_issues"] == pytest.approx(0.05, abs=0.025)
    assert "look wrong" in alarms(family)[0]
    assert "looks like" in family.galleries[0].rows[0][1][0].caption


def test_right_labels_are_left_alone() -> None:
    family = label_issues.measure(subject(*gratings(600)))
    assert values(family)["label_issues"] < 0.02 and alarms(family) == []


def test_a_weak_probe_does_not_judge() -> None:
    noise = RNG.integers(0, 256, (200, 3, 16, 16), np.uint8)
    family = label_issues.measure(subject(noise, np.arange(200) % 4))
    assert np.isnan(values(family)["label_issues"]) and alarms(family) == []
    assert "Not judged" in family.measures[0].means


# --- duplicates ------------------------------------------------------------------------------------------


def photographs(count: int, seed: int = 0, side: int = 32) -> Pixels:
    """Smooth random colour images, none like another."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, 1, side, side)) + 0.3 * rng.normal(size=(count, 3, side, side))
    spectrum = np.fft.fft2(noise)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    images = np.fft.ifft2(spectrum / (frequency + 0.04)).real
    images = 128 + 50 * (images - images.mean(axis=(1, 2, 3), keepdims=True)) / images.std()
    return images.clip(0, 255).astype(np.uint8)


def altered(images: Pixels) -> Pixels:
    """The same images, compressed, brightened and with less contrast."""
    import io

    found = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=60)
        found.append(np.asarray(Image.open(buffer)).transpose(2, 0, 1) * 0.8 + 20)
    return np.stack(found).clip(0, 255).astype(np.uint8)


def test_duplicates_are_found_within_and_across_splits() -> None:
    train, test = photographs(400), photographs(100, seed=1)
    train[390:] = train[:10]  # to the pixel
    train[380:390] = altered(train[10:20])
    test[:5] = train[20:25]
    test[5:10] = altered(train[25:30])
    labels = np.arange(400) % 2
    labels[390] = 1 - labels[0]
    family = duplicates.measure(subject(train, labels, test=(test, np.arange(100) % 2)))
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


def test_different_images_are_no_duplicates() -> None:
    first, _ = copies(Examples.of(photographs(1500), [0] * 1500, ("a", "b")))
    assert len(first) == 0


def test_blank_images_are_duplicates_where_they_are_equal_to_the_pixel() -> None:
    """Nothing can be compared in a black scan, but a hundred of them are one."""
    train, test = photographs(300), photographs(50, seed=1)
    train[:100], test[:5] = 0, 0
    labels = np.arange(300) % 2
    found = values(duplicates.measure(subject(train, labels, test=(test, np.arange(50) % 2))))
    assert found["exact_duplicates"] == pytest.approx(99 / 300)
    assert found["effective_images"] == 201
    assert found["exact_leak_test"] == 0.1
    assert found["duplicate_label_conflicts"] == 50


def test_where_test_images_also_stand_is_named() -> None:
    """Of three splits, val and test share images, and train is clean."""
    images, val, test = photographs(100), photographs(40, seed=1), photographs(40, seed=2)
    test[:20] = val[:20]
    pixels = np.concatenate([images, val, test])
    whole = Examples.of(pixels, np.arange(180) % 2, ("a", "b"))
    train, held, tested = (whole.select(np.arange(*ends)) for ends in ((0, 100), (100, 140), (140, 180)))
    family = duplicates.measure(Subject.of(Dataset("three", train, held, {"test": tested}, DataReport())))
    assert any("50.0 % of test also stands in val" in alarm for alarm in alarms(family))
    assert not any("in train" in alarm for alarm in alarms(family))


def test_flat_images_are_not_copies_of_each_other() -> None:
    flat = np.full((20, 3, 16, 16), 9, np.uint8)
    assert len(copies(Examples.of(flat, [0] * 20, ("a", "b")))[0]) == 0


# --- shortcuts -------------------------------------------------------------------------------------------


def cued(cue: str, share: float = 1.0) -> tuple[Pixels, Labels]:
    """Gratings with a cue that goes with the class, in a share of the images."""
    images, labels = gratings(480)
    has = np.random.default_rng(2).random(480) < share
    mark = np.where(has, labels, np.random.default_rng(3).integers(0, 4, 480))
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


@pytest.mark.parametrize("cue", [name for name, cue in CUES.items() if cue.see is not None])
def test_a_planted_cue_is_found(cue: str) -> None:
    family = shortcuts.measure(subject(*cued(cue, 0.95)))
    assert values(family)[f"cue_{cue}"] > 0.6
    label = CUES[cue].label
    assert any(line.startswith(f"{label.capitalize()} alone") for line in alarms(family))
    assert any(label in gallery.title for gallery in family.galleries)


def test_no_shortcut_is_found_where_there_is_none() -> None:
    family = shortcuts.measure(subject(*cued("border", share=0.0)))
    found = values(family)
    assert found["whole_image_balanced_accuracy"] > 0.8
    assert alarms(family) == []
    for cue in ("border", "background", "mean_colour"):
        assert found[f"cue_{cue}"] == pytest.approx(0.25, abs=0.1)


def test_small_images_have_no_border() -> None:
    images = RNG.integers(0, 256, (60, 1, 8, 8), np.uint8)
    family = shortcuts.measure(subject(images, np.arange(60) % 2))
    assert "cue_border" not in values(family)
    assert any("below 16 pixels" in note for note in family.notes)


def picture_folder(folder: Path, spoil: str) -> Path:
    """Gratings as files: ``bytes`` compresses one class harder, ``size`` enlarges it, ``""`` neither."""
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
def test_cues_of_files_outlive_decoding(tmp_path: Path, spoil: str, cue: str) -> None:
    source = source_from_argument(str(picture_folder(tmp_path / "leaves", spoil)))
    profile = profile_source(source.model_copy(update={"resolution": 32}))
    found = [line for line in profile.alarms if "size" in line]
    assert bool(found) == bool(cue)
    if cue:
        assert profile.measures[f"cue_{cue}"].value > 0.95
    if spoil == "size":
        assert profile.measures["cramers_v_image_size"].value == pytest.approx(1, abs=1e-6)
    names = [p.name for f in profile.families for g in f.galleries for _, row in g.rows for p in row]
    assert names and all(name.endswith(".jpg") for name in names), "pictures are told by their files"


# --- sources and groups ----------------------------------------------------------------------------------


def two_sites(strength: float) -> tuple[Pixels, Labels]:
    """Images from two sites, one with a bright ground; class and site agree in a share of them."""
    images, labels = gratings(400, classes=2)
    rng = np.random.default_rng(5)
    site = np.where(rng.random(400) < strength, labels, rng.integers(0, 2, 400))
    ground = np.where(site[:, None, None, None] == 1, 230.0, 30.0) + rng.normal(0, 8, (400, 1, 1, 1))
    corner = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))) > 0.8
    return np.where(corner, ground, images).clip(0, 255).astype(np.uint8), labels


def test_a_hidden_source_is_found() -> None:
    family = sources.measure(subject(*two_sites(0.9)))
    found = values(family)
    assert found["clusters_surroundings_silhouette"] > 0.5
    assert found["clusters_surroundings_cramers_v"] == pytest.approx(0.9, abs=0.1)
    assert "hidden source" in alarms(family)[0]


def test_sites_that_do_not_go_with_class_are_no_shortcut() -> None:
    family = sources.measure(subject(*two_sites(0.0)))
    assert values(family)["clusters_surroundings_silhouette"] > 0.5
    assert values(family)["clusters_surroundings_cramers_v"] < 0.15 and alarms(family) == []


def test_the_smallest_cell_has_the_interval_of_that_cell() -> None:
    images, _ = gratings(1050, side=16)
    labels = np.repeat([0, 1], [1000, 50])
    sites = np.zeros(1050, dtype=np.int64)
    sites[:10], sites[1000:1005] = 1, 1
    seen = subject(images, labels)
    groups = replace(seen.images, groups=sites, group_names=("usual", "rare"))
    family = association.measure(replace(seen, images=groups))
    assert family is not None
    [cell] = [each for each in family.measures if each.key.startswith("smallest_cell")]
    assert cell.value == 0.01 and cell.n == 1000
    assert cell.interval.low < cell.value < cell.interval.high < 0.02


def test_groups_that_the_data_have_are_compared_with_class() -> None:
    images, labels = gratings(400)
    plain = subject(images, labels)
    assert association.measure(plain) is None, "without attributes there is nothing to say"
    site = np.where(np.random.default_rng(0).random(400) < 0.8, labels % 2, 1 - labels % 2)
    grouped = replace(plain, images=replace(plain.images, groups=site, group_names=("here", "there")))
    family = association.measure(grouped)
    assert values(family)["cramers_v_group"] == pytest.approx(0.6, abs=0.1)
    assert "possible shortcut" in alarms(family)[0]


# --- another dataset -------------------------------------------------------------------------------------


def test_another_dataset_is_as_far_as_it_is() -> None:
    images, labels = gratings(300)
    twin, far = gratings(300, seed=9), photographs(300)

    def found(other: Pixels) -> dict[str, float]:
        against = ("other", Examples.of(other, labels, CLASSES))
        return values(distance.measure(subject(images, labels, against=against)))

    near, away = found(twin[0]), found(far)
    assert near.keys() == {"frechet_distance", "mmd_distance", "transport_distance", "proxy_a_distance"}
    for key in near:
        assert away[key] > 1.4 * max(near[key], 0.01), key
    assert away["proxy_a_distance"] > 1.8 and near["proxy_a_distance"] < 0.5


# --- all of it -------------------------------------------------------------------------------------------


def without_clock(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {key: without_clock(value) for key, value in facts.items() if "seconds" not in key}
    return [without_clock(value) for value in facts] if isinstance(facts, list) else facts


def test_a_profile_is_deterministic() -> None:
    images, labels = cued("border", 0.9)
    first, again = (
        [without_clock(family.facts()) for family in measure_all(subject(images, labels))] for _ in range(2)
    )
    assert first == again


@pytest.mark.parametrize("count", [8, 24])
def test_tiny_sets_are_profiled_too(count: int) -> None:
    images = RNG.integers(0, 256, (count, 3, 16, 16), np.uint8)
    assert measure_all(subject(images, np.arange(count) % 2))


@pytest.mark.real
def test_corn_leaf_is_told_by_its_background(real_data: Path) -> None:
    """Rust was photographed before black, blight before grey, and healthy leaves from near by."""
    source = source_from_argument(str(real_data / "corn_leaf"))
    profile = profile_source(source.model_copy(update={"resolution": 64}))
    background = profile.measures["cue_background"]
    assert background.interval.low > 0.7, "chance is 0.25"
    assert "possible shortcut" in background.alarm
    assert profile.measures["clusters_surroundings_cramers_v"].value > 0.6
