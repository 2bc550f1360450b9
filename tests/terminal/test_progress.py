"""Progress of long commands: plain lines where the output is not a terminal, bars where it is."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillab.api import Study
from distillab.cli import execute
from distillab.study.ledger import JobState
from distillab.study.status import StudyStatus
from distillab.terminal.progress import PlainLines, describe_jobs, describe_left, load_progress, run_progress
from support.studies import study, write_study


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


class TickingClock:
    """A clock that advances by a fixed number of seconds each time it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_lines_are_at_least_a_minute_apart() -> None:
    stream, now = io.StringIO(), 0.0
    lines = PlainLines(stream, clock=lambda: now)
    written = []
    for second in range(200):
        now = float(second)
        if lines.is_due():
            lines.write("on")
            written.append(second)
    assert written == [60, 120, 180]
    assert re.fullmatch(r"(\d\d:\d\d:\d\d on\n){3}", stream.getvalue())


def test_line_stays_one_line() -> None:
    stream = io.StringIO()
    PlainLines(stream, clock=lambda: 0.0).write("a study\nof two lines")
    assert stream.getvalue().count("\n") == 1


def test_stages_are_printed_once_a_minute() -> None:
    stream = io.StringIO()
    with load_progress(stream, clock=TickingClock(25.0)) as on_load:
        for done in range(0, 1001, 100):
            on_load("decoding images", done, 1000)
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 4
    assert all(re.search(r"decoding images: \d+ of 1,000$", line) for line in lines)


def test_short_stages_print_nothing() -> None:
    stream = io.StringIO()
    with load_progress(stream, clock=TickingClock(1.0)) as on_load:
        on_load("decoding images", 5, 10)
        on_load("decoding images", 10, 10)
    assert stream.getvalue() == ""


def test_stages_go_to_the_error_stream(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with load_progress(clock=TickingClock(61.0)) as on_load:
        on_load("measuring size", 1, 9)
    printed = capsys.readouterr()
    assert printed.out == "" and "measuring size: 1 of 9" in printed.err


def test_planning_reports_every_stage() -> None:
    stages: dict[str, None] = {}
    Study(**study()).plan(device="cpu", on_load=lambda what, done, total: stages.setdefault(what))
    assert {"applying factors", "timing resnet8"} <= stages.keys()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The lines of a small study whose clock advances by more than a minute between reports."""
    folder, stream = tmp_path_factory.mktemp("run"), io.StringIO()
    chosen = Study(**study(seeds=1, teacher={"provenance": ["full"]}, factors={"size": [5]}))
    with run_progress(stream, io.StringIO(), clock=TickingClock(61.0)) as progress:
        chosen.run(folder / "out", executor="inline", device="cpu", on_begin=progress.begin)
        progress(1.0)
    yield stream.getvalue().splitlines()


def test_first_line_states_the_work(log: list[str]) -> None:
    assert re.search(
        r"\d\d:\d\d:\d\d small: 2 students, 1 teacher, 1 set of teacher outputs, in .*out$", log[0]
    )


def test_minute_line_states_jobs_rate_and_the_best_method(log: list[str]) -> None:
    assert re.search(r"4 of 4 jobs done, 0 running, 0 waiting, [\d,]+ runs per hour; ", log[-1])
    assert "nothing left to run; best so far: kd, " in log[-1]
    assert log[-1].endswith("points of accuracy over ce (1 pair)")


def test_piped_run_prints_its_first_line_to_the_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "study.yaml", seeds=1, methods=["ce"], factors={})
    out = str(tmp_path / "out")
    assert execute(["run", str(tmp_path / "study.yaml"), "--out", out, "--executor", "inline"]) == 0
    printed = capsys.readouterr()
    assert "small: 1 student" in printed.out.splitlines()[0]
    assert printed.err == ""


def test_log_beside_a_terminal_gets_lines_too() -> None:
    log, terminal = io.StringIO(), Terminal()
    with run_progress(log, terminal) as progress:
        assert progress.lines is not None and progress.bar is not None
    with run_progress(terminal, log) as progress:
        assert progress.lines is not None and progress.bar is None
    with run_progress(terminal, terminal) as progress:
        assert progress.lines is None and progress.bar is not None


def status(workers: int = 2, left: float | None = 90.0, **counts: int) -> StudyStatus:
    jobs = {JobState(state): count for state, count in counts.items()}
    return StudyStatus("demo", {"student": jobs}, 0.5, {}, (), workers, left)


def test_jobs_are_counted_without_those_that_may_not_be_needed() -> None:
    found = status(done=3, running=1, queued=4, failed=2, held=9, spared=5)
    assert describe_jobs(found) == "3 of 10 jobs done, 1 running, 4 waiting, 2 failed"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (status(queued=4), "about 0:00:45 of wall time left with 2 workers"),
        (status(queued=4, workers=1), "about 0:01:30 of wall time left with 1 worker"),
        (status(queued=4, workers=0), "about 0:01:30 of training time left; no worker is running"),
        (status(queued=4, left=None), "time left not known before the first job is done"),
        (status(done=4, left=0.0, workers=0), "nothing left to run"),
    ],
)
def test_time_left_carries_its_name(found: StudyStatus, text: str) -> None:
    assert describe_left(found) == text
