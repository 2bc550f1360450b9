"""Several methods added by weights, and a method of one's own."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import torch

from distillab.errors import RequestError
from distillab.methods import MethodSpec, Pair, build_method, methods, parse_method
from support.methods import STAGES, STUDENT_SAID, TEACHER_SAID, batch, make, outputs, shapes

WHERE = "study.yaml: methods"
OF_THE_STUDY = [name for name in methods if methods[name].teacher == "study"]
OWN = '''
"""Learn the teacher's logits as they are."""
from typing import ClassVar
from distillab.methods import Batch, Method
from distillab.methods.divergence import label_loss

class Logits(Method):
    class Config(Method.Config):
        strength: float = 0.5

    def forward(self, student, teacher, batch):
        apart = (student.logits - teacher.logits.detach()).square().mean()
        return {"ce": label_loss(student.logits, batch).mean(), "logits": self.config.strength * apart}
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


# -- sums ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_THE_STUDY)
def test_any_method_can_be_added_to_kd_by_weight(name: str) -> None:
    """The sum is all of kd, and the weighted terms of the other but for its loss on the labels."""
    if name == "kd":
        return
    stages = STAGES.get(name, 1)
    said = outputs(STUDENT_SAID, stages), outputs(TEACHER_SAID, stages), batch()
    both = make({"kd": {}, name: {"weight": 0.5}}).total(*said)
    kd, other = make("kd").total(*said), make(name).total(*said)
    alone = {f"{name}.{term}": 0.5 * value for term, value in other.items() if term != "ce"}
    assert both.keys() == kd.keys() | alone.keys()
    for term, value in (kd | alone).items():
        torch.testing.assert_close(both[term], value)


def test_a_sum_needs_what_its_parts_need_and_is_told_by_them() -> None:
    both = parse_method({"kd": {"temperature": 2}, "rkd": {"weight": 0.5}}, WHERE)
    assert both.name == "kd+rkd"
    assert both.label == "kd(temperature=2)+rkd(weight=0.5)"
    assert both.needs == methods["kd"].needs | methods["rkd"].needs
    assert both.teacher == "study" and both.distils
    assert both.settings["kd.temperature"] == 2 and both.settings["rkd.weight"] == 0.5
    assert MethodSpec.from_dict(both.as_dict()) == both
    assert parse_method({"ce": {}, "at": {}}, WHERE).teacher == "study"


def test_the_first_part_of_a_sum_is_the_one_that_keeps_its_labels() -> None:
    said = outputs(STUDENT_SAID), outputs(TEACHER_SAID), batch()
    for first, second in permutations(["kd", "rkd"]):
        both = make({first: {}, second: {}}).total(*said)
        torch.testing.assert_close(both["ce"], make(first).total(*said)["ce"])


def test_a_weight_scales_the_gradient_of_its_part() -> None:
    light, heavy = (make({"ce": {}, "at": {"weight": weight}}) for weight in (1.0, 3.0))
    said = outputs(STUDENT_SAID), outputs(TEACHER_SAID), batch()
    torch.testing.assert_close(heavy.total(*said)["at.at"], 3 * light.total(*said)["at.at"])


# -- one's own -----------------------------------------------------------------------------------------------


def test_a_method_of_ones_own_is_a_class_in_a_file(own: Path) -> None:
    spec = parse_method({"mine.py:Logits": {"strength": 2}}, WHERE, own.parent)
    assert (spec.name, spec.label) == ("Logits", "Logits(strength=2)")
    terms = build_method(spec, Pair(shapes(), shapes(), 4)).total(
        outputs(STUDENT_SAID), outputs(TEACHER_SAID), batch()
    )
    apart = (STUDENT_SAID[0] - TEACHER_SAID[0]).square().mean()
    torch.testing.assert_close(terms["logits"], 2 * apart)
    assert MethodSpec.from_dict(spec.as_dict(), spec.files) == spec
    assert str(own.parent) not in str(spec.as_dict()), "where the file lies does not decide the numbers"


def test_ones_own_can_be_added_to_a_registered_one(own: Path) -> None:
    spec = parse_method({"kd": {}, "mine.py:Logits": {"weight": 0.1}}, WHERE, own.parent)
    assert spec.label == "kd+Logits(weight=0.1)"
    assert list(spec.files.values()) == [f"{own.resolve()}:Logits"]


def test_changed_code_is_another_method_and_is_noticed(own: Path) -> None:
    before = parse_method("mine.py:Logits", WHERE, own.parent)
    own.write_text(OWN.replace("0.5", "0.25"))
    after = parse_method("mine.py:Logits", WHERE, own.parent)
    assert before.as_dict() != after.as_dict()
    with pytest.raises(RequestError, match=r"mine\.py:Logits: the code of a method has changed"):
        MethodSpec.from_dict(before.as_dict(), before.files)


@pytest.mark.parametrize(
    ("code", "entry", "message"),
    [
        (None, "none.py:Logits", "cannot read"),
        (OWN, "mine.py:Logit", "unknown method 'Logit', did you mean 'Logits'?"),
        ("import nothing_of_the_kind", "mine.py:Logits", "fails when it is run (ModuleNotFoundError"),
        ("def f(:", "mine.py:Logits", "fails when it is run (SyntaxError"),
        ("Logits = 3", "mine.py:Logits", "unknown method 'Logits'"),
    ],
)
def test_a_file_that_does_not_serve_is_told_in_a_line(
    tmp_path: Path, code: str | None, entry: str, message: str
) -> None:
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    with pytest.raises(RequestError) as caught:
        parse_method(entry, WHERE, tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
