"""ONNX files and stored predictions teach: planned, tried on val, run in a folder, refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.planning import Plan, make_plan
from distillab.study.running.run import run_jobs
from distillab.study.spec.study import StudySpec, parse_study
from support.given_teachers import SHORT, digits, state
from support.onnx_graphs import write_linear
from support.stored_answers import write_answers
from support.studies import CPU, run_here, study


def spec_with(weights: Path | list[Path], *, methods: Any = None, **changes: Any) -> StudySpec:
    teacher = changes.pop("teacher", {})
    values = study(**SHORT | changes | ({"methods": methods} if methods else {}))
    files = [str(each) for each in weights] if isinstance(weights, list) else str(weights)
    values["teacher"] = {"weights": files, **teacher}
    return parse_study(values, Path.cwd(), "study.yaml")


def planned(weights: Path | list[Path], **changes: Any) -> Plan:
    return make_plan(spec_with(weights, **changes), digits(), CPU)


def refusal(weights: Path | list[Path], **changes: Any) -> str:
    with pytest.raises(RequestError) as caught:
        planned(weights, **changes)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 700 and "(allowed: " in line
    return line


def ids(plan: Plan) -> list[str]:
    return [job.id for job in plan.teachers]


# -- ONNX ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"layout": "nhwc"},
        {"dtype": "uint8"},
        {"dtype": "uint8", "layout": "nhwc", "ending": "Softmax"},
        {"ending": "Softmax"},
        {"ending": "Sigmoid"},
        {"external": True},
        {"dims": ["N", 1, "height", "width"]},
    ],
)
def test_every_form_of_graph_recognizes_the_images(graph: dict[str, Any], tmp_path: Path) -> None:
    plan = planned(write_linear(tmp_path / "teacher.onnx", state(), digits(), **graph))
    assert plan.trial is not None and plan.trial.score == planned(tmp_path / "teacher.onnx").trial.score > 0.9  # type: ignore[union-attr]
    assert plan.notes[0].startswith("The given teacher onnx (input ")
    assert ("undone" in plan.notes[0]) == ("ending" in graph)
    assert any("trained on is not known" in note for note in plan.notes)


def test_students_learn_from_a_graph_after_its_file_is_gone(tmp_path: Path) -> None:
    file = write_linear(
        tmp_path / "teacher.onnx", state(), digits(), dtype="uint8", layout="nhwc", ending="Softmax"
    )
    StudyFolder.begin(tmp_path / "dir", spec_with(file, methods=["ce", "kd", "dkd"]), CPU)
    file.unlink()
    folder = StudyFolder.open(Path(shutil.move(tmp_path / "dir", tmp_path / "moved")))
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"} and folder.spec.teacher.model == "onnx"
    assert {row["teacher_accuracy"] for row in rows if row["method"] != "ce"} == {1.0}


def test_worker_processes_open_a_graph(tmp_path: Path) -> None:
    file = write_linear(tmp_path / "teacher.onnx", state(), digits())
    folder = StudyFolder.begin(tmp_path / "dir", spec_with(file), CPU)
    run_jobs(folder, executor="processes", workers=1, device="cpu", on_progress=lambda *_: None)
    with folder.ledger() as ledger:
        assert {status.state for status in ledger.states().values()} == {"done"}


def test_content_of_a_graph_decides_the_run_id_and_its_name_does_not(tmp_path: Path) -> None:
    first = ids(planned(write_linear(tmp_path / "a.onnx", state(), digits())))
    shutil.copy(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert ids(planned(tmp_path / "b.onnx")) == first
    other = {**state(), "fc.bias": state()["fc.bias"] + 0.01}
    assert ids(planned(write_linear(tmp_path / "c.onnx", other, digits()))) != first


def test_weights_beside_a_graph_decide_the_run_id(tmp_path: Path) -> None:
    found = []
    for shift in (0.0, 0.01):
        other = {**state(), "fc.bias": state()["fc.bias"] + shift}
        found.append(ids(planned(write_linear(tmp_path / "a.onnx", other, digits(), external=True))))
    assert found[0] != found[1]


def test_classes_in_metadata_or_beside_the_file_are_mapped_by_name(tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    rolled = {name: value[order] for name, value in state().items()}
    names = [digits().classes[place] for place in order]
    file = write_linear(
        tmp_path / "a.onnx", rolled, digits(), metadata={"classes": str(names).replace("'", '"')}
    )
    assert planned(file).trial.score > 0.9  # type: ignore[union-attr]
    (tmp_path / "beside").mkdir()
    file = write_linear(tmp_path / "beside" / "a.onnx", rolled, digits())
    assert "is at chance" in refusal(file)
    (tmp_path / "beside" / "labels.txt").write_text("\n".join(names))
    assert planned(file).trial.score > 0.9  # type: ignore[union-attr]


def test_several_graphs_are_used_in_turn(tmp_path: Path) -> None:
    other = {**state(), "fc.bias": state()["fc.bias"] + 0.01}
    files = [
        write_linear(tmp_path / f"{name}.onnx", held, digits())
        for name, held in (("a", state()), ("b", other))
    ]
    plan = planned(files, seeds=2)
    assert len(plan.teachers) == 2


def unlike_the_study() -> dict[str, torch.Tensor]:
    """Weights for pixels from 0 to 255."""
    mean, std = (255 * float(each[0]) for each in digits().normalization())
    weight = state()["fc.weight"] / std
    return {"fc.weight": weight, "fc.bias": state()["fc.bias"] - mean * weight.sum(dim=1)}


def test_normalization_is_stated_or_found_out(tmp_path: Path) -> None:
    file = write_linear(tmp_path / "a.onnx", unlike_the_study(), digits())
    line = refusal(file)
    assert "with pixels from 0 to 255" in line and "`normalization: {mean: [0], std: [0.00392157]}`" in line
    stated = {"normalization": {"mean": [0], "std": [1 / 255]}}
    assert planned(file, teacher=stated).trial.score > 0.9  # type: ignore[union-attr]
    metadata = {"mean": "[0.0]", "std": f"[{1 / 255}]"}
    file = write_linear(tmp_path / "b.onnx", unlike_the_study(), digits(), metadata=metadata)
    assert planned(file).trial.score > 0.9  # type: ignore[union-attr]


def test_graph_of_another_size_has_its_images_resized(tmp_path: Path) -> None:
    channels = 1
    weight = torch.nn.functional.interpolate(
        state()["fc.weight"].reshape(-1, channels, 8, 8), scale_factor=2, mode="nearest"
    )
    held = {"fc.weight": weight.reshape(len(weight), -1) / 4, "fc.bias": state()["fc.bias"]}
    file = write_linear(tmp_path / "a.onnx", held, digits(), dims=["N", 1, 16, 16])
    plan = planned(file)
    assert "images resized to 16x16" in plan.notes[0] and plan.trial.score > 0.9  # type: ignore[union-attr]
    free = write_linear(tmp_path / "b.onnx", held, digits(), dims=["N", 1, "h", "w"])
    assert "fails on 3 images of 8x8 pixels" in refusal(free) and "`size: PIXELS`" in refusal(free)
    assert planned(free, teacher={"size": 16}).trial.score == plan.trial.score  # type: ignore[union-attr]


def test_graph_without_visible_channels_needs_a_layout(tmp_path: Path) -> None:
    file = write_linear(tmp_path / "a.onnx", state(), digits(), dims=["N", "c", "h", "w"])
    assert "`layout: nchw` or `layout: nhwc`" in refusal(file)
    assert planned(file, teacher={"layout": "nchw"}).trial.score > 0.9  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"batch": 1}, "its batch is fixed at 1"),
        ({"batch": 8, "dtype": "uint8"}, "its batch is fixed at 8"),
        ({"outputs": 2}, "has 2 outputs (Gemm_1, Flatten_0) (allowed: a graph with one output, or `entry: "),
        ({"dtype": "int64"}, "its input pixels is tensor(int64)"),
        ({"dims": ["N", 64]}, "its input is [N, 64]"),
    ],
)
def test_graphs_that_cannot_teach_are_refused(graph: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in refusal(write_linear(tmp_path / "a.onnx", state(), digits(), **graph))


def test_graph_of_color_images_needs_channels_of_the_data(tmp_path: Path) -> None:
    held = {"fc.weight": torch.zeros(4, 192), "fc.bias": torch.zeros(4)}
    file = write_linear(tmp_path / "a.onnx", held, digits(), dims=["N", 3, 8, 8])
    assert "takes 3 channels, and the images have 1 (allowed: `channels: 3` of the data)" in refusal(file)


def test_output_is_chosen_by_name(tmp_path: Path) -> None:
    file = write_linear(tmp_path / "a.onnx", state(), digits(), ending="Softmax", outputs=2)
    names = [each.name for each in onnx.load(str(file)).graph.output]
    plan = planned(file, teacher={"entry": names[1]})
    assert plan.trial is not None and plan.trial.score > 0.9 and "undone" not in plan.notes[0]
    assert f"allowed: {', '.join(names)}" in refusal(file, teacher={"entry": "logits"})


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x09\x12\x05torch"])
def test_unreadable_graph_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    assert f"{tmp_path}/a.onnx: cannot be opened by onnxruntime" in refusal(tmp_path / "a.onnx")


def test_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    held = {"fc.weight": torch.zeros(7, 64), "fc.bias": torch.zeros(7)}
    line = refusal(write_linear(tmp_path / "a.onnx", held, digits()))
    assert "gives 7 numbers for an image, and the data have 4 classes (allowed: `classes` with the 7" in line


def test_graph_at_chance_stops_the_study(tmp_path: Path) -> None:
    rolled = {name: value.roll(1, dims=0) for name, value in state().items()}
    line = refusal(write_linear(tmp_path / "a.onnx", rolled, digits()))
    for hint in ("is at chance", "order of the classes", "`normalization`", "resolution"):
        assert hint in line


@pytest.mark.parametrize(
    ("method", "needs"),
    [
        ("fitnet", "the teacher's maps"),
        ("simkd", "the teacher's "),
        ("rkd", "the teacher's embedding"),
        ("random_teacher", "an untrained copy"),
        ("ce_long", "the teacher's cost in multiply-accumulates"),
    ],
)
def test_methods_that_need_more_than_logits_are_refused(method: str, needs: str, tmp_path: Path) -> None:
    file = write_linear(tmp_path / "a.onnx", state(), digits())
    line = refusal(file, methods=["ce", method])
    assert f"method {method} needs {needs}" in line and "the teacher is an ONNX file" in line


@pytest.mark.parametrize(
    ("teacher", "expected"),
    [
        ({"model": "resnet8"}, "a.onnx is an ONNX file: leave `model` out"),
        ({"model": "onnx", "weights": None}, "model onnx needs weights"),
        ({"model": "resnet8", "weights": "w.pth", "size": 3}, "layout and size are those of an ONNX file"),
        (
            {"weights": ["a.onnx", "w.pth"]},
            "a.onnx is an ONNX file: leave `model` out, and name files of one",
        ),
        (
            {"weights": ["a.onnx", "w.npz"]},
            "a.onnx is an ONNX file: leave `model` out, and name files of one",
        ),
    ],
)
def test_keys_that_contradict_are_refused(teacher: dict[str, Any], expected: str, tmp_path: Path) -> None:
    write_linear(tmp_path / "a.onnx", state(), digits())
    with pytest.raises(RequestError) as caught:
        planned(tmp_path / "a.onnx", teacher=teacher)
    assert expected in str(caught.value)


def test_graph_is_no_student(tmp_path: Path) -> None:
    file = write_linear(tmp_path / "a.onnx", state(), digits())
    from distillab.study.spec.references import check_references

    with pytest.raises(RequestError, match="students: an ONNX file is a teacher alone"):
        check_references(spec_with(file, students=["onnx"]))


# -- stored predictions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["logits", "probabilities", "percent", "sigmoid", "list"])
@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_every_form_of_predictions_is_read(form: str, ending: str, tmp_path: Path) -> None:
    plan = planned(write_answers(tmp_path / f"answers{ending}", form))
    assert plan.trial is not None and plan.trial.score > 0.9
    assert "stored predictions, for all 720 images" in plan.notes[0]


def test_students_with_views_learn_from_predictions_for_the_images(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "answers.parquet", "logits")
    changes: dict[str, Any] = {"methods": ["ce", "kd"], "recipe": {"views": ["crop", "flip"], "steps": 4}}
    folder = StudyFolder.begin(tmp_path / "dir", spec_with(file, **changes), CPU)
    file.unlink()
    rows = run_here(folder)
    assert {row["status"] for row in rows} == {"done"}
    assert next(row["teacher_accuracy"] for row in rows if row["method"] == "kd") > 0.9


def test_predictions_and_the_network_that_made_them_teach_alike(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"recipe": {"views": "none", "steps": 4}}
    found = []
    for file in (
        write_answers(tmp_path / "answers.npz", "logits"),
        write_linear(tmp_path / "teacher.onnx", state(), digits()),
    ):
        rows = run_here(StudyFolder.begin(tmp_path / file.suffix, spec_with(file, **changes), CPU))
        found.append([(row["accuracy"], row["nll"], row["agreement"]) for row in rows])
    for one, other in zip(*found, strict=True):
        assert [value for value in one if value] == pytest.approx(
            [value for value in other if value], abs=2e-3
        )


def test_columns_in_another_order_are_mapped_by_name(tmp_path: Path) -> None:
    plan = planned(write_answers(tmp_path / "answers.parquet", order=(3, 1, 0, 2)))
    assert plan.trial is not None and plan.trial.score > 0.9
    assert "another order and are mapped by name" in " ".join(plan.notes)


def test_missing_files_are_counted_and_named(tmp_path: Path) -> None:
    line = refusal(write_answers(tmp_path / "answers.parquet", leave_out=5))
    assert "has no predictions for 5 of 720 images of train, val and test: digits[" in line
    assert line.count("digits[") == 4 and "and 2 more" in line


def test_predictions_of_unknown_files_change_no_run_id(tmp_path: Path) -> None:
    first = planned(write_answers(tmp_path / "a.parquet", "logits"))
    table = pq.read_table(tmp_path / "a.parquet")
    more = table.slice(0, 1).set_column(0, "file", pa.array(["elsewhere.png"]))
    pq.write_table(pa.concat_tables([table, more]), tmp_path / "b.parquet")
    assert ids(planned(tmp_path / "b.parquet")) == ids(first)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"methods": ["ce", "fitnet"]}, "method fitnet needs the teacher's maps, and the teacher is a table"),
        ({"methods": ["ce", "crld"]}, "needs outputs for two views of an image"),
        ({"recipe": {"views": ["crop", {"mixup": {"alpha": 0.2}}]}}, "these views mix two images"),
        ({"factors": {"resolution": [8, 4]}}, "factors.resolution: the factor changes pixels"),
        ({"factors": {"spurious": [0.0, 0.5]}}, "factors.spurious: the factor changes pixels"),
        ({"teacher": {"assistants": "resnet8"}}, "assistants and generations learn from a teacher's outputs"),
        ({"teacher": {"generations": 2}}, "assistants and generations learn from a teacher's outputs"),
    ],
)
def test_what_stored_predictions_cannot_serve_is_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(write_answers(tmp_path / "answers.parquet"), **changes)


def test_factors_that_select_and_relabel_go_with_predictions(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "answers.parquet")
    factors: dict[str, Any] = {"size": [5], "label_noise": {"levels": [0.4], "kind": "symmetric"}}
    rows = run_here(StudyFolder.begin(tmp_path / "dir", spec_with(file, factors=factors), CPU))
    assert {row["status"] for row in rows} == {"done"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": [1.0], "b": [2.0]}, "holds the columns a (double), b (double)"),
        ({"file": ["x"], "a": [1.0]}, "holds the columns file (string), a (double)"),
        ({"file": ["x"], "a": [1.0], "b": [float("nan")]}, "not finite for 1 files, such as 'x'"),
        ({"file": ["x", "y"], "logits": [[1.0, 2.0], [1.0]]}, "the lists in logits differ in length"),
        ({"file": ["x"], "0": [0.3], "1": [0.7]}, "has no predictions for 720 of 720 images"),
    ],
)
def test_tables_that_cannot_teach_are_refused(columns: dict[str, Any], expected: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "answers.parquet")
    assert expected in refusal(tmp_path / "answers.parquet")


@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_unreadable_predictions_are_refused(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"answers{ending}").write_bytes(b"not a table")
    assert f"answers{ending}: cannot be read" in refusal(tmp_path / f"answers{ending}")


def test_predictions_at_chance_stop_the_study(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "answers.npz")
    with np.load(file) as held:
        values = {name: held[name] for name in held.files}
    np.savez(file, **(values | {"classes": np.roll(values["classes"], 1)}))
    line = refusal(file)
    assert "is at chance" in line and "names of the columns" in line
