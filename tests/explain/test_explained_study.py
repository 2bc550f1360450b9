"""The key ``explain`` of a study: computed once, after training, beside what the study has already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.api import Finished, Study
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.explain.border_classes import class_rows
from distillab.explain.study_maps import EXPLANATIONS_KIND, Explained
from support.damage import flip
from support.studies import artefacts, spec, study

ALONE: dict[str, Any] = {
    "data": {"source": "digits", "classes": 4, "resolution": 16},
    "teacher": {"provenance": "full", "replicates": 1},
    "factors": {},
    "evidence": {"probes": 0},
}
EXPLAINED = {"explain": {"attributions": ["grad_cam"], "images": 10}}


def finished(out: Path, **changes: Any) -> Finished:
    return Study(**study(**{**ALONE, **changes})).run(out, executor="inline", workers=1)


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Finished]:
    """The artifacts of a finished study, and the same study once explanations were added to it."""
    out = tmp_path_factory.mktemp("explained") / "study"
    before = artefacts(finished(out).folder)
    return before, finished(out, **EXPLAINED)


def test_explanations_are_added_to_a_finished_study_without_training(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    before, after = before_and_after
    added = artefacts(after.folder)
    assert {name: added[name] for name in before} == before
    assert {name.split("/")[0] for name in added.keys() - before.keys()} == {EXPLANATIONS_KIND}
    assert len(added.keys() - before.keys()) == 4 + 1  # students, and the teacher


def test_stored_explanations_are_not_computed_again(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    folder = before_and_after[1].folder
    stored, rows = artefacts(folder), read_rows(folder.explanations_file)
    assert finished(folder.path, **EXPLAINED).outcome.complete
    assert artefacts(folder) == stored
    assert read_rows(folder.explanations_file) == rows


def test_damaged_explanations_are_computed_again(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    folder = before_and_after[1].folder
    rows = read_rows(folder.explanations_file)
    for file in (folder.store.root / EXPLANATIONS_KIND).glob("*/*.npz"):
        flip(file)
    assert finished(folder.path, **EXPLAINED).outcome.complete
    assert read_rows(folder.explanations_file) == rows


def test_every_run_has_a_row_with_agreement_and_faithfulness(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    folder = before_and_after[1].folder
    rows = read_rows(folder.explanations_file)
    assert [(row["method"], row["seed"]) for row in rows] == [("ce", 0), ("ce", 1), ("kd", 0), ("kd", 1)]
    for row in rows:
        assert row["n_images"] == 10
        for name in ("iou", "deletion", "insertion", "border_share", "same_class", "teacher_insertion"):
            assert 0 <= row[name] <= 1
        assert -1 <= row["pearson"] <= 1
        assert row["border_area"] == pytest.approx(0.4375)
    assert len({row["teacher_run"] for row in rows}) == 1


def test_gains_are_distilled_less_plain_of_the_same_seed(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    folder = before_and_after[1].folder
    rows = {(row["method"], row["seed"]): row for row in read_rows(folder.explanations_file)}
    gains = {row["measure"]: row for row in read_rows(folder.explanation_gains_file)}
    expected = np.mean([rows["kd", s]["insertion"] - rows["ce", s]["insertion"] for s in (0, 1)])
    assert gains["insertion"]["gain"] == pytest.approx(expected)
    assert gains["insertion"]["ci_low"] < expected < gains["insertion"]["ci_high"]
    assert gains["insertion"]["n_pairs"] == 2
    [accuracy] = [row for row in read_rows(folder.effects_file) if row["metric"] == "accuracy"]
    assert gains["accuracy"]["gain"] == accuracy["gain"]
    assert gains["accuracy"]["attribution"] is None
    difference = gains["accuracy"]["distilled"] - gains["accuracy"]["plain"]
    assert difference == pytest.approx(accuracy["gain"])


def test_share_on_the_border_by_class_has_the_mean_over_images(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    folder = before_and_after[1].folder
    classes = read_rows(folder.explanation_classes_file)
    assert {row["class"] for row in classes} <= set(folder.dataset.classes)
    for row in read_rows(folder.explanations_file):
        mine = [each for each in classes if each["run_id"] == row["run_id"]]
        counts = [each["n_images"] for each in mine]
        assert sum(counts) == row["n_images"] == 10
        assert len({each["class"] for each in mine}) == len(mine)
        for name in ("border_share", "teacher_border_share"):
            mean = np.average([each[name] for each in mine], weights=counts)
            assert mean == pytest.approx(row[name])
        assert {each["border_area"] for each in mine} == {row["border_area"]}
    page = before_and_after[1].report.read_text()
    assert 'id="explanation-classes-table"' in page


def test_share_on_the_border_names_the_class_whose_background_decides() -> None:
    shares = np.array([0.9, 0.7, np.nan, 0.1, np.nan])
    of = Explained({"border_share": shares}, np.arange(5), np.array([2, 2, 2, 0, 1]), np.zeros((5, 8, 8)))
    row = {"run_id": "a", "method": "kd", "teacher_run": "t", "attribution": "lime", "border_area": 0.4}
    rows = class_rows(row, of, of, ("cat", "dog", "wolf"))
    assert [(each["class"], each["n_images"]) for each in rows] == [("cat", 1), ("dog", 1), ("wolf", 3)]
    assert [each["border_share"] for each in rows] == pytest.approx([0.1, np.nan, 0.8], nan_ok=True)


def test_report_shows_the_maps_of_teacher_and_students(
    before_and_after: tuple[dict[str, Any], Finished],
) -> None:
    page = before_and_after[1].report.read_text()
    section = page.split('<section id="explanations"')[1].split("</section>")[0]
    assert section.count("<img ") == 8 * 4  # image, teacher, plain and distilled student
    for column in ("test image", "teacher, resnet8", "plain student (ce)", "student, kd"):
        assert f'<th scope="col">{column}</th>' in section
    assert "agreement: IoU of the top 20 %" in section


def test_key_is_no_part_of_the_identity() -> None:
    plain, explained = spec(), spec(**EXPLAINED)
    assert "explain" not in plain.canonical()
    assert plain.identity == explained.identity
    assert explained.written()["explain"] == {"attributions": ["grad_cam"], "images": 10}


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ({"attributions": ["gradcam"]}, "explain.attributions"),
        ({"attributions": ["lime", "lime"]}, "an attribution is named twice"),
        ({"attributions": []}, "explain.attributions: [] is not accepted"),
        ({"images": 0}, "explain.images: 0 is not accepted (allowed: at least 1)"),
        ({"image": 3}, "explain: unknown key 'image', did you mean 'images'?"),
    ],
)
def test_wrong_keys_are_one_line(
    key: dict[str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study(explain=key)))
    assert execute(["plan", str(path)]) == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert len(printed.splitlines()) == 1


LINEAR = """
from torch import nn

def build(classes, channels, resolution):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * resolution**2, classes))
"""


@pytest.mark.parametrize("role", ["students", "teacher"])
def test_network_without_a_feature_map_is_refused_before_training(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"linear_{role}.py").write_text(LINEAR)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"linear_{role}:build"
    network = {"students": [name]} if role == "students" else {"teacher": {**ALONE["teacher"], "model": name}}
    wanted = Study(**study(**{**ALONE, **network, **EXPLAINED}))
    line = rf"explain.attributions: {name}: grad_cam needs a feature map, and this network has none"
    with pytest.raises(RequestError, match=line):
        wanted.plan()
    with pytest.raises(RequestError, match=line):
        wanted.run(tmp_path / "out", executor="inline", workers=1)
    assert not (tmp_path / "out" / "store" / "teacher").exists()
