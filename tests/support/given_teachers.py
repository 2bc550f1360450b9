"""Studies with a given teacher, planned on digits, and weights that recognize them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.sources.ingest import load_dataset
from distillab.study.planning import Plan, make_plan
from distillab.study.spec.study import StudySpec, parse_study
from support.networks import recognizing
from support.studies import CPU, study

LINEAR = "support.networks:linear"
SHORT: dict[str, Any] = {"factors": {}, "seeds": 1, "methods": ["ce", "kd"]}


@cache
def digits(resolution: int | None = None) -> Dataset:
    size = {"resolution": resolution} if resolution else {}
    return load_dataset(spec_of(Path(), data=size).source())


@cache
def state(name: str = LINEAR, resolution: int | None = None) -> dict[str, torch.Tensor]:
    return dict(recognizing(name, digits(resolution)).state_dict())


def spec_of(folder: Path, **changes: Any) -> StudySpec:
    given = {"model": LINEAR, "provenance": "external", "weights": "w.pth"} | changes.pop("teacher", {})
    values = study(**SHORT | changes)
    values["teacher"] = given
    return parse_study(values, folder, "study.yaml")


def planned(folder: Path, **changes: Any) -> Plan:
    wanted = spec_of(folder, **changes)
    return make_plan(wanted, digits(changes.get("data", {}).get("resolution")), CPU)


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        planned(folder, **changes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)
