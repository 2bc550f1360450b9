"""The examples of docs/python.md run as one script, with fewer seeds and steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.documents import code_blocks, environment
from support.source_tree import ROOT


def test_the_examples_run_in_the_order_of_the_page(tmp_path: Path) -> None:
    code = "\n".join(
        block.text for block in code_blocks(ROOT / "docs/python.md") if block.language == "python"
    )
    for long, short in (("seeds=5", "seeds=1"), ('"epochs": 30', '"steps": 2, "batch_size": 8')):
        assert code.count(long) == 3
        code = code.replace(long, short)
    code = code.replace('["ce", "kd", "dkd"]', '["kd"]').replace("[20, 50]", "[20]")
    (tmp_path / "page.py").write_text(code)
    run = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment(ROOT), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    result, classes, pair, named, scores, _alarms = run.stdout.splitlines()
    assert result.startswith("kd: accuracy ") and "from 1 pairs: undecided" in result
    assert len(classes.split(", ")) == 4
    assert pair.endswith(" 397 (1, 8, 8)") and named.endswith(" 397 (1, 16, 16)")
    assert 0.9 < float(scores.split()[1].rstrip(",")) <= 1  # the teacher, under its own normalization
    assert (tmp_path / "student.safetensors").is_file()
    assert (tmp_path / "runs/digits/report.html").is_file()
