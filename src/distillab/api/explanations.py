"""Explanations of single images by exported models, for Python and for the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Items
from distillab.deploy import LoadedModel, files_in, load_model
from distillab.deploy.detected import refuse_detector
from distillab.deploy.graph import logits_from
from distillab.deploy.preprocessing import preprocess_file
from distillab.errors import RequestError, unknown_name
from distillab.explain import ExplainedNetwork, Maps, attribute, attributions, border_share, require_readable
from distillab.explain.overlay import ItemPicture, item_picture, side_by_side

DEFAULT_METHOD = "grad_cam"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where an image supports a class, for one model.

    Attributes:
        file: The file as it was named.
        label: The class that is explained.
        probability: Its probability.
        predicted: The class that the model predicts.
        method: The attribution.
        map: float32 ``[H, W]`` at the size of the model's input, with a maximum of 1; all 0 if nothing in the
            image supports the class.
        picture: The image as the model gets it, uint8 ``[H, W, C]``.
        overlay: The PNG file that was written; None if none was wanted.
        error: Why the file cannot be read; None if it can.

    Example:
        >>> Explanation("a.png", "cat", 0.9, "cat", "grad_cam").as_dict()["label"]
        'cat'
    """

    file: str
    label: str = ""
    probability: float = 0.0
    predicted: str = ""
    method: str = DEFAULT_METHOD
    map: Maps = field(default_factory=lambda: np.zeros((1, 1), np.float32))
    picture: ItemPicture = field(default_factory=lambda: np.zeros((1, 1, 1), np.uint8))
    overlay: Path | None = None
    error: str | None = None

    def as_dict(self) -> JsonObject:
        """Return the JSON form, without the map.

        ``peak`` is the place of the map's maximum, in shares of width and height; ``border_share`` the share
        of the attribution in a frame of one eighth of each side. Both are null for a map that is all 0.
        """
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        blank = not self.map.any()
        y, x = np.unravel_index(int(self.map.argmax()), self.map.shape)
        height, width = self.map.shape
        peak = [round((float(x) + 0.5) / width, 4), round((float(y) + 0.5) / height, 4)]
        return {
            "file": self.file,
            "label": self.label,
            "probability": self.probability,
            "predicted": self.predicted,
            "method": self.method,
            "peak": None if blank else peak,
            "border_share": None if blank else round(float(border_share(self.map[None])[0]), 4),
            "overlay": None if self.overlay is None else str(self.overlay),
        }


def explain(
    model: str | Path | LoadedModel,
    images: str | Path | Sequence[str | Path],
    *,
    method: str = DEFAULT_METHOD,
    class_name: str | None = None,
    out: str | Path | None = None,
) -> list[Explanation]:
    """Return where images support a class, for a model that ``distillab export`` wrote.

    Args:
        model: As for :func:`distillab.load`, or a loaded model. ONNX files and programs give outputs and no
            gradients: ``occlusion`` and ``lime`` explain them.
        images: Files, and folders of files.
        method: Name of the attribution.
        class_name: The class that is explained; by default the one that the model predicts of each image.
        out: The folder into which each image and its overlay are written as PNG; None to write none.

    Raises:
        RequestError: There is no such model, attribution or class, the model lacks what the attribution
            reads, or a file is no image.

    Example:
        >>> explain("missing", "photo.png")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: there is no such file or folder (allowed: ...
    """
    several = [images] if isinstance(images, str | Path) else images
    found = list(explain_files(model, several, method=method, class_name=class_name, out=out))
    for each in found:
        if each.error is not None:
            raise RequestError(each.error, where=each.file)
    return found


def explain_files(
    model: str | Path | LoadedModel,
    images: Sequence[str | Path],
    *,
    method: str = DEFAULT_METHOD,
    class_name: str | None = None,
    out: str | Path | None = None,
) -> Iterator[Explanation]:
    """Yield the explanation of each file, in order; a file that cannot be read does not stop the others.

    The arguments and errors are those of :func:`explain`.
    """
    if method not in attributions:
        raise unknown_name("attribution", method, attributions, where="--method")
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    refuse_detector(loaded.description, loaded.path, "an attribution")
    if class_name is not None and class_name not in loaded.classes:
        raise unknown_name("class", class_name, loaded.classes, where="--class")
    network = explained_model(loaded)
    require_readable(method, network)
    folder = None if out is None else _made(Path(out))
    names: set[str] = set()
    for file in files_in(images, loaded):
        try:
            item = preprocess_file(file, loaded.description)
        except RequestError as error:
            yield Explanation(str(file), error=str(error).removeprefix(f"{file}: "))
            continue
        found = _explained(loaded, network, str(file), item, method, class_name)
        yield found if folder is None else _written(found, folder, names)


def explained_model(model: LoadedModel) -> ExplainedNetwork:
    """Return a loaded model as attributions use it: with its network, or as a graph without gradients.

    Args:
        model: The model.
    """
    description, engine = model.description, model.engine
    if engine.network is not None:
        return ExplainedNetwork.of(
            engine.network,
            description.item,
            name=str(model.path),
            task=model.task,
            before=description.student_transform,
            network_inputs=description.network_input,
        )
    normalize, images = description.normalize, description.modality == IMAGE
    scale = 255.0 if images else 1.0
    mean, std = (
        torch.as_tensor(each)[None, :, None, None] if images else torch.as_tensor(each)[None, :, :, None]
        for each in (normalize.mean, normalize.std)
    )

    def forward(x: Tensor) -> Tensor:
        values = scale * (x * std + mean)
        if images:  # a graph takes pixels: what is between two of them is rounded
            values = values.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        probabilities, logits = engine.outputs(values.contiguous().numpy())
        found = logits_from(probabilities, model.task) if logits is None else logits
        return torch.from_numpy(np.asarray(found, np.float32))

    return ExplainedNetwork(str(model.path), description.item, forward, model.task)


def _explained(
    model: LoadedModel, network: ExplainedNetwork, file: str, item: Items, method: str, name: str | None
) -> Explanation:
    images = model.description.modality == IMAGE
    planes = np.ascontiguousarray(np.moveaxis(item, -1, 0) if images else item)
    x = model.description.normalize(torch.from_numpy(planes[None]))
    predicted = network.predicted(x)
    classes = predicted if name is None else torch.tensor([model.classes.index(name)])
    return Explanation(
        file,
        model.classes[int(classes[0])],
        float(network.probability(x, classes)[0]),
        model.classes[int(predicted[0])],
        method,
        attribute(method, network, x, classes)[0],
        item_picture(planes),
    )


def _written(found: Explanation, folder: Path, names: set[str]) -> Explanation:
    """Return an explanation whose overlay was written, under a name that no other file of the call has."""
    stem = base = f"{Path(found.file).stem}.{found.method}"
    number = 1
    while stem in names:
        number += 1
        stem = f"{base}-{number}"
    names.add(stem)
    path = folder / f"{stem}.png"
    try:
        Image.fromarray(side_by_side(found.picture, found.map)).save(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return replace(found, overlay=path)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return folder


def _cannot_write(path: Path, error: OSError) -> RequestError:
    reason = f"cannot be written ({error.strerror})"
    return RequestError(reason, where=f"--out: {path}", allowed="a folder you can write")
