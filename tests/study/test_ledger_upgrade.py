"""A study of an older version resumes where it was: its ledger is converted."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from distillab.errors import RequestError
from distillab.study.design import Cell, ConditionRecord
from distillab.study.job import StudentJob
from distillab.study.job_parts import ConditionSpec, RunSeeds, SetDigests, TeacherSource
from distillab.study.ledger import Ledger

# Schema 1, as version 0.1.0 wrote it: specs in full, in one table with the states.
SHARED = (
    '"kind":"%s","model":"resnet8","recipe":{"steps":3},"schema":1,"seeds":{"init":1,"order":2,"views":3},'
    '"sets":{"eval":{"test":"e"},"normalisation":"n","train":"t","val":"v"}'
)
TEACHER = "{" + SHARED % "teacher" + "}"
PLAIN = "{" + SHARED % "student" + ',"method":{"config":{},"name":"ce"},"teacher":null}'
DISTILLED = "{" + SHARED % "student" + ',"method":{"config":{},"name":"kd"},"teacher":{"live":"t"}}'
CONDITION = '{"chain":[],"checks":[],"levels":{},"n_train":9,"seed":0}'
CELL = (
    '{"excluded":null,"levels":{},"method":"ce","n_train":9,"outputs":null,"provenance":"full","run":"b",'
    '"seed":0,"student":"resnet8","teacher":"resnet8","teacher_run":null}'
)
OF_SCHEMA_1 = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, spec TEXT NOT NULL, condition TEXT NOT NULL,
    rank INTEGER NOT NULL, state TEXT NOT NULL, waiting INTEGER NOT NULL, deaths INTEGER NOT NULL DEFAULT 0,
    cost REAL NOT NULL, host TEXT, pid INTEGER, heartbeat REAL, seconds REAL, error TEXT
) WITHOUT ROWID;
CREATE TABLE needs (needed TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (needed, job)) WITHOUT ROWID;
CREATE TABLE conditions (rank INTEGER PRIMARY KEY, condition TEXT NOT NULL);
CREATE TABLE cells (rank INTEGER PRIMARY KEY, cell TEXT NOT NULL);
CREATE INDEX ready ON jobs (state, waiting, rank);
CREATE INDEX tally ON jobs (kind, state);
INSERT INTO meta VALUES ('schema', '1'), ('identity', 'i');
INSERT INTO jobs VALUES
    ('t', 'teacher', '{TEACHER}', '{{"chain":[],"seed":0,"train":"full"}}',
        0, 'done', 0, 0, 5, 'h', 1, 9, 2.5, NULL),
    ('b', 'student', '{PLAIN}', '{{"chain":[],"seed":0,"train":"transfer"}}',
        1, 'failed', 0, 2, 1, 'h', 1, 9, NULL, 'why'),
    ('c', 'student', '{DISTILLED}', '{{"chain":[],"seed":1,"train":"transfer"}}',
        2, 'queued', 0, 0, 1, NULL, NULL, NULL, NULL, NULL),
    ('r', 'student', '{DISTILLED}', '{{"chain":[],"seed":1,"train":"transfer"}}',
        3, 'running', 0, 1, 1, 'gone', 1, 9, NULL, NULL);
INSERT INTO needs VALUES ('t', 'c');
INSERT INTO conditions VALUES (0, '{CONDITION}');
INSERT INTO cells VALUES (0, '{CELL}'), (1, '{CELL}');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(made)
    db.executescript(OF_SCHEMA_1)
    db.close()
    return made


def test_every_job_keeps_its_state(path: Path) -> None:
    for _ in range(2):  # the second opening finds nothing to do
        with Ledger(path) as ledger:
            assert ledger.meta("identity") == "i"
            assert ledger.states() == {
                "t": ("done", 2.5, None),
                "b": ("failed", None, "why"),
                "c": ("queued", None, None),
                "r": ("running", None, None),
            }
            assert list(ledger.states()) == ["t", "b", "c", "r"]
            assert ledger.conditions() == [ConditionRecord(ConditionSpec((), 0), {}, 9)]
            assert ledger.cells() == [Cell({}, "full", "resnet8", "resnet8", "ce", 0, 9, run="b")] * 2
            assert ledger.seconds() == {"teacher": (1, 2.5)}
            assert ledger.progress() == (6.0, 8.0)
            job = ledger.job("c")
            assert job
            assert isinstance(job, StudentJob)
            assert job == StudentJob(
                id="c",
                condition=ConditionSpec((), 1),
                model="resnet8",
                method={"name": "kd", "config": {}},
                recipe={"steps": 3},
                sets=SetDigests("t", "v", {"test": "e"}, "n"),
                seeds=RunSeeds(1, 2, 3),
                teacher=TeacherSource("t", live=True),
            )


def test_converted_study_resumes(path: Path) -> None:
    with Ledger(path) as ledger:
        assert [job.id for job in ledger.claim()] == ["c"]
        assert ledger.reclaim(count_death=True) == 1  # its worker's second death
        assert [job.id for job in ledger.claim()] == ["r"]
        ledger.done("r", 1.0)
        ledger.fail("c", "broke")
        assert ledger.open_jobs() == 0
        assert ledger.retry_failed() == 2
        assert [job.id for job in ledger.claim()] == ["b"]


def test_needs_are_kept(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE jobs SET state = 'queued', seconds = NULL WHERE id = 't'")
    db.execute("UPDATE jobs SET waiting = 1 WHERE id = 'c'")
    db.commit()
    db.close()
    with Ledger(path) as ledger:
        assert [job.id for job in ledger.claim()] == ["t"]
        assert ledger.claim() == []
        ledger.fail("t", "broke")
        assert "teacher t, which failed: broke" in str(ledger.states()["c"][2])


def test_study_that_an_older_version_runs_is_left_alone(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE jobs SET heartbeat = ? WHERE id = 'r'", (time.time(),))
    db.commit()
    before = list(db.iterdump())
    with pytest.raises(RequestError, match="older version of distillab is running this study"):
        Ledger(path)
    assert list(db.iterdump()) == before
    db.close()


def test_failed_conversion_leaves_the_ledger_unchanged(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE jobs SET condition = 'not JSON' WHERE id = 'r'")
    db.commit()
    before = list(db.iterdump())
    with pytest.raises(ValueError, match="Expecting value"):
        Ledger(path)
    assert list(db.iterdump()) == before
    db.close()
