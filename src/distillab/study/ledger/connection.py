"""Connections to a ledger's database: write-ahead logging, and short transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from distillab.errors import RequestError

BUSY_SECONDS = 60.0  # how long a connection waits for the locks of others
LOG_PAGES = 20_000  # 80 MB: beyond this a writer itself moves the log into the database


def connect(path: Path) -> sqlite3.Connection:
    """Open a database, or create it; read-only where the file or its folder must not be written."""
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        return db
    # Without a log there is no open writer, and the database can be read without creating one.
    has_log = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if has_log else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )


def refused(path: Path, what: str) -> RequestError:
    """Return the error of a ledger that cannot be used, with the way out."""
    return RequestError(
        what,
        where=str(path),
        allowed=f"`distillab repair {path.parent}`, which plans the study again and keeps its store",
    )


def is_damage(error: BaseException | None) -> bool:
    """Return True if an error means that a database is damaged or another one, not that it is busy."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    return not isinstance(error, sqlite3.OperationalError) or str(error).startswith(("no such", "unable to"))


def as_damage(path: Path, error: BaseException) -> RequestError:
    """Return the error of a damaged ledger for what SQLite or a parser raised."""
    return refused(path, f"is damaged, or is no ledger of distillab ({error})")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in a write transaction, which is rolled back if the block raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has rolled back already; a second rollback would hide that error.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for locks here, so this retries."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
