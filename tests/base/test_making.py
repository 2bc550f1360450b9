"""Making the evidence base: contexts are whole or absent, slices resume, and failures are rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from distillab.base import read
from distillab.base.crew import make_slice
from distillab.base.evidence_base import CONTEXTS, RUNS
from distillab.base.making import OutFolder, Slice
from distillab.base.packaging import pack, unpack
from distillab.base.schema import PREDICTORS
from distillab.errors import RequestError
from support.evidence_design import write_design

FAR = float("inf")
MAKE = """
import sys
from pathlib import Path
from distillab.base.design import read_design
from distillab.base.making import OutFolder, Slice
if __name__ == "__main__":
    design, out = read_design(Path(sys.argv[1])), OutFolder(Path(sys.argv[2]))
    Slice(design, out, out.prepare(design), float("inf")).run()
"""


def make(folder: Path, until: float = FAR, **design: object) -> OutFolder:
    written = write_design(folder, **design)  # type: ignore[arg-type]
    out = OutFolder(folder / "out")
    Slice(written, out, out.prepare(written), until).run()
    return out


def test_contexts_are_made_packed_and_read(tmp_path: Path) -> None:
    packed = pack(make(tmp_path, tuned=True), tmp_path / "base")
    assert (packed.contexts, packed.runs, packed.failed) == (2, 8, 0)
    base = read(tmp_path / "base")
    kinds = [row["kind"] for row in base.runs.to_pylist()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"run": 8, "probe": 2, "trial": 8}
    assert len(base.pairs("kd", usable_only=False)) == 2
    for row in base.runs.to_pylist():
        assert row["status"] == "done"
        if row["kind"] != "trial":
            assert row["accuracy"] == pytest.approx(row["test_curve"][-1])
            assert len(row["look_steps"]) == len(row["val_curve"]) == len(row["test_curve"])
            assert row["seconds.forward"] > 0
            assert row["look_steps"][-1] == row["steps"]
    for row in base.contexts.to_pylist():
        assert row["doubling_plain"] is not None
        assert all(np.isfinite(row[f"predictor.{name}"]) for name in PREDICTORS)
        assert row["profile.images"] == row["n_train"]
        assert row["teacher_params"] > 0


def test_making_goes_on_from_packed_files(tmp_path: Path) -> None:
    pack(make(tmp_path, contexts=1, tuned=True), tmp_path / "base")
    elsewhere = OutFolder(tmp_path / "elsewhere")
    assert unpack(tmp_path / "base", elsewhere) == 1
    assert unpack(tmp_path / "base", elsewhere) == 0, "what is there stays as it is"
    pack(elsewhere, tmp_path / "again")
    for name in (CONTEXTS, RUNS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "base" / name).read_bytes()
    design = write_design(tmp_path, contexts=2, tuned=True)
    part = Slice(design, elsewhere, elsewhere.prepare(design), FAR)
    part.run()
    assert part.made == [design.name(1)]


def test_what_a_context_leaves_behind_is_small(tmp_path: Path) -> None:
    out = make(tmp_path)
    assert list((out.path / "work").glob("*/*")) == []
    for part in out.parts():
        assert sorted(file.name for file in part.iterdir()) == [CONTEXTS, RUNS]


def test_each_context_has_two_teachers_or_more(tmp_path: Path) -> None:
    pack(make(tmp_path, contexts=3), tmp_path / "base")
    runs = read(tmp_path / "base").runs.to_pylist()
    for context in {row["context"] for row in runs}:
        assert len({row["teacher_run"] for row in runs if row["context"] == context}) >= 2


def test_the_study_of_a_context_makes_it_again(tmp_path: Path) -> None:
    first = pack(make(tmp_path, contexts=1), tmp_path / "a")
    again = tmp_path / "again"
    again.mkdir()
    second = pack(make(again, contexts=1), tmp_path / "b")
    assert first.runs == second.runs
    columns = ["run_id", "accuracy", "nll", "val_score", "teacher_accuracy"]
    assert read(tmp_path / "a").runs.select(columns) == read(tmp_path / "b").runs.select(columns)


def test_a_slice_without_time_leaves_contexts_to_the_next(tmp_path: Path) -> None:
    out = make(tmp_path, until=time.monotonic() - 1)
    assert out.parts() == []
    assert len(make(tmp_path).parts()) == 2


def test_a_slice_that_ends_within_a_context_is_continued(tmp_path: Path) -> None:
    design, out = write_design(tmp_path, contexts=1), OutFolder(tmp_path / "out")
    sets, ticks = out.prepare(design), iter(range(10**6))
    Slice(design, out, sets, until=4, clock=lambda: float(next(ticks))).run()
    assert out.parts() == []
    done = len(list(out.work("r-0000").glob("*/store/*/*/record.json")))
    assert done > 0
    Slice(design, out, sets, until=FAR).run()
    assert [part.name for part in out.parts()] == ["r-0000"]


def test_a_killed_process_leaves_no_half_context(tmp_path: Path) -> None:
    design, script = write_design(tmp_path, contexts=2), tmp_path / "make.py"
    script.write_text(MAKE)
    out = OutFolder(tmp_path / "out")
    command = [sys.executable, str(script), str(design.path), str(out.path)]
    with subprocess.Popen(command, start_new_session=True) as process:
        while not list(out.path.glob("work/*/*/store/student/*")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    made = [part.name for part in out.parts()]
    for part in out.parts():
        assert sorted(file.name for file in part.iterdir()) == [CONTEXTS, RUNS]
    Slice(design, out, out.prepare(design), FAR).run()
    assert set(made) <= {part.name for part in out.parts()} == {"r-0000", "r-0001"}
    pack(out, tmp_path / "base")
    assert len(read(tmp_path / "base").pairs("kd", usable_only=False)) == 2


def test_two_processes_share_the_contexts(tmp_path: Path) -> None:
    design, out = write_design(tmp_path, contexts=3), OutFolder(tmp_path / "out")
    lines: list[str] = []
    made = make_slice([design], out, minutes=10, workers=2, show=lines.append)
    assert (made.contexts, made.left, made.broken) == (3, 0, ())
    assert any("preparing digits" in line for line in lines)


def test_teachers_of_seeds_with_other_classes_are_judged_on_their_own(tmp_path: Path) -> None:
    from support.evidence_design import RANGES

    ranges = RANGES | {
        "similarity": {"between": [0.3, 0.4]},
        "provenance": {"same": 1},
        "size": {"between": [8, 9], "whole": True},
    }
    pack(make(tmp_path, contexts=2, ranges=ranges), tmp_path / "base")
    for row in read(tmp_path / "base").contexts.to_pylist():
        assert row["similarity"] is not None
        assert not (row["excluded_because"] or "").startswith("refused")
        assert row["predictor.teacher_accuracy"] is not None


def test_a_refused_context_is_a_row_with_its_reason(tmp_path: Path) -> None:
    from support.evidence_design import RANGES

    pack(make(tmp_path, contexts=1, ranges=RANGES | {"student": {"resnet9": 1}}), tmp_path / "base")
    [row] = read(tmp_path / "base").contexts.to_pylist()
    assert row["excluded_because"].startswith("refused: ")
    assert "resnet9" in row["excluded_because"]


def test_a_diverged_run_is_a_row_without_numbers(tmp_path: Path) -> None:
    from support.evidence_design import STUDY

    study = STUDY | {"recipe": STUDY["recipe"] | {"lr": 1e30}}
    packed = pack(make(tmp_path, contexts=1, study=study), tmp_path / "base")
    assert packed.failed > 0
    base = read(tmp_path / "base")
    for row in base.runs.to_pylist():
        if row["status"] == "diverged":
            assert row["accuracy"] is None
            assert row["error"].startswith("DivergenceError")
    [context] = base.contexts.to_pylist()
    assert context["excluded_because"] is not None


def test_contexts_of_another_design_are_not_mixed(tmp_path: Path) -> None:
    from support.evidence_design import RANGES

    make(tmp_path, contexts=1)
    longer = write_design(tmp_path, contexts=1, ranges=RANGES | {"steps": {"between": [4, 5], "whole": True}})
    with pytest.raises(RequestError, match="another version of its design"):
        OutFolder(tmp_path / "out").prepare(longer)
    assert len(make(tmp_path, contexts=2).parts()) == 2


def test_nothing_made_is_nothing_packed(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no context is made"):
        pack(OutFolder(tmp_path), tmp_path / "base")
