"""A pilot: a process within an allocation of a cluster that takes tasks until none is left."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distillab.study.running.executors.mailbox import Mailbox
from distillab.study.running.executors.messages import Reply
from distillab.study.running.executors.remote import RemoteStudy, run_remote

SIGN_SECONDS = 5.0  # between signs of life
MOST_IDLE_SECONDS = 60.0  # without a task, after which an allocation is given back
ABANDONED_SECONDS = 300.0  # without a sign of life of the driver
_POLL_SECONDS = 0.25


def run_pilot(folder: str, name: str, study: RemoteStudy, idle_seconds: float = MOST_IDLE_SECONDS) -> None:
    """Run tasks of a mailbox until there have been none for a while, or the driver is gone.

    Args:
        folder: The folder of the mailbox.
        name: The name of the pilot.
        study: The study that the tasks are of.
        idle_seconds: How long to wait for a task.
    """
    # A manager of jobs sends signals before it ends an allocation. An exception in the middle of a job would
    # count as its failure; a process that is gone is noticed by the driver, which puts the job back.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    box = Mailbox(Path(folder))
    with _signs_of_life(box, name) as abandoned:
        idle_since = time.monotonic()
        while box.is_open and not abandoned.is_set() and time.monotonic() - idle_since < idle_seconds:
            try:
                task = box.take(name)
            except FileNotFoundError:
                return  # the driver has ended
            if task is None:
                time.sleep(_POLL_SECONDS)
                continue
            number, jobs = task
            reply: Reply
            try:
                reply = run_remote(study, jobs)
            except Exception as error:  # noqa: BLE001 - the driver raises it
                reply = error
            try:
                box.reply(name, number, reply)
            except FileNotFoundError:
                return
            idle_since = time.monotonic()


@contextmanager
def _signs_of_life(box: Mailbox, name: str) -> Iterator[threading.Event]:
    """Give signs of life while the block runs; the event is set once the driver gives none."""
    ended, abandoned = threading.Event(), threading.Event()

    def give() -> None:
        while box.is_open and not abandoned.is_set():
            try:
                if box.is_abandoned(name, ABANDONED_SECONDS):
                    abandoned.set()
            except FileNotFoundError:
                return  # the driver has ended
            if ended.wait(SIGN_SECONDS):
                return

    thread = threading.Thread(target=give, daemon=True)
    thread.start()
    try:
        yield abandoned
    finally:
        ended.set()
        thread.join()
