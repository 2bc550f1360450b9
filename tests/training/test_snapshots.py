"""A training that is interrupted goes on from its last snapshot to the same numbers, to the bit."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import parse_method
from distillab.models import InputSpec, build_model
from distillab.models.registry import TEXT_NETWORKS, models
from distillab.training.loop.module_state import module_state, restore_modules
from distillab.training.loop.plain_state import state_bytes, state_in
from distillab.training.loop.snapshots import Snapshots, snapshot_seconds
from distillab.training.loop.validation import Validation
from distillab.training.stages import KeptCurve, train_teacher
from support.interrupted import (
    IDS,
    AfterStep,
    InterruptedTrainingError,
    interrupt,
    resuming,
    students_trained,
)
from support.methods import OF_CLASSIFIERS
from support.training import CPU, MODEL, SEEDS, recipe, role_sets

GROUPS = np.arange(40) % 2
SETS = role_sets()
SETS = replace(SETS, train=replace(SETS.train, groups=GROUPS))
RECIPE = recipe(SETS.train, steps=8, views="crop_flip")
AT = 5  # steps before the snapshot: in the middle of the second epoch of four steps
KEPT = KeptCurve(test=True, logit_bytes=10**6)


class Dropping(nn.Sequential):
    """A network with dropout."""

    resumable = True

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3))


def dropping(num_classes: int) -> nn.Module:
    """A factory for ``module:factory``."""
    return Dropping()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    train_teacher(folder, MODEL, SETS, RECIPE, SEEDS, device=CPU)
    return folder


def student(entry: Any = "kd", **keys: Any) -> dict[str, Any]:
    values = {"model": MODEL, "method": parse_method(entry, "methods"), "sets": SETS, "recipe": RECIPE}
    return values | {"seeds": SEEDS, "keep": KEPT} | keys


def trained(folder: Path, students: list[dict[str, Any]], teacher: Path | None) -> Callable[..., list[Any]]:
    """Return what trains a cohort, with further arguments, and returns what is kept of the students."""

    def train(**keys: Any) -> list[Any]:
        return students_trained(folder / "students", students, teacher, **keys)

    return train


def check_resumed(students: list[dict[str, Any]], folder: Path, teacher: Path | None, at: int = AT) -> None:
    """Check that an interruption changes nothing but the number of steps."""
    train, steps = trained(folder, students, teacher), list[int]()
    expected = train()
    interrupt(train, folder / "snapshots", at=at)
    assert train(snapshots=resuming(folder / "snapshots"), on_step=steps.append) == expected
    assert steps == list(range(at, students[0]["recipe"].steps))


@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_every_method_goes_on_to_the_same_numbers(name: str, teacher: Path, tmp_path: Path) -> None:
    check_resumed([student(name)], tmp_path, teacher)


@pytest.mark.parametrize("name", models)
def test_the_state_of_every_network_is_restored(name: str) -> None:
    inputs = InputSpec(1, 1, 32) if name in TEXT_NETWORKS else InputSpec(3, 32, 32)
    networks = [build_model(name, classes=3, inputs=inputs) for _ in range(2)]
    written, other = (state_bytes(module_state({"network": each})) for each in networks)
    assert written != other
    restore_modules({"network": networks[1]}, state_in(written))
    assert state_bytes(module_state({"network": networks[1]})) == written


@pytest.mark.parametrize(
    "keys",
    [
        {"optimiser": "adamw", "lr": 0.01},
        {"precision": "bf16"},
        {"memory_format": "contiguous", "schedule": "constant"},
        {"views": "mixup"},
        {"views": "cutmix"},
        {"sampler": "balanced"},
        {"nesterov": True, "batch_size": 7},
    ],
)
@pytest.mark.parametrize("at", [1, 4, 7])
def test_every_kind_of_recipe_goes_on_to_the_same_numbers(
    keys: dict[str, Any], at: int, teacher: Path, tmp_path: Path
) -> None:
    chosen = recipe(SETS.train, **{"steps": 8, **keys})
    check_resumed([student(recipe=chosen), student("dot", recipe=chosen)], tmp_path, teacher, at)


def test_label_smoothing_and_dropout_go_on_to_the_same_numbers(teacher: Path, tmp_path: Path) -> None:
    """The private random numbers of each member are part of a snapshot."""
    cohort = [
        student("label_smoothing"),
        student("kd", model=f"{__name__}:dropping"),
        student("ce", model=f"{__name__}:dropping"),
    ]
    check_resumed(cohort, tmp_path, teacher)


def test_members_that_diverged_stay_out(teacher: Path, tmp_path: Path) -> None:
    students = [student("kd", recipe=replace(RECIPE, lr=1e12)), student("dkd")]
    train = trained(tmp_path, students, teacher)
    [(_, [message]), _] = train()
    assert "is not finite in epoch 1" in message
    check_resumed(students, tmp_path, teacher)


# -- what is no snapshot of this training --------------------------------------------------------------------


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [_cut, _flip, _empty])
def test_damaged_snapshots_count_as_none(damage: Callable[[Path], None], tmp_path: Path) -> None:
    check_from_the_start(tmp_path, lambda: damage(only_file(tmp_path / "snapshots")))


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("distillab.training.loop.snapshots._PREFIX", b"distillab snapshot 0\n"),
        ("importlib.metadata.version", lambda _: "0.0.0"),
        ("torch.__version__", "1.0"),
        ("torch.get_num_threads", lambda: 99),
    ],
)
def test_snapshots_of_other_versions_count_as_none(
    what: str, other: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_from_the_start(tmp_path, lambda: monkeypatch.setattr(what, other))


def test_snapshots_of_other_jobs_count_as_none(tmp_path: Path) -> None:
    """Also under the name of this one."""

    def replace_file() -> None:
        file = only_file(tmp_path / "snapshots")
        interrupt_other = trained(tmp_path / "other", [student("ce", seeds=replace(SEEDS, init=9))], None)
        with pytest.raises(InterruptedTrainingError):
            interrupt_other(snapshots=AfterStep(tmp_path / "theirs", AT, ["another"]))
        only_file(tmp_path / "theirs").rename(file)

    check_from_the_start(tmp_path, replace_file)


def test_a_snapshot_that_does_not_hold_all_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is restored must have the state that was written."""

    def lose_a_part() -> None:
        monkeypatch.setattr(Validation, "restore", lambda *_: None)

    check_from_the_start(tmp_path, lose_a_part)


def check_from_the_start(folder: Path, change: Callable[[], object]) -> None:
    """Check that an interrupted training, after a change, begins with its first step, to the same numbers."""
    train, steps = trained(folder, [student("ce")], None), list[int]()
    expected = train()
    interrupt(train, folder / "snapshots", at=AT)
    change()
    assert train(snapshots=resuming(folder / "snapshots"), on_step=steps.append) == expected
    assert steps == list(range(8))


def only_file(folder: Path) -> Path:
    [file] = folder.iterdir()
    return file


# -- what is not written ------------------------------------------------------------------------------------


class Counting(nn.Module):
    """A network of a user that counts its forward passes, in an attribute of an unknown type."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.passes = nn.Linear(64, 3), Counter[str]()

    def forward(self, x: Tensor) -> Tensor:
        self.passes["all"] += 1
        logits: Tensor = self.fc(x.flatten(1))
        return logits


def counting(num_classes: int) -> nn.Module:
    """A factory for ``module:factory``."""
    return Counting()


@pytest.mark.parametrize("declared", [None, True, False])
def test_networks_of_users_with_unknown_state_are_not_written(
    declared: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "resumable", declared, raising=False)
    train = trained(tmp_path, [student("ce", model=f"{__name__}:counting")], None)
    interrupt(train, tmp_path / "snapshots", at=AT)
    assert not (tmp_path / "snapshots").exists()


def test_what_a_class_calls_transient_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "resumable", True, raising=False)
    monkeypatch.setattr(Counting, "transient", frozenset({"passes"}), raising=False)
    check_resumed([student("ce", model=f"{__name__}:counting")], tmp_path, None)


def test_training_goes_on_where_a_snapshot_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot before stays, and nothing is left over."""
    train = trained(tmp_path, [student("ce")], None)
    expected = train()
    folder = tmp_path / "snapshots"
    interrupt(train, folder, at=2)
    before = only_file(tmp_path / "snapshots").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    snapshots = Snapshots(folder, IDS, seconds=1e-9)
    assert train(snapshots=snapshots) == expected
    assert only_file(tmp_path / "snapshots").read_bytes() == before
    monkeypatch.undo()
    snapshots.remove()
    assert not folder.exists()


def test_short_runs_write_none(tmp_path: Path) -> None:
    train = trained(tmp_path, [student("ce")], None)
    train(snapshots=Snapshots(tmp_path / "snapshots", IDS, seconds=60))
    assert not (tmp_path / "snapshots").exists()


def test_snapshots_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes to write one; a minute lies between two at least."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    snapshots = Snapshots(tmp_path, IDS, seconds=60)

    class Slow:
        def state(self) -> dict[str, Any]:
            now[0] += 10
            return {}

        def restore(self, state: dict[str, Any]) -> None: ...

    due = []
    for _ in range(1000):
        now[0] += 1
        if snapshots.is_due():
            due.append(now[0])
            snapshots.write(Slow(), CPU)
    assert due == [60, 270, 480, 690, 900]


@pytest.mark.parametrize("text", ["", "no", "0", "-1", "nan"])
def test_seconds_that_are_no_number_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLAB_SNAPSHOT_SECONDS", text)
    with pytest.raises(RequestError, match="DISTILLAB_SNAPSHOT_SECONDS"):
        snapshot_seconds()
