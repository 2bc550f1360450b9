"""A file that does not give the outputs of the trained network is not written, and the reason is stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distillab.deploy import Exported
from distillab.deploy.gates import MOST_DIFFERENCE, MOST_DISAGREEMENT
from distillab.deploy.graph import DeployedNetwork
from distillab.deploy.onnx_export import EXPORTERS
from support.exported import describe, written

Exporter = Callable[[DeployedNetwork, Tensor, str], bytes]
GOOD = EXPORTERS["torchscript"]


def with_wrong_weights(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    """Export a network whose classifier has its classes exchanged."""
    other = DeployedNetwork(network.network, describe())
    with torch.no_grad():
        other.network.get_parameter("fc.weight").copy_(network.network.get_parameter("fc.weight").flip(0))
    return GOOD(other, items, name)


def with_less_precision(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    """Export a network whose weights are rounded to bfloat16: predictions hardly change, logits do."""
    other = DeployedNetwork(network.network, describe())
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return GOOD(other, items, name)


def with_fixed_batch(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    """Export a network that takes the batch size it was traced with alone."""
    import io

    file = io.BytesIO()
    torch.onnx.export(
        network, (items,), file, dynamo=False, input_names=[name], output_names=["probabilities"]
    )  # type: ignore[arg-type]
    return file.getvalue()


def with_hard_probabilities(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    """Export a network with the right logits and predictions, whose probabilities are 0 and 1."""
    import onnx

    model = onnx.load_from_string(GOOD(network, items, name))
    last = next(node for node in model.graph.node if node.op_type == "Softmax")
    last.op_type = "Hardmax"
    return model.SerializeToString()


def failing(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    raise NotImplementedError("no such operator")


def export_with(first: Exporter, second: Exporter, out: Path, patch: pytest.MonkeyPatch) -> Exported:
    patch.setitem(EXPORTERS, "torchscript", first)
    patch.setitem(EXPORTERS, "dynamo", second)
    return written(out / "model", describe(), ["onnx"])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (with_wrong_weights, "predictions that differ"),
        (with_less_precision, "relative difference of a logit"),
        (with_hard_probabilities, "largest difference of a probability"),
        (with_fixed_batch, "it cannot be run"),
        (failing, "no such operator"),
    ],
)
def test_file_that_differs_is_not_written(
    broken: Exporter, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export_with(broken, broken, tmp_path, monkeypatch)
    assert not (made.folder / "model.onnx").exists()
    assert reason in made.checks.not_written["model.onnx"]
    assert "model.onnx" in (made.folder / "README.md").read_text()


def test_second_exporter_is_tried_if_the_first_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export_with(with_wrong_weights, GOOD, tmp_path, monkeypatch)
    assert made.checks.passed and made.checks.not_written == {}
    assert "dynamo" in made.checks.files["model.onnx"].origin
    assert [gate.passed for gate in made.checks.gates].count(False) > 0  # the failed try is kept


def test_gates_cover_all_of_val_at_two_batch_sizes(model_folder: Path) -> None:
    import json

    checks = json.loads((model_folder / "checks.json").read_text())
    for file in ("model.safetensors", "model.onnx", "model.pt2"):
        gates = [gate for gate in checks["gates"] if gate["file"] == file]
        assert {gate["batch"] for gate in gates} == {1, 64}
        assert {gate["examples"] for gate in gates} == {24}
        limits = {gate["gate"]: gate["limit"] for gate in gates}
        assert limits["predictions"] == MOST_DISAGREEMENT == 0.001
        assert ("logits" in limits) == (file != "model.pt2")
        assert ("probabilities" in limits) == (file != "model.safetensors")  # the file as it is written
        assert limits.get("logits", limits.get("probabilities")) == MOST_DIFFERENCE == 1e-4
