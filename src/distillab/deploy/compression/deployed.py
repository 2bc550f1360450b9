"""The files of the networks of a compression, in float and in int8: their outputs, bytes and times."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import nn

from distillab.artefacts import write_atomically
from distillab.canonical import JsonObject
from distillab.data.examples import Examples, Items
from distillab.deploy.compression.arms import NetworkCost
from distillab.deploy.compression.layers import count_nonzero_parameters
from distillab.deploy.description import ModelDescription
from distillab.deploy.export import CALIBRATION_EXAMPLES
from distillab.deploy.files import INT8, ONNX, writing_folder
from distillab.deploy.graph import DeployedNetwork, graph_items
from distillab.deploy.latency import Latency, time_in_turn
from distillab.deploy.loaded import OnnxEngine
from distillab.deploy.onnx_export import EXPORTERS, OnnxExportError, export_onnx
from distillab.deploy.quantization import QuantizationChoice, prepare_quantization, quantize
from distillab.deploy.sessions import open_session
from distillab.errors import RequestError
from distillab.models.cost import count_macs, count_parameters

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLERATED = 0.01  # accuracy that int8 may lose on val before another way to quantize is tried
COST = "cost.json"
TEST = "test.npz"
_BATCH = 64
# Ways to quantize, tried in turn while none keeps the accuracy on val.
CHOICES = (
    QuantizationChoice("QDQ"),
    QuantizationChoice("QDQ", "Percentile"),
    QuantizationChoice("QDQ", float_head=True),
)


@dataclass(frozen=True)
class DeployedNetworkFolder:
    """The folder of a network's files.

    Attributes:
        path: The folder; it is there once it is complete.

    Example:
        >>> DeployedNetworkFolder(Path("deployed/8f0c")).is_written
        False
    """

    path: Path

    @property
    def is_written(self) -> bool:
        """True if the files are there."""
        return (self.path / COST).is_file()

    def has(self, int8: bool) -> bool:
        """Return True if there is a file in float, or in int8."""
        return (self.path / _file(int8)).is_file()

    def val(self, int8: bool) -> float:
        """Return the accuracy on val of the file in float, or of that in int8."""
        return float(self._facts()["val"][_file(int8)])

    def quantization(self) -> str:
        """Return how the file in int8 was quantized."""
        return str(self._facts()["quantization"])

    def cost(self, int8: bool) -> NetworkCost:
        """Return what the file in float, or that in int8, costs, without its times."""
        content = (self.path / _file(int8)).read_bytes()
        facts = self._facts()
        return NetworkCost(
            facts["params"],
            facts["nonzero"],
            facts["macs"],
            len(content),
            len(gzip.compress(content, compresslevel=9, mtime=0)),
        )

    def correct(self, int8: bool, test: Examples, description: ModelDescription) -> npt.NDArray[np.bool_]:
        """Return whether each test example is predicted correctly; computed once and kept.

        Args:
            int8: Whether the file in int8 is meant.
            test: The test set.
            description: What the network is.
        """
        path = self.path / f"{_file(int8)}.{TEST}"
        if not path.is_file():
            found = _predictions((self.path / _file(int8)).read_bytes(), test, description)
            with write_atomically(path) as draft, draft.open("wb") as file:
                np.savez(file, predicted=found)
        with np.load(path) as held:
            predicted: npt.NDArray[np.int64] = held["predicted"]
        return np.asarray(predicted == test.targets.values)

    def _facts(self) -> JsonObject:
        found: JsonObject = json.loads((self.path / COST).read_text())
        return found


def _file(int8: bool) -> str:
    return INT8 if int8 else ONNX


def write_deployed(
    network: nn.Module,
    description: ModelDescription,
    folder: DeployedNetworkFolder,
    *,
    val: Examples,
    train: Examples | None,
) -> None:
    """Write the files of a network, with their accuracy on val.

    Args:
        network: The network, without masks.
        description: What it is.
        folder: Where the files are written, completely or not at all.
        val: The validation set.
        train: Training examples, by which int8 is calibrated; None writes no file in int8.

    Raises:
        RequestError: No exporter can write the network.
    """
    content = _float_graph(network, description)
    scores = {ONNX: _accuracy(content, val, description)}
    facts = {
        "params": count_parameters(network),
        "nonzero": count_nonzero_parameters(network),
        "macs": count_macs(network, description.network_input),
        "quantization": "",
    }
    files = {ONNX: content}
    if train is not None:
        files[INT8], scores[INT8], facts["quantization"] = _int8_graph(
            content, description, val, train, scores[ONNX] - TOLERATED
        )
    with writing_folder(folder.path) as draft:
        for name, each in files.items():
            (draft / name).write_bytes(each)
        (draft / COST).write_text(json.dumps({**facts, "val": scores}, indent=1))


def _float_graph(network: nn.Module, description: ModelDescription) -> bytes:
    reasons = []
    for exporter in EXPORTERS:
        try:
            return export_onnx(DeployedNetwork(network, description), description, exporter).content
        except OnnxExportError as error:
            reasons.append(f"{exporter}: {error}")
    raise RequestError(
        f"cannot be written as ONNX ({'; '.join(reasons)})",
        where=description.architecture,
        allowed="a network that an exporter of torch takes",
    )


def _int8_graph(
    content: bytes, description: ModelDescription, val: Examples, train: Examples, least: float
) -> tuple[bytes, float, str]:
    """Return the first graph in int8 whose accuracy on val is high enough, else the best of those tried."""
    prepared = prepare_quantization(content)
    positions = np.linspace(0, len(train) - 1, min(len(train), CALIBRATION_EXAMPLES)).astype(np.int64)
    items = graph_items(train.items(positions), description)
    best: tuple[bytes, float, str] | None = None
    for choice in CHOICES:
        made = quantize(prepared, items, choice).content
        score = _accuracy(made, val, description)
        if best is None or score > best[1]:
            best = made, score, choice.text
        if score >= least - 1e-9:
            break
    assert best is not None
    return best


def _accuracy(content: bytes, examples: Examples, description: ModelDescription) -> float:
    return float((_predictions(content, examples, description) == examples.targets.values).mean())


def _predictions(content: bytes, examples: Examples, description: ModelDescription) -> npt.NDArray[np.int64]:
    engine = OnnxEngine(open_session(content, threads=1))
    parts = []
    for start in range(0, len(examples), 16 * _BATCH):
        positions = np.arange(start, min(start + 16 * _BATCH, len(examples)))
        items = graph_items(examples.items(positions), description)
        parts.append(engine.run(items, _BATCH)[0].argmax(axis=1))
    return np.concatenate(parts).astype(np.int64)


def latencies(files: Mapping[str, bytes], item: Items, *, seconds: float) -> dict[str, Latency]:
    """Return the times of ONNX files for one input, on one thread of the CPU, measured in turn.

    Args:
        files: The files, by name.
        item: One input as the graphs take it, ``[1, ...]``.
        seconds: How long the measurement takes about.
    """
    sessions = {name: open_session(content, threads=1) for name, content in files.items()}
    name = next(iter(sessions.values())).get_inputs()[0].name
    passes = {key: _forward(session, name, item) for key, session in sessions.items()}
    return time_in_turn(passes, 1, seconds=seconds)


def _forward(session: InferenceSession, name: str, item: Items) -> Callable[[], object]:
    return lambda: session.run(None, {name: item})
