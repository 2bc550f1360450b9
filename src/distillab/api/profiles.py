"""The profile of a dataset, in one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.modalities.embedding import embeddings
from distillab.models.objects import write_network
from distillab.notebook import notebook_progress
from distillab.sources import sources
from distillab.sources.memory import HeldData
from distillab.sources.parsing import parse_source
from distillab.sources.python_data import entry_of, splits_of
from distillab.sources.source import Source
from distillab.study.loading import LoadProgress
from distillab.training.numerics.device import pick_device

if TYPE_CHECKING:
    from distillab.profile import LoadedTeacher, Profile

SHARED_KEYS = ("resolution", "channels")  # source keys that also apply to the other dataset of a profile


def profile(
    data: Any,
    *,
    against: Any = None,
    teacher: str | Path | nn.Module | None = None,
    weights: str | Path | None = None,
    embedding: str | None = None,
    keys: JsonObject | None = None,
    device: str = "auto",
    on_load: LoadProgress | None = None,
) -> Profile:
    """Measure the properties of a dataset that matter for distillation. Trains no network.

    Args:
        data: A folder, a file, or ``source:argument``, as on the command line; or Python objects:
            ``(images, labels)``, a dataset of torch or of Hugging Face, or a mapping of ``train``, ``val``
            and ``test`` to these.
        against: Another dataset to measure the distance to.
        teacher: A network; a model, with ``weights``; or the folder of a study, for its first teacher.
        weights: The model's weights: a safetensors file, or what ``torch.save`` wrote.
        embedding: ``patches``, learned from the images, or ``imagenet`` (extra ``imagenet``); ``spectra`` for
            recordings, ``characters`` for texts. None is the first one of the data.
        keys: Further keys of the source, such as ``{"label": "fine_label", "resolution": 32}``. Resolution
            and channels apply to the other dataset as well.
        device: Where the teacher computes.
        on_load: Called with (stage, done, total); by default, a notebook shows it.

    Raises:
        RequestError: The request cannot be fulfilled as written.

    Example:
        >>> profile("digits:", weights="resnet14.safetensors")
        Traceback (most recent call last):
        distillab.errors.RequestError: --weights: weights of which model? (allowed: --teacher MODEL as well)
    """
    # Imported here: cleanlab and scikit-learn take seconds to import, which no study should wait for.
    from distillab.profile import check_teacher, load_teacher

    if embedding is not None:
        embeddings[embedding]  # reject an unknown name before anything is read
    if weights is not None and teacher is None:
        raise RequestError("weights of which model?", where="--weights", allowed="--teacher MODEL as well")
    if isinstance(teacher, nn.Module):
        if weights is not None:
            raise RequestError("a network given as an object has weights", where="weights")
        teacher, weights = write_network(teacher, "teacher")
    if teacher is not None:
        check_teacher(teacher, None if weights is None else Path(weights))
    if on_load is None:
        with notebook_progress() as show:
            return profile(
                data,
                against=against,
                teacher=teacher,
                weights=weights,
                embedding=embedding,
                keys=keys,
                device=device,
                on_load=lambda what, done, total: show(what, done / max(total, 1)),
            )

    def load(dataset: Dataset) -> LoadedTeacher:
        file = None if weights is None else Path(weights)
        return load_teacher(str(teacher), file, dataset, pick_device(device))

    return _measured(data, against, embedding, None if teacher is None else load, dict(keys or {}), on_load)


def _measured(
    data: Any,
    against: Any,
    embedding: str | None,
    teacher: Callable[[Dataset], LoadedTeacher] | None,
    keys: JsonObject,
    on_load: LoadProgress,
) -> Profile:
    """Return the profile of data under the keys of their source."""
    from distillab.profile import profile_source

    common = {key: value for key, value in keys.items() if key in SHARED_KEYS}
    source, held = source_of(data, keys, "data", on_load)
    other, other_held = (None, None) if against is None else source_of(against, common, "against", on_load)
    if other is not None:
        other.check_paths()
    found = profile_source(source, against=other, embedding=embedding, teacher=teacher, progress=on_load)
    del held, other_held  # the data had to exist until here
    return found


def source_of(
    data: Any, keys: JsonObject, where: str, progress: LoadProgress | None
) -> tuple[Source, HeldData | None]:
    """Return the source that data stand for, and what holds them meanwhile.

    Args:
        data: As for :func:`profile`.
        keys: Further keys of the source.
        where: The place of the data, for messages.
        progress: Called with (stage, done, total).

    Raises:
        RequestError: The data are of no form that is known.

    Example:
        >>> source_of("digits", {"resolution": 16}, "data", None)[0].entry()
        {'source': 'digits', 'resolution': 16}
    """
    if isinstance(data, str | Path):
        where = str(data)
        if keys and where in sources and not Path(where).exists():
            return parse_source({"source": where, **keys}, Path(), where), None
    elif keys:
        data = {**(data if isinstance(data, Mapping) else splits_of(data, where)), **keys}
    entry, held = entry_of(data, where, progress)
    return parse_source({**entry, **keys}, Path(), where), held
