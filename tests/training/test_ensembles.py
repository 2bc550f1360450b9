"""The weights of the teachers in an ensemble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from distillab.data.targets import Labels
from distillab.methods import Batch, Mixed
from distillab.methods.divergence import kl_divergence
from distillab.models import Ensemble, InputSpec, Outputs, build_model, inspect_network
from distillab.models.taps import Taps
from distillab.tasks import Classification
from distillab.tasks.arrays import Logits
from distillab.training.teachers.ensembles import greedy_weights, member_weights, weight_by_correctness

N, M, C = 6, 3, 4
LABELS = torch.tensor([0, 1, 2, 3, 0, -1])


class Constant(nn.Module):
    """A network with the same logits for all inputs."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def logits(seed: int = 0) -> Tensor:
    return torch.randn(N, M, C, generator=torch.Generator().manual_seed(seed)) * 3


def batch(labels: Tensor = LABELS) -> Batch:
    of = torch.arange(len(labels))
    return Batch(labels, of, of, epoch=0, progress=0.0, epoch_length=1)


def test_weights_follow_the_accuracy_or_select_the_best() -> None:
    assert member_weights("accuracy", [0.2, 0.6]).tolist() == pytest.approx([0.25, 0.75])
    assert member_weights("accuracy", [0.0, 0.0]).tolist() == [0.5, 0.5]
    assert member_weights("best", [0.2, 0.6, 0.6]).tolist() == [0.0, 1.0, 0.0]
    for combine in ("mean", "confidence", "correctness"):
        assert member_weights(combine, [0.1, 0.9]).tolist() == [0.5, 0.5]  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 10))
def test_the_mean_is_the_geometric_mean_at_all_temperatures(seed: int, temperature: float) -> None:
    z = logits(seed)
    together = Ensemble([Constant(z[:, member]) for member in range(M)], "mean")(torch.zeros(N, 3, 8, 8))
    product = (z / temperature).log_softmax(2).mean(1).log_softmax(1)
    torch.testing.assert_close((together / temperature).log_softmax(1), product, rtol=1e-4, atol=1e-5)


def test_a_confident_network_has_a_larger_weight() -> None:
    z = torch.tensor([[[0.0, 0, 0, 0], [20.0, 0, 0, 0]]])
    combined = Ensemble([Constant(z[:, 0]), Constant(z[:, 1])], "confidence")(torch.zeros(1, 3, 8, 8))
    # Entropies log 4 and 0: the weights are 1/5 and 4/5.
    torch.testing.assert_close(combined, 0.8 * z[:, 1], rtol=1e-5, atol=1e-5)


def test_the_best_network_is_used_alone() -> None:
    z = logits()
    both = Ensemble([Constant(z[:, member]) for member in range(M)], "best")
    both.weights.copy_(member_weights("best", [0.1, 0.9, 0.2]))
    assert torch.equal(both(torch.zeros(N, 3, 8, 8)), z[:, 1])


def test_the_weight_is_the_probability_of_the_label() -> None:
    z = logits()
    combined = weight_by_correctness(Outputs(z.flatten(1)), batch(), M).logits
    likelihood = torch.stack([z[n].softmax(1)[:, max(int(LABELS[n]), 0)] for n in range(N)])
    likelihood[-1] = 1.0  # without a label, all weights are equal
    weights = likelihood / likelihood.sum(1, keepdim=True)
    torch.testing.assert_close(combined, (weights[:, :, None] * z).sum(1))
    wrong = z.clone()
    wrong[:, 0] = 0.0
    wrong[torch.arange(N), 0, (LABELS + 1) % C] = 50.0
    without = weight_by_correctness(Outputs(wrong.flatten(1)), batch(LABELS.clamp(min=0)), M).logits
    rest = weight_by_correctness(Outputs(wrong[:, 1:].flatten(1)), batch(LABELS.clamp(min=0)), M - 1).logits
    assert kl_divergence(without[:5], rest[:5]).max() < 1e-3


def test_mixed_labels_count_by_their_shares() -> None:
    z, others = logits(), torch.tensor([1, 2, 3, 0, 1, 2])
    labels = LABELS.clamp(min=0)
    for share, alone in ((1.0, labels), (0.0, others)):
        mixed = replace(batch(labels), mixed=Mixed(others, torch.full((N,), share)))
        combined = weight_by_correctness(Outputs(z.flatten(1)), mixed, M).logits
        torch.testing.assert_close(
            combined, weight_by_correctness(Outputs(z.flatten(1)), batch(alone), M).logits
        )


def test_an_ensemble_has_logits_only_side_by_side_on_request() -> None:
    both = build_model("correctness(resnet8+resnet14)", classes=C, inputs=InputSpec.square(3, 8))
    assert isinstance(both, Ensemble)
    images = torch.zeros(2, 3, 8, 8)
    info = inspect_network(both, InputSpec.square(3, 8), classes=C)
    assert info.taps == Taps(None, ())
    assert info.shapes.embedding is None and info.shapes.maps == ()
    both.eval()
    mean = both(images)
    both.side_by_side = True
    torch.testing.assert_close(both(images).view(2, 2, C).mean(1), mean)


def scored(rows: list[list[int]]) -> list[Logits]:
    """Return confident logits of networks that predict the given classes."""
    return [np.eye(C, dtype=np.float32)[each] * 3 for each in rows]


def accuracy_of(weights: Tensor, each: list[Logits], targets: Labels) -> float:
    mean = sum(weight * logits for weight, logits in zip(weights.tolist(), each, strict=True))
    return Classification().score(np.asarray(mean), targets)


def test_greedy_adds_what_raises_the_score_and_nothing_else() -> None:
    targets = Labels(np.array([0, 1, 2, 3]), C)
    best, helps, wrong = [0, 1, 2, 0], [0, 1, 0, 3], [1, 2, 3, 0]
    each = scored([wrong, best, helps])
    each[1][2] *= 2
    each[2][3] *= 2  # each is sure where the other one is wrong
    weights = greedy_weights(each, targets, Classification())
    assert weights.tolist() == [0.0, 0.5, 0.5]
    assert accuracy_of(weights, each, targets) == 1.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), members=st.integers(2, 6), n=st.integers(1, 40))
def test_greedy_is_never_below_its_best_member_on_its_own_set(seed: int, members: int, n: int) -> None:
    rng, task = np.random.default_rng(seed), Classification()
    targets = Labels(rng.integers(0, C, n), C)
    each = [rng.normal(size=(n, C)).astype(np.float32) for _ in range(members)]
    weights = greedy_weights(each, targets, task)
    assert weights.sum().item() == pytest.approx(1)
    chosen = [one for one, weight in zip(each, weights.tolist(), strict=True) if weight]
    together = task.score(np.mean(chosen, axis=0), targets)
    assert together >= max(task.score(one, targets) for one in each)


def test_networks_that_were_not_chosen_are_not_run() -> None:
    networks = [Constant(torch.full((N, C), float(value))) for value in range(M)]
    ensemble = Ensemble(networks, "greedy")
    ensemble.weights.copy_(torch.tensor([0.5, 0.0, 0.5]))
    networks[1].register_forward_hook(lambda *arguments: pytest.fail("it has no weight"))
    assert ensemble(torch.zeros(N, 3, 8, 8)).unique().tolist() == [1.0]
