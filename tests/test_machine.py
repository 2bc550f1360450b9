"""The processors and the memory that this process may use, as containers limit them."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from distillab import machine
from distillab.machine import (
    MEMORY_FILES,
    free_memory,
    garbage_collection_paused,
    has_bf16_instructions,
    tune_allocator,
    usable_cores,
)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors and 1,000 free bytes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        (None, 8),
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 8),
    ],
)
def test_cpu_quota_limits_the_cores(tmp_path: Path, quota: str | None, cores: int) -> None:
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path) == cores


def test_without_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores(tmp_path) == 3


@pytest.mark.parametrize(("limit_file", "usage_file"), MEMORY_FILES)
@pytest.mark.parametrize(
    ("limit", "usage", "free"),
    [("700", "300", 400), ("max", "300", 1000), ("9999", "300", 1000), ("300", "400", 0)],
)
def test_memory_limit_of_a_container_counts(
    tmp_path: Path, limit_file: str, usage_file: str, limit: str, usage: str, free: int
) -> None:
    for name, text in ((limit_file, limit), (usage_file, usage)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert free_memory(tmp_path) == free


def test_without_a_container_all_free_memory_counts(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == 1000


def test_allocator_settings_change_no_number() -> None:
    inputs = torch.linspace(0, 1, 64).reshape(8, 8)
    before = inputs @ inputs
    assert tune_allocator() == tune_allocator()
    assert torch.equal(inputs @ inputs, before)


def test_allocator_stays_as_it_is_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not tune_allocator()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())  # a libc without mallopt
    assert not tune_allocator()


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 fma\n", False),
        ("model name\t: a processor with bf16\n", False),
        (None, False),
    ],
)
def test_bf16_instructions_are_read_from_the_flags(tmp_path: Path, cpuinfo: str | None, found: bool) -> None:
    if cpuinfo:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert has_bf16_instructions(tmp_path / "cpuinfo") is found


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_as_before_after_a_pause(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ValueError, match="inside"), garbage_collection_paused():
            assert not gc.isenabled()
            raise ValueError("inside")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
        gc.unfreeze()
