"""Which device is used, and what it can do; absent GPUs are simulated by patching torch."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch

from distillab.errors import LESS_MEMORY, RequestError
from distillab.study.running.worker import format_error
from distillab.training.numerics.device import has_native_bf16, is_gpu_lost, is_out_of_memory, pick_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number 0 is old, number 1 computes in bf16."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: [(7, 5), (8, 0)][device.index])
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


def test_an_absent_device_is_refused_with_those_present() -> None:
    with pytest.raises(RequestError, match="device 'cuda:3' is not present") as caught:
        pick_device("cuda:3")
    assert "auto" in str(caught.value) and "cpu" in str(caught.value)
    with pytest.raises(RequestError, match="device 'fpu'"):
        pick_device("fpu")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_is_checked_for_bf16() -> None:
    assert pick_device() == torch.device("cuda")
    assert not has_native_bf16(pick_device("cuda:0")) and has_native_bf16(pick_device("cuda:1"))
    with pytest.raises(RequestError, match="cuda:0, cuda:1"):
        pick_device("cuda:2")


@pytest.mark.usefixtures("two_gpus")
def test_cublas_is_deterministic_before_its_first_call() -> None:
    pick_device("cpu")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    pick_device("cuda:1")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (IndexError("index -1 is out of bounds"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_lost_gpu_is_recognized_by_the_error(error: Exception, lost: bool) -> None:
    assert is_gpu_lost(error) == lost


@pytest.mark.parametrize(
    "allocate",
    [lambda: torch.empty(2**46), lambda: np.empty(2**50), lambda: bytearray(2**60)],
    ids=["torch", "numpy", "python"],
)
def test_memory_that_does_not_suffice_is_recognized(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)
    assert format_error(caught.value).startswith(f"out of memory: {LESS_MEMORY} (test_device.py:")
