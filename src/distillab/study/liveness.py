"""Whether a process of this host is alive: one that runs a job, or fills a draft in the store."""

from __future__ import annotations

import psutil

CLOCK_SECONDS = 2.0  # operating systems round the time at which a process started


def is_alive(pid: int, since: float | None = None) -> bool:
    """Return True if a process of this host is running.

    Args:
        pid: The process id.
        since: When it had this id, in seconds since the epoch: a process that started later got the id of
            one that ended. None accepts any.

    Returns:
        False for a killed process whose parent has not waited for it yet.
    """
    try:
        process = psutil.Process(pid)
        if since is not None and process.create_time() > since + CLOCK_SECONDS:
            return False
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
