"""Tasks and their ends as files on a disk that driver and pilots share.

Every file appears whole, by a rename, and a pilot takes a task by renaming it, so that one pilot alone gets
it. Times of files are compared with each other, never with a clock: those of two machines may differ.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from distillab.study.job import StoredJob
from distillab.study.running.executors.messages import (
    Reply,
    jobs_from_text,
    jobs_to_text,
    reply_from_text,
    reply_to_text,
)


@dataclass(frozen=True)
class Mailbox:
    """A folder with the tasks of one driver. A driver makes a folder of a new name, and reads no other.

    Attributes:
        folder: The folder.

    Example:
        >>> import tempfile
        >>> box = Mailbox.new(Path(tempfile.mkdtemp()))
        >>> box.post(7, [])
        >>> box.take("pilot")
        (7, [])
        >>> box.reply("pilot", 7, [])
        >>> list(box.replies()), box.taken("pilot")
        ([(7, [])], [])
    """

    folder: Path

    @classmethod
    def new(cls, parent: Path) -> Mailbox:
        """Return an empty mailbox in a new folder."""
        box = cls(parent / f"tasks-{uuid.uuid4().hex}")
        for name in ("posted", "taken", "ended", "alive"):
            (box.folder / name).mkdir(parents=True, mode=0o700)
        return box

    # -- the driver

    def post(self, task: int, jobs: Sequence[StoredJob]) -> None:
        """Offer a task to the pilots."""
        self._write("posted", task, jobs_to_text(jobs))

    def waiting(self) -> int:
        """Return how many tasks no pilot has taken."""
        return sum(1 for _ in (self.folder / "posted").iterdir())

    def replies(self) -> Iterator[tuple[int, Reply]]:
        """Yield the tasks that have ended, once each."""
        for path in sorted((self.folder / "ended").iterdir()):
            reply = reply_from_text(path.read_text())
            path.unlink()
            yield int(path.name), reply

    def taken(self, pilot: str) -> list[int]:
        """Return the tasks that a pilot has taken and not answered."""
        folder = self.folder / "taken" / pilot
        return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []

    def forget(self, pilot: str) -> None:
        """Remove what a pilot has taken: it is gone."""
        shutil.rmtree(self.folder / "taken" / pilot, ignore_errors=True)

    def withdraw(self, task: int) -> None:
        """Take back a task that no pilot has taken."""
        (self.folder / "posted" / str(task)).unlink(missing_ok=True)

    def seconds_silent(self, pilot: str) -> float | None:
        """Return for how long a pilot has not given a sign of life; None before its first one."""
        now = self._sign("driver")
        sign = self.folder / "alive" / pilot
        return now - sign.stat().st_mtime if sign.exists() else None

    def close(self) -> None:
        """Remove everything; pilots end when they see that the folder is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the pilots

    @property
    def is_open(self) -> bool:
        """False once the driver has ended in an orderly way."""
        return (self.folder / "alive").exists()

    def is_abandoned(self, pilot: str, seconds: float) -> bool:
        """Return whether the driver has not given a sign of life for some seconds; gives one of the pilot."""
        now = self._sign(pilot)
        driver = self.folder / "alive" / "driver"
        return driver.exists() and now - driver.stat().st_mtime > seconds

    def take(self, pilot: str) -> tuple[int, list[StoredJob]] | None:
        """Take the task that was offered first; None if there is none."""
        own = self.folder / "taken" / pilot
        own.mkdir(parents=True, exist_ok=True)
        for task in sorted(int(path.name) for path in (self.folder / "posted").iterdir()):
            try:
                (self.folder / "posted" / str(task)).rename(own / str(task))
            except FileNotFoundError:
                continue  # another pilot was faster
            return task, jobs_from_text((own / str(task)).read_text())
        return None

    def reply(self, pilot: str, task: int, reply: Reply) -> None:
        """Report how a task ended."""
        self._write("ended", task, reply_to_text(reply))
        (self.folder / "taken" / pilot / str(task)).unlink(missing_ok=True)

    # --

    def _write(self, place: str, task: int, text: str) -> None:
        draft = self.folder / f"{uuid.uuid4().hex}.draft"
        draft.write_text(text)
        draft.rename(self.folder / place / str(task))

    def _sign(self, name: str) -> float:
        """Give a sign of life, and return the time of the shared disk."""
        path = self.folder / "alive" / name
        path.touch()
        os.utime(path)  # by the clock of the file server
        return path.stat().st_mtime
