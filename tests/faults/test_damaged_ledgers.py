"""Ledgers that are damaged, foreign or of another version: refused with the way out, and made anew."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillab import cli
from distillab.api.stored_files import repair, verify
from distillab.api.studies import Study
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running.verification import FileState
from support.damage import CACHED, DATA, STORED, copy_of, cut, flip_everywhere, rewrite, stored_file
from support.studies import numbers, rows_of, spec, states_of

ONE: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": {}, "seeds": 1}


def run(folder: StudyFolder) -> StudyFolder:
    study = Study.of(spec(folder.path.parent, **ONE))
    return study.run(folder.path, executor="inline", device="cpu", report=False).folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return run(StudyFolder(tmp_path_factory.mktemp("finished") / "dir"))


@pytest.fixture
def copied(finished: StudyFolder, tmp_path: Path) -> StudyFolder:
    return copy_of(finished, tmp_path / "dir")


def changed(statement: str) -> Callable[[Path], None]:
    """Return the damage of one SQL statement."""

    def damage(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute(statement)

    return damage


def foreign(path: Path) -> None:
    """Replace a file by the database of another program."""
    path.unlink()
    changed("CREATE TABLE bookmarks (url TEXT)")(path)


DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "garbage": (lambda path: rewrite(path, b"no database at all" * 400), "is damaged, or is no ledger"),
    "cut": (cut, "is damaged"),
    "flipped": (flip_everywhere, "is damaged"),
    "foreign": (foreign, "has no schema"),
    "another schema": (changed("UPDATE meta SET value = '99' WHERE key = 'schema'"), "has schema '99'"),
    "no schema": (changed("UPDATE meta SET value = 'abc' WHERE key = 'schema'"), "has schema 'abc'"),
    "schema 1, other tables": (changed("UPDATE meta SET value = '1' WHERE key = 'schema'"), "is damaged"),
    "a table is gone": (changed("DROP TABLE totals"), "no such table"),
    "a column is gone": (changed("ALTER TABLE totals RENAME COLUMN kind TO sort"), "no such column: kind"),
    "a cell": (changed("UPDATE cells SET cell = replace(cell, 'kd', 'kb')"), "its table cells is not what"),
    "a part": (changed("UPDATE parts SET text = replace(text, '8', '9')"), "its table parts is not what"),
}


@pytest.mark.parametrize(("damage", "what"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_ledger_is_refused_and_made_anew(
    finished: StudyFolder,
    copied: StudyFolder,
    damage: Callable[[Path], None],
    what: str,
    ran: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(copied.ledger_file)
    with pytest.raises(RequestError) as refused:
        run(copied)
    assert what in str(refused.value)
    assert f"distillab repair {copied.path}" in str(refused.value)
    assert not verify(copied.path).is_sound
    assert cli.execute(["repair", str(copied.path)]) == 0
    assert "a new ledger of 4 jobs, of which 4 are done" in capsys.readouterr().out
    assert states_of(copied) == states_of(finished)
    run(copied)
    assert ran == []
    assert numbers(rows_of(copied)) == numbers(rows_of(finished))
    assert list(copied.path.glob("ledger.sqlite.damaged-*"))


@pytest.mark.parametrize("verb", ["status", "report", "run"])
def test_every_verb_refuses_in_one_line(
    copied: StudyFolder, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(copied.ledger_file, b"garbage" * 1000)
    command = [verb, str(copied.path)]
    if verb == "run":
        command = [verb, str(copied.study_file), "--out", str(copied.path), "--executor", "inline"]
    assert cli.execute(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "ledger.sqlite: is damaged" in line
    assert "`distillab repair " in line


@pytest.mark.parametrize(("verb", "code"), [("reproduce", 2), ("report", 2), ("verify", 1)])
def test_changed_jobs_are_refused_by_verbs_that_read_them(
    copied: StudyFolder, verb: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    changed("UPDATE parts SET text = replace(text, '8', '9')")(copied.ledger_file)
    run_id = [str(rows_of(copied)[0]["run_id"])] if verb == "reproduce" else []
    assert cli.execute([verb, str(copied.path), *run_id]) == code
    printed = capsys.readouterr()
    assert "its table parts is not what was written" in printed.out + printed.err


def test_repair_removes_what_is_damaged_in_the_store(
    finished: StudyFolder, copied: StudyFolder, ran: list[str]
) -> None:
    copied.ledger_file.unlink()
    file = stored_file(copied, STORED["a student's weights"])
    cut(file)
    done = repair(copied.path, device="cpu")
    assert (done.jobs, done.done, done.kept) == (4, 3, None)
    [sentence] = done.damaged
    assert file.parent.name in sentence
    run(copied)
    assert ran == [file.parent.name]
    assert numbers(rows_of(copied)) == numbers(rows_of(finished))


def test_verify_finds_damage_of_every_kind(copied: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(copied.path, data=True).is_sound
    assert cli.execute(["verify", str(copied.path)]) == 0
    assert capsys.readouterr().out.endswith(" sound, 0 unverified, 0 damaged\n")
    kinds = STORED | DATA | CACHED
    files = {stored_file(copied, pattern) for kind, pattern in kinds.items() if kind != "digests"}
    for file in files:
        cut(file)
    tables = [copied.results_file, copied.effects_file, copied.study_file]
    for table in tables:
        flip_everywhere(table)
    damaged = {each.place for each in verify(copied.path).findings if each.state == FileState.DAMAGED}
    wanted = {file.parent for file in files} | set(tables)
    assert damaged == {place.relative_to(copied.path).as_posix() for place in wanted}
    assert cli.execute(["verify", str(copied.path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["damaged"] == len(damaged)
