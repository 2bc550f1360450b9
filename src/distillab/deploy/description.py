"""What an exported model is: its network, classes, input and preprocessing, as config.json states them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Examples
from distillab.data.student_transform import StudentTransform
from distillab.errors import RequestError
from distillab.modalities import Normalization, modalities
from distillab.models import InputSpec, build_model
from distillab.models.input_transforms import rescale_inputs, set_interpolation
from distillab.tasks import Task, parse_task

CONFIG = "config.json"
FORMAT = "distillab-model"
FORMAT_VERSION = 1
_NOT_NAMED = ("object:",)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelDescription:
    """What is needed to use a trained network, beside its weights.

    Attributes:
        architecture: The network, by a name that :func:`~distillab.models.build_model` takes.
        classes: Names of the classes in the order of the logits.
        item: Shape of one image (or spectrogram) as it enters the model, before ``student_transform``.
        mean: float32 ``[C]`` (``[C, F]`` for spectrograms), subtracted from inputs on the [0, 1] scale.
        std: float32 of the same shape, by which inputs are then divided.
        task: The task, as a study may write it.
        modality: ``image`` or ``audio``.
        decoding: How files become items: ``intensity`` and ``background`` of images, the settings of audio.
        student_transform: The downsampling that belongs to the network; None if there is none.
        interpolation: How the network of ``NAME@PIXELS`` resizes its inputs, if not bilinearly.
        scaling: ``scale`` and ``shift`` per channel that follow the normalization, for networks that started
            from weights with another one; None if there are none.
        pruned: Whether layers have fewer channels than the architecture, as the weights show.
        data: The keys of the source that the network was trained on, without paths, for ``evaluate``.
        facts: What else is known of the network, for the model card: JSON.

    Example:
        >>> half = np.full(3, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("cat", "dog"), item=InputSpec(3, 32, 32), mean=half, std=half
        ... )
        >>> ModelDescription.from_dict(description.as_dict()).classes
        ('cat', 'dog')
    """

    architecture: str
    classes: tuple[str, ...]
    item: InputSpec
    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    task: JsonObject = field(default_factory=lambda: {"name": "classification"})
    modality: str = IMAGE
    decoding: JsonObject = field(default_factory=dict)
    student_transform: StudentTransform | None = None
    interpolation: str | None = None
    scaling: Mapping[str, tuple[float, ...]] | None = None
    pruned: bool = False
    data: JsonObject = field(default_factory=dict)
    facts: JsonObject = field(default_factory=dict)

    @property
    def network_input(self) -> InputSpec:
        """Shape of one input of the network itself."""
        if self.student_transform is None:
            return self.item
        return InputSpec(*self.student_transform.output_shape(self.item.shape))

    @property
    def normalize(self) -> Normalization:
        """The normalization of items, as in training."""
        return modalities[self.modality].normalization((self.mean, self.std))

    @property
    def statistics(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean and standard deviation that inputs are normalized with, in all: ``scaling`` included."""
        mean, std = self.mean.astype(np.float64), self.std.astype(np.float64)
        if not self.scaling:
            return mean, std
        scale, shift = np.array(self.scaling["scale"]), np.array(self.scaling["shift"])
        return mean - shift * std / scale, std / scale

    @property
    def width(self) -> int:
        """Number of logits."""
        return self.task_config().head_width(len(self.classes))

    @property
    def is_named(self) -> bool:
        """True if the network can be built from its name alone."""
        return not self.architecture.startswith(_NOT_NAMED)

    def task_config(self) -> Task:
        """Return the task."""
        return parse_task(self.task)

    def build(self) -> nn.Module:
        """Return the untrained network, with the preprocessing that belongs to it as hooks, in evaluation
        mode.

        Raises:
            RequestError: It cannot be built here.
        """
        with torch.random.fork_rng(devices=[]):
            network = build_model(self.architecture, classes=self.width, inputs=self.network_input)
        if self.scaling:
            rescale_inputs(network, **self.scaling)
        if self.interpolation:
            set_interpolation(network, self.interpolation)
        return network.eval()

    def require_fitting(self, examples: Examples, what: str) -> None:
        """Raise ValueError unless examples have the shape and modality of the model's items."""
        if (examples.modality, examples.shape) != (self.modality, self.item.shape):
            raise ValueError(f"{what} examples are {examples.shape}, and the model's {self.item.shape}")

    def as_dict(self) -> JsonObject:
        """Return the JSON form; what is at its default is left out."""
        mean, std = (values.tolist() for values in self.statistics)
        values: dict[str, object] = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "model": self.architecture,
            "task": self.task,
            "modality": self.modality,
            "classes": list(self.classes),
            "input": {"channels": self.item.channels, "height": self.item.height, "width": self.item.width},
            "normalization": {"mean": mean, "std": std},
            "stored_normalization": {"mean": self.mean.tolist(), "std": self.std.tolist()},
            "decoding": self.decoding,
            "preprocessing": self._preprocessing(),
        }
        if self.student_transform is not None:
            transform = self.student_transform
            values["student_transform"] = {"side": transform.side, "back": transform.back}
        optional = {
            "postprocessing": self._postprocessing(),
            "interpolation": self.interpolation,
            "scaling": {key: list(each) for key, each in (self.scaling or {}).items()} or None,
            "pruned": self.pruned or None,
            "data": self.data or None,
            "facts": self.facts or None,
        }
        return values | {key: value for key, value in optional.items() if value is not None}

    def _postprocessing(self) -> JsonObject | None:
        """Return how boxes are made of the outputs of a detector; None for other networks."""
        if not self.task_config().dense:
            return None
        size = {"height": self.network_input.height, "width": self.network_input.width}
        if self.task_config().follows:
            call = "objects_of_cells(cells, height, width)"
            return {"file": "detections.py", "call": call, **size, "tracker": "tracks.py"}
        return {"file": "detections.py", "call": "boxes_of_cells(cells, height, width)", **size}

    def _preprocessing(self) -> JsonObject:
        """Return how files become inputs, for programs other than distillab."""
        if self.modality != IMAGE:
            return {
                "features": f"{self.modality} features by the settings under `decoding`, float32 [N, C, F, T]"
            }
        return {
            "orientation": "EXIF applied",
            "color": "L" if self.item.channels == 1 else "RGB",
            "resize": {
                "width": self.item.width,
                "height": self.item.height,
                "filter": "bilinear, antialiased",
            },
            "rescale": 1 / 255,
            "inside_of": "ONNX files and model.pt2: rescaling, normalization and what follows",
        }

    @classmethod
    def from_dict(cls, values: JsonObject) -> ModelDescription:
        """Return the description of a JSON form; unknown keys are ignored."""
        stored, size = values["stored_normalization"], values["input"]
        transform, scaling = values.get("student_transform"), values.get("scaling")
        return cls(
            architecture=values["model"],
            classes=tuple(values["classes"]),
            item=InputSpec(size["channels"], size["height"], size["width"]),
            mean=np.array(stored["mean"], np.float32),
            std=np.array(stored["std"], np.float32),
            task=values["task"],
            modality=values["modality"],
            decoding=values["decoding"],
            student_transform=StudentTransform(**transform) if transform else None,
            interpolation=values.get("interpolation"),
            scaling={key: tuple(each) for key, each in scaling.items()} if scaling else None,
            pruned=values.get("pruned", False),
            data=values.get("data", {}),
            facts=values.get("facts", {}),
        )


def read_description(folder: Path) -> ModelDescription:
    """Return the description in the folder of an exported model.

    Raises:
        RequestError: There is none, or it cannot be read.

    Example:
        >>> read_description(Path("missing"))
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: is not an exported model: config.json is missing ...
    """
    path = folder / CONFIG
    allowed = "a folder that `distillab export` wrote, or a model file in it"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"is not an exported model: {CONFIG} is missing"
        raise RequestError(what, where=str(folder), allowed=allowed) from None
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot be read ({error})", where=str(path), allowed=allowed) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise RequestError(f"is no {CONFIG} of an exported model", where=str(path), allowed=allowed)
    if values.get("version") != FORMAT_VERSION:
        found = f"version {values.get('version')!r} of the format"
        raise RequestError(f"has {found}", where=str(path), allowed=f"version {FORMAT_VERSION}")
    try:
        return ModelDescription.from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        what = f"cannot be read ({type(error).__name__}: {error})"
        raise RequestError(what, where=str(path), allowed=allowed) from error
