"""Study files that are sloppy or hostile: one line each, at once, that names the file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distillab.cli import execute
from distillab.errors import RequestError
from distillab.study.spec.study import parse_study, read_study
from distillab.study.spec.study_yaml import load_study_yaml
from distillab.study.status import study_status
from support.studies import begin

BASE = """study: tiny
data: {source: digits}
teacher: {model: resnet8}
students: [resnet8]
methods: [ce, kd]
recipe: {steps: 2}
"""


def bomb(levels: int) -> str:
    """Aliases of which each holds nine of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 9) + "]")
    return "\n".join(lines) + "\n"


HOSTILE = {
    "a key twice": (BASE + "seeds: 5\nseeds: 7\n", "line 8, column 1: the key 'seeds' is written twice"),
    "a key twice inside": (BASE + "factors: {size: [1], size: [2]}\n", "the key 'size' is written twice"),
    "many seeds": (
        BASE + "seeds: 2000000000\n",
        "seeds: 2000000000 seeds are too many (allowed: at most 10,000)",
    ),
    "a huge number": (BASE + "seeds: 1" + "0" * 23 + "\n", "an integer has more than 18 digits"),
    "5,000 digits": (BASE + "seed: " + "7" * 5000 + "\n", "an integer has more than 18 digits"),
    "a range of seeds": (BASE + "seeds: {min: 5, max: 9000000, stop: decided}\n", "max"),
    "many levels": (
        BASE + "factors: {size: [" + ",".join(map(str, range(1, 20_001))) + "]}\n",
        "20,000 levels",
    ),
    "many runs": (
        BASE + "seeds: 5000\nfactors: {size: [" + ",".join(map(str, range(1, 901))) + "]}\n",
        "make 9,000,000 runs (allowed: at most 1,000,000)",
    ),
    "a tag": (BASE + "seeds: !!bool maybe\n", "the tag 'tag:yaml.org,2002:bool' is not accepted"),
    "a tag of Python": (
        BASE + "notes: !!python/object/apply:os.system [ls]\n",
        "is not accepted: write plain values",
    ),
    "depth": (BASE + "notes: " + "[" * 3000 + "\n", "values are nested more than 50 deep"),
    "itself": (BASE + "notes: &a [*a]\n", "a value contains itself"),
    "aliases": (bomb(12), "there are more than 100,000 values"),
    "a key of a list": (BASE + "? [a, b]\n: 1\n", "a key is no plain value"),
    "two documents": (BASE + "---\nstudy: other\n", "not valid YAML"),
    "an unknown user": (
        BASE.replace("{source: digits}", "{source: folder, path: ~nosuchuser/x}"),
        "a path without ~",
    ),
    "no mapping": ("- study\n", "a study is a mapping"),
    "no text": ("\x00\x01", "not valid YAML"),
    "a long text": ("notes: " + "x" * 2**20, "more than 1,048,576 characters"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_study_is_refused_in_one_line_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = HOSTILE[name]
    path = tmp_path / "study.yaml"
    path.write_text(text)
    started = time.monotonic()
    assert execute(["plan", str(path)]) == 2
    assert time.monotonic() - started < 5
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.strip()]
    assert message in line and "study.yaml" in line and len(line) < 500


def test_a_date_is_a_text() -> None:
    assert load_study_yaml("notes: [2001-99-99, 2026-11-30]") == {"notes": ["2001-99-99", "2026-11-30"]}


def test_aliases_that_are_small_are_read() -> None:
    assert load_study_yaml("a: &a [1, 2]\nb: [*a, *a]")["b"] == [[1, 2], [1, 2]]


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**17), 10**17), st.floats(allow_nan=False), st.text(max_size=12)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@given(_values)
@settings(max_examples=200, deadline=None)
def test_plain_values_are_read_as_they_were_written(values: object) -> None:
    assert load_study_yaml(yaml.safe_dump(values)) == values


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "study",
                "data",
                "teacher",
                "students",
                "methods",
                "seeds",
                "recipe",
                "factors",
                "tune",
                "notes",
                "evidence",
                "draws",
                "task",
                "explain",
                "curves",
                "others",
            ]
        ),
        _values,
        max_size=8,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_values_make_a_study_or_one_line(values: dict[str, object]) -> None:
    try:
        parse_study(values, Path(), "study.yaml")
    except RequestError as error:
        assert "\n" not in str(error)


@given(st.text(alphabet="abc:&*!-[]{}, \n\t'\"|>%@`?#0123456789.~<=", max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_as_yaml(text: str) -> None:
    try:
        values = load_study_yaml(text)
    except yaml.YAMLError as error:
        assert str(error)
    else:
        assert load_study_yaml(yaml.safe_dump(values)) == values


def test_variables_are_replaced_once_and_not_in_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("PLACE", "${SECRET}")
    (tmp_path / "study.yaml").write_text(BASE + "notes: 'the key is ${SECRET}'\n")
    assert "hunter2" not in str(read_study(tmp_path / "study.yaml").model_dump())
    text = BASE.replace("{source: digits}", "{source: digits, name: '${PLACE}'}")
    (tmp_path / "study.yaml").write_text(text)
    study = read_study(tmp_path / "study.yaml")
    assert study.data["name"] == "${SECRET}"
    stored = begin(tmp_path / "dir", data={"source": "digits", "classes": 2, "name": "${NOT_SET}"})
    assert stored.spec.data["name"] == "${NOT_SET}", "what a study has written is not expanded again"


@pytest.mark.parametrize("text", ["", "- 1\n", "study: [1]\n", "{", "\x00"])
def test_the_status_of_a_folder_with_a_damaged_study_file_is_one_line(tmp_path: Path, text: str) -> None:
    folder = begin(tmp_path / "dir")
    folder.study_file.write_text(text)
    with pytest.raises(RequestError) as raised:
        study_status(folder.path)
    assert "study.yaml" in str(raised.value) and "\n" not in str(raised.value)
