"""Every kind of network that a study can name becomes files with the same outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from distillab.data.student_transform import StudentTransform
from distillab.deploy import Exported, load_model
from distillab.models import InputSpec
from distillab.models.objects import write_network
from support.exported import built, describe, examples_for, smooth_images, written

Size = tuple[int, int, int]
KINDS: list[tuple[str, Size, dict[str, Any]]] = [
    ("resnet8", (1, 8, 8), {}),
    ("resnet8", (3, 12, 20), {}),  # not square
    ("resnet8", (1, 9, 13), {}),
    ("wrn16-1", (3, 16, 16), {}),
    ("resnet8@12", (3, 20, 16), {}),  # resized down
    ("resnet8@24", (1, 16, 16), {"interpolation": "bicubic"}),  # resized up
    ("mean(resnet8+resnet14)", (3, 8, 8), {}),
    ("confidence(resnet8+resnet8@12)", (3, 8, 8), {}),
    ("torchvision:squeezenet1_1", (3, 48, 48), {}),
    ("torchvision:resnet18", (1, 16, 16), {}),  # fitted stem, gray
    ("torchvision:squeezenet1_1#original", (3, 64, 64), {}),
    ("torchvision:shufflenet_v2_x0_5@64", (3, 32, 32), {}),
    ("timm:test_resnet", (3, 32, 32), {}),
    ("timm:test_vit", (1, 32, 32), {}),
    ("timm:test_efficientnet", (3, 48, 64), {}),
    ("timm:test_convnext", (3, 96, 96), {}),
    ("support.networks:linear", (3, 8, 8), {}),
    ("support.networks:mapping", (3, 8, 8), {}),  # logits in a mapping
    ("resnet8", (3, 16, 16), {"student_transform": StudentTransform(8)}),
    ("resnet8", (3, 16, 12), {"student_transform": StudentTransform(8, back=True)}),
    ("resnet8", (3, 8, 8), {"scaling": {"scale": (2.0, 1.0, 0.5), "shift": (0.1, 0.0, -0.2)}}),
    ("resnet8", (3, 8, 8), {"task": {"name": "multilabel"}}),
]
IDS = [
    f"{name}-{'x'.join(map(str, size))}{'-' if more else ''}{'-'.join(more)}" for name, size, more in KINDS
]


@pytest.mark.parametrize(("name", "size", "more"), KINDS, ids=IDS)
def test_network_gives_the_same_outputs_from_each_file(
    name: str, size: Size, more: dict[str, Any], tmp_path: Path
) -> None:
    made = exported(name, size, more, tmp_path)
    assert made.checks.passed
    assert made.checks.not_written == {}
    images = smooth_images(5, size, seed=9).transpose(0, 2, 3, 1).copy()
    found = [
        load_model(made.folder / file).probabilities(images) for file in ("model.safetensors", "model.onnx")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def exported(name: str, size: Size, more: dict[str, Any], out: Path) -> Exported:
    description = describe(name, size, **more)
    if "task" not in more:
        return written(out / "model", description, ["safetensors", "onnx"])
    labels = np.tile(np.eye(4, dtype=np.int8), (6, 1))
    from distillab.data.examples import Examples
    from distillab.data.targets import LabelSets

    val = Examples.of(smooth_images(24, size), LabelSets(labels, 4), description.classes)
    return written(out / "model", description, ["safetensors", "onnx"], val=val)


def test_spectrograms_are_given_as_features(tmp_path: Path) -> None:
    from distillab.data.examples import Examples
    from distillab.deploy import write_model

    bands = np.zeros((1, 8), np.float32), np.ones((1, 8), np.float32)
    description = describe("resnet8", (1, 8, 13), modality="audio", mean=bands[0], std=bands[1])
    items = np.random.default_rng(0).normal(size=(12, 1, 8, 13)).astype(np.float16)
    val = Examples.of(items, np.arange(12) % 4, description.classes, modality="audio")
    made = write_model(
        built(description),
        tmp_path / "m",
        description=description,
        val=val,
        calibration=val,
        formats=["onnx"],
    )
    probabilities = load_model(made.folder).probabilities(items.astype(np.float32))
    assert made.checks.passed and probabilities.shape == (12, 4)
    assert "features" in (made.folder / "README.md").read_text()


def test_network_given_as_an_object_is_a_graph_alone(tmp_path: Path) -> None:
    name, _ = write_network(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), "student")
    made = written(tmp_path / "m", describe(name), ["safetensors", "onnx"])
    assert "model.onnx" in made.checks.files
    assert "Python object" in made.checks.not_written["model.safetensors"]


def test_pruned_network_is_loaded_with_its_own_widths(tmp_path: Path) -> None:
    import torch
    import torch_pruning as pruning

    from distillab.deploy import write_model

    description = describe("resnet8", (3, 16, 16), pruned=True)
    network = built(description)
    pruner = pruning.pruner.MagnitudePruner(
        network,
        torch.zeros(1, 3, 16, 16),
        importance=pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=[network.get_submodule("fc")],
    )
    pruner.step()
    val = examples_for(network, description)
    made = write_model(
        network,
        tmp_path / "m",
        description=description,
        val=val,
        calibration=val,
        formats=["safetensors", "onnx"],
    )
    assert made.checks.not_written == {}
    loaded = load_model(made.folder).network
    assert sum(p.numel() for p in loaded.parameters()) < 0.5 * sum(
        p.numel() for p in description.build().parameters()
    )


def test_input_spec_is_that_of_the_images() -> None:
    description = describe("resnet8", (3, 16, 12), student_transform=StudentTransform(8))
    assert description.network_input == InputSpec(3, 8, 8)
