"""Students of a live teacher are trained in step, as a cohort, with the numbers of separate runs."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from distillab.methods import Batch, Need, methods
from distillab.methods.logits.kd import SoftTargets
from distillab.models.outputs import Outputs
from distillab.study.folder import StudyFolder
from distillab.study.ledger.ledger import Ledger
from distillab.study.running import worker
from distillab.study.usage import teacher_usage
from support.studies import begin, numbers, run_here

ONE = {
    "factors": {},
    "teacher": {"provenance": "full", "replicates": 1},
    "methods": ["ce", "kd", "mapped"],
    "seeds": 3,
}
STEPS, BATCH = 3, 8


class Mapped(SoftTargets):
    """kd with a term on feature maps, which need a live teacher."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "labels", "maps"})

    class Config(SoftTargets.Config):
        """A weight, so that a study can hold several."""

        share: float = 0.1

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The terms of kd, and one of the maps' means."""
        assert teacher is not None
        terms = super().forward(student, teacher, batch)
        gap = student.maps[-1].mean() - teacher.maps[-1].mean()
        return terms | {"maps": self.config.share * gap**2}


@pytest.fixture(autouse=True)
def mapped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A method that needs feature maps, while the test runs."""
    monkeypatch.setattr(Mapped, "name", "mapped", raising=False)
    with methods.temporarily("mapped", Mapped):
        yield


def begun(path: Path, **changes: Any) -> StudyFolder:
    return begin(path, **(ONE | changes))


def cohorts(folder: StudyFolder) -> list[int]:
    """Return the size of the cohort of every student of a live teacher."""
    return [
        record.cohort
        for record in folder.store.run_records("student")
        if record.teacher_images and (record.teacher_forwards or record.cohort > 1)
    ]


def test_seeds_that_share_their_order_share_one_live_teacher(tmp_path: Path) -> None:
    folder = begun(tmp_path, order="shared")
    assert {row["status"] for row in run_here(folder)} == {"done"}
    assert cohorts(folder) == [3, 3, 3]
    done = teacher_usage(folder)
    assert done.queries == 6 * STEPS * BATCH  # kd and mapped, three seeds each
    filled = sum(record.forwards + record.eval_forwards for record in folder.store.outputs_records())
    assert done.forward_passes == filled + STEPS * BATCH
    assert done.saved == max(0, done.queries - done.forward_passes)
    assert done.stored_bytes > 0


def test_methods_of_a_seed_share_their_order_in_any_study(tmp_path: Path) -> None:
    folder = begun(tmp_path, methods=["mapped", {"mapped": {"share": 0.5}}], seeds=2)
    assert {row["status"] for row in run_here(folder)} == {"done"}
    assert cohorts(folder) == [2] * 4


def test_cohorts_have_the_numbers_of_separate_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = run_here(begun(tmp_path / "together", order="shared"))
    claim = Ledger.claim
    monkeypatch.setattr(Ledger, "claim", lambda self: claim(self, 1))
    folder = begun(tmp_path / "alone", order="shared")
    assert numbers(run_here(folder)) == numbers(together)
    assert cohorts(folder) == [1, 1, 1]


def test_error_of_a_member_does_not_fail_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error other than divergence stops the cohort; each member is then run alone."""
    real = Mapped.forward

    def breaking(self: Mapped, *given: Any) -> dict[str, Tensor]:
        if self.config.share == 0.5:
            raise RuntimeError("this one cannot")
        return real(self, *given)

    monkeypatch.setattr(Mapped, "forward", breaking)
    folder = begun(tmp_path, methods=["mapped", {"mapped": {"share": 0.5}}], seeds=1)
    rows = {row["method"]: row["status"] for row in run_here(folder)}
    assert rows == {"ce": "done", "mapped": "done", "mapped(share=0.5)": "failed"}
    with folder.ledger() as ledger:
        [failure] = ledger.failures()
    assert "this one cannot" in failure.error


def test_lost_gpu_ends_the_worker_and_not_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed assertion on a GPU its process can compute nothing: other workers take its jobs, and
    run the members of a cohort alone."""
    real = Mapped.forward

    def asserting(self: Mapped, *given: Any) -> dict[str, Tensor]:
        if self.config.share == 0.5:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return real(self, *given)

    monkeypatch.setattr(Mapped, "forward", asserting)
    folder = begun(tmp_path, methods=["mapped", {"mapped": {"share": 0.5}}], seeds=1)
    for _ in range(2):  # in the cohort, and alone
        with pytest.raises(RuntimeError, match="CUDA error"):
            run_here(folder)
    rows = {row["method"]: row["status"] for row in run_here(folder)}
    assert rows == {"ce": "done", "mapped": "done", "mapped(share=0.5)": "failed"}


def test_memory_of_a_failed_cohort_is_freed_before_members_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen students may need too much memory where one does not."""
    held: list[weakref.ref[torch.Tensor]] = []
    real = worker.JobRunner.run

    def running(self: worker.JobRunner, together: Any) -> Any:
        if len(together) > 1:
            large = torch.zeros(1)
            held.append(weakref.ref(large))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        assert all(each() is None for each in held)
        return real(self, together)

    monkeypatch.setattr(worker.JobRunner, "run", running)
    folder = begun(tmp_path, order="shared")
    assert {row["status"] for row in run_here(folder)} == {"done"}
    assert held


@pytest.mark.parametrize("method", ["kd", "mapped"])
def test_teacher_is_tested_with_stored_and_live_outputs(method: str, tmp_path: Path) -> None:
    """With sequential stopping, only what a run needs is run."""
    seeds = {"min": 5, "max": 6, "stop": "decided"}
    folder = begun(tmp_path, methods=[method], seeds=seeds, teacher={"outputs": {"budget": 0}})
    rows = [row for row in run_here(folder) if row["status"] == "done"]
    assert {row["method"] for row in rows} == {"ce", method}
    assert all(row["teacher_accuracy"] is not None for row in rows)


@pytest.mark.parametrize("budget", [0, "700 B", "8 GB"])
def test_stored_outputs_stay_within_their_budget(tmp_path: Path, budget: Any) -> None:
    """Students whose outputs do not fit use a live teacher; every run is done either way."""
    allowed = {0: 0, "700 B": 700, "8 GB": 8 * 10**9}[budget]
    teacher = {"provenance": "full", "outputs": {"budget": budget}}
    folder = begun(tmp_path, factors={"size": [5, 15]}, seeds=1, teacher=teacher, methods=["kd"])
    assert {row["status"] for row in run_here(folder)} == {"done"}
    files = [
        file for file in folder.store.caches.rglob("*") if file.suffix not in (".json", ".lock", ".digests")
    ]
    stored = sum(file.stat().st_size for file in files if file.is_file())
    assert stored <= allowed
    records = {
        record.n_train: record for record in folder.store.run_records("student") if record.teacher_images
    }
    assert records[20].teacher_forwards == (0 if allowed else STEPS * BATCH)
    assert records[60].teacher_forwards == (0 if allowed > 700 else STEPS * BATCH)
