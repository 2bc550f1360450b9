"""Claims are run: all of them at smoke scale, and what becomes of a study with failing runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from distillab.api import run_claims
from distillab.api.claims import cheapest_first
from distillab.claims import (
    find_claim,
    judge_claim,
    published_claims,
    read_verdicts,
    study_owner,
    write_verdicts,
)
from distillab.claims.verdict import CLAIM_ANSWERS, ClaimVerdict, RuleFinding
from distillab.cli import execute
from distillab.evidence import write_tables
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState
from support.studies import CPU, run_here

OWNERS = sorted({study_owner(claim) for claim in published_claims().values()})


@pytest.mark.parametrize("owner", OWNERS)  # about a second each, that of its study
def test_claims_run_at_smoke_scale(owner: str) -> None:
    names = [name for name, claim in published_claims().items() if study_owner(claim) == owner]
    verdicts = run_claims(names, scale="smoke")
    assert sorted(each.claim for each in verdicts) == sorted(names)
    for verdict in verdicts:
        assert verdict.complete and verdict.runs > 0
        assert verdict.verdict == "undecided"
        assert verdict.because.startswith("At scale smoke a claim is run, and not decided: ")
        assert all(each.estimate is not None and each.n_pairs == 2 for each in verdict.findings)


def test_verdicts_are_kept_and_resumed(tmp_path: Path) -> None:
    [first] = run_claims(["born-again"], out=tmp_path)
    ledger = tmp_path / "smoke" / "random-teacher-v1" / "ledger.sqlite"
    before = ledger.stat().st_mtime_ns
    [again, _] = run_claims(["born-again", "fidelity-low"], out=tmp_path)
    assert again.findings == first.findings and ledger.stat().st_mtime_ns == before
    held = read_verdicts((tmp_path / "claims.csv").read_text())
    assert [each.claim for each in held] == ["born-again", "fidelity-low"]
    page = (tmp_path / "claims.html").read_text()
    assert 'id="born-again"' in page and 'src="http' not in page


def test_failed_and_open_runs_are_not_tested(tmp_path: Path) -> None:
    claim = find_claim("compute-matched")
    folder = StudyFolder.begin(tmp_path / "study", claim.study_spec("smoke"), CPU)
    waiting = judge_claim(claim, "laptop", folder, write_tables(folder))
    assert (waiting.verdict, waiting.complete) == ("not tested", False)
    assert "have not finished" in waiting.because
    run_here(folder)
    tables = write_tables(folder)
    done = judge_claim(claim, "laptop", folder, tables)
    assert done.complete and done.verdict in ("undecided", "not tested")
    tables.results[0]["status"] = JobState.FAILED
    broken = judge_claim(claim, "laptop", folder, tables)
    assert (broken.verdict, broken.failed) == ("not tested", 1)
    assert broken.because == "1 runs failed; `--retry-failed` tries them again."


def test_command_prints_verdicts_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["claims", "run", "granularity-gain", "--json"]) == 0
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert finding["text"].startswith("change of the gain of kd over granularity (coarse) is negative: ")


def test_command_lists_and_shows_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["claims", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in listed] == list(published_claims())
    assert {each["verdict"] for each in listed} <= {None, *CLAIM_ANSWERS}
    assert execute(["claims", "show", "size-same", "--scale", "smoke", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    keys = ("statement", "source", "prediction", "falsifier", "manipulation_check", "version")
    assert all(shown[key] for key in keys)
    assert shown["scale"] == "smoke" and shown["study"]["data"]["source"] == "digits"
    assert shown["decision_rule"][0]["text"] and shown["minutes"]["laptop"] > 0
    assert execute(["claims", "list"]) == 0
    assert f"{len(published_claims())} claims at scale laptop" in capsys.readouterr().out
    assert execute(["claims", "show", "size-full"]) == 0
    assert "falsifier: The gain changes by less than the margin" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "sise-full"], "unknown claim 'sise-full', did you mean 'size-full'"),
        (["run", "sise-full"], "unknown claim 'sise-full', did you mean 'size-full'"),
        (["run"], "name claims, or all of them"),
        (["run", "size-full", "--all"], "name claims, or all of them"),
        (["run", "size-full", "--scale", "huge"], "--scale: unknown scale 'huge'"),
        (["show", "size-full", "--scale", "huge"], "--scale: unknown scale 'huge'"),
        (["run", "noise-gain", "--scale", "laptop"], "DISTILLAB_DATA is not set: needed are corn_leaf for"),
    ],
    ids=str,
)
def test_wrong_request_is_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISTILLAB_DATA", raising=False)
    assert execute(["claims", *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_cheapest_claims_come_first() -> None:
    ordered = cheapest_first(list(published_claims().values()), "laptop")
    minutes = [claim.minutes["laptop"] for claim in ordered]
    assert minutes == sorted(minutes)


def test_table_of_verdicts_is_read_back(tmp_path: Path) -> None:
    full = RuleFinding("kd helps", "refuted", 0.001, -0.002, 0.004, 10, 0.01, 0.013, 0.01, None, note="x, y")
    bare = RuleFinding("no pair", "undecided", None, None, None, 0, unit="nats")
    one = ClaimVerdict("b", 2, "laptop", "refuted", "Kd, so far.", (full, bare), "mnist5k", 80, 0, 12.5)
    two = replace(one, claim="a", scale="full", findings=(), verdict="not tested")
    write_verdicts([one, two], tmp_path / "claims.csv")
    assert read_verdicts((tmp_path / "claims.csv").read_text()) == (two, one)
