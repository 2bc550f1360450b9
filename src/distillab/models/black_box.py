"""Black boxes: teachers of which logits alone are known, such as ONNX files and stored predictions.

A black box is an ``nn.Module`` whose whole content is in its buffers, so that it is written, addressed by
content and loaded in every process like any other teacher. A freshly built one is empty: it only has the
shape of its output, which planning needs.
"""

from __future__ import annotations

import json
import uuid
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor, nn

from distillab.artefacts import load_state, save_state, weights_digest
from distillab.canonical import JsonObject, canonical_json
from distillab.errors import RequestError
from distillab.models.object_files import written_here

ONNX, PREDICTIONS = "onnx", "predictions"
BLACK_BOXES = MappingProxyType(
    {ONNX: "an ONNX file", PREDICTIONS: "a table of stored predictions by file name"}
)
"""The names of black boxes in the place of a model's, with what they are."""
ENDINGS = MappingProxyType({".onnx": ONNX, ".parquet": PREDICTIONS, ".npz": PREDICTIONS})


def black_box_of(path: str | Path) -> str | None:
    """Return the name of the black box that a file holds, by its ending; None for other files.

    Example:
        >>> black_box_of("teacher.onnx"), black_box_of("answers.parquet"), black_box_of("weights.pth")
        ('onnx', 'predictions', None)
    """
    return ENDINGS.get(Path(path).suffix.lower())


def is_black_box(name: str) -> bool:
    """Return True if a name stands for a black box in the place of a network.

    Example:
        >>> is_black_box("onnx"), is_black_box("resnet8")
        (True, False)
    """
    return name in BLACK_BOXES


def split_black_box(teacher: str | None, weights: Path | None) -> tuple[str | None, Path | None]:
    """Return a teacher and its weights as the command line takes them, with the name and the file of a black
    box apart.

    Example:
        >>> split_black_box("teacher.onnx", None) == split_black_box(None, Path("teacher.onnx"))
        True
        >>> split_black_box("resnet20", None)
        ('resnet20', None)
    """
    if teacher is not None and weights is None and (kind := black_box_of(teacher)):
        return kind, Path(teacher)
    if teacher is None and weights is not None and (kind := black_box_of(weights)):
        return kind, weights
    return teacher, weights


class BlackBox(nn.Module):
    """Base class of black boxes: images as the study normalizes them, or rescaled, to logits.

    Args:
        classes: Number of logits.

    Attributes:
        CONTENT: The names of the buffers that hold its content; ``settings`` is JSON.
        sees_originals: Whether it answers for examples as they are, and not for views of them.
    """

    CONTENT: ClassVar[tuple[str, ...]] = ("settings",)
    sees_originals: ClassVar[bool] = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in self.CONTENT:
            self.register_buffer(name, torch.zeros(0, dtype=torch.uint8))

    @property
    def is_filled(self) -> bool:
        """True if its content was loaded."""
        return bool(self.get_buffer("settings").numel())

    @property
    def facts(self) -> JsonObject:
        """The settings that its content is read with."""
        held: JsonObject = json.loads(bytes(self.get_buffer("settings").cpu().numpy()))
        return held

    def fill(self, facts: JsonObject, **content: Tensor) -> None:
        """Set the content: the settings, and the other buffers by name."""
        self._buffers["settings"] = bytes_tensor(canonical_json(facts).encode())
        self._buffers.update(content)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, float32 ``[N, classes]``, for inputs ``[N, C, H, W]``; zeros while it is empty."""
        if not self.is_filled:
            return torch.zeros((len(x), self.classes), device=x.device)
        with torch.no_grad():
            return self.answer(x.float())

    @abstractmethod
    def answer(self, x: Tensor) -> Tensor:
        """Return logits, float32 ``[N, classes]``, for inputs of its own normalization."""

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the content whatever its size is, unlike weights."""
        names = {prefix + name: name for name in self.CONTENT}
        missing_keys += [key for key in names if key not in state_dict]
        unexpected_keys += [key for key in state_dict if key.startswith(prefix) and key not in names]
        for key, name in names.items():
            if key in state_dict:
                self._buffers[name] = state_dict[key].detach().clone()


def build_black_box(name: str, classes: int) -> BlackBox:
    """Return an empty black box.

    Args:
        name: A key of ``BLACK_BOXES``.
        classes: Number of logits.

    Example:
        >>> build_black_box("onnx", 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    # Imported here: both files use this one.
    from distillab.models.onnx_network import OnnxNetwork
    from distillab.models.stored_predictions import StoredPredictions

    return {ONNX: OnnxNetwork, PREDICTIONS: StoredPredictions}[name](classes)


def write_black_box(network: BlackBox) -> Path:
    """Write the content of a black box into a file of this process, named by its content address.

    Example:
        >>> network = build_black_box("predictions", 2)
        >>> network.fill({}, keys=torch.zeros(1, 2), logits=torch.zeros(1, 2))
        >>> write_black_box(network).suffix
        '.safetensors'
    """
    draft = written_here() / uuid.uuid4().hex
    save_state({name: value.detach().cpu() for name, value in network.named_buffers()}, draft)
    return draft.replace(draft.with_name(f"{weights_digest(draft)}.safetensors"))


def load_black_box(network: BlackBox, path: Path) -> None:
    """Load what :func:`write_black_box` wrote.

    Raises:
        RequestError: The file cannot be read or holds another kind of teacher.
    """
    load_state(network, path)


def stored_facts(path: Path) -> JsonObject:
    """Return the settings in a file that :func:`write_black_box` wrote.

    Raises:
        RequestError: It is none.
    """
    try:
        settings = load(path.read_bytes())["settings"]
    except (OSError, KeyError, ValueError) as error:
        raise RequestError("cannot read this teacher", where=str(path)) from error
    held: JsonObject = json.loads(bytes(settings.numpy()))
    return held


def bytes_tensor(content: bytes) -> Tensor:
    """Return bytes as a tensor, uint8 ``[n]``.

    Example:
        >>> bytes_tensor(b"ab").tolist()
        [97, 98]
    """
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())
