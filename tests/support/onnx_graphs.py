"""ONNX graphs of linear classifiers, written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from distillab.data.dataset import Dataset

TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def write_linear(
    path: Path,
    state: Mapping[str, Tensor],
    dataset: Dataset,
    *,
    layout: str = "nchw",
    dtype: str = "float32",
    batch: int | str = "N",
    ending: str = "",
    outputs: int = 1,
    metadata: Mapping[str, str] | None = None,
    dims: Sequence[Any] | None = None,
    external: bool = False,
) -> Path:
    """Write a graph that computes what ``support.networks:linear`` does with the weights of a state.

    Args:
        path: The file.
        state: ``fc.weight`` and ``fc.bias``, for inputs normalized as in the study.
        dataset: The data, whose shape and normalization the graph has.
        layout: ``nchw`` or ``nhwc``.
        dtype: ``uint8`` graphs normalize pixels themselves.
        batch: The batch in the shape of the input.
        ending: ``Softmax`` or ``Sigmoid`` at the end.
        outputs: Number of outputs.
        metadata: What the graph states about itself.
        dims: The shape of the input, if not that of the data.
        external: Whether weights are in a file beside it.
    """
    channels, height, width = dataset.train.shape
    mean, std = (np.asarray(each, np.float32).reshape(1, -1, 1, 1) for each in dataset.normalization())
    nodes: list[Any] = []
    held = {
        "weight": state["fc.weight"].numpy().astype(np.float32),
        "bias": state["fc.bias"].numpy().astype(np.float32),
    }
    last = "pixels"

    def add(kind: str, *more: str, **keys: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *more], [f"{kind}_{len(nodes)}"], **keys))
        last = nodes[-1].output[0]

    if dtype != "float32":
        add("Cast", to=TensorProto.FLOAT)
    if layout == "nhwc":
        add("Transpose", perm=[0, 3, 1, 2])
    if dtype == "uint8":
        held |= {"shift": mean * 255, "scale": std * 255}
        add("Sub", "shift")
        add("Div", "scale")
    add("Flatten")
    add("Gemm", "weight", "bias", transB=1)
    if ending:
        add(ending)
    usual = [batch, channels, height, width] if layout == "nchw" else [batch, height, width, channels]
    names = [last] + [node.output[0] for node in nodes[-outputs:-1]]
    classes = len(held["bias"])
    made = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("pixels", TYPES[dtype], list(dims or usual))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, classes]) for name in names],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(
        model, str(path), save_as_external_data=external, location=f"{path.name}.data", size_threshold=0
    )
    return path
