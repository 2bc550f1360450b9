"""Where a method once differed from its authors' program: values by their formulas, written anew in NumPy.

Inputs are closed forms, with feature maps of several sizes, at which the differences show.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.methods import Method, Mixed, Pair, build_method, parse_method
from distillab.methods.features.ft import factor_distance
from distillab.methods.features.reviewkd import pyramid_distance
from distillab.methods.logits.dist import correlation
from distillab.methods.logits.logit_standardisation import standardized
from distillab.methods.logits.mlkd import similarity_distances
from distillab.models import Outputs, OutputShapes
from support.methods import (
    LABELS,
    STUDENT,
    STUDENT_EMBEDDING,
    TEACHER,
    TEACHER_EMBEDDING,
    C,
    D,
    N,
    batch,
    make,
)

Array = np.ndarray
Z_S, Z_T = STUDENT.numpy(), TEACHER.numpy()


def maps(channels: int, side: int, rate: float) -> Tensor:
    """Return maps ``[N, channels, side, side]`` of a sine."""
    place = torch.arange(N * channels * side * side, dtype=torch.float64)
    return torch.sin(rate * place + 0.1).reshape(N, channels, side, side)


# From shallow to deep; the teacher's are smaller at the first stage, larger at the second, equal at the last.
STUDENT_STAGES = (maps(2, 8, 0.37), maps(3, 2, 0.53), maps(4, 2, 0.71))
TEACHER_STAGES = (maps(3, 4, 0.23), maps(5, 4, 0.41), maps(6, 2, 0.29))
S_OUT = Outputs(STUDENT, STUDENT_EMBEDDING, STUDENT_STAGES, (), STUDENT_STAGES)
T_OUT = Outputs(TEACHER, TEACHER_EMBEDDING, TEACHER_STAGES, (), TEACHER_STAGES)


def shapes_of(stages: tuple[Tensor, ...]) -> OutputShapes:
    sizes = tuple((each.shape[1], each.shape[2], each.shape[3]) for each in stages)
    return OutputShapes(C, D, sizes, tuple(size[1:] for size in sizes))


def built(entry: str | dict[str, object], **changes: object) -> Method:
    pair = Pair(shapes_of(STUDENT_STAGES), shapes_of(TEACHER_STAGES), N, labels=LABELS)
    torch.manual_seed(0)
    return build_method(parse_method(entry, "methods"), replace(pair, **changes)).double()  # type: ignore[arg-type]


def softmax(z: Array, temperature: float = 1) -> Array:
    powers = np.exp(z / temperature)
    return powers / powers.sum(1, keepdims=True)


def kl(target: Array, student: Array) -> Array:
    return (target * np.log(target / student)).sum(1)


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**2


# Logits


def test_mlkd_counts_all_examples_by_default() -> None:
    expected = sum(0.9 * t**2 * kl(softmax(Z_T, t), softmax(Z_S, t)).mean() for t in range(2, 7))
    assert make("mlkd").total(S_OUT, T_OUT, batch())["images"].item() == pytest.approx(expected)


def test_mlkd_mask_takes_the_least_confident_examples() -> None:
    """Those whose largest probability is at most the median of the batch."""
    confidence = softmax(Z_T).max(1)
    mask = confidence <= np.percentile(confidence, 50)
    assert mask.sum() == 2
    expected = sum(0.9 * t**2 * kl(softmax(Z_T, t), softmax(Z_S, t))[mask].mean() for t in range(2, 7))
    student = STUDENT.clone().requires_grad_()
    found = make({"mlkd": {"confident": 0.5}}).total(Outputs(student), T_OUT, batch())["images"]
    assert found.item() == pytest.approx(expected)
    found.backward()
    assert student.grad is not None
    assert (student.grad.abs().sum(1) > 0).tolist() == mask.tolist()


@pytest.mark.parametrize("confident", [1, 0.5])
def test_standardization_leaves_similarities_of_mlkd_alone(confident: float) -> None:
    entry: dict[str, object] = {"confident": confident, "temperatures": [3.0], "mlkd_weight": 1.0}
    found = make({"logit_standardisation": {"of": {"mlkd": entry}}}).total(S_OUT, T_OUT, batch())
    z_s, z_t = ((z - z.mean(1, keepdims=True)) / (z.std(1, ddof=1, keepdims=True) + 1e-7) for z in (Z_S, Z_T))
    kept = np.argsort(softmax(Z_T).max(1))[: round(confident * N)]
    expected = 9 * kl(softmax(z_t, 3), softmax(z_s, 3))[kept].mean()
    of_batch, of_classes = similarity_distances(STUDENT, TEACHER, 3)
    assert found["images"].item() == pytest.approx(expected)
    assert (found["batch"].item(), found["classes"].item()) == (of_batch.item(), of_classes.item())
    again = make({"mlkd": entry}).total(
        Outputs(standardized(STUDENT)), Outputs(standardized(TEACHER)), batch()
    )
    assert found["classes"].item() != pytest.approx(again["classes"].item())


def test_revision_of_the_wrapped_method_is_part_of_the_id() -> None:
    ids = {
        of: parse_method({"logit_standardisation": {"of": of}}, "methods").as_dict().get("revision", 1)
        for of in ("kd", "dkd", "mlkd", "dist")
    }
    assert ids == {"kd": 1, "dkd": 1, "mlkd": 2, "dist": 2}


@pytest.mark.parametrize("correct_all", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 1.0])
def test_corrected_teacher_is_a_mixture_with_the_label(threshold: float, correct_all: bool) -> None:
    """(1 - m) p + m one_hot(y), with the program's m where the teacher is wrong, and where it is right."""
    logits = np.concatenate((Z_T, 3 * np.eye(C)[LABELS.numpy()]))
    labels = np.concatenate((LABELS.numpy(), LABELS.numpy()))
    target = softmax(logits)
    for p, y in zip(target, labels, strict=True):
        top = p.max()
        if p.argmax() != y:
            m = (top - p[y] + threshold) / (1 + top - p[y])
        elif correct_all:
            m = (min(1.0, p[y] + threshold) - top) / (1 - top)
        else:
            m = 0.0
        p *= 1 - m
        p[y] += m
    student = np.concatenate((Z_S, Z_T))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(target > 0, target * np.log(target / softmax(student)), 0)
    method = make({"mft": {"threshold": threshold, "correct_all": correct_all, "kd_weight": 1}})
    of = replace(batch(), labels=torch.from_numpy(labels))
    found = method(Outputs(torch.from_numpy(student)), Outputs(torch.from_numpy(logits)), of)
    assert found["kd"].item() == pytest.approx(parts.sum(1).mean(), abs=1e-9)


@pytest.mark.parametrize("spread", [1, 6, 30])
def test_dist_adds_its_epsilon_to_the_product_of_norms(spread: float) -> None:
    """At a spread of 30, most classes have next to no probability in the whole batch."""
    rng = np.random.default_rng(0)
    z_s, z_t = rng.normal(0, spread, (2, 8, 50))
    p_s, p_t = softmax(z_s), softmax(z_t)

    def distance(a: Array, b: Array) -> float:
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(1 - ((a * b).sum(1) / (norms + 1e-8)).mean())

    student = torch.from_numpy(z_s).requires_grad_()
    dist = make({"dist": {"temperature": 1, "dist_weight": 1}}, classes=50)
    labels = torch.zeros(8, dtype=torch.long)
    terms = dist(Outputs(student), Outputs(torch.from_numpy(z_t)), replace(batch(), labels=labels))
    assert terms["inter"].item() == pytest.approx(distance(p_s, p_t), rel=1e-12)
    assert terms["intra"].item() == pytest.approx(distance(p_s.T, p_t.T), rel=1e-12)
    terms["intra"].backward()
    assert student.grad is not None
    step = 1e-6 * rng.normal(size=z_s.shape)
    change = (distance(softmax(z_s + step).T, p_t.T) - distance(softmax(z_s - step).T, p_t.T)) / 2
    assert (student.grad.numpy() * step).sum() == pytest.approx(change, rel=1e-4)


def test_classes_without_probability_have_no_correlation() -> None:
    rare = 1e-7 * torch.sin(torch.arange(8, dtype=torch.float64))[None]
    assert correlation(rare, rare).item() < 1e-4
    assert correlation(1e7 * rare, 1e7 * rare).item() == pytest.approx(1)


# Features


def test_semckd_pools_before_it_regresses() -> None:
    semckd = built("semckd")
    widths = [[row[0].out_channels for row in connectors] for connectors in semckd.connectors]  # type: ignore[union-attr, index]
    assert widths == [[6, 10, 12]] * 3, "twice the teacher's channels"
    semckd.connectors = nn.ModuleList(nn.ModuleList([Square()] * 3) for _ in range(3))
    same = tuple(maps(3, side, rate) for side, rate in ((8, 0.37), (2, 0.53), (2, 0.71)))
    other = tuple(maps(3, side, rate) for side, rate in ((4, 0.23), (4, 0.41), (2, 0.29)))
    semckd.attention = lambda student, teacher: torch.full((N, 3, 3), 1 / 3, dtype=torch.float64)  # type: ignore[method-assign, assignment]
    found = semckd(Outputs(STUDENT, maps=same), Outputs(TEACHER, maps=other), batch())["semckd"].item()

    def pooled(x: Array, side: int) -> Array:
        step = x.shape[2] // side
        return x.reshape(N, 3, side, step, side, step).mean((3, 5))

    total = 0.0
    for f_s in same:
        for f_t in other:
            side = min(f_s.shape[2], f_t.shape[2])
            total += ((pooled(f_s.numpy(), side) ** 2 - pooled(f_t.numpy(), side)) ** 2).mean() / 3
    assert found == pytest.approx(400 * total / 3)


def test_ft_pools_factors_and_paraphrases_without_batch_norm() -> None:
    ft = built("ft")
    assert not [m for m in (*ft.encoder.modules(), *ft.decoder.modules()) if isinstance(m, nn.BatchNorm2d)]  # type: ignore[union-attr, operator]
    assert len([m for m in ft.translator.modules() if isinstance(m, nn.BatchNorm2d)]) == 3  # type: ignore[union-attr, operator]
    student, teacher = maps(4, 4, 0.71), maps(6, 2, 0.29)
    networks = Outputs(STUDENT, maps=(student,)), Outputs(TEACHER, maps=(teacher,))
    weights = ft.encoder.state_dict()  # type: ignore[union-attr, operator]
    x = teacher
    for layer in ("0", "2", "4"):
        x = F.leaky_relu(F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=1), 0.1)
    ft.translator = Square()
    reduced = (student**2).reshape(N, 4, 2, 2, 2, 2).mean((3, 5))
    q_s, q_t = ((q / q.flatten(1).norm(dim=1)[:, None, None]) for q in ((y**2).mean(1) for y in (reduced, x)))
    found = ft(*networks, batch(progress=0.5))["ft"].item()
    assert found == pytest.approx(200 * (q_s - q_t).abs().mean().item())
    assert found != pytest.approx(
        200 * factor_distance(student.reshape(N, 4, 2, 2, 2, 2).mean((3, 5)) ** 2, x).item()
    )
    ft.encoder, ft.decoder = nn.Identity(), Square()
    early = ft(*networks, batch(progress=0.05))["paraphrase"].item()
    assert early == pytest.approx((teacher**2 - teacher).square().mean().item()), "at the teacher's size"


def test_mgd_aligns_different_widths_alone() -> None:
    """With equal widths the student's masked maps are generated from directly."""
    assert [p.shape for p in built("mgd").align.parameters()] == [(6, 4, 1, 1), (6,)]  # type: ignore[union-attr, operator]
    pair = Pair(shapes_of(STUDENT_STAGES), shapes_of(STUDENT_STAGES), N, labels=LABELS)
    mgd = build_method(parse_method({"mgd": {"masked": 0}}, "methods"), pair).double()
    assert list(mgd.align.parameters()) == []  # type: ignore[union-attr, operator]
    weights = mgd.generate.state_dict()  # type: ignore[union-attr, operator]
    hidden = F.conv2d(STUDENT_STAGES[-1], weights["0.weight"], weights["0.bias"], padding=1).relu()
    generated = F.conv2d(hidden, weights["2.weight"], weights["2.bias"], padding=1)
    target = maps(4, 2, 0.29)
    found = mgd(S_OUT, Outputs(TEACHER, maps=(target,)), batch())["mgd"].item()
    assert found == pytest.approx(0.0012 * (generated - target).square().sum().item() / N)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_reviewkd_resizes_before_its_last_convolution(batch_norm: bool) -> None:
    """Places are repeated or left out, and the resized fusion is what the shallower stage gets."""
    review = built({"reviewkd": {"batch_norm": batch_norm}})
    found = review.total(S_OUT, T_OUT, batch(progress=0.5))["review"].item()

    def nearest(x: Tensor, side: int) -> Tensor:
        rows = torch.tensor([place * x.shape[2] // side for place in range(side)])
        return x[:, :, rows][:, :, :, rows]

    def normalized(x: Tensor) -> Tensor:
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() if batch_norm else x

    def conv(part: nn.Module, x: Tensor, padding: int) -> Tensor:
        kernel = next(m.weight for m in part.modules() if isinstance(m, nn.Conv2d))
        return normalized(F.conv2d(x, kernel, padding=padding))

    students = [*STUDENT_STAGES, STUDENT_EMBEDDING[:, :, None, None]]
    teachers = [*TEACHER_STAGES, TEACHER_EMBEDDING[:, :, None, None]]
    expected, deeper = 0.0, None
    for stage in (3, 2, 1, 0):
        fusion = review.fusions[stage]  # type: ignore[index]
        x = conv(fusion.enter, students[stage], 0)  # type: ignore[union-attr, arg-type]
        if deeper is not None:
            y = nearest(deeper, x.shape[2])
            gates = F.conv2d(torch.cat((x, y), 1), fusion.gates.weight, fusion.gates.bias).sigmoid()  # type: ignore[union-attr]
            x = x * gates[:, :1] + y * gates[:, 1:]
        deeper = x = nearest(x, teachers[stage].shape[2])
        expected += pyramid_distance(conv(fusion.leave, x, 1), teachers[stage]).item()  # type: ignore[union-attr, arg-type]
    assert found == pytest.approx(expected, rel=1e-10)


def test_transplant_weighs_mixed_examples_by_the_larger_share() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 4])
    pair = replace(make("last_layer_transplant").pair, labels=labels, groups=None, n_train=len(labels))
    torch.manual_seed(0)
    method = build_method(parse_method("last_layer_transplant", "methods"), pair).double()
    networks = Outputs(STUDENT, STUDENT_EMBEDDING), Outputs(TEACHER, TEACHER_EMBEDDING)
    own, others = torch.tensor([0, 1, 2, 0]), torch.tensor([3, 0, 0, 4])

    def features(share: list[float] | None, of: Tensor) -> float:
        mixed = None if share is None else Mixed(others, torch.tensor(share))
        return float(method(*networks, replace(batch(of), mixed=mixed))["features"].item())

    assert features([0.0] * N, own) == pytest.approx(features(None, others))
    assert features([1.0] * N, own) == pytest.approx(features(None, own))
    assert features([0.2, 0.8, 0.5, 0.4], own) == pytest.approx(features(None, torch.tensor([3, 1, 2, 4])))
    assert features(None, own) != pytest.approx(features(None, others))


# Without a teacher


def test_multi_exit_hint_is_a_norm_after_a_linear_layer() -> None:
    exits = make("multi_exit")
    exits.necks = nn.ModuleList([nn.Identity(), nn.Identity()])
    stages = tuple(maps(2, 2, rate) for rate in (0.37, 0.53, 0.71))
    found = exits.total(Outputs(STUDENT, maps=stages), None, batch())["hints"].item()
    assert len(exits.adaptations) == 1, "none at the shallowest exit"  # type: ignore[arg-type]
    weight, bias = (p.detach().numpy() for p in exits.adaptations[0].parameters())  # type: ignore[index, union-attr, operator]
    _, middle, deepest = (each.numpy().mean((2, 3)) for each in stages)
    expected = 0.03 * np.sqrt(((middle @ weight.T + bias - deepest) ** 2).sum())
    assert found == pytest.approx(expected)


# Relations


def similarities(kernel: str, e: Array) -> Array:
    """Kernels of Euclidean distances, none of them squared, as probabilities."""
    d = np.array([[np.sqrt(((a - b) ** 2).sum() + 1e-6) for b in e] for a in e])
    length = np.linalg.norm(e, axis=1)
    kernels = {
        "rbf": np.exp(-d / d.mean()),
        "student_t": 1 / (1 + d),
        "cosine": (e @ e.T / np.outer(length, length) + 1) / 2,
    }
    return kernels[kernel] / kernels[kernel].sum(1, keepdims=True)


def jeffreys(kernel: str, e_s: Array, e_t: Array) -> float:
    q_s, q_t = similarities(kernel, e_s), similarities(kernel, e_t)
    return float(((q_t - q_s) * (np.log(q_t) - np.log(q_s))).mean())


@pytest.mark.parametrize("kernel", ["rbf", "student_t", "combined"])
def test_pkt_kernels_use_distances_as_they_are(kernel: str) -> None:
    e_s, e_t = STUDENT_EMBEDDING.numpy(), TEACHER_EMBEDDING.numpy()
    kernels = ["cosine", "student_t"] if kernel == "combined" else [kernel]
    expected = sum(jeffreys(each, e_s, e_t) for each in kernels)
    entry: dict[str, object] = {"pkt": {"kernel": kernel, "divergence": "jeffreys", "pkt_weight": 1}}
    found = make(entry)(S_OUT, T_OUT, batch())["pkt"].item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert parse_method(entry, "methods").as_dict()["revision"] == 2
    assert "revision" not in parse_method("pkt", "methods").as_dict(), "cosine is as it was"


def test_pkt_distances_are_exact_far_from_the_origin() -> None:
    """Differences of large numbers lose digits; the mean of the batch is subtracted first."""
    far = TEACHER_EMBEDDING.float() + 1000
    entry: dict[str, object] = {"pkt": {"kernel": "student_t", "pkt_weight": 1}}
    near = make(entry)(S_OUT, T_OUT, batch())["pkt"].item()
    found = make(entry)(S_OUT, Outputs(TEACHER, far), batch())["pkt"].item()
    assert found == pytest.approx(near, rel=1e-2)


@pytest.mark.parametrize("progress", [0.0, 0.02, 0.5])
def test_early_layers_of_multilayer_pkt_are_flat_and_without_the_last(progress: float) -> None:
    found = built("multilayer_pkt").total(S_OUT, T_OUT, batch(progress=progress))
    kernels = ("cosine", "student_t")
    last = sum(jeffreys(k, STUDENT_EMBEDDING.numpy(), TEACHER_EMBEDDING.numpy()) for k in kernels)
    early = sum(
        jeffreys(kernel, f_s.numpy().reshape(N, -1), f_t.numpy().reshape(N, -1))
        for f_s, f_t in zip(STUDENT_STAGES[:2], TEACHER_STAGES[:2], strict=True)
        for kernel in kernels
    )
    assert found["last"].item() == pytest.approx(last, rel=1e-5)
    assert found["early"].item() == pytest.approx(100 * 0.7 ** (progress * 50) * early, rel=1e-5)


def test_multilayer_pkt_needs_an_early_stage() -> None:
    pair = Pair(shapes_of(STUDENT_STAGES), shapes_of(TEACHER_STAGES[-1:]), N, labels=LABELS)
    with pytest.raises(RequestError, match="method multilayer_pkt needs 2 stages in both networks"):
        build_method(parse_method("multilayer_pkt", "methods"), pair)


@pytest.mark.parametrize("temperature", [1e-3, 0.01, 0.07, 1.0])
def test_crd_is_finite_and_exact_at_low_temperatures(temperature: float) -> None:
    """In float32, exp(1 / 0.011) is infinite; here logarithms are added in NumPy's widest type."""
    crd = make({"crd": {"width": 3, "temperature": temperature, "crd_weight": 1}}).float()
    crd.embed = nn.ModuleList([nn.Identity(), nn.Identity()])
    student, teacher = (
        F.normalize(STUDENT_EMBEDDING.float(), dim=1),
        F.normalize(TEACHER_EMBEDDING.float(), dim=1),
    )
    crd.student_memory.copy_(student), crd.teacher_memory.copy_(student)  # type: ignore[union-attr, operator]
    embeddings = student.clone().requires_grad_(), teacher.clone()
    expected = 0.0
    noise = (N - 1) / N
    for v in (student, teacher):
        x = (v @ student.T).numpy().astype(np.longdouble) / temperature
        x -= x.max() + np.log(np.exp(x - x.max()).mean()) + np.log(N)
        parts = np.logaddexp(x, np.log(np.longdouble(noise) + 1e-7))
        losses = np.where(np.eye(N, dtype=bool), parts - x, parts - np.log(np.longdouble(noise)))
        expected += float(losses.sum() / N)
    found = crd(Outputs(STUDENT.float(), embeddings[0]), Outputs(TEACHER.float(), embeddings[1]), batch())[
        "crd"
    ]
    found.backward()
    assert found.item() == pytest.approx(expected, rel=1e-4)
    assert embeddings[0].grad is not None and embeddings[0].grad.isfinite().all()
