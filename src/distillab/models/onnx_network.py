"""OnnxNetwork: an ONNX file as a teacher, run by onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from distillab.canonical import JsonObject
from distillab.errors import RequestError
from distillab.extras import import_extra
from distillab.models.black_box import BlackBox, bytes_tensor
from distillab.models.output_checks import sums_to_one

ChannelLayout = Literal["nchw", "nhwc"]
DTYPES: Final[dict[str, type[np.generic]]] = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
PIXEL_CHANNELS: Final = (1, 3)
SMALLEST_SOFTMAX: Final = 1e-7  # the logarithm of a probability of 0 is that of this one
TRIED_BATCH: Final = 3
ALLOWED_GRAPHS: Final = (
    "one input [batch, channels, height, width] or [batch, height, width, channels] of uint8 or \
float with a dynamic batch, and one output [batch, classes]"
)


@dataclass(frozen=True)
class OnnxKeys:
    """What a study states of an ONNX file, in the place of what its graph shows.

    Attributes:
        layout: ``nchw`` or ``nhwc``; ``auto`` to read it from the graph.
        size: The side of the square to which images are resized, for a graph that takes several sizes.
        output: The name of the output that gives logits or probabilities, if there are several.

    Example:
        >>> OnnxKeys(layout="nhwc").size is None
        True
    """

    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    size: int | None = None
    output: str = ""


class OnnxNetwork(BlackBox):
    """An ONNX graph as a network. Its bytes are a buffer, and every process opens its own session.

    Images are resized where the graph has a fixed size, and laid out as it needs them. Probabilities become
    their logarithms.

    Example:
        >>> OnnxNetwork(10)(torch.zeros(2, 3, 32, 32)).shape  # empty
        torch.Size([2, 10])
    """

    CONTENT: ClassVar[tuple[str, ...]] = ("settings", "graph")

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self._opened: Any = None

    def __getstate__(self) -> dict[str, object]:
        """Leave out the session, which belongs to one process."""
        return {**self.__dict__, "_opened": None}

    def answer(self, x: Tensor) -> Tensor:
        """Return logits, float32 ``[N, classes]``, for images of the normalization of the graph."""
        facts = self.facts
        outputs = torch.from_numpy(self._run(facts, x)).float()
        if facts["ending"] == "softmax":
            outputs = outputs.clamp_min(SMALLEST_SOFTMAX).log()
        elif facts["ending"] == "sigmoid":
            outputs = outputs.clamp(SMALLEST_SOFTMAX, 1 - SMALLEST_SOFTMAX).logit()
        return outputs.to(x.device)

    def _run(self, facts: JsonObject, x: Tensor) -> npt.NDArray[Any]:
        size = tuple(facts["size"] or x.shape[-2:])
        if tuple(x.shape[-2:]) != size:
            x = interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        values = x.detach().cpu().numpy()
        if facts["layout"] == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        dtype = DTYPES[facts["dtype"]]
        if dtype is np.uint8:
            values = np.rint(values).clip(0, 255)
        session = self._session()
        name = session.get_inputs()[0].name
        [outputs] = session.run([facts["output"]], {name: np.ascontiguousarray(values.astype(dtype))})
        found: npt.NDArray[Any] = np.asarray(outputs)
        return found

    def _session(self) -> Any:
        if self._opened is None:
            self._opened = open_graph(bytes(self.get_buffer("graph").cpu().numpy()), "teacher")
        return self._opened


def open_graph(graph: bytes | Path, where: str) -> Any:
    """Return an onnxruntime session on the CPU, with as many threads as torch has.

    Args:
        graph: The bytes of a graph, or its file.
        where: Its place, for messages.

    Raises:
        RequestError: onnxruntime is not installed, or the graph cannot be opened.
    """
    ort = import_extra("onnxruntime", "deploy", "an ONNX file", where=where)
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is in the error
    try:
        held = str(graph) if isinstance(graph, Path) else graph
        return ort.InferenceSession(held, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception for each status, all without a common class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RequestError(
            f"cannot be opened by onnxruntime ({reason})", where=where, allowed="an ONNX file"
        ) from error


def read_onnx(
    path: Path,
    shape: tuple[int, int, int],
    keys: OnnxKeys,
    normalization: tuple[Sequence[float], Sequence[float]] | None,
) -> tuple[OnnxNetwork, JsonObject]:
    """Return the network in an ONNX file and the metadata that the file states.

    Layout, type, size and whether the outputs are probabilities are read from the graph and from a dry run.

    Args:
        path: The file. Weights beside it (external data) are taken in.
        shape: Channels, height and width of the images.
        keys: What the study states.
        normalization: Mean and standard deviation per channel on the [0, 1] scale that it states.

    Raises:
        RequestError: The file is no ONNX graph, or not one of an image classifier with a dynamic batch.
    """
    graph, session = _read_graph(path)
    where, metadata = str(path), dict(session.get_modelmeta().custom_metadata_map)
    output, (only, *more) = _output(session, keys, where), session.get_inputs()
    if more:
        names = ", ".join(each.name for each in (only, *more))
        raise RequestError(f"has several inputs ({names})", where=where, allowed=ALLOWED_GRAPHS)
    if only.type not in DTYPES:
        raise RequestError(f"its input {only.name} is {only.type}", where=where, allowed=ALLOWED_GRAPHS)
    layout, size = _layout(list(only.shape), shape, keys, where)
    pixels = only.type == "tensor(uint8)"
    if pixels and normalization is not None:
        raise RequestError(
            "takes uint8 pixels, and normalizes them itself",
            where="teacher.normalization",
            allowed="no `normalization`",
        )
    mean, std = normalization or _stated_normalization(metadata, shape[0]) or (None, None)
    if pixels:
        mean, std = [0.0] * shape[0], [1 / 255] * shape[0]
    facts: dict[str, object] = {
        "layout": layout,
        "size": size,
        "dtype": only.type,
        "output": output,
        "ending": "",
        "mean": None if mean is None else list(mean),
        "std": None if std is None else list(std),
    }
    network = OnnxNetwork(0)
    network.fill(facts, graph=bytes_tensor(graph))
    ending, network.classes = _try(network, shape, pixels=pixels, where=where)
    network.fill(facts | {"ending": ending, "classes": network.classes})
    return network, {key: _decoded(value) for key, value in metadata.items()}


def describe_onnx(network: OnnxNetwork, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Return what was found about the graph, in a few words each."""
    facts = network.facts
    kind = facts["dtype"].removeprefix("tensor(").removesuffix(")")
    found = [f"input {kind} {facts['layout'].upper()}"]
    if facts["size"] and tuple(facts["size"]) != shape[1:]:
        height, width = facts["size"]
        found.append(f"images resized to {width}x{height}")
    if facts["ending"]:
        found.append(f"its {facts['ending']} undone")
    return tuple(found)


def _read_graph(path: Path) -> tuple[bytes, Any]:
    """Return the bytes of a graph with all weights in them, and a session."""
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"cannot be read ({error.strerror or type(error).__name__})", where=str(path)
        ) from error
    try:
        return graph, open_graph(graph, str(path))
    except RequestError:
        session = open_graph(path, str(path))  # weights beside the file are found by its path alone
    onnx = import_extra("onnx", "deploy", "an ONNX file with weights beside it", where=str(path))
    return onnx.load(str(path)).SerializeToString(), session


def _output(session: Any, keys: OnnxKeys, where: str) -> str:
    """Return the name of the output, which must be [batch, classes] with a dynamic batch."""
    outputs = {each.name: each for each in session.get_outputs()}
    if keys.output and keys.output not in outputs:
        raise RequestError(
            f"has no output {keys.output!r}", where=f"{where} (teacher.entry)", allowed=", ".join(outputs)
        )
    if len(outputs) > 1 and not keys.output:
        names = list(outputs)
        raise RequestError(
            f"has {len(outputs)} outputs ({', '.join(names)})",
            where=where,
            allowed=f"a graph with one output, or `entry: {names[0]}` to name the one of logits",
        )
    name = keys.output or next(iter(outputs))
    if len(outputs[name].shape) != 2:
        raise RequestError(
            f"its output {name} is {_dims(outputs[name].shape)}", where=where, allowed=ALLOWED_GRAPHS
        )
    return name


def _layout(
    dims: list[Any], shape: tuple[int, int, int], keys: OnnxKeys, where: str
) -> tuple[ChannelLayout, list[int] | None]:
    """Return where the channels are, and the size of images that the graph needs; None if it takes any."""
    if len(dims) != 4:
        raise RequestError(f"its input is {_dims(dims)}", where=where, allowed=ALLOWED_GRAPHS)
    if isinstance(dims[0], int):
        raise RequestError(
            f"its batch is fixed at {dims[0]}",
            where=where,
            allowed="an export with a dynamic batch, as by torch.onnx.export(..., dynamic_shapes=...)",
        )
    first, last = (each in PIXEL_CHANNELS for each in (dims[1], dims[3]))
    if keys.layout != "auto":
        layout: ChannelLayout = keys.layout
    elif first == last:
        raise RequestError(
            f"its input {_dims(dims)} does not show where the channels are",
            where=where,
            allowed="`layout: nchw` or `layout: nhwc`",
        )
    else:
        layout = "nchw" if first else "nhwc"
    channels, sides = (dims[1], dims[2:]) if layout == "nchw" else (dims[3], dims[1:3])
    if isinstance(channels, int) and channels != shape[0]:
        allowed = f"`channels: {channels}` of the data" if channels in PIXEL_CHANNELS else ALLOWED_GRAPHS
        raise RequestError(
            f"takes {channels} channels, and the images have {shape[0]}", where=where, allowed=allowed
        )
    size = [keys.size or own for own in shape[1:]]
    fixed = [side if isinstance(side, int) else own for side, own in zip(sides, size, strict=True)]
    if keys.size and fixed != [keys.size, keys.size]:
        height, width = fixed
        raise RequestError(
            f"takes images of {width}x{height} pixels", where="teacher.size", allowed="no `size`"
        )
    return layout, fixed if fixed != list(shape[1:]) else None


def _stated_normalization(metadata: dict[str, str], channels: int) -> tuple[list[float], list[float]] | None:
    """Return the normalization in the metadata of a graph, if there is one of its channels."""
    found = [_decoded(metadata.get(key, "")) for key in ("mean", "std")]
    for each in found:
        numbers = isinstance(each, list) and len(each) == channels
        if not numbers or not all(isinstance(value, int | float) for value in each):
            return None
    return found[0], found[1]


def _try(network: OnnxNetwork, shape: tuple[int, int, int], *, pixels: bool, where: str) -> tuple[str, int]:
    """Return what the outputs for a few images of noise are, and their number.

    Raises:
        RequestError: The graph fails on such images, or mixes up a batch.
    """
    noise = torch.rand((TRIED_BATCH, *shape), generator=torch.Generator().manual_seed(0))
    try:
        outputs = network._run(network.facts, noise * 255 if pixels else noise * 4 - 2)
    except Exception as error:  # onnxruntime has an exception for each status, all without a common class
        reason = " ".join(str(error).split())[:200]
        size = f"{shape[2]}x{shape[1]}"
        raise RequestError(
            f"fails on {TRIED_BATCH} images of {size} pixels ({reason})",
            where=where,
            allowed="a graph with a dynamic batch, and `size: PIXELS` if it needs another size",
        ) from error
    if outputs.ndim != 2 or len(outputs) != TRIED_BATCH or outputs.shape[1] < 2:
        raise RequestError(
            f"gives {list(outputs.shape)} for {TRIED_BATCH} images", where=where, allowed=ALLOWED_GRAPHS
        )
    values = torch.from_numpy(outputs).float()
    if sums_to_one(values):
        return "softmax", outputs.shape[1]
    between = bool(((values >= 0) & (values <= 1)).all()) and bool((values != values[0, 0]).any())
    return "sigmoid" if between else "", outputs.shape[1]


def _dims(dims: Sequence[Any]) -> str:
    return f"[{', '.join(str(each) for each in dims)}]"


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
