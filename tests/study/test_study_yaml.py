"""Names of classes, columns and splits in study files are what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from distillab.sources import load_dataset
from distillab.study.spec.study import read_study
from distillab.study.spec.study_yaml import load_study_yaml
from support.source_files import write_folder

REST = "teacher: {model: resnet8, provenance: full}\nstudents: [resnet8]\nmethods: [ce]\nrecipe: {steps: 2}\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("yes", "no"),
        ("on", "off"),
        ("true", "false"),
        ("True", "FALSE"),
        ("007", "08"),
        ("1.0", "2.50"),
        ("null", "NA"),
        ("~", "None"),
        ("1", "01"),
        ("1_000", "0x1F"),
        ("2020-01-31", "12:30"),
        ("1e3", "5e-1"),
    ],
)
def test_classes_are_chosen_by_the_name_that_is_written(first: str, second: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "data", (first, second, "maybe"))
    choice = f"data: {{source: folder, path: data, classes: [{first}, {second}]}}\n"
    (tmp_path / "a.yaml").write_text(f"study: a\n{choice}{REST}")
    spec = read_study(tmp_path / "a.yaml")
    assert set(load_dataset(spec.source()).classes) == {first, second}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(spec.written()))
    assert read_study(tmp_path / "again.yaml").canonical()["data"] == spec.canonical()["data"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("data: {classes: 3}", {"data": {"classes": 3}}),
        ("data: {val: 0.1, label: 2019}", {"data": {"val": 0.1, "label": "2019"}}),
        ("data: {labels: [0, 1, on]}", {"data": {"labels": ["0", "1", "on"]}}),
        ("data: {label: null}", {"data": {"label": None}}),
        (
            "data: {splits: {test: null, train: [1, 02]}}",
            {"data": {"splits": {"test": None, "train": ["1", "02"]}}},
        ),
        ("teacher: {classes: [0, 1], weights: null}", {"teacher": {"classes": ["0", "1"], "weights": None}}),
        ("teacher: {class_map: {1: yes}}", {"teacher": {"class_map": {"1": "yes"}}}),
        ("others: {a: {classes: [no, 2]}}", {"others": {"a": {"classes": ["no", "2"]}}}),
        ("factors: {classes: [5, 10]}", {"factors": {"classes": [5, 10]}}),
        (
            "factors: {label_noise: {levels: [0.1], class_map: {no: yes}}}",
            {"factors": {"label_noise": {"levels": [0.1], "class_map": {"no": "yes"}}}},
        ),
        ("data: {classes: ['a', \"1\"]}", {"data": {"classes": ["a", "1"]}}),
        ("data: &d {classes: [yes, no]}\nothers: {b: *d}", None),
        ("", None),
    ],
)
def test_names_are_texts_and_settings_are_not(text: str, values: Any) -> None:
    read = load_study_yaml(text)
    if values is not None:
        assert read == values
    elif text:
        assert read["data"] == read["others"]["b"] == {"classes": ["yes", "no"]}
    else:
        assert read is None
