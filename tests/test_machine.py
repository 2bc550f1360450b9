"""What of the machine is ours: processors and memory, as containers limit them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from distillab import machine
from distillab.machine import free_memory, usable_cores


@pytest.fixture(autouse=True)
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors and 1,000 free bytes, in a container of which nothing is told."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    return tmp_path


@pytest.mark.parametrize(
    ("told", "cores"),
    [
        (None, 8),
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 8),
    ],
)
def test_a_quota_of_processors_counts(cgroup: Path, told: str | None, cores: int) -> None:
    if told:
        (cgroup / "cpu.max").write_text(f"{told}\n")
    assert usable_cores() == cores


def test_without_affinity_all_processors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == 3


@pytest.mark.parametrize(("limit", "held"), [("memory.max", "memory.current"), machine._MEMORY[1]])
@pytest.mark.parametrize(
    ("most", "now", "free"),
    [("700", "300", 400), ("max", "300", 1000), ("9999", "300", 1000), ("300", "400", 0)],
)
def test_a_limit_of_memory_counts(
    cgroup: Path, limit: str, held: str, most: str, now: str, free: int
) -> None:
    for name, told in ((limit, most), (held, now)):
        (cgroup / name).parent.mkdir(exist_ok=True)
        (cgroup / name).write_text(f"{told}\n")
    assert free_memory() == free


def test_a_machine_that_is_no_container_has_what_is_free() -> None:
    assert free_memory() == 1000
