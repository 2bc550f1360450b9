"""`distillab watch`: the report of a study in a browser, renewed while the study runs.

A server of the standard library on 127.0.0.1 that knows three addresses: a frame, the report of one study,
and its state. No path of a request is ever looked up on the disk.
"""

from __future__ import annotations

import hashlib
import html
import json
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.study.status import StudyStatus, require_study, study_status

REPORT_FILE: Final = "report.html"
HOST: Final = "127.0.0.1"
HOSTS: Final = ("127.0.0.1", "localhost")
USUAL_PORT: Final = 8321
EVERY: Final = 10.0  # seconds between two looks at the ledger
_UNREADABLE: Final = "the study could not be read, which is tried again: {}"
REST: Final = 5.0  # times as long as writing a report took are left to other work before it is written again

FRAME: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>distillab watch</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; frame-src 'self'; connect-src 'self';
 script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<style>html,body{margin:0;height:100%;font:14px system-ui,sans-serif}body{display:flex;flex-direction:column}
#bar{padding:.4em 1em;background:#eef;color:#223;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
iframe{flex:1;border:0;width:100%}</style></head>
<body><div id="bar" role="status">reading the study</div>
<iframe id="page" title="report" src="report.html"></iframe>
<script>
const bar = document.getElementById("bar"), page = document.getElementById("page");
let seen = null;
async function look() {
  try {
    const state = await (await fetch("state", {cache: "no-store"})).json();
    bar.textContent = state.text;
    document.title = Math.floor(100 * state.share_done) + " % " + state.study;
    if (seen !== null && state.report !== seen) {
      const top = page.contentWindow.scrollY;
      page.addEventListener("load", () => page.contentWindow.scrollTo(0, top), {once: true});
      page.contentWindow.location.reload();
    }
    seen = state.report;
  } catch { bar.textContent = "distillab watch has ended"; }
  setTimeout(look, 2000);
}
look();
</script></body></html>
"""


class ReportServer(ThreadingHTTPServer):
    """A server of the report of one study, on this machine alone.

    Args:
        folder: The study's folder.
        port: The port; 0 for a free one.
        renew: Writes the report of the folder anew.
        every: Seconds between two looks at the ledger.

    Raises:
        RequestError: There is no study, or the port cannot be used.

    Example:
        >>> ReportServer(Path("nowhere"), 0, lambda folder: None)
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here (no study.yaml and ledger.sqlite) ...
    """

    daemon_threads = True

    def __init__(
        self, folder: Path, port: int, renew: Callable[[Path], object], *, every: float = EVERY
    ) -> None:
        require_study(folder)
        self.folder, self.renew, self.every = folder, renew, every
        self._ended = threading.Event()
        self._shown: JsonObject | None = None
        self._study, self._share = folder.resolve().name, 0.0
        self.error = ""
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RequestError(
                f"cannot be used ({reason})",
                where=f"--port {port}",
                allowed="another port from 1024 to 65535, or 0 for a free one",
            ) from error

    @property
    def address(self) -> str:
        """The address for a browser."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def run(self) -> None:
        """Serve and renew the report until :meth:`end` or Ctrl-C."""
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            self.serve_forever(poll_interval=0.2)
        finally:
            self._ended.set()
            self.server_close()

    def end(self) -> None:
        """Stop :meth:`run`, from another thread."""
        self._ended.set()
        self.shutdown()

    def page(self) -> bytes:
        """Return the report, as it is now; a sentence if there is none yet, or it cannot be read."""
        try:
            return (self.folder / REPORT_FILE).read_bytes()
        except FileNotFoundError:
            text = "The report is being written."
        except OSError as error:
            text = f"The report cannot be read ({html.escape(_reason(error))})."
        return f'<!doctype html><meta charset="utf-8"><title>report</title><p>{text}</p>'.encode()

    def state(self) -> JsonObject:
        """Return what the frame shows: the share that is done, a line of text, the digest of the report.

        If the study cannot be read, the share is the last one that was read, and the text states why.
        """
        try:
            found = study_status(self.folder)
            self._study, self._share = found.study, found.share_done
            text = f"{found.study}: {100 * found.share_done:.0f} % of the work done, {found.runs.text}"
            parts = [text, self.error]
        except Exception as error:  # noqa: BLE001 - shown in the bar, which is renewed every few seconds
            parts = [f"{self._study}: {_UNREADABLE.format(_reason(error))}"]
        return {
            "study": self._study,
            "share_done": self._share,
            "text": "; ".join(part for part in parts if part),
            "report": hashlib.sha256(self.page()).hexdigest(),
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing if a browser went away, and one line on any other failure of a request."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError | None):
            sys.stderr.write(f"distillab: a request could not be answered: {_reason(error)}\n")

    def _renew(self) -> None:
        """Write the report anew whenever jobs have ended; whatever goes wrong is tried again."""
        while not self._ended.is_set():
            started = time.monotonic()
            worked = self._look()
            self._ended.wait(max(self.every, REST * (time.monotonic() - started) if worked else 0.0))

    def _look(self) -> bool:
        """Renew the report if jobs have ended since it was written; return True if that was tried."""
        try:
            now = _counted(study_status(self.folder))
        except Exception as error:  # noqa: BLE001 - shown in the bar
            self.error = _UNREADABLE.format(_reason(error))
            return False
        if now == self._shown and (self.folder / REPORT_FILE).exists():
            self.error = ""
            return False
        try:
            self.renew(self.folder)
            self._shown, self.error = now, ""
        except Exception as error:  # noqa: BLE001 - shown in the bar; the report stays as it was
            self.error = f"the report could not be renewed: {_reason(error)}"
        return True


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for three addresses, to requests of this machine's browser."""

    server: ReportServer
    server_version = "distillab"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer a request without its content."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        # A page of another site can have its name resolve to 127.0.0.1: the header shows which it wants.
        if not _is_local(self.headers.get_all("Host") or []):
            self._send(
                HTTPStatus.FORBIDDEN, b"only http://127.0.0.1 and http://localhost are served", "text/plain"
            )
            return
        try:
            self._answer_to(self.path.partition("?")[0])
        except ConnectionError:  # the browser went away
            self.close_connection = True

    def _answer_to(self, path: str) -> None:
        if path == "/":
            self._send(HTTPStatus.OK, FRAME.encode(), "text/html")
        elif path == "/report.html":
            self._send(HTTPStatus.OK, self.server.page(), "text/html")
        elif path == "/state":
            self._send(HTTPStatus.OK, json.dumps(self.server.state()).encode(), "application/json")
        else:
            self._send(
                HTTPStatus.NOT_FOUND, b"there is nothing here but /, /report.html and /state", "text/plain"
            )

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if status is HTTPStatus.OK and self.headers.get("If-None-Match") == tag:
            status, content = HTTPStatus.NOT_MODIFIED, b""
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _is_local(hosts: list[str]) -> bool:
    """Return True if a request has one Host, which is this machine."""
    if len(hosts) != 1:
        return False
    name, _, port = hosts[0].partition(":")
    return name.lower() in HOSTS and (not port or port.isdecimal())


def _reason(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RequestError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _counted(status: StudyStatus) -> JsonObject:
    """Return the ended jobs of each kind."""
    return {
        kind: {state: count for state, count in counts.items() if state not in ("queued", "running")}
        for kind, counts in status.jobs.items()
    }
