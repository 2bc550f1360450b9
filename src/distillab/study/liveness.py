"""Whether a process of this host still lives: who holds a job, or a draft in the store."""

from __future__ import annotations

import psutil

CLOCK_SECONDS = 2.0  # systems round the moment at which a process began


def is_alive(pid: int, since: float | None = None) -> bool:
    """Whether a process of this host runs, and is the one that had this pid at ``since`` (seconds since the
    epoch; None: any). A killed one that nobody has waited for does not."""
    try:
        process = psutil.Process(pid)
        if since is not None and process.create_time() > since + CLOCK_SECONDS:
            return False  # the pid was given away again
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
