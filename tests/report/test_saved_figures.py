"""Figures and tables of a report as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from distillab.errors import RequestError
from distillab.evidence.csv_tables import write_csv
from distillab.report.page import saved_figures
from distillab.report.page.saved_figures import save_figures
from distillab.study.folder import StudyFolder

FIGURE = json.dumps({"data": [{"x": [0, 1], "y": [1, 0]}], "layout": {"title": {"text": "a </script> b"}}})


@pytest.mark.browser
def test_every_figure_is_written_as_png_and_svg(tmp_path: Path) -> None:
    files = save_figures([("one", FIGURE, 300), ("two", FIGURE, 200)], tmp_path / "figures")
    assert [file.name for file in files] == ["one.png", "one.svg", "two.png", "two.svg"]
    with Image.open(files[0]) as image:
        assert image.size == (1920, 600) and len(image.convert("RGB").getcolors(100_000) or []) > 10
    assert files[1].read_text().startswith("<svg") and "</script>" not in files[1].read_text()


def test_missing_browser_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_figures, "BROWSERS", ("no-such-browser",))
    with pytest.raises(RequestError, match=r"there is none .*Chromium or Google Chrome"):
        save_figures([("one", FIGURE, 300)], tmp_path)


def test_csv_has_the_rows_and_columns_of_the_parquet_file(tmp_path: Path) -> None:
    rows = [{"run_id": "a", "method": 'with "quotes", commas', "accuracy": 0.1 + 0.2, "seed": 0}]
    rows += [{"run_id": "b", "method": "kd", "accuracy": None, "seed": 1}]
    folder = StudyFolder(tmp_path)
    metadata = {"table": "results", "version": "1"}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), folder.results_file)
    [file] = write_csv(folder)
    with file.open(newline="", encoding="utf-8") as text:
        read = list(csv.DictReader(text))
    assert [each["method"] for each in read] == [each["method"] for each in rows]
    assert float(read[0]["accuracy"]) == 0.1 + 0.2 and read[1]["accuracy"] == ""
