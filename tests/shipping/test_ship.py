"""`distillab distill` from data to answer: a whole run at small scale, its resumption, and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import distillab
from distillab.api import report
from distillab.cli import execute
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.shipping import Shipper, ShippingAnswer
from distillab.study.status import study_status

KEYS = {"ship", "gain", "ci_low", "ci_high", "n_pairs", "method", "artifact"}
SMALL: dict[str, Any] = {
    "teacher": "convnet3",
    "methods": "kd",
    "seeds": 5,
    "recipe": {"steps": 40, "batch_size": 32, "views": "none"},
    "executor": "inline",
    "device": "cpu",
}


def shapes(n: int = 200) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Return noisy 8x8 images, bright on the left or on the right."""
    rng = np.random.default_rng(0)
    labels = [place % 2 for place in range(n)]
    images = rng.integers(0, 120, (n, 8, 8), np.uint8)
    for place, label in enumerate(labels):
        images[place, :, 4 * label : 4 * label + 4] += rng.integers(0, 80, dtype=np.uint8)
    return images, labels


def ship(out: Path, **changes: Any) -> ShippingAnswer:
    return distillab.ship(
        shapes(), "convnet3", out=out, **{"budget": 600, "export": False, **SMALL, **changes}
    )


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ShippingAnswer, list[str]]]:
    folder, lines = tmp_path_factory.mktemp("shipped") / "out", list[str]()
    yield folder, ship(folder, on_line=lines.append), lines


def test_the_answer_has_all_keys_and_is_written(shipped: tuple[Path, ShippingAnswer, list[str]]) -> None:
    folder, answer, _ = shipped
    written = json.loads((folder / "answer.json").read_text())
    assert written.keys() >= KEYS and written == answer.as_dict()
    assert answer.pairs == 5 and answer.method == "kd" and answer.run is not None
    assert answer.ship in ("distilled", "plain", "undecided")


def test_the_gain_is_that_of_the_tables_of_the_study(
    shipped: tuple[Path, ShippingAnswer, list[str]],
) -> None:
    folder, answer, _ = shipped
    [row] = [row for row in read_rows(folder / "effects.parquet") if row["metric"] == "accuracy"]
    assert (row["gain"], row["ci_low"], row["ci_high"]) == (answer.gain, answer.low, answer.high)
    results = read_rows(folder / "results.parquet")
    assert {(row["method"], row["setting"]) for row in results} == {("ce", "tuned"), ("kd", "tuned")}
    mine = [row for row in results if answer.run and row["method"] == answer.run.method]
    assert answer.run and answer.run.val_score == max(row["val_score"] for row in mine)


def test_plain_and_distilled_students_have_as_many_trials(
    shipped: tuple[Path, ShippingAnswer, list[str]],
) -> None:
    folder, _, _ = shipped
    trials = read_rows(folder / "tuning.parquet")
    counts = {name: len([row for row in trials if row["method"] == name]) for name in ("ce", "kd")}
    assert counts["ce"] == counts["kd"] >= 3


def test_the_folder_is_an_ordinary_study(shipped: tuple[Path, ShippingAnswer, list[str]]) -> None:
    folder, answer, _ = shipped
    assert study_status(folder).as_dict()["jobs"]
    assert report(folder).tables.effects[0]["gain"] is not None
    assert (folder / "report.html").is_file() and "convnet3" in (folder / "student.html").read_text()
    assert answer.study == folder


def test_the_teacher_is_reported_before_the_choice_on_val(
    shipped: tuple[Path, ShippingAnswer, list[str]],
) -> None:
    lines = shipped[2]
    places = [
        next(n for n, line in enumerate(lines) if line.startswith(w)) for w in ("plan:", "teacher ", "tuned")
    ]
    assert places == sorted(places)
    assert "% on val" in lines[places[1]]


def test_the_same_call_trains_nothing_again(shipped: tuple[Path, ShippingAnswer, list[str]]) -> None:
    folder, answer, _ = shipped
    before = {path.name for path in (folder / "store" / "student").iterdir()}
    again = ship(folder, budget=300)
    assert again.gain == answer.gain and again.run == answer.run
    assert {path.name for path in (folder / "store" / "student").iterdir()} == before


def test_another_request_does_not_enter_the_folder(shipped: tuple[Path, ShippingAnswer, list[str]]) -> None:
    with pytest.raises(RequestError, match="another student was distilled here"):
        ship(shipped[0], seeds=6)


def test_a_deadline_keeps_what_is_finished_and_the_same_call_goes_on(tmp_path: Path) -> None:
    first = _ship_until(tmp_path, students=20)
    assert first.pairs < 5 and first.ship == "undecided"
    assert "run the same command again" in first.next_step
    done = ship(tmp_path)
    assert done.pairs == 5


def _ship_until(folder: Path, *, students: int) -> ShippingAnswer:
    """Distil with a budget that ends as soon as so many students are trained."""

    def clock() -> float:
        return 1e9 if len(list(folder.glob("store/student/*/record.json"))) >= students else 0.0

    class Stopping(Shipper):
        def __post_init__(self) -> None:
            self.clock = clock
            super().__post_init__()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distillab.shipping.Shipper", Stopping)
        return ship(folder)


def test_a_teacher_at_chance_ends_the_command_before_the_comparison(tmp_path: Path) -> None:
    images, labels = shapes(700)
    shuffled = np.random.default_rng(1).permutation(labels).tolist()
    with pytest.raises(RequestError, match="is at chance"):
        distillab.ship(
            (images, shuffled), "convnet3", out=tmp_path, **{"budget": 600, "export": False, **SMALL}
        )
    assert not (tmp_path / "answer.json").exists()


def test_a_table_of_predictions_is_a_teacher(photographs: Path, tmp_path: Path) -> None:
    files = sorted(photographs.rglob("*.png"))
    names = np.array([str(file.relative_to(photographs)) for file in files])
    right = np.array([file.parent.name == "class1" for file in files], np.float32)
    table = tmp_path / "answers.npz"
    shares = 0.1 + 0.8 * right
    both = np.stack([1 - shares, shares], axis=1)
    np.savez(table, files=names, probabilities=both, classes=["class0", "class1"])
    lines: list[str] = []
    answer = distillab.ship(
        photographs,
        "convnet3",
        out=tmp_path / "out",
        budget=600,
        export=False,
        on_line=lines.append,
        **{**SMALL, "teacher": str(table)},
    )
    assert answer.pairs == 5 and answer.teacher_score == 1.0
    assert any("predictions" in line and "as given" in line for line in lines)


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    images, labels = shapes(60)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photographs" / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((16, 16)).save(folder / f"{place}.png")
    return tmp_path / "photographs"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--student", "resnet8", "--budget", "0"], "--budget"),
        (["--student", "resnet8", "--budget", "soon"], "not a length of time"),
        (["--student", "resnet8", "--budget", "1s"], "too short"),
        (["--student", "resnet9"], "resnet9"),
        (["--student", "resnet8", "--methods", "kdd"], "kdd"),
        (["--student", "resnet8", "--seeds", "2"], "--seeds"),
        (["--student", "resnet8", "--margin", "7"], "--margin"),
        (["--student", "resnet8", "--size", "4"], "--size"),
        (["--student", "resnet8", "--teacher", "resnet8", "--weights", "missing.pt"], "missing.pt"),
        (["--student", "resnet8", "--weights", "missing.pt"], "--weights"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_study(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    out = tmp_path / "out"
    assert execute(["distill", str(photographs), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("distillab: ") and words in error
    assert not (out / "ledger.sqlite").exists()


def test_one_class_needs_no_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "only").mkdir(parents=True)
    for place in range(8):
        Image.fromarray(np.full((16, 16), 10 * place, np.uint8)).save(
            tmp_path / "data" / "only" / f"{place}.png"
        )
    code = execute(
        ["distill", str(tmp_path / "data"), "--student", "resnet8", "--out", str(tmp_path / "out")]
    )
    assert code == 2 and "one class" in capsys.readouterr().err


def test_an_unwritable_folder_is_named(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file" / "out"
    code = execute(["distill", str(photographs), "--student", "resnet8", "--out", str(out)])
    assert code == 2 and "--out" in capsys.readouterr().err


def test_a_folder_with_a_study_is_left_alone(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ledger.sqlite").touch()
    code = execute(["distill", str(photographs), "--student", "resnet8", "--out", str(tmp_path / "out")])
    assert code == 2 and "a study is there already" in capsys.readouterr().err
