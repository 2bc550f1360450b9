"""Writing a network as a program of torch.export, which torch alone can load and run."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from distillab.deploy.description import ModelDescription
from distillab.deploy.graph import DeployedNetwork
from distillab.deploy.onnx_export import example_items
from distillab.errors import RequestError


class ProgramError(Exception):
    """torch.export cannot trace a network."""


def write_program(network: DeployedNetwork, description: ModelDescription, path: Path) -> None:
    """Write a network with its preprocessing as a program with a dynamic batch.

    Args:
        network: The network with its preprocessing.
        description: What it is.
        path: The file, which ends in ``.pt2``.

    Raises:
        ProgramError: torch.export cannot trace it.
    """
    items = example_items(description)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                network, (items,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
            )
            torch.export.save(program, str(path))
    except Exception as error:  # tracing runs all code of the network
        reason = str(error).strip().splitlines()
        raise ProgramError(f"{type(error).__name__}: {reason[0] if reason else ''}") from error


def load_program(path: Path) -> nn.Module:
    """Return the module of a program that :func:`write_program` wrote.

    Raises:
        RequestError: The file is damaged, or of a newer torch.
    """
    try:
        return torch.export.load(str(path)).module()
    except Exception as error:  # a damaged archive fails in many ways
        reason = str(error).strip().splitlines()
        raise RequestError(
            f"cannot be read ({reason[0] if reason else type(error).__name__})",
            where=str(path),
            allowed="a program of torch.export as exported, and a torch that is no older",
        ) from error
