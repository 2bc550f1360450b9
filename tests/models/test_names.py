"""Names of networks: what is accepted, and what is suggested for a name that is not."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model, check_model_name
from distillab.models.names import timm_names
from support.documents import environment
from support.source_tree import ROOT

# A name as people write it, and the name that is suggested.
MEANT = {
    "mobilenet_v3_small": "torchvision:mobilenet_v3_small",
    "resnet18": "torchvision:resnet18",
    "ResNet-18": "torchvision:resnet18",
    "MobileNetV3Small": "torchvision:mobilenet_v3_small",
    "mobilnet_v3_smal": "torchvision:mobilenet_v3_small",
    "efficientnet-b0": "torchvision:efficientnet_b0",
    "wide_resnet50_2": "torchvision:wide_resnet50_2",
    "torchvision.models.resnet18": "torchvision:resnet18",
    "torchvision/resnet18": "torchvision:resnet18",
    "torchvision:ResNet18": "torchvision:resnet18",
    "torchvison:resnet18": "torchvision:resnet18",
    "mobilenetv3_small_100": "timm:mobilenetv3_small_100",
    "vit_tiny_patch16_224": "timm:vit_tiny_patch16_224",
    "deit_tiny": "timm:deit_tiny_patch16_224",
    "timm/vit_tiny_patch16_224.augreg_in21k": "timm:vit_tiny_patch16_224",
    "hf_hub:timm/resnet18.a1_in1k": "timm:resnet18",
    "timm.resnet18": "timm:resnet18",
    "timm:resnet-18": "timm:resnet18",
    "ResNet8": "resnet8",
    "resnet9": "resnet8",
    "wrn_16_1": "wrn16-1",
    "mean(resnet8+resnet18)": "torchvision:resnet18",
    "resnet18@64": "torchvision:resnet18",
}


@pytest.mark.parametrize("name", MEANT)
def test_unknown_network_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(RequestError, match=rf"did you mean '{MEANT[name]}'\?"):
        check_model_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet8", "wrn16-2@16", "torchvision:resnet18", "timm:resnet18", "timm:resnet18.a1_in1k"),
        *("mean(resnet8+timm:resnet18)", "torchvision.models:resnet18"),
    ],
)
def test_known_network_is_accepted(name: str) -> None:
    check_model_name(name)


def test_name_without_any_resemblance_gets_no_suggestion() -> None:
    with pytest.raises(RequestError) as caught:
        check_model_name("zzzz")
    assert "did you mean" not in str(caught.value)
    assert "timm:NAME" in str(caught.value)


def test_building_suggests_the_same_name() -> None:
    with pytest.raises(RequestError, match="did you mean 'torchvision:resnet18'"):
        build_model("resnet18", classes=2, inputs=InputSpec(3, 32, 32))


def test_networks_of_timm_are_found_without_importing_it() -> None:
    code = (
        "import sys; from distillab.models.names import timm_names; "
        "print(len(timm_names()), 'timm' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(ROOT), capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(len(timm_names())), "False"]
    assert set(timm_names()) == set(timm.list_models())
