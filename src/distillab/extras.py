"""Packages that are installed on request: the extras of distillab, and the error for one that is missing."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Any

from distillab.errors import RequestError

EXTRAS = MappingProxyType(
    {
        "deploy": "exported models, and ONNX files as teachers",
        "explain": "attribution maps: occlusion, LIME, integrated gradients",
        "detection": "average precision of detectors",
        "tracking": "metrics of tracked objects",
        "track": "runs in MLflow or TensorBoard",
        "imagenet": "networks and an embedding trained on ImageNet, without a download",
        "timm": "networks of timm",
        "huggingface": "datasets of Hugging Face",
        "audio": "recordings",
        "text": "networks like BERT",
        "corruptions": "the corruptions of ImageNet-C",
        "heif": "images of iPhones (.heic)",
        "jxl": "images in JPEG XL",
        "stats": "the mixed model of `distillab across`",
        "cpu": "faster training in bf16 on CPUs",
        "demo": "the images of the quickstart study",
        "ray": "jobs on a cluster of Ray",
        "slurm": "jobs in allocations of Slurm",
        "docs": "the documentation as a site",
    }
)
"""What each extra is for."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra.

    Args:
        extra: A key of ``EXTRAS``.

    Raises:
        KeyError: There is no such extra.

    Example:
        >>> install_command("deploy")
        "pip install 'distillab[deploy]'"
    """
    EXTRAS[extra]
    return f"pip install 'distillab[{extra}]'"


def missing_extra(what: str, package: str, extra: str, *, where: str | None = None) -> RequestError:
    """Return the error for a package that is not installed.

    Args:
        what: What needs it, the beginning of a sentence.
        package: The name of the package.
        extra: The extra that brings it.
        where: The file and key that need it.

    Example:
        >>> print(missing_extra("an ONNX teacher", "onnxruntime", "deploy"))
        an ONNX teacher needs the package onnxruntime (allowed: pip install 'distillab[deploy]')
    """
    return RequestError(f"{what} needs the package {package}", where=where, allowed=install_command(extra))


def import_extra(module: str, extra: str, what: str, *, where: str | None = None) -> Any:
    """Return a module of an extra.

    Args:
        module: The name of the module, such as ``onnxruntime``.
        extra: The extra that brings it.
        what: What needs it, for the message.
        where: The file and key that need it.

    Raises:
        RequestError: Its package is not installed; the message has the command that installs it.

    Example:
        >>> import_extra("json", "deploy", "an example").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise missing_extra(what, module.partition(".")[0], extra, where=where) from error
