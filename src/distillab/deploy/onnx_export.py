"""Writing a network as ONNX, with its preprocessing inside, by the exporters of torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distillab.data.examples import IMAGE
from distillab.deploy.description import ModelDescription
from distillab.deploy.graph import DeployedNetwork, graph_shape
from distillab.deploy.sessions import onnx_package
from distillab.errors import RequestError

OPSET = 18
PRODUCER = "distillab"
_TRACED = 2  # examples in the traced batch: 1 would be taken for a constant


@dataclass(frozen=True)
class OnnxGraph:
    """A network as ONNX.

    Attributes:
        content: The file.
        exporter: The exporter of torch that made it: ``torchscript`` or ``dynamo``.
        opset: Version of the operators.
    """

    content: bytes
    exporter: str
    opset: int


class OnnxExportError(Exception):
    """An exporter cannot write a network."""


def input_name(description: ModelDescription) -> str:
    """Return the name of the input of the graph."""
    return "images" if description.modality == IMAGE else "features"


def example_items(description: ModelDescription, count: int = _TRACED) -> Tensor:
    """Return items of noise as the graph takes them."""
    rng = np.random.default_rng(0)
    shape = (count, *graph_shape(description))
    if description.modality == IMAGE:
        return torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32))


def export_onnx(network: DeployedNetwork, description: ModelDescription, exporter: str) -> OnnxGraph:
    """Return a network as ONNX, with a dynamic batch.

    Args:
        network: The network with its preprocessing.
        description: What it is.
        exporter: A name of :data:`EXPORTERS`.

    Raises:
        OnnxExportError: The exporter cannot write this network.
        RequestError: The package onnx is not installed.
    """
    onnx = onnx_package()
    items = example_items(description)
    try:
        with _quiet(), torch.no_grad():
            content = EXPORTERS[exporter](network, items, input_name(description))
    except RequestError:
        raise
    except Exception as error:  # exporters fail in many ways, and the next one may not
        reason = str(error).strip().splitlines()
        raise OnnxExportError(f"{type(error).__name__}: {reason[0] if reason else ''}") from error
    model = onnx.load_from_string(content)
    model.producer_name = PRODUCER
    model.producer_version = f"torch {torch.__version__}, {exporter} exporter"
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return OnnxGraph(model.SerializeToString(), exporter, int(opset))


def with_logits(content: bytes) -> bytes:
    """Return an ONNX file whose logits, which its last node turns into probabilities, are an output too."""
    onnx = onnx_package()
    model = onnx.load_from_string(content)
    output = model.graph.output[0]
    last = next(node for node in model.graph.node if output.name in node.output)
    logits = onnx.ValueInfoProto()
    logits.CopyFrom(output)
    logits.name = last.input[0]
    model.graph.output.append(logits)
    content_: bytes = model.SerializeToString()
    return content_


def _by_torchscript(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (items,),
        file,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OPSET,
        input_names=[name],
        output_names=[network.output_name],
        dynamic_axes={name: {0: "batch"}, network.output_name: {0: "batch"}},
    )
    return file.getvalue()


def _by_dynamo(network: DeployedNetwork, items: Tensor, name: str) -> bytes:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OnnxExportError("the dynamo exporter needs the package onnxscript") from error
    program = torch.onnx.export(
        network,
        (items,),
        dynamo=True,
        verbose=False,
        external_data=False,
        opset_version=OPSET,
        input_names=[name],
        output_names=[network.output_name],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
    )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


EXPORTERS: dict[str, Callable[[DeployedNetwork, Tensor, str], bytes]] = {
    "torchscript": _by_torchscript,
    "dynamo": _by_dynamo,
}
"""The exporters of torch, in the order in which they are tried: the first takes a tenth of the time, and
folds normalization layers into convolutions."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporters from printing what they think of a network."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
