"""`distillab watch` serves one report on this machine, renews it, and answers for nothing else."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distillab import watch
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.status import StudyStatus, study_status
from distillab.watch import ReportServer


def study_folder(path: Path) -> StudyFolder:
    """Return a folder with an empty ledger and a study file."""
    folder = StudyFolder(path)
    (path / "study.yaml").write_text("study: demo\n")
    with folder.ledger() as ledger:
        ledger.create({"identity": "demo"}, jobs=[], conditions=[], cells=[])
    return folder


@contextmanager
def serving(path: Path, text: str = "first") -> Iterator[ReportServer]:
    def renew(folder: Path) -> None:
        (folder / "report.html").write_text(f"<!doctype html><p>{text}</p>")

    server = ReportServer(path, 0, renew, every=0.05)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        for _ in range(200):
            if (path / "report.html").exists():
                break
            thread.join(0.02)
        yield server
    finally:
        server.end()
        thread.join(10)
        assert not thread.is_alive()


def answer(server: ReportServer, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in ({"Host": f"127.0.0.1:{server.server_address[1]}"} | headers).items():
        if value:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    found = connection.getresponse()
    return found.status, found.read().decode(), dict(found.getheaders())


def test_frame_report_and_state_are_served(tmp_path: Path) -> None:
    study_folder(tmp_path)
    with serving(tmp_path) as server:
        status, frame, headers = answer(server, "/")
        assert (
            status == 200 and 'src="report.html"' in frame and headers["X-Content-Type-Options"] == "nosniff"
        )
        assert answer(server, "/report.html")[:2] == (200, "<!doctype html><p>first</p>")
        state = json.loads(answer(server, "/state")[1])
        assert state["study"] == "demo" and state["text"].startswith("demo: 100 % of the work done")


def test_unchanged_report_is_not_sent_again_and_a_new_one_changes_the_state(tmp_path: Path) -> None:
    study_folder(tmp_path)
    with serving(tmp_path) as server:
        _, _, headers = answer(server, "/report.html")
        assert answer(server, "/report.html", If_None_Match=headers["ETag"])[:2] == (304, "")
        before = json.loads(answer(server, "/state")[1])["report"]
        (tmp_path / "report.html").write_text("<!doctype html><p>second</p>")
        assert answer(server, "/report.html", If_None_Match=headers["ETag"])[0] == 200
        assert json.loads(answer(server, "/state")[1])["report"] != before


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../study.yaml",
            "/study.yaml",
            "/%2e%2e/study.yaml",
            "//etc/passwd",
            "/report.html/../study.yaml",
        ),
        *("/store", "/ledger.sqlite", "report.html", "/report.html%00"),
    ],
)
def test_no_other_file_is_served(path: str, tmp_path: Path) -> None:
    study_folder(tmp_path)
    with serving(tmp_path) as server:
        status, text, _ = answer(server, path)
        assert status == 404 and "study: demo" not in text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1"]
)
def test_other_hosts_are_refused(host: str, tmp_path: Path) -> None:
    study_folder(tmp_path)
    with serving(tmp_path) as server:
        assert answer(server, "/report.html", Host=host)[0] == 403
        assert answer(server, "/report.html", Host="localhost")[0] == 200


def test_report_that_cannot_be_renewed_is_shown_as_it_was(tmp_path: Path) -> None:
    study_folder(tmp_path)
    (tmp_path / "report.html").write_text("old")

    def renew(folder: Path) -> None:
        raise RequestError("the tables are broken")

    server = ReportServer(tmp_path, 0, renew, every=0.02)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        texts = (json.loads(answer(server, "/state")[1])["text"] for _ in range(200))
        assert any("could not be renewed: the tables are broken" in text for text in texts)
        assert answer(server, "/report.html")[1] == "old"
    finally:
        server.end()
        thread.join(10)


FAILURES = [
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.DatabaseError("database disk image is malformed"),
    RequestError("no study here"),
    TypeError("'NoneType' object is not subscriptable"),  # study.yaml is being written
    PermissionError(13, "Permission denied"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_study_that_cannot_be_read_for_a_while_is_stated_and_read_again(
    failure: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    study_folder(tmp_path)
    broken = threading.Event()

    def status(folder: Path) -> StudyStatus:
        if broken.is_set():
            raise failure
        return study_status(folder)

    monkeypatch.setattr(watch, "study_status", status)
    with serving(tmp_path) as server:
        answer(server, "/state")
        broken.set()
        for _ in range(50):
            code, text, _headers = answer(server, "/state")
            state = json.loads(text)
            assert code == 200 and state["study"] == "demo" and state["share_done"] == 1.0
            assert state["text"].startswith("demo: the study could not be read")
            assert str(failure) in state["text"] and "tried again" in state["text"]
            if "could not be read" in server.error:
                break  # the thread that renews the report met it too
            threading.Event().wait(0.02)
        assert "could not be read" in server.error
        (tmp_path / "report.html").unlink()
        broken.clear()
        for _ in range(200):
            if (tmp_path / "report.html").exists() and not server.error:
                break
            threading.Event().wait(0.02)
        assert answer(server, "/report.html")[1] == "<!doctype html><p>first</p>"
        assert "could not" not in json.loads(answer(server, "/state")[1])["text"]
    assert capfd.readouterr().err == ""


def test_report_that_cannot_be_read_is_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study_folder(tmp_path)
    (tmp_path / "report.html").mkdir()
    server = ReportServer(tmp_path, 0, lambda folder: None, every=0.02)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        code, text, _headers = answer(server, "/report.html")
        assert code == 200 and "The report cannot be read" in text
        assert answer(server, "/state")[0] == 200
    finally:
        server.end()
        thread.join(10)
    assert capfd.readouterr().err == ""


def test_browser_that_goes_away_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study_folder(tmp_path)
    with serving(tmp_path, "x" * 5_000_000) as server:
        for _ in range(3):
            with socket.create_connection(server.server_address[:2]) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(b"GET /report.html HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer(server, "/state")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("port", [-1, 70000])
def test_impossible_port_is_refused(port: int, tmp_path: Path) -> None:
    study_folder(tmp_path)
    with pytest.raises(RequestError, match=r"--port .*allowed: another port"):
        ReportServer(tmp_path, port, lambda folder: None)


def test_port_in_use_is_refused(tmp_path: Path) -> None:
    study_folder(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(RequestError, match="cannot be used"):
            ReportServer(tmp_path, other.getsockname()[1], lambda folder: None)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_cleanly_at_ctrl_c(sent: signal.Signals, tmp_path: Path) -> None:
    study_folder(tmp_path)
    command = [sys.executable, "-m", "distillab.cli", "watch", str(tmp_path), "--port", "0"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout is not None and process.stderr is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(sent)
        assert "stopped watching" in process.stdout.read()
        assert process.stderr.read() == "" and process.wait(20) == 0
