"""Loading a model, and everything that can be wrong with its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import distillab
from distillab.artefacts import save_state
from distillab.errors import RequestError
from support.exported import describe

FILES = ("model.safetensors", "model.onnx", "model.pt2", "model.int8.onnx")


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of an exported model that a test may damage."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def unchecked(folder: Path) -> None:
    """Remove the record of file contents, so that a changed file is judged by what it holds."""
    checks = json.loads((folder / "checks.json").read_text())
    (folder / "checks.json").write_text(json.dumps(checks | {"files": {}}))


def test_every_file_predicts_alike(model_folder: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 20), dtype=np.uint8))
    models = [distillab.load(model_folder / file) for file in FILES[:3]]
    found = [model.predict(picture) for model in models]
    assert len({each.labels for each in found}) == 1
    for each in found:
        np.testing.assert_allclose(each.probabilities, found[0].probabilities, atol=1e-5)
        assert each.probabilities.shape == (1, 4)
        assert each.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert models[0].classes == ("ant", "bee", "cat", "dog")


def test_folder_is_loaded_from_its_weights(model_folder: Path) -> None:
    assert distillab.load(model_folder).path.name == "model.safetensors"
    assert distillab.load(model_folder).network.get_submodule("fc") is not None


def test_graph_holds_no_network(model_folder: Path) -> None:
    with pytest.raises(RequestError, match="holds no network that torch can change"):
        _ = distillab.load(model_folder / "model.onnx").network


def test_batches_of_any_size_give_the_same(model_folder: Path) -> None:
    images = np.random.default_rng(2).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    for file in FILES:
        model = distillab.load(model_folder / file)
        whole, single = (model.probabilities(images, batch=batch) for batch in (7, 1))
        np.testing.assert_allclose(whole, single, atol=1e-5)


@pytest.mark.parametrize(
    "items",
    [
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((2, 9, 8, 1), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((2, 8, 8, 1), np.float32),
        np.zeros((0, 8, 8, 1), np.uint8),
    ],
)
def test_items_of_another_form_are_refused(items: np.ndarray, model_folder: Path) -> None:
    with pytest.raises(RequestError, match=r"allowed: uint8 \[N, 8, 8, 1\]"):
        distillab.load(model_folder).probabilities(items)


def truncated(name: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        file = folder / name
        file.write_bytes(file.read_bytes()[:1000])
        return file

    return damage


def empty(name: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        (folder / name).write_bytes(b"")
        return folder / name

    return damage


def other_weights(folder: Path) -> Path:
    save_state(describe("resnet14").build().state_dict(), folder / "model.safetensors")
    return folder


def more_classes(folder: Path) -> Path:
    other = describe(classes=("a", "b", "c", "d", "e"))
    save_state(other.build().state_dict(), folder / "model.safetensors")
    return folder


def changed_weights(folder: Path) -> Path:
    save_state(describe().build().state_dict(), folder / "model.safetensors")
    return folder


def two_outputs(folder: Path) -> Path:
    shape = ["N", 8, 8, 1]
    given = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("one", "two")]
    nodes = [helper.make_node("Cast", ["images"], [each.name], to=TensorProto.FLOAT) for each in made]
    model = helper.make_model(
        helper.make_graph(nodes, "two", [given], made),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def graph_of_another_model(folder: Path) -> Path:
    shape = ["N", 5, 5, 3]
    given = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    made = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    node = helper.make_node("Cast", ["images"], ["probabilities"], to=TensorProto.FLOAT)
    model = helper.make_model(
        helper.make_graph([node], "one", [given], [made]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def config(**changes: object) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
        return folder

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated("model.safetensors"), "cannot be read"),
        (truncated("model.onnx"), "cannot be opened by ONNX Runtime"),
        (truncated("model.int8.onnx"), "cannot be opened by ONNX Runtime"),
        (truncated("model.pt2"), "cannot be read"),
        (empty("model.safetensors"), "cannot be read"),
        (empty("model.onnx"), "allowed: "),
        (other_weights, "weights of another architecture"),
        (more_classes, "weights of another architecture"),
        (changed_weights, "is not the file that was exported"),
        (two_outputs, "2 outputs"),
        (graph_of_another_model, "does not fit its config.json"),
        (config(model="resnet9"), "unknown model 'resnet9'"),
        (config(format="other"), "is no config.json of an exported model"),
        (config(version=99), "version 99"),
        (config(classes=None), "cannot be read"),
        (lambda folder: folder / "labels.txt", "is no file of an exported model"),
        (lambda folder: folder / "model.tflite", "there is no such file or folder"),
        (lambda folder: folder.parent, "config.json is missing"),
    ],
)
def test_damage_is_one_line(damage: Callable[[Path], Path], message: str, copied: Path) -> None:
    with pytest.raises(RequestError) as error:
        distillab.load(damage(copied))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_package_is_named_by_its_extra(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(RequestError, match=r"pip install 'distillab\[deploy\]'"):
        distillab.load(model_folder / "model.onnx")
    assert distillab.load(model_folder / "model.safetensors").classes  # which needs none
