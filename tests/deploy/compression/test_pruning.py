"""Pruning: shares that are reached exactly or by whole channels, masks that hold in training, refusals."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from distillab.artefacts import load_state
from distillab.deploy.compression import PrunableLayers, mask_smallest, prune_channels, without_masks
from distillab.deploy.compression.masks import MASK
from distillab.deploy.compression.schedule import pruning_stages
from distillab.deploy.compression.stages import FineTuningStart, Pruning
from distillab.deploy.resized import resize_layers
from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.models.cost import count_macs
from distillab.models.objects import build_object, write_network

INPUTS, CLASSES = InputSpec(3, 16, 16), 5
NAMES = ("convnet3", "resnet8", "wrn16-1")
DEPTHWISE = "torchvision:mobilenet_v3_small"  # also squeezes and excites


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, classes=CLASSES, inputs=INPUTS).eval()


def images(count: int = 4) -> Tensor:
    return torch.randn(count, *INPUTS.shape, generator=torch.Generator().manual_seed(0))


def rebuilt(given: nn.Module) -> nn.Module:
    """A network as a worker process builds it from its files."""
    name, weights = write_network(given, "test")
    made = build_object(name.removeprefix("object:"), classes=CLASSES, inputs=INPUTS)
    load_state(made, weights)
    return made.eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_masked_share_is_exact_and_spares_the_last_layer(name: str, sparsity: float) -> None:
    given = network(name)
    masked = without_masks(mask_smallest(given, INPUTS, CLASSES, sparsity))
    layers = PrunableLayers.of(given, INPUTS, CLASSES)
    before = layers.count_nonzero(given)
    removed = round(sparsity * layers.count(given))
    assert layers.count_nonzero(masked) == min(before, layers.count(given) - removed)
    last = masked.get_submodule(layers.last)
    assert torch.equal(last.weight, given.get_submodule(layers.last).weight)  # type: ignore[arg-type]


def test_smallest_weights_of_all_layers_go_first() -> None:
    given = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.Linear(4, 4), nn.Linear(4, CLASSES))
    with torch.no_grad():
        given[1].weight.fill_(2.0)
        given[2].weight.copy_(torch.arange(1.0, 17.0).view(4, 4) / 10)
    masked = mask_smallest(given, INPUTS, CLASSES, 5 / (768 * 4 + 16))
    assert int(masked[1].weight.count_nonzero()) == 768 * 4
    assert masked[2].weight.flatten().tolist()[:6] == pytest.approx([0, 0, 0, 0, 0, 0.6])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_masks_hold_through_training(optimizer: str) -> None:
    masked = mask_smallest(network("resnet8"), INPUTS, CLASSES, 0.8)
    zero = {name: buffer == 0 for name, buffer in masked.named_buffers() if name.endswith(MASK)}
    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    steps = kinds[optimizer](masked.parameters(), lr=0.05, weight_decay=0.01)
    masked.train()
    before = masked.get_parameter("conv1.weight").detach().clone()
    for _ in range(3):
        steps.zero_grad()
        masked(images()).logsumexp(1).sum().backward()
        steps.step()
    folded = without_masks(masked).eval()
    for name, held in zero.items():
        weight = folded.get_parameter(name.replace(MASK, "weight"))
        assert not weight[held].any()
    assert not torch.equal(before, folded.get_parameter("conv1.weight"))  # what is left has learned
    assert torch.equal(masked.eval()(images()), folded(images()))


def test_layer_that_is_used_twice_trains_with_its_mask() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.conv(self.conv(x)).mean((2, 3)))
            return logits

    masked = mask_smallest(Twice(), INPUTS, CLASSES, 0.5)
    masked(images()).sum().backward()
    assert masked.get_parameter("conv.weight").grad is not None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [0.3, 0.75])
def test_channels_are_removed_until_the_share_is_reached(name: str, sparsity: float) -> None:
    given = network(name)
    narrow = prune_channels(given, INPUTS, CLASSES, sparsity)
    layers = PrunableLayers.of(given, INPUTS, CLASSES)
    assert sparsity <= 1 - layers.count(narrow) / layers.count(given) < sparsity + 0.06
    assert narrow(images()).shape == (4, CLASSES)
    assert count_macs(narrow, INPUTS) < count_macs(given, INPUTS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["structured", "unstructured"])
def test_pruned_network_is_rebuilt_in_another_process(name: str, kind: str) -> None:
    prune = prune_channels if kind == "structured" else mask_smallest
    pruned = prune(network(name), INPUTS, CLASSES, 0.5)
    assert torch.equal(rebuilt(pruned)(images()), pruned(images()))


@pytest.mark.parametrize("name", [*NAMES, DEPTHWISE])
def test_weights_of_narrow_network_fit_its_architecture(name: str) -> None:
    narrow = prune_channels(network(name), INPUTS, CLASSES, 0.5)
    built = network(name)
    resize_layers(built, narrow.state_dict())
    built.load_state_dict(narrow.state_dict())
    assert torch.equal(built(images()), narrow(images()))


def test_later_stage_counts_from_the_unpruned_network() -> None:
    given = network("resnet8")
    layers = PrunableLayers.of(given, INPUTS, CLASSES)
    pruning = Pruning.of(given, INPUTS, CLASSES, ("structured", "unstructured"))
    first = {start.kind: start.network for start in pruning.first(given, 0.4) if start.kind}
    later = pruning.next(
        {("structured", "plain"): first["structured"], ("unstructured", "plain"): first["unstructured"]}, 0.7
    )
    for start in later:
        left = layers.count_nonzero(without_masks(start.network)) / layers.count(given)
        assert left == pytest.approx(0.3, abs=0.03)
    zeros = {s.kind: s.network for s in later}["unstructured"]
    earlier = dict(first["unstructured"].named_buffers())
    for name, mask in zeros.named_buffers():
        if name.endswith(MASK):
            assert not mask[earlier[name] == 0].any()  # what was zero stays zero


@pytest.mark.parametrize("kind", ["structured", "unstructured"])
def test_pruning_leaves_the_given_network_as_it_is(kind: str) -> None:
    given = network("resnet8")
    before = {name: value.clone() for name, value in given.state_dict().items()}
    prune = prune_channels if kind == "structured" else mask_smallest
    prune(given, INPUTS, CLASSES, 0.5)
    assert before.keys() == given.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())


class Scaled(nn.Module):
    """A network whose channels cannot change: its code holds their number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).mean((2, 3))
        logits: Tensor = self.fc(y.reshape(len(x), 8) * 2)
        return logits


@pytest.mark.parametrize(
    "given", [Scaled(), build_model("torchvision:shufflenet_v2_x0_5", classes=CLASSES, inputs=INPUTS)]
)
def test_network_that_cannot_lose_channels_is_refused_in_one_line(given: nn.Module) -> None:
    with pytest.raises(RequestError, match="--kinds unstructured") as caught:
        prune_channels(given, INPUTS, CLASSES, 0.5, name="net")
    assert str(caught.value).startswith("net: torch-pruning")
    assert "\n" not in str(caught.value)
    assert without_masks(mask_smallest(given, INPUTS, CLASSES, 0.5))(images()).shape == (4, CLASSES)


def test_network_of_one_layer_is_refused() -> None:
    with pytest.raises(RequestError, match="has no layer to prune"):
        mask_smallest(nn.Sequential(nn.Flatten(), nn.Linear(768, CLASSES)), INPUTS, CLASSES, 0.5)


@pytest.mark.parametrize(
    ("text", "stages"),
    [("0", ()), ("0.5", (0.5,)), ("0.3,0.6", (0.3, 0.6)), (" 0.2, 0.4 ", (0.2, 0.4)), (0.25, (0.25,))],
)
def test_schedule_is_what_was_written(text: str | float, stages: tuple[float, ...]) -> None:
    assert pruning_stages(text) == stages


@pytest.mark.parametrize("sparsity", [0.6, 0.75, 0.9, 0.99])
def test_usual_stages_keep_equal_shares_of_at_least_half(sparsity: float) -> None:
    stages = (0.0, *pruning_stages(sparsity))
    kept = [(1 - after) / (1 - before) for before, after in pairwise(stages)]
    assert stages[-1] == sparsity
    assert min(kept) >= 0.5 - 1e-9
    assert max(kept) - min(kept) < 1e-9


@pytest.mark.parametrize(
    "text",
    ["1", "1.5", "-0.1", "half", "", "0.5,0.3", "0.3,0.3", "0,0.5", "0.5,1", "nan"],
)
def test_schedule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        pruning_stages(text)
    assert str(caught.value).startswith("--prune: ")


def test_runs_belong_to_arms_of_one_lineage() -> None:
    later = FineTuningStart(nn.Identity(), "structured", 0.5, "distilled")
    assert later.techniques("distilled") == ("prune", "KD")
    assert later.techniques("plain") is None
    assert FineTuningStart(nn.Identity()).techniques("plain") == ()
    assert FineTuningStart(nn.Identity()).techniques("distilled") == ("KD",)
