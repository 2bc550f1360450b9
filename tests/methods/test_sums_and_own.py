"""Sums of methods, and methods of users."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import torch

from distillab.errors import RequestError
from distillab.methods import MethodSpec, Pair, build_method, methods, parse_method
from support.methods import OF_CLASSIFIERS, STAGES, STUDENT_RAW, TEACHER_RAW, batch, make, outputs, shapes

WHERE = "study.yaml: methods"
OF_THE_STUDY = [name for name in OF_CLASSIFIERS if methods[name].teacher == "study"]
OWN = '''
"""Learn the teacher's logits as they are."""
from typing import ClassVar
from distillab.methods import Batch, Method

class Logits(Method):
    class Config(Method.Config):
        strength: float = 0.5

    def forward(self, student, teacher, batch):
        distance = (student.logits - teacher.logits.detach()).square().mean()
        return {"logits": self.config.strength * distance}
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


# -- sums ----------------------------------------------------------------------------------------------------


# One whose two gradients are used apart is refused, see training/test_two_momenta.py.
ADDED = [name for name in OF_THE_STUDY if name != "kd" and not parse_method(name, "").momentum_shift]


@pytest.mark.parametrize("name", ADDED)
def test_any_method_can_be_added_to_kd(name: str) -> None:
    """The sum is all of kd, and the weighted transfer terms of the other."""
    stages = STAGES.get(name, 1)
    given = outputs(STUDENT_RAW, stages), outputs(TEACHER_RAW, stages), batch()
    both = make({"kd": {}, name: {"weight": 0.5}}).total(*given)
    kd, other = make("kd").total(*given), make(name).total(*given)
    alone = {f"{name}.{term}": 0.5 * value for term, value in other.items() if term != "ce"}
    assert both.keys() == kd.keys() | alone.keys()
    for term, value in (kd | alone).items():
        torch.testing.assert_close(both[term], value)


def test_sum_needs_what_its_parts_need_and_is_named_by_them() -> None:
    both = parse_method({"kd": {"temperature": 2}, "rkd": {"weight": 0.5}}, WHERE)
    assert both.name == "kd+rkd"
    assert both.label == "kd(temperature=2)+rkd(weight=0.5)"
    assert both.needs == methods["kd"].needs | methods["rkd"].needs
    assert both.teacher == "study" and both.distils
    assert both.settings["kd.temperature"] == 2 and both.settings["rkd.weight"] == 0.5
    assert MethodSpec.from_dict(both.as_dict()) == both
    assert parse_method({"ce": {}, "at": {}}, WHERE).teacher == "study"


def test_first_part_of_a_sum_keeps_its_supervised_term() -> None:
    given = outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch()
    for first, second in permutations(["kd", "rkd"]):
        both = make({first: {}, second: {}}).total(*given)
        torch.testing.assert_close(both["ce"], make(first).total(*given)["ce"])


def test_weight_of_a_part_scales_its_terms() -> None:
    light, heavy = (make({"ce": {}, "at": {"weight": weight}}) for weight in (1.0, 3.0))
    given = outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch()
    torch.testing.assert_close(heavy.total(*given)["at.at"], 3 * light.total(*given)["at.at"])


# -- methods of users ---------------------------------------------------------------------------------------


def test_user_method_is_a_class_in_a_file(own: Path) -> None:
    spec = parse_method({"mine.py:Logits": {"strength": 2}}, WHERE, own.parent)
    assert (spec.name, spec.label) == ("Logits", "Logits(strength=2)")
    terms = build_method(spec, Pair(shapes(), shapes(), 4)).total(
        outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch()
    )
    distance = (STUDENT_RAW[0] - TEACHER_RAW[0]).square().mean()
    torch.testing.assert_close(terms["logits"], 2 * distance)
    assert MethodSpec.from_dict(spec.as_dict(), spec.files) == spec
    assert str(own.parent) not in str(spec.as_dict()), "where the file lies does not decide the numbers"


def test_user_methods_weigh_the_supervised_term_by_their_setting(tmp_path: Path) -> None:
    weighted = OWN.replace("import Batch, Method", "import Method, WeightedConfig").replace(
        "Config(Method.Config)", "Config(WeightedConfig)"
    )
    (tmp_path / "mine.py").write_text(weighted)
    given = outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch()
    pair = Pair(shapes(), shapes(), 4)
    for weight in (1.0, 0.25):
        entry = {"mine.py:Logits": {"ce_weight": weight}}
        terms = build_method(parse_method(entry, WHERE, tmp_path), pair).total(*given)
        assert list(terms) == ["ce", "logits"]
        torch.testing.assert_close(terms["ce"], weight * make("ce").total(*given)["ce"])


def test_a_term_called_ce_takes_the_place_of_the_supervised_term(tmp_path: Path) -> None:
    """Files written for methods that computed their own loss on the labels compute what they did."""
    code = OWN.replace("from distillab.methods import", "import torch\nfrom distillab.methods import")
    code = code.replace('return {"logits"', 'return {"ce": torch.tensor(7.0), "logits"')
    (tmp_path / "mine.py").write_text(code)
    given = outputs(STUDENT_RAW), outputs(TEACHER_RAW), batch()
    pair = Pair(shapes(), shapes(), 4)
    terms = build_method(parse_method("mine.py:Logits", WHERE, tmp_path), pair).total(*given)
    assert list(terms) == ["ce", "logits"] and terms["ce"].item() == 7.0
    both = build_method(parse_method({"kd": {}, "mine.py:Logits": {}}, WHERE, tmp_path), pair).total(*given)
    assert set(both) == {"ce", "kd", "Logits.logits"} and both["ce"].item() != 7.0


def test_user_method_can_be_added_to_a_registered_one(own: Path) -> None:
    spec = parse_method({"kd": {}, "mine.py:Logits": {"weight": 0.1}}, WHERE, own.parent)
    assert spec.label == "kd+Logits(weight=0.1)"
    assert list(spec.files.values()) == [f"{own.resolve()}:Logits"]


def test_changed_code_is_another_method_and_is_refused(own: Path) -> None:
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
def test_unusable_method_files_are_refused_in_one_line(
    tmp_path: Path, code: str | None, entry: str, message: str
) -> None:
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    with pytest.raises(RequestError) as caught:
        parse_method(entry, WHERE, tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
