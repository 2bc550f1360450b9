"""int8 by ONNX Runtime: static quantization, calibrated on training images, and what became of the graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from distillab.data.examples import Items
from distillab.deploy.environment import cpu_features
from distillab.deploy.sessions import EXTRA, onnx_package, onnx_runtime
from distillab.errors import RequestError

if TYPE_CHECKING:
    from onnx import ModelProto

Form = Literal["QDQ", "QOperator"]
CalibrationRanges = Literal["MinMax", "Percentile"]
CALIBRATION_BATCH = 16
HEAVY = ("Conv", "Gemm", "MatMul")
"""Operators that hold nearly all of the arithmetic and of the weights."""
_QUANTIZED_HEAVY = {
    "QLinearConv": "Conv",
    "QLinearMatMul": "MatMul",
    "MatMulInteger": "MatMul",
    "QGemm": "Gemm",
    "ConvInteger": "Conv",
}
# Without these instructions, sums of products of 8 bits overflow 16, so weights get 7.
_EXACT_SUMS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


@dataclass(frozen=True)
class QuantizationChoice:
    """A way to quantize.

    Attributes:
        form: ``QDQ``, pairs of nodes around float operators that the runtime fuses, or ``QOperator``,
            integer operators.
        ranges: How activations' ranges follow from calibration.
        float_head: Whether the last layer stays in float.

    Example:
        >>> QuantizationChoice("QDQ").text
        'QDQ, MinMax ranges'
    """

    form: Form
    ranges: CalibrationRanges = "MinMax"
    float_head: bool = False

    @property
    def text(self) -> str:
        """The choice in a few words."""
        return f"{self.form}, {self.ranges} ranges{', last layer in float' if self.float_head else ''}"


@dataclass(frozen=True)
class QuantizedGraph:
    """A quantized graph.

    Attributes:
        content: The ONNX file.
        choice: How it was quantized.
        quantized: Number of operators with integer weights, by kind (:data:`HEAVY`).
        total: Number of all operators of these kinds with weights.
        normalizations: Batch normalizations that were not folded into convolutions.
        reduced_range: Whether weights have 7 bits.
    """

    content: bytes
    choice: QuantizationChoice
    quantized: Mapping[str, int]
    total: Mapping[str, int]
    normalizations: int
    reduced_range: bool


def needs_reduced_range() -> bool:
    """Return True if weights of 8 bits would make sums overflow on this CPU.

    Example:
        >>> isinstance(needs_reduced_range(), bool)
        True
    """
    return not set(_EXACT_SUMS) & set(cpu_features())


def prepare_quantization(content: bytes) -> bytes:
    """Return a graph with batch normalizations folded into convolutions, and with all shapes known.

    Args:
        content: The ONNX file in float.
    """
    shape_inference = _quantization_package("shape_inference")
    with TemporaryDirectory(prefix="distillab-") as folder, _silent():
        before, after = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        before.write_bytes(content)
        try:
            shape_inference.quant_pre_process(str(before), str(after), skip_symbolic_shape=False)
        except Exception:  # noqa: BLE001  # symbolic inference knows fewer operators than the runtime
            shape_inference.quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
        return after.read_bytes()


def quantize(prepared: bytes, items: Items, choice: QuantizationChoice) -> QuantizedGraph:
    """Quantize a graph: weights int8 per channel, activations uint8.

    What lies before the first layer (the normalization) and behind the last (softmax) stays in float.

    Args:
        prepared: What :func:`prepare_quantization` returned.
        items: Training items as the graph takes them.
        choice: How to do it.

    Raises:
        RequestError: onnxruntime's tools for quantization are not installed.
    """
    package, onnx = _quantization_package(), onnx_package()
    model = onnx.load_from_string(prepared)
    reduced = needs_reduced_range()
    with TemporaryDirectory(prefix="distillab-") as folder, _silent():
        path = Path(folder) / "int8.onnx"
        package.quantize_static(
            model,
            str(path),
            _Calibration(model.graph.input[0].name, items),
            quant_format=getattr(package.QuantFormat, choice.form),
            calibrate_method=getattr(package.CalibrationMethod, choice.ranges),
            per_channel=True,
            reduce_range=reduced,
            activation_type=package.QuantType.QUInt8,
            weight_type=package.QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(model, choice.float_head),
        )
        content = path.read_bytes()
    quantized, total, normalizations = count_quantized(content)
    return QuantizedGraph(content, choice, quantized, total, normalizations, reduced)


def count_quantized(content: bytes) -> tuple[dict[str, int], dict[str, int], int]:
    """Return how many heavy operators of a graph have integer weights, how many there are, and how many batch
    normalizations.

    Args:
        content: An ONNX file.
    """
    onnx = onnx_package()
    graph = onnx.load_from_string(content).graph
    integer = {each.name for each in graph.initializer if each.data_type in _integer_types(onnx)}
    made_by = {output: node for node in graph.node for output in node.output}
    quantized, total = Counter[str](), Counter[str]()
    for node in graph.node:
        if node.op_type in _QUANTIZED_HEAVY:
            quantized[_QUANTIZED_HEAVY[node.op_type]] += 1
            total[_QUANTIZED_HEAVY[node.op_type]] += 1
        elif node.op_type in HEAVY:
            total[node.op_type] += 1
            sources = [made_by.get(name) for name in node.input[:2]]
            dequantized = all(each is not None and each.op_type == "DequantizeLinear" for each in sources)
            weights = sources[1].input[0] if dequantized and sources[1] is not None else ""
            quantized[node.op_type] += int(weights in integer or (dequantized and node.op_type == "MatMul"))
    normalizations = sum(node.op_type == "BatchNormalization" for node in graph.node)
    return dict(quantized), dict(total), normalizations


class _Calibration:
    """Hands calibration items to onnxruntime, batch by batch."""

    def __init__(self, name: str, items: Items) -> None:
        self._name, self._items = name, items
        self._at = 0

    def get_next(self) -> dict[str, Items] | None:
        batch = self._items[self._at : self._at + CALIBRATION_BATCH]
        self._at += CALIBRATION_BATCH
        return {self._name: batch} if len(batch) else None

    def rewind(self) -> None:
        self._at = 0


def _kept_in_float(model: ModelProto, float_head: bool) -> list[str]:
    """Return the names of the nodes before the first layer and behind the last one, and name all nodes."""
    nodes = list(model.graph.node)
    for number, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}_{number}"
    weights = {each.name for each in model.graph.initializer}
    heavy = [
        place
        for place, node in enumerate(nodes)
        if node.op_type in HEAVY and len(weights & set(node.input[1:2])) > 0
    ]
    layers = [place for place in heavy if nodes[place].op_type != "MatMul"] or heavy
    first, last = layers[0], max(heavy)
    kept = [node.name for node in (*nodes[:first], nodes[-1])]
    return [*kept, nodes[last].name] if float_head else kept


def _integer_types(onnx: Any) -> set[int]:
    return {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


def _quantization_package(module: str = "") -> Any:
    onnx_runtime("int8")
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference
    except ImportError as error:
        raise RequestError(f"needs the package {error.name}", where="--format int8", allowed=EXTRA) from error
    return shape_inference if module else quantization


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep onnxruntime's tools from printing advice that was followed already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.setLevel(level)
