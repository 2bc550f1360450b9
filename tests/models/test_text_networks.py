"""Networks for texts: shapes, padding, gradients, costs, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.modalities.text import VOCABULARY
from distillab.models import InputSpec, build_model, count_macs, inspect_network
from distillab.models.registry import TEXT_NETWORKS

TITLE = InputSpec(1, 1, 16)
every_network = pytest.mark.parametrize("name", sorted(TEXT_NETWORKS))


def build(name: str, classes: int = 5, inputs: InputSpec = TITLE) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, classes=classes, inputs=inputs)


def texts(*numbers: list[int], length: int = 16) -> torch.Tensor:
    rows = [each + [0] * (length - len(each)) for each in numbers]
    return torch.tensor(rows, dtype=torch.float32)[:, None, None]


@every_network
def test_texts_give_logits_and_an_embedding(name: str) -> None:
    network = build(name).eval()
    with torch.no_grad():
        logits = network(texts([5, 9, 2], [7], [4999] * 16))
    assert logits.shape == (3, 5) and logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1])
    shapes = inspect_network(network, TITLE, classes=5).shapes
    assert shapes.embedding is not None and shapes.maps == ()


@every_network
def test_padding_does_not_change_the_logits(name: str) -> None:
    network = build(name, inputs=InputSpec(1, 1, 32)).eval()
    with torch.no_grad():
        short = network(texts([5, 9, 2, 11, 3], length=16))
        long = network(texts([5, 9, 2, 11, 3], length=32))
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


@every_network
def test_a_text_without_characters_and_random_numbers_give_finite_logits(name: str) -> None:
    network = build(name).eval()
    with torch.no_grad():
        assert network(texts([])).isfinite().all()
        assert network(1e4 * torch.randn(2, 1, 1, 16)).isfinite().all()


@every_network
def test_numbers_of_characters_are_exact_in_half_precision(name: str) -> None:
    """bfloat16 has 8 significant bits: autocast must not round the numbers of characters."""
    network = build(name).eval()
    x = texts([VOCABULARY - 1, VOCABULARY - 2])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(network(x), network(texts([VOCABULARY - 1, VOCABULARY - 1])))


@every_network
def test_every_parameter_but_unused_characters_has_a_gradient(name: str) -> None:
    network = build(name).train()
    x = texts(list(range(2, 18)), list(range(18, 34)))
    nn.functional.cross_entropy(network(x), torch.tensor([0, 1])).backward()
    dead = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # The bias of keys shifts all scores of a query alike; there is one type of token, and one row of each.
    assert [key for key in dead if not key.endswith("key.bias")] == []


def test_macs_of_a_recurrent_layer_are_those_counted_by_hand() -> None:
    per_character = 2 * 4 * 128 * (128 + 128)  # two directions of four gates
    assert count_macs(build("bilstm"), TITLE) == 16 * per_character + 256 * 5


def test_macs_of_a_textcnn_are_those_counted_by_hand() -> None:
    filters = sum(span * (16 + span - 1) for span in (2, 3, 4)) * 32 * 32
    assert count_macs(build("textcnn_small"), TITLE) == filters + 96 * 5


@every_network
def test_images_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match=f"'{name}' takes texts, and these are no texts"):
        build(name, inputs=InputSpec(3, 32, 32))


@pytest.mark.parametrize("name", ["resnet8", "convnet3", "alexnet"])
def test_networks_for_images_refuse_texts(name: str) -> None:
    with pytest.raises(
        RequestError, match=f"'{name}' takes images and spectrograms, and these are texts"
    ) as caught:
        build(name)
    assert "textcnn" in str(caught.value)
