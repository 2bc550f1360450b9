"""The study of the section on tuning is planned, and its plan is the one that the page quotes."""

from __future__ import annotations

import yaml

from distillab.sources.ingest import load_dataset
from distillab.study.planning.outline import make_plan
from distillab.study.planning.summary import describe_tuning
from distillab.study.spec.study import parse_study
from support.documents import code_blocks
from support.source_tree import ROOT
from support.studies import CPU

PAGE = ROOT / "docs" / "studies.md"


def test_plan_of_the_study_is_the_one_that_the_page_quotes() -> None:
    [block] = [block for block in code_blocks(PAGE) if block.text.startswith("study: tuned-alike")]
    spec = parse_study(yaml.safe_load(block.text.replace("on: val", '"on": val')), ROOT, "page.yaml")
    plan = make_plan(spec, load_dataset(spec.source()), CPU)
    quoted = " ".join(line[2:] for line in PAGE.read_text().splitlines() if line.startswith("> "))
    assert describe_tuning(spec, plan) in quoted
