"""The fused normalization, addition and ReLU equal torch's modules in sequence."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from distillab.models import InputSpec, build_model, models
from distillab.models.cpu_kernels import dispatch, fused, kernels, norm_relu
from distillab.models.registry import DETECTORS, TEXT_NETWORKS, TRACKING_NETWORKS

Results = dict[str, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fusions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry per call of the fused operation."""
    calls: list[str] = []
    real = fused.fused_norm_relu

    def counted(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None) -> Tensor:
        calls.append("plus" if plus is not None else "alone")
        return real(norm, x, plus)

    monkeypatch.setattr(fused, "fused_norm_relu", counted)
    return calls


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int, seed: int = 5) -> nn.BatchNorm2d:
    """A normalization with parameters and statistics of its own."""
    norm = nn.BatchNorm2d(channels)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for vector in (norm.weight, norm.bias, norm.running_mean):
            assert vector is not None
            vector.copy_(torch.randn(channels, generator=source))
    return norm


def in_sequence(norm: nn.BatchNorm2d, x: Tensor, plus: Tensor | None) -> Tensor:
    y: Tensor = norm(x)
    return F.relu(y if plus is None else y + plus)


def results_of(
    call: Callable[[nn.BatchNorm2d, Tensor, Tensor | None], Tensor],
    norm: nn.BatchNorm2d,
    x: Tensor,
    plus: Tensor | None,
) -> Results:
    """Output, gradients and running statistics; the arguments are not changed."""
    norm, x = copy.deepcopy(norm), x.clone().requires_grad_()
    plus = None if plus is None else plus.clone().requires_grad_()
    out = call(norm, x, plus)
    (out.double() * images(*out.shape, seed=9)).sum().backward()  # type: ignore[no-untyped-call]
    tensors = {"x": x, "weight": norm.weight, "bias": norm.bias} | ({} if plus is None else {"plus": plus})
    found = {f"gradient of {name}": tensor.grad for name, tensor in tensors.items()}
    return {
        "out": out.detach(),
        **{k: v for k, v in found.items() if v is not None},
        **dict(norm.state_dict()),
    }


def assert_alike(found: Results, wanted: Results, tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        size = tensor.double().abs().max().clamp(min=1)
        assert ((found[name].double() - tensor.double()).abs().max() / size).item() < tolerance, name


@given(
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
    st.integers(0, 99),
)
def test_results_equal_torch_for_all_shapes(
    n: int, channels: int, height: int, width: int, with_plus: bool, seed: int
) -> None:
    if n * height * width == 1:
        n = 2
    x = images(n, channels, height, width, seed=seed)
    plus = images(n, channels, height, width, seed=seed + 1) if with_plus else None
    norm = norm_of(channels)
    reference = results_of(in_sequence, norm.double(), x.double(), None if plus is None else plus.double())
    found = results_of(fused.fused_norm_relu, norm.float(), x, plus)
    # Where a channel's pixels are nearly equal, their differences are lost in rounding.
    assume((x.double().var((0, 2, 3), correction=0) > 1e-3).all())
    assert_alike(found, {k: v.to(found[k].dtype) for k, v in reference.items()}, 1e-2)


@pytest.mark.parametrize("with_plus", [False, True])
@pytest.mark.parametrize("channels", [3, 16, 64, 300])
def test_results_are_as_exact_as_those_of_torch(channels: int, with_plus: bool, fusions: list[str]) -> None:
    x = images(20, channels, 12, 12) * 3 + 5
    plus = images(20, channels, 12, 12, seed=1) if with_plus else None
    norm = norm_of(channels)
    exact = results_of(
        in_sequence, copy.deepcopy(norm).double(), x.double(), None if plus is None else plus.double()
    )
    torchs = results_of(in_sequence, norm, x, plus)
    found = results_of(norm_relu, norm, x, plus)
    assert fusions == ["plus" if with_plus else "alone"]
    assert torch.equal(found.pop("num_batches_tracked"), torchs["num_batches_tracked"])
    for name in found:
        wanted = exact[name]
        assert found[name].dtype == torchs[name].dtype, name
        assert distance(found[name], wanted) <= 1.2 * distance(torchs[name], wanted) + 1e-6, name


def distance(found: Tensor, exact: Tensor) -> float:
    """Over all entries: rounding may move one at the edge of the ReLU to the other side."""
    return float((found.double() - exact).norm() / exact.norm())


def test_the_variance_is_exact_far_from_zero() -> None:
    x = images(64, 16, 32, 32) * 4 + 100
    found = results_of(fused.fused_norm_relu, norm_of(16), x, None)
    exact = x.double().var((0, 2, 3))
    assert torch.allclose(found["running_var"].double(), 0.9 + 0.1 * exact, rtol=1e-6)


@pytest.mark.parametrize("with_plus", [False, True])
def test_evaluation_mode_changes_no_statistics(with_plus: bool, fusions: list[str]) -> None:
    norm, x = norm_of(16).eval(), images(5, 16, 7, 7)
    plus = images(5, 16, 7, 7, seed=1) if with_plus else None
    before = copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        assert torch.allclose(norm_relu(norm, x, plus), in_sequence(norm, x, plus), rtol=2e-2, atol=2e-2)
    assert len(fusions) == 1
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_propagated(bad: float) -> None:
    x = images(4, 2, 3, 3)
    x[1, 0, 2, 2] = bad
    found, wanted = (results_of(call, norm_of(2), x, None) for call in (fused.fused_norm_relu, in_sequence))
    assert found["out"][:, 0].isnan().all() and wanted["out"][:, 0].isnan().all()
    assert found["gradient of x"][:, 0].isnan().all() == wanted["gradient of x"][:, 0].isnan().all()
    assert found["out"][:, 1].isfinite().all()


def test_rounding_to_bfloat16_equals_torch() -> None:
    x = images(64, 16, 16, 16)
    norm = nn.BatchNorm2d(16).eval()
    norm.eps = 0.0  # with mean 0 and variance 1 only scale and shift remain
    with torch.no_grad():
        norm.weight.fill_(1.2345678)
        norm.bias.fill_(0.1234567)
        wanted = F.relu(x.float() * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)).bfloat16()
        assert torch.equal(fused.fused_norm_relu(norm, x, None), wanted)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in models
        if not name.startswith(("efficientnet", "mobilenet", "eeea", "hog", "groupnorm"))
        and name not in TEXT_NETWORKS | DETECTORS | TRACKING_NETWORKS
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_registered_networks_use_the_fused_operation(name: str, training: bool, fusions: list[str]) -> None:
    model = build_model(name, classes=5, inputs=InputSpec.square(3, 16)).train(training)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shortcuts = sum("shortcut" in path for path, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16):
        model(images(4, 3, 16, 16).float())
    assert len(fusions) == norms - shortcuts > 0


Call = tuple[nn.BatchNorm2d, Tensor, Tensor | None, nn.ReLU | None]


def with_hook(module: nn.Module) -> Any:
    module.register_forward_hook(lambda *_: None)
    return module


def with_own_forward() -> nn.BatchNorm2d:
    norm = norm_of(8)
    norm.forward = lambda x: 2 * x  # type: ignore[method-assign]
    return norm


def without_tracking() -> nn.BatchNorm2d:
    norm = norm_of(8)
    norm.track_running_stats = False
    return norm


X = images(4, 8, 5, 5)
UNSUPPORTED: dict[str, Callable[[], Call]] = {
    "images with channels first": lambda: (norm_of(8), X.contiguous(), None, None),
    "float64": lambda: (norm_of(8).double(), X.double(), None, None),
    "float32": lambda: (norm_of(8), X.float(), None, None),
    "sums of two dtypes": lambda: (norm_of(8), X, X.float(), None),
    "sums that broadcast": lambda: (norm_of(8), X, X[:, :1], None),
    "a norm with a hook": lambda: (with_hook(norm_of(8)), X, None, None),
    "a ReLU with a hook": lambda: (norm_of(8), X, None, with_hook(nn.ReLU())),
    "a norm with its own forward": lambda: (with_own_forward(), X, None, None),
    "no affine part": lambda: (nn.BatchNorm2d(8, affine=False), X, None, None),
    "no running statistics": lambda: (nn.BatchNorm2d(8, track_running_stats=False), X, None, None),
    "running statistics that are not updated": lambda: (without_tracking(), X, None, None),
    "a cumulative mean": lambda: (nn.BatchNorm2d(8, momentum=None), X, None, None),
    "gradients in evaluation mode": lambda: (norm_of(8).eval(), X, None, None),
    "no images": lambda: (norm_of(8).eval(), X[:0], None, None),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_unsupported_calls_use_torch(case: str, fusions: list[str]) -> None:
    norm, x, plus, relu = UNSUPPORTED[case]()
    wanted = in_sequence(copy.deepcopy(norm), x, plus)
    assert torch.equal(norm_relu(norm, x, plus, relu), wanted)
    assert not fusions


def test_several_threads_use_torch(fusions: list[str]) -> None:
    torch.set_num_threads(2)
    norm_relu(norm_of(8), images(4, 8, 5, 5))
    assert not fusions


def test_one_value_per_channel_raises_the_error_of_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm_relu(norm_of(8), images(1, 8, 1, 1))


def test_networks_can_be_traced_symbolically() -> None:
    model = build_model("resnet8", classes=5, inputs=InputSpec.square(3, 16)).eval()
    traced, x = torch.fx.symbolic_trace(model), images(4, 3, 16, 16).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(traced(x), model(x), rtol=5e-2, atol=5e-2)


def test_functional_transforms_work() -> None:
    norm = norm_of(8).eval().bfloat16()  # torch.func needs equal dtypes
    x = images(4, 8, 5, 5)
    with torch.no_grad():
        each = torch.func.vmap(lambda one: norm_relu(norm, one[None]))(x)[:, 0]
        assert torch.allclose(each, in_sequence(norm, x, None), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("with_plus", [False, True])
def test_second_derivatives_equal_torch(with_plus: bool) -> None:
    def penalty(
        call: Callable[[nn.BatchNorm2d, Tensor, Tensor | None], Tensor], dtype: torch.dtype
    ) -> list[Tensor]:
        norm = norm_of(8).double() if dtype == torch.float64 else norm_of(8)
        x, weights = images(9, 8, 5, 5).to(dtype).requires_grad_(), images(9, 8, 5, 5, seed=2)
        plus = images(9, 8, 5, 5, seed=1).to(dtype).requires_grad_() if with_plus else None
        (slope,) = torch.autograd.grad((call(norm, x, plus) * weights).sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.double().square().sum(), (x, norm.weight)))

    exact, torchs = penalty(in_sequence, torch.float64), penalty(in_sequence, torch.bfloat16)
    for found, its, wanted in zip(penalty(norm_relu, torch.bfloat16), torchs, exact, strict=True):
        assert distance(found, wanted) <= 1.2 * distance(its, wanted) + 1e-3


def test_torch_is_used_without_numba(monkeypatch: pytest.MonkeyPatch, fusions: list[str]) -> None:
    monkeypatch.setattr(dispatch, "has_numba", lambda: False)
    norm, x = norm_of(4), images(2, 4, 3, 3)
    expected = F.relu(copy.deepcopy(norm)(x))
    assert torch.equal(norm_relu(norm, x), expected) and fusions == []


def test_kernels_compile_without_a_writable_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def without_cache(function: Callable[..., Any], cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba, "njit", without_cache)
    to_float32 = kernels.jit(kernels.to_float32.py_func)
    assert to_float32(np.uint16(0x3FC0)) == 1.5


def test_a_precompiled_process_can_be_forked() -> None:
    program = """
import os, torch
import distillab.models.cpu_kernels.precompiled
from distillab.models.cpu_kernels import fused, kernels
torch.set_num_threads(1)
def made():
    return {name: len(made.signatures) for name, made in vars(kernels).items() if hasattr(made, "signatures")}
before = made()
child = os.fork()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
x = torch.randn(4, 8, 5, 5).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
for plus in (None, x):
    for training in (True, False):
        with torch.set_grad_enabled(training):
            out = fused.fused_norm_relu(torch.nn.BatchNorm2d(8).train(training), x, plus)
        if training:
            out.float().square().sum().backward()
assert before == made() and len(before) > 4, (before, made())
"""
    subprocess.run([sys.executable, "-c", program], check=True)
