"""``distillab profile``: its table, its page, its JSON, and a one-line error for every mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distillab
from distillab.artefacts import save_state
from distillab.cli import execute
from distillab.models import InputSpec, build_model
from distillab.profile import Profile
from distillab.profile.claims import CLAIMS
from distillab.study.folder import StudyFolder
from distillab.training.checkpoints import snapshot
from support.planted import gratings, write

ROOT = Path(__file__).parents[2]
MEASURE_KEYS = {
    *("key", "label", "value", "low", "high", "interval", "unit"),
    *("n", "seconds", "means", "hypothesis", "claims", "alarm"),
}
TOP_KEYS = {
    *("schema", "dataset", "digest", "images", "shape", "embedding", "against", "teacher", "modality"),
    *("seconds", "shared_seconds", "alarms", "claims", "families"),
}
# Scripts rely on these keys: some may be added, none removed.
DOCUMENTED_KEYS = """
    images classes images_per_class_min images_per_class_median height broken_share
    imbalance_ratio class_entropy effective_classes gini
    label_issues label_issues_contradicted label_issues_expected label_issues_directed
    self_confidence
    exact_duplicates near_duplicates effective_images duplicate_label_conflicts exact_leak_test near_leak_test
    whole_image_balanced_accuracy cue_border cue_background cue_mean_colour cue_acquisition
    clusters_surroundings_silhouette clusters_surroundings_cramers_v
    clusters_whole_image_silhouette clusters_whole_image_cramers_v
    brightness contrast saturation colourfulness edges sharpness spectral_slope roughness
    appearance_class_share
    fisher_ratio knn_accuracy probe_accuracy
    granularity class_effective_rank class_tree_fit dimension_twonn dimension_mle
"""
TEACHER_KEYS = """
    teacher_accuracy teacher_ece teacher_nll teacher_entropy teacher_non_target_entropy teacher_top_ratio
    transfer_class_entropy transfer_boundary_mass teacher_stddev teacher_view_stddev
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a dataset with a test split to a file."""
    return write(tmp_path_factory.mktemp("data") / "leaves.npz", *gratings(300), test=gratings(100, seed=1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the weights of a small network for that dataset."""
    torch.manual_seed(0)
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(3, 32))
    path = tmp_path_factory.mktemp("weights") / "resnet8.safetensors"
    save_state(snapshot(network), path)
    return path


def facts_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Return what ``distillab profile --json`` prints."""
    assert execute(["profile", *arguments, "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def keys_of(facts: dict[str, Any]) -> list[str]:
    """Return the keys of all measures."""
    return [measure["key"] for family in facts["families"] for measure in family["measures"]]


def measures_of(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all measures by their keys."""
    return {measure["key"]: measure for family in facts["families"] for measure in family["measures"]}


def test_json_has_the_documented_keys(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = facts_of(capsys, str(data))
    assert facts.keys() == TOP_KEYS
    assert (facts["schema"], facts["dataset"], facts["images"]) == (2, "leaves", 300)
    assert facts["shape"] == [3, 32, 32]
    keys = keys_of(facts)
    assert set(DOCUMENTED_KEYS.split()) <= set(keys) and len(keys) == len(set(keys))
    for family in facts["families"]:
        assert family.keys() == {"key", "title", "measures", "galleries", "grids", "notes"}
        for measure in family["measures"]:
            assert measure.keys() == MEASURE_KEYS
            assert measure["means"] and measure["n"] >= 0 and measure["seconds"] >= 0
            assert measure["interval"] == "exact" or (measure["low"] is None) == measure[
                "interval"
            ].startswith("none")
            assert measure["hypothesis"] == ("Hypothesis" in measure["means"]) or measure["claims"]


def test_every_claim_is_documented_with_its_source(
    data: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = facts_of(capsys, str(data), "--teacher", "resnet8", "--weights", str(weights))
    claims = {claim for f in facts["families"] for m in f["measures"] for claim in m["claims"]}
    assert claims and claims == set(facts["claims"]) <= set(CLAIMS)
    assert all(facts["claims"][key]["source"] == CLAIMS[key].source for key in claims)


def test_claims_are_those_of_their_document() -> None:
    text = (ROOT / "docs" / "claims.md").read_text()
    documented = re.findall(r"^## (C\d+): ([^\n]*)\n\n(.*?)\nSources?: (.*?)\.\s+Used by", text, re.M | re.S)
    assert [
        (key, title, " ".join(statement.split()), " ".join(source.split()))
        for key, title, statement, source in documented
    ] == [(claim.key, claim.title, claim.statement, claim.source) for claim in CLAIMS.values()]
    assert len(documented) == len(re.findall(r"^## C\d+: ", text, re.M))


def test_table_and_page_are_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "leaves.html"
    assert execute(["profile", str(data), "--out", str(page)]) == 0
    output = capsys.readouterr().out
    for text in (
        "leaves: 300 images, 32x32 RGB",
        "Shortcuts",
        "95 % interval",
        "effective classes",
        str(page),
        "docs/claims.md",
    ):
        assert text in output
    assert page.stat().st_size > 10_000


def test_python_and_command_line_agree(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = distillab.profile(data)
    assert isinstance(found, Profile)
    facts = facts_of(capsys, str(data))
    assert found.digest == facts["digest"] and list(found.measures) == keys_of(facts)
    assert found.measures["probe_accuracy"].value == pytest.approx(
        measures_of(facts)["probe_accuracy"]["value"], rel=1e-4
    )


def test_source_keys_can_be_set(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = facts_of(capsys, str(data), "--set", "resolution=16", "--set", "channels=1", "--set", "classes=2")
    assert facts["shape"] == [1, 16, 16] and facts["images"] == 150
    assert "saturation" not in keys_of(facts)


def test_distance_to_another_dataset_is_measured(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write(tmp_path / "moved.npz", *gratings(200, side=16, seed=3))
    facts = facts_of(capsys, str(data), "--against", str(other))
    assert facts["against"] == "moved"
    assert {"frechet_distance", "mmd_distance", "transport_distance", "proxy_a_distance"} <= set(
        keys_of(facts)
    )


def test_teacher_with_weights_is_profiled(
    data: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = facts_of(capsys, str(data), "--teacher", "resnet8", "--weights", str(weights))
    assert facts["teacher"] == "resnet8"
    assert set(TEACHER_KEYS.split()) <= set(keys_of(facts))
    measures = measures_of(facts)
    assert measures["teacher_accuracy"]["n"] == 100, "number of test images"
    assert measures["teacher_stddev"]["value"] < measures["teacher_view_stddev"]["value"], (
        "means vary less than single images"
    )


def test_teacher_of_a_study_is_profiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = distillab.Study(
        study="tiny",
        data={"source": "digits", "classes": 3},
        teacher={"model": "resnet8"},
        students="resnet8",
        methods=["ce", "random_teacher", "self", "kd"],
        seeds=2,
        recipe={"steps": 2, "batch_size": 8},
    )
    study.run(tmp_path / "study", executor="inline")
    facts = facts_of(capsys, "digits", "--set", "classes=3", "--teacher", str(tmp_path / "study"))
    assert facts["teacher"] == "resnet8" and set(TEACHER_KEYS.split()) <= set(keys_of(facts))
    with StudyFolder.open(tmp_path / "study").ledger() as ledger:
        teacher_run = ledger.cells()[0].teacher_run
    teachers = tmp_path / "study" / "store" / "teacher"
    assert len(list(teachers.iterdir())) > 1, "the store also holds untrained and self-distilled teachers"
    record = json.loads((teachers / teacher_run / "record.json").read_text())
    measures = measures_of(facts)
    assert measures["teacher_accuracy"]["value"] == pytest.approx(record["accuracy"]["test"], abs=1e-5)
    assert execute(["profile", "digits", "--teacher", str(tmp_path / "study")]) == 2
    assert "the classes of this study" in capsys.readouterr().err


def test_external_teacher_keeps_its_normalization_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = build_model("resnet8", classes=4, inputs=InputSpec.square(1, 8))
    save_state(snapshot(network), tmp_path / "w.safetensors")
    study = distillab.Study(
        study="tiny",
        data={"source": "digits", "classes": 3},
        teacher={
            "model": "resnet8",
            "provenance": "external",
            "weights": str(tmp_path / "w.safetensors"),
            "at_chance": "continue",
            "normalisation": {"mean": [0.9], "std": [0.02]},
            "classes": ["d", "c", "b", "a"],
            "class_map": {"b": "0", "c": "1", "d": "2"},
        },
        students="resnet8",
        methods=["kd"],
        seeds=1,
        recipe={"steps": 2, "batch_size": 8},
    )
    finished = study.run(tmp_path / "study", executor="inline")
    facts = facts_of(capsys, "digits", "--set", "classes=3", "--teacher", str(tmp_path / "study"))
    measures = measures_of(facts)
    row = finished.tables.results[-1]
    assert measures["teacher_accuracy"]["value"] == pytest.approx(row["teacher_accuracy"], abs=1e-5)


def test_broken_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    images, labels = gratings(80, classes=2)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pets" / "ab"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row}.png")
    (tmp_path / "pets" / "a" / "damaged.png").write_bytes(b"no image")
    facts = facts_of(capsys, str(tmp_path / "pets"))
    measures = measures_of(facts)
    assert measures["broken_share"]["value"] == pytest.approx(1 / 81, rel=1e-4)
    assert any("1 file" in line for line in facts["alarms"])


def test_broken_share_counts_files_of_all_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for split, count in (("train", 40), ("test", 80)):
        images, labels = gratings(count, classes=2)
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = tmp_path / "pets" / split / "ab"[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0) + np.uint8(split == "test")).save(folder / f"{row}.png")
    for row in range(5):
        (tmp_path / "pets" / "test" / "a" / f"damaged{row}.png").write_bytes(b"no image")
    facts = facts_of(capsys, str(tmp_path / "pets"))
    measures = measures_of(facts)
    assert measures["broken_share"]["value"] == pytest.approx(5 / 125, rel=1e-4)


GRAY = "gray.npz"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no-such-folder"], "no file, folder or source"),
        (["DATA", "--embedding", "patch"], "did you mean 'patches'"),
        (["DATA", "--set", "resolution"], "KEY=VALUE"),
        (["DATA", "--set", "resolutoin=8"], "did you mean 'resolution'"),
        (["DATA", "--set", "classes=[a, zebra]"], "unknown class"),
        (["DATA", "--against", "no-such-folder"], "no file, folder or source"),
        (["DATA", "--against", GRAY], "has 1 channels and leaves has 3"),
        (["DATA", "--teacher", "resnet8"], "--weights FILE"),
        (["DATA", "--teacher", "."], "not a study"),
        (["DATA", "--weights", "x.safetensors"], "--teacher MODEL"),
        (["DATA", "--teacher", "resnet9", "--weights", "x.safetensors"], "did you mean"),
        (["DATA", "--teacher", "resnet8", "--weights", "x.safetensors"], "cannot read x.safetensors"),
        (["DATA", "--out", "no/such/folder/page.html"], "a file in an existing folder"),
        (["DATA", "--out", "."], "a file in an existing folder"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / GRAY, *(array[:, :1] if array.ndim == 4 else array for array in gratings(40)))
    assert (
        execute(["profile", *(str(data) if argument == "DATA" else argument for argument in arguments)]) == 2
    )
    output = capsys.readouterr()
    assert output.out == "" and text in output.err and len(output.err.splitlines()) == 1


def test_missing_extra_is_reported(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    assert execute(["profile", str(data), "--embedding", "imagenet"]) == 2
    assert "distillab[imagenet]" in capsys.readouterr().err


def test_teachers_take_images_that_are_not_square(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = gratings(60)
    wide = write(tmp_path / "wide.npz", np.ascontiguousarray(images[:, :, :, :24]), labels)
    assert execute(["profile", str(wide), "--teacher", "resnet8", "--weights", str(weights)]) == 0
    assert "teacher" in capsys.readouterr().out


def test_examples_with_several_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    images, _ = gratings(40)
    lines = ["file,scratch,dent"]
    for row, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{row % 2},{row // 2 % 2}")
    (tmp_path / "parts.csv").write_text("\n".join(lines))
    assert execute(["profile", f"csv:{tmp_path / 'parts.csv'}", "--set", "labels=[scratch, dent]"]) == 2
    assert "has label sets, which cannot be profiled" in capsys.readouterr().err
