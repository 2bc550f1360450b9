"""Exported models, for Python and for the command line."""

from __future__ import annotations

from pathlib import Path

from distillab.deploy import LoadedModel, load_model


def load(model: str | Path, *, threads: int | None = None) -> LoadedModel:
    """Load a model that ``distillab export`` wrote: something with ``classes``, ``preprocess``, ``predict``.

    Args:
        model: The folder, or a model file in it: ``model.safetensors``, ``model.onnx``, ``model.int8.onnx``
            or ``model.pt2``.
        threads: Compute threads of ONNX Runtime; None for what it chooses.

    Raises:
        RequestError: There is no such model, its file is damaged, or a package is not installed.

    Example:
        >>> load("missing")
        Traceback (most recent call last):
        distillab.errors.RequestError: missing: there is no such file or folder (allowed: ...
    """
    return load_model(model, threads=threads)
