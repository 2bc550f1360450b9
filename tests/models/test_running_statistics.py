"""Running statistics of batch normalization follow the data also in short trainings."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from distillab.models import InputSpec, build_model, network_revision
from distillab.models.external import BATCH_NORM_MOMENTUM

SLOW = [
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    *(f"efficientnet_b{size}" for size in (5, 6, 7)),
    "maxvit_t",
]


def momenta(network: nn.Module) -> set[float | None]:
    return {each.momentum for each in network.modules() if isinstance(each, nn.BatchNorm2d)}


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5", "mobilenet_v2"])
def test_batch_normalization_averages_over_few_steps(name: str) -> None:
    network = build_model(f"torchvision:{name}", classes=3, inputs=InputSpec(3, 32, 32))
    assert momenta(network) == {BATCH_NORM_MOMENTUM}


def test_networks_whose_statistics_were_slow_have_a_revision() -> None:
    found = []
    with torch.device("meta"):
        for name in torchvision.models.list_models(module=torchvision.models):
            if name.startswith(("regnet", "googlenet", "inception", "vit", "swin", "vgg", "convnext")):
                continue  # cannot be built without memory, or have no slow statistics
            network = torchvision.models.get_model(name, weights=None)
            if any(each is not None and each < BATCH_NORM_MOMENTUM for each in momenta(network)):
                found.append(name)
    assert sorted(found) == sorted(SLOW)
    inputs = InputSpec(3, 32, 32)
    for name in SLOW:
        assert network_revision(f"mean(torchvision:{name}@64+resnet8)", inputs) == 2
    assert network_revision("torchvision:mobilenet_v2", inputs) == network_revision("resnet8", inputs) == 1


def test_a_short_training_of_a_mobilenet_is_not_at_chance() -> None:
    torch.manual_seed(0)
    network = build_model("torchvision:mobilenet_v3_small", classes=2, inputs=InputSpec(3, 32, 32))
    labels = torch.arange(64) % 2
    images = torch.randn(64, 3, 32, 32) + labels[:, None, None, None]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 80)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        predicted = network.eval()(images).argmax(dim=1)
    assert (predicted == labels).float().mean() > 0.9
