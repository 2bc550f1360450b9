"""What networks return is understood as logits, or refused by their names when a study is planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.planning import make_plan
from distillab.study.spec.study import parse_study
from support.given_teachers import SHORT, digits, planned, refusal, spec_of, state
from support.studies import CPU, run_here, study


@pytest.mark.parametrize(
    "name",
    [
        *("first_of_tuple", "first_of_list", "mapping", "output_object", "auxiliary_in_training"),
        *("tuple_in_training", "log_softmax"),
    ],
)
def test_other_forms_of_outputs_are_understood(name: str, tmp_path: Path) -> None:
    model = f"support.networks:{name}"
    torch.save(state(), tmp_path / "w.pth")
    plan = planned(tmp_path, teacher={"model": model}, students=[model])
    assert plan.trial is not None and plan.trial.score > 0.9
    folder = StudyFolder.begin(
        tmp_path / "dir", spec_of(tmp_path, teacher={"model": model}, students=[model]), CPU
    )
    assert {row["status"] for row in run_here(folder)} == {"done"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_finite", "gives outputs that are not finite for random inputs"),
        ("frozen", "has no weights to train"),
        ("softmax", "ends in a softmax"),
        ("sigmoid", "ends in a sigmoid"),
        ("features_first", r"gives \[1, 20\] for one input, not \[1, 4\]"),
        ("loss_in_training", "in training, the network returns dict, which holds no logits"),
        ("features_in_training", r"gives \[2, 8\] for two inputs in training, not \[2, 4\]"),
        ("fails_in_training", r"fails in training on 8x8 images \(ValueError: targets are needed\)"),
    ],
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_outputs_that_are_no_logits_are_refused_by_name(
    name: str, message: str, role: str, tmp_path: Path
) -> None:
    model = f"support.networks:{name}"
    values = study(**SHORT)
    values |= {"students": [model]} if role == "student" else {"teacher": {"model": model}}
    wanted = parse_study(values, tmp_path, "study.yaml")
    with pytest.raises(RequestError, match=message) as caught:
        make_plan(wanted, digits(), CPU)
    assert str(caught.value).startswith(f"{model}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"), [("softmax", "ends in a softmax"), ("sigmoid", "ends in a sig")]
)
def test_given_teacher_that_gives_probabilities_is_refused(name: str, message: str, tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    assert message in refusal(tmp_path, teacher={"model": f"support.networks:{name}"})


@pytest.mark.parametrize("name", ["loss_in_training", "fails_in_training"])
def test_given_teacher_may_fail_in_training(name: str, tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    assert planned(tmp_path, teacher={"model": f"support.networks:{name}"}).trial.score > 0.9  # type: ignore[union-attr]


def test_checks_of_outputs_leave_a_network_as_it_was() -> None:
    from distillab.models import InputSpec, build_model
    from distillab.models.output_checks import check_outputs

    inputs = InputSpec.square(1, 8)
    network = build_model("resnet8", classes=4, inputs=inputs)
    network.bn1.eval() if isinstance(getattr(network, "bn1", None), nn.Module) else None
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.random.get_rng_state()
    check_outputs(network, inputs, name="resnet8", classes=4, trained=True)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())
