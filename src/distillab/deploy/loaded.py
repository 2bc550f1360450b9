"""A model that export wrote, ready to predict: the same object for every kind of file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from distillab.artefacts import weights_digest
from distillab.data.examples import IMAGE, Examples, Items
from distillab.deploy.description import ModelDescription, read_description
from distillab.deploy.detected import DetectedBox, detected_boxes, refuse_detector, require_detector
from distillab.deploy.detector_files import SHOWN_CONFIDENCE
from distillab.deploy.files import CHECKS, INT8, MODEL_FILES, ONNX, PROGRAM, SAFETENSORS
from distillab.deploy.frames import frames_in
from distillab.deploy.graph import graph_items, graph_shape
from distillab.deploy.judged import judged_outputs
from distillab.deploy.preprocessing import each_image, preprocess_image, preprocess_images, upright_picture
from distillab.deploy.program import load_program
from distillab.deploy.resized import load_resized_state
from distillab.deploy.sessions import open_session, require_form
from distillab.deploy.tracked import FrameTracker, TrackedBox, require_tracker
from distillab.errors import RequestError
from distillab.models.dry_run import logits_of
from distillab.tasks import Classification, Task
from distillab.user_code import require_code

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 64
PRESENT = 0.5  # probability from which a label of several counts as predicted


class Predictions(NamedTuple):
    """What a model predicts of some images.

    Attributes:
        labels: The name of the predicted class of each; of a model for several labels per image, a tuple of
            the names whose probability is at least one half.
        probabilities: float32 ``[N, classes]``.

    Example:
        >>> labels, probabilities = Predictions(("cat",), np.array([[0.9, 0.1]], np.float32))
        >>> labels
        ('cat',)
    """

    labels: tuple[Any, ...]
    probabilities: npt.NDArray[np.float32]


class Engine(ABC):
    """What computes the probabilities of a model file.

    Attributes:
        network: The network, if the file holds one that torch can change; None for graphs.
    """

    network: nn.Module | None = None

    @abstractmethod
    def outputs(self, items: Items) -> tuple[npt.NDArray[np.float32], Items | None]:
        """Return the probabilities and the logits of one batch, ``[N, classes]``; None for unknown logits.

        Of a detector, the first are its raw outputs, ``[N, A, K + 10]``, and there are no others.

        Args:
            items: Items as the graph takes them.
        """

    def run(self, items: Items, batch: int) -> tuple[npt.NDArray[np.float32], Items | None]:
        """Return the same of items in batches."""
        parts = [self.outputs(items[at : at + batch]) for at in range(0, len(items), batch)]
        logits = [part for _, part in parts if part is not None]
        return np.concatenate([p for p, _ in parts]), np.concatenate(logits) if logits else None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network with its classes and its preprocessing.

    Attributes:
        path: The model file.
        description: What the model is.
        engine: What computes its probabilities.

    Example:
        >>> import tempfile
        >>> from distillab.deploy.description import ModelDescription
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> model = LoadedModel(Path("model"), description, TorchEngine(description.build(), description))
        >>> model.preprocess(np.zeros((10, 12), np.uint8)).shape
        (1, 8, 8, 1)
        >>> model.predict(np.zeros((10, 12), np.uint8)).probabilities.shape
        (1, 2)
    """

    path: Path
    description: ModelDescription
    engine: Engine

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the probabilities."""
        return self.description.classes

    @property
    def task(self) -> Task:
        """The task."""
        return self.description.task_config()

    @property
    def network(self) -> nn.Module:
        """The network, for images that ``description.normalize`` normalized.

        Raises:
            RequestError: The file is a graph, such as an ONNX file.
        """
        if self.engine.network is None:
            raise RequestError(
                "a graph holds no network that torch can change",
                where=str(self.path),
                allowed=f"{SAFETENSORS} of an architecture that can be built by name",
            )
        return self.engine.network

    def preprocess(self, inputs: Any) -> npt.NDArray[np.uint8]:
        """Return images as the model takes them, uint8 ``[N, H, W, C]``.

        Args:
            inputs: A file, a picture of Pillow or an array, or several of these.

        Raises:
            RequestError: One of them is no image, or cannot be decoded.
        """
        return preprocess_images(inputs, self.description)

    def predict(self, inputs: Any, *, batch: int = BATCH) -> Predictions:
        """Return the predicted classes of images, and the probabilities of all classes.

        Args:
            inputs: As for :meth:`preprocess`.
            batch: Images per forward pass.

        Raises:
            RequestError: One of them is no image, or cannot be decoded.
        """
        probabilities = self.probabilities(self.preprocess(inputs), batch=batch)
        return Predictions(self.labels_of(probabilities), probabilities)

    def detect(self, inputs: Any, *, least: float = SHOWN_CONFIDENCE) -> tuple[tuple[DetectedBox, ...], ...]:
        """Return the boxes that a detector finds in each image, in its pixels, the most confident first.

        Args:
            inputs: As for :meth:`preprocess`.
            least: Confidence below which a box is left out.

        Raises:
            RequestError: The model is no detector, or an image cannot be decoded.
        """
        require_detector(self.description, self.path, "`detect` needs a model that finds boxes")
        sizes = [
            upright_picture(each, self.description, where).size[::-1] for each, where in each_image(inputs)
        ]
        cells, _ = self.engine.run(self.preprocess(inputs), BATCH)
        return detected_boxes(cells, sizes, self.description, least)

    def track(self, frames: Any, *, least: float = 0.0) -> tuple[tuple[TrackedBox, ...], ...]:
        """Return the objects in each frame of a sequence, with identities, in pixels of the frame.

        Args:
            frames: The folder of the frames, which are taken in the natural order of their names; or frames
                in order, as for :meth:`preprocess`.
            least: Confidence below which a box is left out. It is followed all the same.

        Raises:
            RequestError: The model follows no objects, a frame cannot be decoded, or frames are of different
                sizes.
        """
        require_tracker(self.description, self.path, "`track` needs a model that follows objects")
        given = frames_in([frames]) if isinstance(frames, str | Path) and Path(frames).is_dir() else frames
        tracker, found = FrameTracker(self.description), []
        for frame, where in each_image(given):
            item = preprocess_image(frame, self.description, where)
            size = upright_picture(frame, self.description, where).size[::-1]
            [cells], _ = self.engine.outputs(item[None])
            found.append(tracker.next_frame(cells, size, where, least=least))
        return tuple(found)

    def labels_of(self, probabilities: npt.NDArray[np.float32]) -> tuple[Any, ...]:
        """Return the predicted names for probabilities ``[N, classes]``."""
        if isinstance(self.task, Classification):
            return tuple(self.classes[each] for each in probabilities.argmax(axis=1))
        return tuple(
            tuple(name for name, p in zip(self.classes, row, strict=True) if p >= PRESENT)
            for row in probabilities
        )

    def probabilities(self, items: Items, *, batch: int = BATCH) -> npt.NDArray[np.float32]:
        """Return the probabilities of items as the graph takes them, float32 ``[N, classes]``.

        Args:
            items: What :meth:`preprocess` returns; float32 ``[N, C, F, T]`` for a model of spectrograms.
            batch: Items per forward pass.

        Raises:
            RequestError: The items have another shape or type, or the model is a detector.
        """
        refuse_detector(self.description, self.path, "a probability")
        return self.engine.run(self._checked(items), batch)[0]

    def logits(self, examples: Examples, *, batch: int = BATCH) -> npt.NDArray[np.float64]:
        """Return the logits for examples of a dataset, ``[N, classes]``.

        Those of a graph, which ends in probabilities, are logits of these probabilities: for one class per
        image, the network's own up to a constant.

        An example of several items has the mean of their logits.

        Args:
            examples: Examples of the shape of the model's items.
            batch: Examples per forward pass.
        """
        self.description.require_fitting(examples, "the")
        if examples.parts is not None:
            each, owners = examples.each_part()
            own = self.logits(each, batch=batch)
            return np.stack([own[owners == position].mean(axis=0) for position in range(len(examples))])
        parts = []
        for start in range(0, len(examples), batch):
            positions = np.arange(start, min(start + batch, len(examples)))
            items = graph_items(examples.items(positions), self.description)
            probabilities, logits = self.engine.outputs(items)
            logits = judged_outputs(probabilities, self.description) if logits is None else logits
            parts.append(np.asarray(logits, np.float64))
        return np.concatenate(parts)

    def _checked(self, items: Items) -> Items:
        items = np.asarray(items)
        shape = graph_shape(self.description)
        wanted = np.uint8 if self.description.modality == IMAGE else np.float32
        if items.ndim != 4 or items.shape[1:] != shape or items.dtype != wanted or not len(items):
            raise RequestError(
                f"items are {items.dtype} {list(items.shape)}",
                where="items",
                allowed=f"{np.dtype(wanted)} [N, {', '.join(map(str, shape))}]",
            )
        return items


class TorchEngine(Engine):
    """A network in torch, with the normalization of its training before it.

    Args:
        network: The network, with its hooks.
        description: What it is.
    """

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        self.network: nn.Module = network.eval()
        self._description = description
        self._normalize = description.normalize
        task = description.task_config()
        self._softmax, self._dense = isinstance(task, Classification), task.dense

    @torch.inference_mode()
    def outputs(self, items: Items) -> tuple[npt.NDArray[np.float32], Items | None]:
        images = self._description.modality == IMAGE
        tensor = torch.from_numpy(np.ascontiguousarray(items.transpose(0, 3, 1, 2) if images else items))
        x = self._normalize(tensor)
        if self._description.student_transform:
            x = self._description.student_transform(x)
        logits = logits_of(self.network(x)).float()
        if self._dense:
            return logits.numpy(), None
        probabilities = logits.softmax(1) if self._softmax else logits.sigmoid()
        return probabilities.numpy(), logits.numpy()


class ProgramEngine(Engine):
    """A program of torch.export, preprocessing included."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @torch.inference_mode()
    def outputs(self, items: Items) -> tuple[npt.NDArray[np.float32], Items | None]:
        return self._module(torch.from_numpy(np.ascontiguousarray(items))).numpy(), None


class OnnxEngine(Engine):
    """A graph in ONNX Runtime, preprocessing included; its second output, if there is one, are the logits."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._name = session.get_inputs()[0].name

    def outputs(self, items: Items) -> tuple[npt.NDArray[np.float32], Items | None]:
        found = self.session.run(None, {self._name: items})
        return found[0], found[1] if len(found) > 1 else None


def load_model(path: str | Path, *, threads: int | None = None) -> LoadedModel:
    """Load a model that ``distillab export`` wrote.

    Args:
        path: The folder, of which the first of ``model.safetensors``, ``model.onnx``, ``model.pt2`` and
            ``model.int8.onnx`` that is there is loaded; or one of these files.
        threads: Compute threads of ONNX Runtime; None for what it chooses.

    Raises:
        RequestError: There is no such model, or its file is damaged or was changed after the export.

    Example:
        >>> load_model("missing")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: there is no such file or folder (allowed: ...
    """
    path = Path(path)
    file = _model_file(path)
    description = read_description(file.parent)
    engine = _engine(file, description, threads)
    _require_unchanged(file)
    return LoadedModel(file, description, engine)


def _model_file(path: Path) -> Path:
    names = ", ".join(MODEL_FILES)
    if path.is_dir():
        read_description(path)
        found = next((path / name for name in MODEL_FILES if (path / name).is_file()), None)
        if found is None:
            raise RequestError("holds no model file", where=str(path), allowed=names)
        return found
    if not path.exists():
        what = "there is no such file or folder"
        raise RequestError(
            what, where=str(path), allowed=f"the folder of an exported model, or {names} in it"
        )
    if path.name not in MODEL_FILES:
        raise RequestError(
            "is no file of an exported model", where=str(path), allowed=f"a folder, or {names}"
        )
    return path


def _engine(file: Path, description: ModelDescription, threads: int | None) -> Engine:
    if file.name in (ONNX, INT8):
        session = open_session(file, threads=threads)
        require_form(file, session, description)
        return OnnxEngine(session)
    if file.name == PROGRAM:
        require_code(f"{PROGRAM} (a program of torch.export)", file)  # torch unpickles parts of it
        return ProgramEngine(load_program(file))
    if not description.is_named:
        raise RequestError(
            f"its network {description.architecture!r} cannot be built from a name",
            where=str(file),
            allowed=f"{ONNX} or {PROGRAM} of the same folder",
        )
    network = description.build()
    load_resized_state(network, file, pruned=description.pruned)
    return TorchEngine(network, description)


def _require_unchanged(file: Path) -> None:
    """Raise RequestError if a file is not the one that was checked."""
    checks = file.parent / CHECKS
    try:
        stored = json.loads(checks.read_text(encoding="utf-8"))["files"].get(file.name, {}).get("sha256")
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RequestError(f"cannot be read ({error})", where=str(checks)) from error
    if stored is not None and weights_digest(file) != stored:
        raise RequestError(
            f"is not the file that was exported: its content differs from the one in {CHECKS}",
            where=str(file),
            allowed="the file as exported",
        )
