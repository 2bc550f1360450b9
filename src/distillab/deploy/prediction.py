"""Predictions for files: one result per file, and one reason for each file that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distillab.canonical import JsonObject
from distillab.data.examples import IMAGE, Items
from distillab.deploy.loaded import BATCH, LoadedModel
from distillab.deploy.preprocessing import preprocess_file
from distillab.errors import RequestError
from distillab.modalities.audio import EXTENSIONS
from distillab.modalities.image.formats import image_extensions
from distillab.tasks import Classification


@dataclass(frozen=True)
class FilePrediction:
    """What a model predicts of one file.

    Attributes:
        file: The file as it was named.
        label: The predicted class; a tuple of labels if a file can have several.
        probability: That of the class; one per label if there are several; None for a file that failed.
        error: Why it cannot be read; None if it can.

    Example:
        >>> FilePrediction("a.png", "cat", 0.9).as_dict()
        {'file': 'a.png', 'label': 'cat', 'probability': 0.9}
    """

    file: str
    label: str | tuple[str, ...] | None = None
    probability: float | tuple[float, ...] | None = None
    error: str | None = None

    def as_dict(self) -> JsonObject:
        """Return the JSON form: ``file`` with ``label`` and ``probability``, or with ``error``."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        several = not isinstance(self.label, str)
        label = list(self.label or ()) if several else self.label
        probability = self.probability
        return {
            "file": self.file,
            "label": label,
            "probability": list(probability) if isinstance(probability, tuple) else probability,
        }


def files_in(paths: Sequence[str | Path], model: LoadedModel) -> list[Path]:
    """Return the files to predict, in order: those that are named, and all of a kind below named folders.

    Args:
        paths: Files and folders.
        model: The model, which takes images or recordings.

    Raises:
        RequestError: A folder holds none.

    Example:
        >>> from distillab.deploy.description import ModelDescription
        >>> from distillab.deploy.loaded import TorchEngine
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> model = LoadedModel(Path("model"), description, TorchEngine(description.build(), description))
        >>> files_in(["leaf.jpg"], model)[0].name
        'leaf.jpg'
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        endings = image_extensions() if model.description.modality == IMAGE else EXTENSIONS
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in endings and each.is_file())
        inside = [each for each in inside if not each.name.startswith(".")]
        if not inside:
            noun = "image" if model.description.modality == IMAGE else "recording"
            raise RequestError(f"holds no {noun}", where=str(path), allowed=f"{noun}s, or a folder of them")
        found += inside
    return found


def predict_files(
    model: LoadedModel, files: Sequence[Path], *, batch: int = BATCH
) -> Iterator[FilePrediction]:
    """Yield the prediction for each file, in order. A file that cannot be read does not stop the others.

    Args:
        model: The model.
        files: The files.
        batch: Files that are read at a time.

    Example:
        >>> from distillab.deploy.description import ModelDescription
        >>> from distillab.deploy.loaded import TorchEngine
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> model = LoadedModel(Path("model"), description, TorchEngine(description.build(), description))
        >>> [each.error for each in predict_files(model, [Path("missing.png")])]
        ['there is no such file']
    """
    for start in range(0, len(files), batch):
        yield from _predict_some(model, files[start : start + batch])


def _predict_some(model: LoadedModel, files: Sequence[Path]) -> list[FilePrediction]:
    items: list[Items] = []
    results: list[FilePrediction | None] = []
    for file in files:
        try:
            items.append(preprocess_file(file, model.description))
            results.append(None)
        except RequestError as error:
            results.append(FilePrediction(str(file), error=str(error).removeprefix(f"{file}: ")))
    predicted = iter(_labelled(model, [f for f, r in zip(files, results, strict=True) if r is None], items))
    return [result or next(predicted) for result in results]


def _labelled(model: LoadedModel, files: Sequence[Path], items: Sequence[Items]) -> list[FilePrediction]:
    if not items:
        return []
    probabilities = model.probabilities(np.stack(items), batch=len(items))
    if isinstance(model.task, Classification):
        return [
            FilePrediction(str(file), label, float(row.max()))
            for file, label, row in zip(files, model.labels_of(probabilities), probabilities, strict=True)
        ]
    found = []
    for file, labels, row in zip(files, model.labels_of(probabilities), probabilities, strict=True):
        of = dict(zip(model.classes, row.tolist(), strict=True))
        found.append(FilePrediction(str(file), labels, tuple(of[label] for label in labels)))
    return found
