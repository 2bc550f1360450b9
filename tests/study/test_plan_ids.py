"""Run ids are stable: a study that uses no newer feature keeps the ids that earlier versions gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distillab.canonical import spec_id
from distillab.sources.ingest import load_dataset
from distillab.study.planning.outline import make_plan
from distillab.study.planning.plan import Plan
from distillab.study.spec.choices import EARLIER_CHOICES
from distillab.study.spec.study import StudySpec, read_study
from support.studies import CPU, spec

STUDIES = Path(__file__).resolve().parents[2] / "studies"
ARMS = [
    "ce",
    "label_smoothing",
    "kd",
    {"kd": {"temperature": 2}},
    "dkd",
    "self",
    "random_teacher",
]
TWO_TEACHERS = {
    "model": "resnet14",
    "provenance": ["full", "same"],
    "replicates": 2,
    "recipe": {"full": {"steps": 5}, "same": {"epochs": 2}},
}
CHANGES: dict[str, dict[str, Any]] = {
    "small": {},
    "every arm, two students, a seed": {
        "methods": ARMS,
        "students": ["resnet8", "resnet14"],
        "factors": {
            "imbalance": [1, 4],
            "label_noise": {"levels": [0.0, 0.25], "roles": ["transfer", "teacher"]},
        },
        "seed": 3,
    },
    "several full teachers, every role": {
        "methods": ARMS,
        "teacher": TWO_TEACHERS,
        "factors": {"size": {"levels": [8], "roles": ["transfer", "val", "eval", "teacher"]}},
        "seeds": [4, 1, 9],
    },
    "no factors": {"factors": {}, "seeds": 3, "methods": ["kd", "dkd"]},
    "three factors": {
        "factors": {"size": [20, 40], "label_noise": [0.0, 0.2, 0.4], "imbalance": [1, 3]},
        "methods": ARMS,
    },
}
# By kind, how many jobs there are, and the content address of their ids in planned order; the identity of the
# study last. These were written down by version 0.1.0, before plans were made for a hundred thousand runs.
Golden = tuple[tuple[int, str], tuple[int, str], tuple[int, str], str]
SMALL: dict[str, Golden] = {
    "small": (
        (5, "c349b7daffedb08d5c4a859d"),
        (8, "faf95b88d1f8775788005eae"),
        (12, "fbe147a9b384ce1d045defec"),
        "58ef549740116d1031d27a20",
    ),
    "every arm, two students, a seed": (
        (35, "0d0691e792349bf3e8364e33"),
        (40, "96821d2f2e0f1f7ba6e84748"),
        (160, "f1d8a87d28fab775f0fbec4c"),
        "b0bd4b86c327784b605d8e67",
    ),
    "several full teachers, every role": (
        (12, "5f31ee330bb52ecb2d04d664"),
        (12, "54c4825ab443a090116443e0"),
        (30, "648f6862644fa26e213acfd1"),
        "f1ff910b6f05b7f0e67b91d3",
    ),
    "no factors": (
        (4, "893325c988c1b33c053ce034"),
        (4, "b5717c083da13de468bade0b"),
        (15, "b7ef0eb71bc355439f6b3d00"),
        "eb4f30f15cbd433e361be473",
    ),
    "three factors": (
        (73, "71ccdf7608fb8fde5a140c42"),
        (96, "baeb4509a57c7cffa8bcc2da"),
        (240, "d2fe5eb7d3dd2f0f57e721f4"),
        "8e1870d40d863c874748821a",
    ),
}
FILES: dict[str, Golden] = {
    "quickstart.yaml": (  # the runs that tune it; those at chosen settings follow
        (1, "3027530b2aee3f0731dde85e"),
        (4, "5e4e4174bf30d5ae541d4b72"),
        (36, "387c4a6cd716bcbc5962ffd8"),
        "65c861a91fa7a3aa0a336653",
    ),
    "cifar100-size.yaml": (
        (25, "aac7969c20db16286b2f6df3"),
        (48, "858586b9e5b491abea70318f"),
        (144, "c1b6adde0feccfccdc870e5c"),
        "31d09ae65e8300dc686cd52e",
    ),
    "corn-leaf-noise.yaml": (
        (25, "a94ce0bb7b59ae4c11c8c9c9"),
        (25, "fd985dd2e6e2769ff2747f10"),
        (192, "4b89d979a9af16fbde73b339"),  # 144 as before, and 48 of the control hard_labels
        "240d43e4f02e9b656541c46f",
    ),
}


# Those of the same studies under the defaults of now: a teacher, views and a split for each seed.
DRAWN: dict[str, Golden] = {
    "small": (
        (6, "41ff69c8bc6595554f2c9c7b"),
        (8, "31255b8cd10b04a27373a456"),
        (12, "0c28bcd3ce55d623b80797a2"),
        "d83942370e0b2ecf8308f8dc",
    ),
    "every arm, two students, a seed": (
        (36, "d2097a2833b2f058dc4d0e2c"),
        (40, "cf82635237aa237a655edc3a"),
        (160, "14e5d00251e0c7433d1b9588"),
        "093fd4a7c2029d1606e20875",
    ),
    "several full teachers, every role": (
        (12, "fc73f802eb6f29b49f4e1c18"),
        (12, "02134f6c72a335208da52aa5"),
        (30, "669792df702efab9a7911f2b"),
        "6927af4fa3812375b7c3b982",
    ),
    "no factors": (
        (6, "af07dfc42573db0af9f8e7a7"),
        (6, "c6cea5bfc988f6d3fcc5a710"),
        (15, "565f387f4bac96034d1cc0e4"),
        "10b75ed66843b13e57254330",
    ),
    "three factors": (
        (74, "e2c96b887bac7bcf006884a7"),
        (96, "d15f88eaca0dd2495afafc81"),
        (240, "07344b28e1cb81af8ff63ec2"),
        "fa30f2b9c567efcbf96b118a",
    ),
}


def golden(study: StudySpec, plan: Plan) -> Golden:
    def kind(name: str) -> tuple[int, str]:
        names = [job.id for job in plan.jobs.values() if job.kind == name]
        return len(names), spec_id(names)

    return kind("teacher"), kind("outputs"), kind("student"), study.identity


def as_earlier(study: StudySpec) -> StudySpec:
    """Return a study with the values that earlier versions had for what it leaves open."""
    return EARLIER_CHOICES.complete(study)


def planned(study: StudySpec) -> Plan:
    """Return the plan of a study without its probes, which are runs beside those of earlier versions."""
    without = study.evidence.model_copy(update={"probes": 0})
    study = study.model_copy(update={"evidence": without})
    return make_plan(study, load_dataset(study.source()), CPU)


@pytest.mark.parametrize("name", list(CHANGES))
def test_earlier_studies_keep_their_ids(name: str) -> None:
    study = as_earlier(spec(**CHANGES[name]))
    assert golden(study, planned(study)) == SMALL[name]


@pytest.mark.parametrize("name", list(CHANGES))
def test_studies_with_draws_by_seed_keep_their_ids(name: str) -> None:
    study = spec(**CHANGES[name])
    assert golden(study, planned(study)) == DRAWN[name]


def test_quickstart_keeps_its_ids() -> None:
    study = as_earlier(read_study(STUDIES / "quickstart.yaml"))
    assert golden(study, planned(study)) == FILES["quickstart.yaml"]


@pytest.mark.real
@pytest.mark.parametrize("name", ["cifar100-size.yaml", "corn-leaf-noise.yaml"])
def test_studies_of_the_repository_keep_their_ids(
    name: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(real_data))
    study = as_earlier(read_study(STUDIES / name))
    # The identity holds the absolute path of the data, so it differs between machines.
    assert golden(study, planned(study))[:3] == FILES[name][:3]
