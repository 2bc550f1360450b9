"""Weight files as people have them: every wrapper, prefix and format is read, or refused in one line."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models import InputSpec, build_model
from distillab.models.weights import LoadedWeights, load_into, read_weights

State = dict[str, Tensor]
INPUTS = InputSpec.square(3, 16)
ENTRIES = (
    *("state_dict", "model", "model_state_dict", "ema", "net", "teacher", "state_dict_ema", "model_ema"),
    *("module", "weights", "params", "student", "network"),
)
NESTED = ("checkpoint.model", "model.ema", "state_dict.model.net")
PREFIXES = (
    *("module.", "_orig_mod.", "model.", "student.", "teacher.", "net.", "backbone."),
    *("module.student.", "module._orig_mod.", "_orig_mod.module.", "model.net.module.", "a.b.c."),
)


def network(name: str = "resnet8", classes: int = 3, seed: int = 1) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(name, classes=classes, inputs=INPUTS).eval()


def state_of(model: nn.Module, prefix: str = "") -> State:
    return {f"{prefix}{name}": value.clone() for name, value in model.state_dict().items()}


def nested(state: Mapping[str, Any], path: str) -> dict[str, Any]:
    content: dict[str, Any] = dict(state)
    for key in reversed(path.split(".") if path else []):
        content = {key: content, "epoch": 9}
    return content


def must_load(
    file: Path, expected: nn.Module, name: str = "resnet8", classes: int = 3, **keys: Any
) -> LoadedWeights:
    """Load a file into a new network and compare its logits with those of the expected one."""
    made = network(name, classes, seed=2)
    loaded = load_into(made, file, name=name, classes=classes, **keys)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(made(x), expected(x))
    return loaded


def refusal(file: Path, name: str = "resnet8", classes: int = 3) -> str:
    made = network(name, classes, seed=2)
    before = state_of(made)
    with pytest.raises(RequestError) as caught:
        load_into(made, file, name=name, classes=classes)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and "\n" not in message and len(message) < 500 + len(str(file))
    assert message.count("'stages.") <= 3
    for key, value in made.state_dict().items():
        assert torch.equal(value, before[key]), "a network that is refused weights is left alone"
    return message


class Tiny(nn.Module):
    """A network with a convolution, buffers and a classifier, small enough for hundreds of files."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", ["safetensors", "torch"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin", ".ckpt", ""])
@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_every_format_is_read_under_every_name_and_prefix(
    prefix: str, suffix: str, form: str, tmp_path: Path
) -> None:
    model, made, file = Tiny(), Tiny(), tmp_path / f"w{suffix}"
    if form == "safetensors":
        save_file(state_of(model, prefix), file)
        entries: tuple[str, ...] = ("",)
    else:
        entries = ("", *ENTRIES, *NESTED) if suffix == ".pth" else ("", "state_dict")
    for entry in entries:
        if form == "torch":
            torch.save(nested(state_of(model, prefix), entry), file)
        loaded = load_into(made, file, name="tiny", classes=3)
        assert (loaded.entry, loaded.prefix, loaded.others) == (entry, prefix, ())
        for name, value in model.state_dict().items():
            assert torch.equal(made.state_dict()[name], value)
        model.fc.bias.data += 1  # so that the next file holds something else


def test_the_older_format_of_torch_is_read(tmp_path: Path) -> None:
    model = network()
    torch.save({"model": model.state_dict()}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert must_load(tmp_path / "w.pt", model).entry == "model"


def test_what_stands_beside_the_weights_is_ignored(tmp_path: Path) -> None:
    """A Lightning checkpoint, arguments of a script, numbers of NumPy, states of optimizers."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.zeros(2, 3, 16, 16)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(state_of(model, "model.") | {"criterion.weight": torch.ones(3)}),
        "optimizer_states": [optimizer.state_dict()],
        "optimizer": optimizer.state_dict(),
        "best_accuracy": np.float64(0.9),
        "history": np.arange(3.0),
        "args": argparse.Namespace(lr=0.1, output=Path("out")),
        "hyper_parameters": {"lr": 0.1, "tags": ["a", 1, None]},
    }
    torch.save(content, tmp_path / "last.ckpt")
    loaded = must_load(tmp_path / "last.ckpt", model)
    assert (loaded.entry, loaded.prefix, loaded.unused) == ("state_dict", "model.", 1)


def test_wrappers_within_names_are_removed(tmp_path: Path) -> None:
    """DataParallel around a part of the network, torch.compile around blocks."""
    model = network()
    renamed = {
        name.replace("stages.", "stages.module.").replace("fc.", "fc._orig_mod."): value
        for name, value in state_of(model).items()
    }
    torch.save(renamed, tmp_path / "w.pth")
    assert must_load(tmp_path / "w.pth", model).unused == 0


def test_counters_may_be_missing_or_left_over(tmp_path: Path) -> None:
    model = network()
    old = {name: value for name, value in state_of(model).items() if "num_batches" not in name}
    torch.save(old | {"total_ops": torch.zeros(1), "conv1.total_params": torch.zeros(1)}, tmp_path / "w.pth")
    assert must_load(tmp_path / "w.pth", model).prefix == ""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    model = network().to(dtype)
    save_file(state_of(model), tmp_path / "w.safetensors")
    assert must_load(tmp_path / "w.safetensors", model.float()).unused == 0


def test_student_of_a_distiller_is_found(tmp_path: Path) -> None:
    """mdistiller keeps student, teacher and connectors of a distiller in one state dict."""
    student, teacher = network(seed=3), network("resnet14", seed=4)
    state = state_of(student, "module.student.") | state_of(teacher, "module.teacher.")
    torch.save({"epoch": 1, "model": state | {"module.connector.weight": torch.ones(2)}}, tmp_path / "w.pth")
    assert must_load(tmp_path / "w.pth", student).prefix == "module.student."
    assert must_load(tmp_path / "w.pth", teacher, "resnet14").prefix == "module.teacher."


@pytest.mark.parametrize(
    ("content", "taken", "other"),
    [
        (lambda one, two: {"model": two, "ema": one}, "ema", "model"),
        (lambda one, two: {"state_dict": two, "state_dict_ema": one}, "state_dict_ema", "state_dict"),
        (lambda one, two: {"model": two, "state_dict": one}, "state_dict", "model"),
        (lambda one, two: {"student": two, "teacher": one}, "teacher", "student"),
        (lambda one, two: {"zeta": two, "alpha": one}, "alpha", "zeta"),
    ],
)
def test_among_several_entries_that_fit_the_order_decides(
    content: Callable[[State, State], Any], taken: str, other: str, tmp_path: Path
) -> None:
    first, second, file = network(seed=3), network(seed=4), tmp_path / "w.pth"
    torch.save(content(state_of(first), state_of(second)), file)
    loaded = must_load(file, first)
    assert (loaded.entry, loaded.others) == (taken, (other,))
    assert f"not '{other}', which would fit too" in loaded.text
    assert must_load(file, second, entry=other).entry == other


@pytest.mark.parametrize(
    ("taken", "other"),
    [("student.", "teacher."), ("ema_model.", "model."), ("module.student.", "module.teacher.")],
)
def test_among_several_prefixes_that_fit_the_order_decides(taken: str, other: str, tmp_path: Path) -> None:
    first, second, file = network(seed=3), network(seed=4), tmp_path / "w.safetensors"
    save_file(state_of(second, other) | state_of(first, taken), file)
    loaded = must_load(file, first)
    assert (loaded.prefix, loaded.others) == (taken, (other,))


def test_network_in_a_wrapper_of_its_own_takes_bare_weights(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(seed=5)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)  # type: ignore[no-any-return]

    model, wrapped = network(), Wrapped()
    torch.save(state_of(model), tmp_path / "w.pth")
    load_into(wrapped, tmp_path / "w.pth", name="wrapped", classes=3)
    assert torch.equal(wrapped.inner.fc.weight, model.fc.weight)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize(
    ("other", "classes", "message"),
    [
        (
            "resnet8",
            100,
            r"another number of classes \(the weights have 100, resnet8 has 3 here\): 'fc.weight'",
        ),
        ("resnet14", 3, "another architecture than resnet8.*no place for '(module.)?stages.0.1.bn1.weight'"),
        ("wrn16-2", 3, "another architecture than resnet8, of whose .* fit: "),
        ("resnet8x4", 3, "another architecture than resnet8, of whose .* fit: "),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_mismatch_is_named_with_three_keys(
    other: str, classes: int, message: str, prefix: str, tmp_path: Path
) -> None:
    save_file(state_of(network(other, classes), prefix), tmp_path / "w.safetensors")
    assert re.search(message, refusal(tmp_path / "w.safetensors"))
    assert "more" in refusal(tmp_path / "w.safetensors", "resnet20")


def test_file_without_classifier_is_named(tmp_path: Path) -> None:
    state = {name: value for name, value in state_of(network()).items() if not name.startswith("fc.")}
    save_file(state, tmp_path / "w.safetensors")
    assert "no classifier: the weights lack 'fc.weight', 'fc.bias'" in refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize("classes", [100, None], ids=["other classes", "no classifier"])
def test_new_classifier_keeps_its_initial_weights(classes: int | None, tmp_path: Path) -> None:
    model = network(classes=classes or 3)
    state = state_of(model)
    if classes is None:
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    torch.save(state, tmp_path / "w.pth")
    made = network(seed=2)
    before = made.fc.weight.clone()  # type: ignore[operator,union-attr]
    loaded = load_into(made, tmp_path / "w.pth", name="resnet8", classes=3, new_classifier=True)
    assert loaded.fresh == ("fc.weight", "fc.bias") and "with a new classifier" in loaded.text
    assert torch.equal(made.fc.weight, before)  # type: ignore[union-attr,arg-type]
    assert torch.equal(made.conv1.weight, model.conv1.weight)  # type: ignore[union-attr,arg-type]


def test_another_stem_is_named(tmp_path: Path) -> None:
    large = build_model("torchvision:resnet18", classes=3, inputs=InputSpec.square(3, 224))
    torch.save(large.state_dict(), tmp_path / "w.pth")
    message = refusal(tmp_path / "w.pth", "torchvision:resnet18")
    assert "another stem than torchvision:resnet18 has at this resolution" in message
    assert "'conv1.weight' is [64, 3, 7, 7], not [64, 3, 3, 3]" in message and "`stem: original`" in message


def test_other_channels_are_named(tmp_path: Path) -> None:
    gray = build_model("resnet8", classes=3, inputs=InputSpec.square(1, 16))
    torch.save(gray.state_dict(), tmp_path / "w.pth")
    assert "another stem (for 1 channels, and the inputs have 3)" in refusal(tmp_path / "w.pth")


class Opaque(nn.Module):
    """A network that a pickle names."""


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: torch.save(Opaque(), file), "holds an object of .*Opaque, which cannot be restored"),
        (
            lambda file: torch.save({"model": Opaque()}, file),
            "Opaque, which cannot be restored without running",
        ),
        (lambda file: torch.save({"state_dict": {}, "run": eval}, file), "eval"),
        (lambda file: torch.save([torch.zeros(2)], file), "holds list, not a mapping"),
        (lambda file: torch.save({"epoch": 3, "loss": 0.5}, file), "holds no tensors by name, only 'epoch'"),
        (lambda file: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file), "is a TorchScript program"),
        (lambda file: file.write_bytes(b""), "is an empty file"),
        (
            lambda file: file.write_text("<!DOCTYPE html><p>404"),
            "a web page, perhaps of a download that failed",
        ),
        (lambda file: file.write_text("version https://git-lfs.github.com/spec/v1"), "git lfs pull"),
        (lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "an HDF5 file"),
        (lambda file: file.write_bytes(b"PK\x03\x04" + bytes(90)), "cannot read weights"),
        (lambda file: file.write_bytes((90).to_bytes(8, "little") + b'{"a":' + bytes(9)), "only 22 bytes"),
        (lambda file: file.write_bytes((9).to_bytes(8, "little") + b'{"a": 1}}' + bytes(9)), "cannot read"),
        (lambda file: file.write_bytes(b"\x00" * 99), "is not a file of weights"),
        (lambda file: None, "cannot read weights .No such file"),
        (lambda file: file.mkdir(), "is a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_is_no_weight_file_is_refused_in_one_line(
    write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "w.pth")
    line = refusal(tmp_path / "w.pth")
    assert re.search(message, line), line


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": Harmful()}, tmp_path / "w.pth")
    with pytest.raises(RequestError, match="without running code"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_sparse_weights_are_read(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    torch.save({name: value.to_sparse() for name, value in layer.state_dict().items()}, tmp_path / "w.pth")
    copy = nn.Linear(3, 2)
    load_into(copy, tmp_path / "w.pth", name="linear", classes=2)
    assert torch.equal(copy.weight, layer.weight) and torch.equal(copy.bias, layer.bias)


@pytest.mark.parametrize("new_classifier", [False, True])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda value: (value * 100).to(torch.int8), r"another type of numbers \(torch.int8\)"),
        (lambda value: torch.complex(value, value), r"another type of numbers \(torch.complex64\)"),
        (lambda value: value.to("meta"), "shapes without values"),
        (lambda value: value.sum(), "another architecture"),
    ],
    ids=["integers", "complex", "meta", "scalars"],
)
def test_tensors_that_are_no_weights_are_refused_by_kind(
    changed: Callable[[Tensor], Tensor], reason: str, new_classifier: bool, tmp_path: Path
) -> None:
    state = {name: changed(value) for name, value in nn.Linear(3, 2).state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RequestError, match=reason) as caught:
        load_into(
            nn.Linear(3, 2), tmp_path / "w.pth", name="linear", classes=2, new_classifier=new_classifier
        )
    assert "\n" not in str(caught.value)


def test_safetensors_in_folders_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path / "w", {"classes": '["a", "b"]'})
    (tmp_path / "w").rename(folder / "w")
    layer = nn.Linear(3, 2)
    assert load_into(layer, folder / "w", name="linear", classes=2).class_names == ("a", "b")
    assert layer.weight.sum() == 6
