"""Detectors and networks for tracking that start from a classifier with their backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, inspect_network
from distillab.models.groupnorm_networks import DETECTOR_SIZES
from distillab.models.registry import DETECTORS, TRACKING_NETWORKS
from distillab.models.starting import KeptWeights, start_from

INPUTS = InputSpec(3, 64, 64)
DENSE = [*sorted(DETECTORS), "fairmot_resnet_s"]


def save(name: str, file: Path) -> dict[str, torch.Tensor]:
    state = build_model(name, classes=7, inputs=INPUTS).state_dict()
    torch.save(state, file)
    return state


@pytest.mark.parametrize("name", DENSE)
def test_a_detector_keeps_the_whole_backbone_of_a_classifier(name: str, tmp_path: Path) -> None:
    trained = save(f"groupnorm_{name.partition('_')[2]}", tmp_path / "w.pth")
    network = build_model(name, classes=2, inputs=INPUTS)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    kept = start_from(network, tmp_path / "w.pth", INPUTS, name=name, classes=2)
    assert isinstance(kept, KeptWeights)
    for key, value in network.state_dict().items():
        is_backbone = key.startswith(("stem.", "stages."))
        assert torch.equal(value, trained[key] if is_backbone else before[key]), key
    assert kept.modules == ("stem", "stages")


def test_a_detector_starts_from_another_of_its_kind(tmp_path: Path) -> None:
    trained = save("fcos_resnet_s", tmp_path / "w.pth")
    network = build_model("fcos_resnet_s", classes=2, inputs=INPUTS)
    start_from(network, tmp_path / "w.pth", INPUTS, name="fcos_resnet_s", classes=2)
    state = network.state_dict()
    assert torch.equal(state["pyramid.inner_blocks.0.0.weight"], trained["pyramid.inner_blocks.0.0.weight"])
    assert state["classification.cls_logits.weight"].shape[0] == 2  # of its own classes


@pytest.mark.parametrize("other", ["groupnorm_resnet_m", "groupnorm_dwnet_s", "resnet8"])
def test_another_backbone_is_refused(other: str, tmp_path: Path) -> None:
    save(other, tmp_path / "w.pth")
    network = build_model("fcos_resnet_s", classes=2, inputs=INPUTS)
    with pytest.raises(RequestError, match="the weights have another backbone than fcos_resnet_s"):
        start_from(network, tmp_path / "w.pth", INPUTS, name="fcos_resnet_s", classes=2)


def test_every_size_of_detectors_has_a_classifier() -> None:
    sizes = {name.partition("_")[2] for name in DETECTORS}
    assert sizes == set(DETECTOR_SIZES)
    assert set(TRACKING_NETWORKS) >= {"fairmot_resnet_s"}


@pytest.mark.parametrize("size", sorted(DETECTOR_SIZES))
def test_classifiers_have_the_stages_of_detectors(size: str) -> None:
    name = f"groupnorm_{size}"
    info = inspect_network(build_model(name, classes=7, inputs=INPUTS), INPUTS, classes=7, name=name)
    assert [stage.path for stage in info.taps.stages] == [f"stages.{place}" for place in range(4)]
    sides = [(shape[1], shape[2]) for shape in info.shapes.maps]
    assert sides == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert info.taps.classifier == "fc"
