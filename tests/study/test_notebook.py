"""A notebook: networks and arrays of its cells reach worker processes, and its cells show what happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from distillab.notebook import TimeLeft, html_table, notebook_progress
from support.source_tree import ROOT

CELLS = (
    """
import numpy as np, torch
from torch import nn
from distillab import Study, distill
WIDTH = 4

class Net(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 3)
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x):
        return self.fc(pooled(self.conv(x)))

def pooled(x):
    return x.relu().mean((2, 3))

rng = np.random.default_rng(0)
labels = np.arange(64) % 2
images = rng.random((64, 8, 8, 3)) * 0.5 + labels[:, None, None, None] * 0.5
recipe = {"steps": 2, "batch_size": 8, "precision": "fp32"}
study = Study(study="cells", data=(images, labels), teacher={"model": Net, "provenance": "full"},
              students=Net(), methods=["kd"], seeds=1, recipe=recipe)
study
""",
    "study.plan(device='cpu')[1]",
    "finished = study.run('run', workers=2, device='cpu')\nassert finished.outcome.done == 2\nfinished",
    "type(distill('resnet8', lambda: Net(), (images, labels), seeds=1, recipe=recipe, executor='inline',"
    " device='cpu').student).__name__",
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
        yield notebook.cells


def shown(cell: Any, kind: str = "text/html") -> str:
    """Return what a cell shows as the value of its last line."""
    [result] = [output for output in cell.outputs if output.output_type == "execute_result"]
    return str(result.data[kind])


def test_objects_of_a_notebook_are_shown_as_tables(cells: list[Any]) -> None:
    assert "<b>Study cells</b>" in shown(cells[0]) and "Net" in shown(cells[0])
    assert "<b>Plan</b>" in shown(cells[1]) and "2 student runs, 1 teacher runs" in shown(cells[1])
    assert "2 runs done, 0 failed" in shown(cells[2]) and "undecided" in shown(cells[2])


def test_progress_is_shown_in_one_output_that_is_updated(cells: list[Any]) -> None:
    [progress] = [output for output in cells[2].outputs if output.output_type == "display_data"]
    assert progress.data["text/plain"].endswith("in total")
    assert not [output for output in cells[2].outputs if output.output_type == "stream"]


def test_a_function_of_a_cell_builds_the_student(cells: list[Any]) -> None:
    assert shown(cells[3], "text/plain") == "'Net'"


def test_nothing_is_shown_outside_of_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    with notebook_progress() as show:
        show("training", 0.5)
    assert capsys.readouterr() == ("", "")


def test_time_left_counts_neither_earlier_stages_nor_resumed_work() -> None:
    left = TimeLeft()
    assert left.of("decoding", 0.0, now=0.0) is None
    assert left.of("decoding", 0.5, now=600.0) == timedelta(minutes=10)
    assert left.of("training", 0.6, now=1000.0) is None
    assert left.of("training", 0.61, now=1001.0) is None
    assert left.of("training", 0.8, now=1020.0) == timedelta(seconds=20)


def test_tables_escape_their_texts(tmp_path: Path) -> None:
    table = html_table("<b>", [("<script>", "a & b")], header=("<i>",))
    assert (
        "<script>" not in table and "&lt;script&gt;" in table and "a &amp; b" in table and "<i>" not in table
    )
