"""Which stored prediction belongs to which file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillab.errors import RequestError
from distillab.models.stored_predictions import PredictionTable


def table(*names: str) -> PredictionTable:
    values = np.arange(2 * len(names), dtype=np.float32).reshape(-1, 2)
    return PredictionTable(Path("answers.npz"), names, values)


@pytest.mark.parametrize(
    ("names", "files", "rows"),
    [
        (("a.png", "b.png"), ["train/b.png", "train/a.png"], [1, 0]),
        (("ant/0.png", "bee/0.png"), ["train/bee/0.png", "train/ant/0.png"], [1, 0]),
        (("/old/ant/0.png", "/old/bee/0.png"), ["ant/0.png", "bee/0.png"], [0, 1]),
        (("/old/1.png", "/old/2.png"), ["new/2.png", "new/1.png"], [1, 0]),  # folders differ in all names
        (("0", "1"), ["train/1.png", "train/0.png"], [1, 0]),
    ],
)
def test_files_are_found_by_the_end_of_their_path(
    names: tuple[str, ...], files: list[str], rows: list[int]
) -> None:
    assert table(*names).rows_of(files).tolist() == rows


@pytest.mark.parametrize("root", ["", "train/"])
def test_a_class_without_rows_does_not_get_those_of_another(root: str) -> None:
    files = [f"{root}{name}" for name in ("ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png", "bee/2.png")]
    assert table("ant/0.png", "ant/1.png").rows_of(files).tolist() == [0, 1, -1, -1, -1]


def test_a_row_that_could_be_several_files_is_refused() -> None:
    with pytest.raises(RequestError, match="there is one row for both"):
        table("0.png", "1.png").rows_of(["ant/0.png", "bee/0.png", "bee/1.png"])


def test_a_file_may_occur_twice() -> None:
    assert table("0.png").rows_of(["ant/0.png", "ant/0.png"]).tolist() == [0, 0]
