"""Golden values of the methods that learn from feature maps, and their invariances.

Connectors are made identities, so that the loss is a function of the closed-form inputs alone. Numbers with
no formula beside them were computed once, in float64 NumPy; the others are computed here from the formulas.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distillab.errors import RequestError
from distillab.methods import Pair, build_method, parse_method
from distillab.methods.features.cat_kd import unit_length
from distillab.methods.features.cosine_guided import guided_losses
from distillab.methods.features.fsp import flow
from distillab.methods.features.nst import discrepancy
from distillab.methods.features.ofd import partial_distance
from distillab.methods.features.reviewkd import pyramid_distance
from distillab.methods.head_folding import Graft
from distillab.models import InputSpec, Outputs, OutputShapes, build_model
from support.methods import (
    CLASSIFIER,
    LABELS,
    STUDENT,
    STUDENT_EMBEDDING,
    STUDENT_MAPS,
    TEACHER,
    TEACHER_EMBEDDING,
    TEACHER_MAPS,
    C,
    D,
    N,
    batch,
    make,
    shapes,
)

CE = 1.57244467
S, T = STUDENT_MAPS.numpy(), TEACHER_MAPS.numpy()
S_OUT = Outputs(STUDENT, STUDENT_EMBEDDING, (STUDENT_MAPS,), (), (STUDENT_MAPS,), CLASSIFIER)
T_OUT = Outputs(TEACHER, TEACHER_EMBEDDING, (TEACHER_MAPS,), (), (TEACHER_MAPS,), CLASSIFIER)


def identities(count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Identity() for _ in range(count))


def stages_of_labels(method: nn.Module, student: Outputs, teacher: Outputs) -> list[float]:
    """Return the supervised term before, at the end of and after the initial 30 of 240 epochs."""
    return [method.total(student, teacher, batch(progress=p))["ce"].item() for p in (0, 0.124, 0.125, 0.9)]


def test_fitnet_has_its_golden_value() -> None:
    fitnet = make("fitnet")
    fitnet.connector = nn.Identity()
    terms = fitnet.total(S_OUT, T_OUT, batch())
    assert terms["hint"].item() == pytest.approx(100 * 0.63153509, abs=1e-5)
    assert terms["ce"].item() == pytest.approx(CE, abs=1e-5)


def test_nst_has_its_golden_value() -> None:
    assert make("nst").total(S_OUT, T_OUT, batch())["nst"].item() == pytest.approx(50 * 0.20939193, abs=1e-5)


def test_vid_has_its_golden_value() -> None:
    vid = make("vid")
    vid.means = identities(1)
    assert vid.total(S_OUT, T_OUT, batch())["vid"].item() == pytest.approx(0.86787247, abs=1e-5)


def test_ft_has_its_golden_value() -> None:
    ft = make("ft")
    ft.encoder = ft.translator = nn.Identity()
    assert ft.total(S_OUT, T_OUT, batch(progress=0.5))["ft"].item() == pytest.approx(
        200 * 0.09823111, abs=1e-5
    )
    early = make("ft").total(S_OUT, T_OUT, batch(progress=0.05))
    assert early["ft"].item() == 0 and early["paraphrase"].item() > 0


def test_fsp_has_its_golden_value() -> None:
    fsp = make("fsp")
    student, teacher = (Outputs(STUDENT, maps=(maps, maps**2)) for maps in (STUDENT_MAPS, TEACHER_MAPS))
    assert fsp(student, teacher, batch(progress=0.05))["fsp"].item() == pytest.approx(
        50 * 0.21711407, abs=1e-5
    )
    assert fsp(student, teacher, batch(progress=0.5))["fsp"].item() == 0
    assert stages_of_labels(fsp, student, teacher) == [0, 0, pytest.approx(CE), pytest.approx(CE)]


def test_cosine_guided_has_its_golden_value() -> None:
    method = make("cosine_guided")
    method.connectors = identities(1)
    terms = method.total(S_OUT, T_OUT, batch())

    def cosine(axis: tuple[int, ...]) -> np.ndarray:
        norms = [np.sqrt((x**2).sum(axis)) for x in (S, T)]
        return (S * T).sum(axis) / (norms[0] * norms[1])

    across, along = 1 - cosine((2, 3)), 1 - cosine((1,))
    weight = np.abs(across[:, :, None, None] * along[:, None])
    assert terms["values"].item() == pytest.approx((weight * (S - T) ** 2).mean(), abs=1e-9)
    assert terms["cosines"].item() == pytest.approx(0.5 * (across.mean() + along.mean()), abs=1e-9)


def test_ab_has_its_golden_value() -> None:
    ab = make("ab")
    ab.connectors = identities(1)
    assert ab.total(S_OUT, T_OUT, batch(progress=0.05))["ab"].item() == pytest.approx(0.02579125, abs=1e-7)
    assert ab.total(S_OUT, T_OUT, batch(progress=0.5))["ab"].item() == 0
    assert stages_of_labels(ab, S_OUT, T_OUT) == [0, 0, pytest.approx(CE), pytest.approx(CE)]


def test_ofd_has_its_golden_value() -> None:
    clipped = TEACHER_MAPS.clamp(min=-0.2)
    assert partial_distance(STUDENT_MAPS, clipped).item() == pytest.approx(4.48736853, abs=1e-5)
    ofd = make("ofd")
    ofd.connectors = identities(1)
    margins = np.array([T[:, c][T[:, c] < 0].mean() for c in range(2)])[:, None, None]
    target = np.maximum(T, margins)
    expected = ((S - target) ** 2 * ((target < S) | (target > 0))).sum() / N
    assert ofd.total(S_OUT, T_OUT, batch())["ofd"].item() == pytest.approx(0.001 * expected, abs=1e-9)


def test_reviewkd_has_its_golden_value() -> None:
    assert pyramid_distance(STUDENT_MAPS, TEACHER_MAPS).item() == pytest.approx(0.60625918, abs=1e-5)
    review = make("reviewkd")
    for fusion in review.fusions:
        fusion.enter, fusion.leave, fusion.gates = nn.Identity(), nn.Identity(), None
    found = review.total(S_OUT, T_OUT, batch(progress=0.5))["review"].item()
    deepest = ((STUDENT_EMBEDDING - TEACHER_EMBEDDING) ** 2).mean().item()
    assert found == pytest.approx(0.60625918 + deepest, abs=1e-5)
    assert review.total(S_OUT, T_OUT, batch(progress=10 / 240))["review"].item() == pytest.approx(found / 2)


def test_simkd_has_its_golden_value() -> None:
    simkd = make("simkd")
    weight, bias = (p.detach().numpy() for p in (simkd.projector.weight, simkd.projector.bias))
    expected = ((STUDENT_EMBEDDING.numpy() @ weight.T + bias - TEACHER_EMBEDDING.numpy()) ** 2).mean()
    assert simkd.total(S_OUT, T_OUT, batch())["features"].item() == pytest.approx(expected, abs=1e-9)


def test_cat_kd_has_its_golden_value() -> None:
    """A classifier that picks channels makes the maps themselves the class activation maps."""
    f_s, f_t = (unit_length(maps) for maps in (STUDENT_MAPS, TEACHER_MAPS))
    assert (f_s - f_t).square().mean().item() == pytest.approx(0.35209765, abs=1e-5)
    pick = nn.Linear(2, 2, bias=False).double()
    pick.weight.data = torch.eye(2, dtype=torch.float64)
    there = OutputShapes(2, 2, ((2, 2, 2),), ((2, 2),))
    cat = build_method(
        parse_method({"cat_kd": {"normalise": True, "cat_weight": 1}}, "methods"), Pair(there, there, N)
    )
    student, teacher = (
        Outputs(STUDENT, maps=(maps,), classifier=pick) for maps in (STUDENT_MAPS, TEACHER_MAPS)
    )
    assert cat(student, teacher, batch())["cat"].item() == pytest.approx(0.35209765, abs=1e-5)


def test_srrl_has_its_golden_value() -> None:
    srrl = make("srrl")
    srrl.connector = nn.Identity()
    srrl.teacher_weight, srrl.teacher_bias = torch.ones(C, 2, dtype=torch.float64), None
    pooled = Outputs(TEACHER, TEACHER_MAPS.mean((2, 3)))
    terms = srrl.total(S_OUT, pooled, batch())
    assert terms["features"].item() == pytest.approx(0.55570735, abs=1e-5)
    expected = ((S.mean((2, 3)).sum(1, keepdims=True) - TEACHER.numpy()) ** 2).mean()
    assert terms["regression"].item() == pytest.approx(expected, abs=1e-9)


def test_semckd_has_its_golden_value() -> None:
    """With one stage there is nothing to choose; with equal queries all stages count alike."""
    semckd = make("semckd")
    semckd.connectors = nn.ModuleList([identities(1)])
    assert semckd.total(S_OUT, T_OUT, batch())["semckd"].item() == pytest.approx(400 * 0.63153509, abs=1e-4)
    two = build_method(parse_method("semckd", "methods"), Pair(shapes(), shapes(stages=2), N)).double()
    two.connectors = nn.ModuleList([identities(2)])
    two.queries[0].weight.data.zero_(), two.queries[0].bias.data.zero_()
    teacher = Outputs(TEACHER, maps=(TEACHER_MAPS, TEACHER_MAPS**2))
    expected = (((S - T) ** 2).mean() + ((S - T**2) ** 2).mean()) / 2
    assert two.total(S_OUT, teacher, batch())["semckd"].item() == pytest.approx(400 * expected, abs=1e-6)


def test_mgd_has_its_golden_value() -> None:
    mgd = make({"mgd": {"masked": 0}})
    mgd.generate = nn.Identity()
    expected = 0.0012 * ((S - T) ** 2).sum() / N
    assert mgd.total(S_OUT, T_OUT, batch())["mgd"].item() == pytest.approx(expected, abs=1e-9)
    blind = make({"mgd": {"masked": 1}})
    blind.generate = nn.Identity()
    assert blind.total(S_OUT, T_OUT, batch())["mgd"].item() == pytest.approx(
        0.0012 * (T**2).sum() / N, abs=1e-9
    )


def test_multi_exit_has_its_golden_value() -> None:
    exits = make("multi_exit")
    exits.necks, exits.adaptations = identities(2), identities(1)
    shallow, middle, deep = (stage.mean((2, 3)) for stage in (S, S**3, S**2))
    terms = exits.total(
        Outputs(STUDENT, maps=(STUDENT_MAPS, STUDENT_MAPS**3, STUDENT_MAPS**2)), None, batch()
    )
    logits = [
        pooled @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        for pooled, layer in zip((shallow, middle), exits.exits, strict=True)
    ]

    def log_softmax(z: np.ndarray) -> np.ndarray:
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    own = sum(-log_softmax(z)[np.arange(N), LABELS.numpy()].mean() for z in logits)
    target = log_softmax(STUDENT.numpy() / 3)
    kl = sum((np.exp(target) * (target - log_softmax(z / 3))).sum(1).mean() for z in logits)
    assert terms["exits"].item() == pytest.approx(0.7 * own, abs=1e-9)
    assert terms["kd"].item() == pytest.approx(0.3 * kl, abs=1e-9)
    assert terms["hints"].item() == pytest.approx(0.03 * np.linalg.norm(middle - deep), abs=1e-9)


# -- invariances -------------------------------------------------------------------------------------------


@given(scale=st.floats(0.1, 10), other=st.floats(0.1, 10))
@settings(max_examples=20)
def test_nst_and_cosines_ignore_scale(scale: float, other: float) -> None:
    usual = discrepancy(STUDENT_MAPS, TEACHER_MAPS)
    torch.testing.assert_close(discrepancy(scale * STUDENT_MAPS, other * TEACHER_MAPS), usual)
    mask = torch.ones(N, 1, 2, 2, dtype=torch.float64)
    _, cosines = guided_losses(STUDENT_MAPS, TEACHER_MAPS, mask)
    _, again = guided_losses(scale * STUDENT_MAPS, other * TEACHER_MAPS, mask)
    torch.testing.assert_close(again, cosines)


def test_equal_features_give_zero_loss() -> None:
    zero = torch.zeros((), dtype=torch.float64)
    mask = torch.ones(N, 1, 2, 2, dtype=torch.float64)
    for distance in (
        discrepancy(STUDENT_MAPS, STUDENT_MAPS),
        pyramid_distance(STUDENT_MAPS, STUDENT_MAPS),
        partial_distance(STUDENT_MAPS, STUDENT_MAPS),
        *guided_losses(STUDENT_MAPS, STUDENT_MAPS, mask),
    ):
        torch.testing.assert_close(distance, zero, atol=1e-12, rtol=0)


def test_guidance_counts_masked_places_only() -> None:
    elsewhere = STUDENT_MAPS.clone()
    elsewhere[:, :, 1, 1] += 3
    mask = torch.ones(N, 1, 2, 2, dtype=torch.float64)
    mask[:, :, 1, 1] = 0
    for part in guided_losses(elsewhere, STUDENT_MAPS, mask):
        torch.testing.assert_close(part, torch.zeros_like(part), atol=1e-12, rtol=0)


def test_flow_is_the_mean_product_of_channels() -> None:
    shallow, deep = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)
    pooled = nn.functional.avg_pool2d(shallow, 2)
    expected = torch.stack([(pooled[:, 1] * deep[:, k]).mean((1, 2)) for k in range(5)], 1)
    torch.testing.assert_close(flow(shallow, deep)[:, 1], expected)


def test_fsp_needs_two_stages() -> None:
    with pytest.raises(RequestError, match="method fsp needs 2 stages in both networks, and this pair has 1"):
        build_method(parse_method("fsp", "methods"), Pair(shapes(stages=1), shapes(stages=2), N))


def test_class_attention_needs_a_classifier_of_the_pooled_maps() -> None:
    with pytest.raises(RequestError, match="method cat_kd needs a last layer that reads the pooled"):
        build_method(parse_method("cat_kd", "methods"), Pair(shapes(), shapes(), N))
    other = OutputShapes(C + 1, D, ((D, 2, 2),), ((2, 2),))
    with pytest.raises(RequestError, match="needs networks of the same classes, not 5 and 6"):
        build_method(parse_method("cat_kd", "methods"), Pair(shapes(C, 0), other, N))


# -- transplants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["simkd", "last_layer_transplant"])
def test_transplant_folds_into_an_ordinary_student(name: str) -> None:
    torch.manual_seed(0)
    student = build_model("resnet8", classes=4, inputs=InputSpec.square(3, 8))
    teacher = nn.Linear(20, 4)
    keys, before = list(student.state_dict()), student.fc
    there = Pair(
        OutputShapes(4, 64, ((64, 2, 2),), ((2, 2),)),
        OutputShapes(4, 20, ((20, 2, 2),), ((2, 2),)),
        8,
        teacher_classifier=teacher,
    )
    method = build_method(parse_method(name, "methods"), there)
    network = method.network(student)
    assert isinstance(network.fc, Graft) and list(network.state_dict()) == keys
    assert not {id(p) for p in before.parameters()} & {id(p) for p in network.parameters()}
    images = torch.rand(3, 3, 8, 8)
    network.eval()
    found = network(images)
    saved = network.state_dict()
    finished = method.finished(network)
    assert type(finished.fc) is nn.Linear
    torch.testing.assert_close(finished(images), found)
    fresh = build_model("resnet8", classes=4, inputs=InputSpec.square(3, 8)).eval()
    fresh.load_state_dict(saved)
    torch.testing.assert_close(fresh(images), found)


def test_transplant_needs_a_teacher_of_the_same_classes() -> None:
    with pytest.raises(RequestError, match="method simkd needs a teacher of the student's 5 classes, not 6"):
        build_method(parse_method("simkd", "methods"), Pair(shapes(C), shapes(C + 1), N))
