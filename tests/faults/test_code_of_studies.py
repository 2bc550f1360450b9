"""Python code that a study names runs only where it was allowed, and never where a study is only read."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from distillab import cli
from distillab.api.studies import Study
from distillab.deploy.loaded import load_model
from distillab.errors import RequestError
from distillab.methods.user_methods import load_user_method
from distillab.models import InputSpec, build_model
from distillab.models.objects import write_network
from distillab.user_code import CodeRule, code_ruled, require_code
from support.documents import environment
from support.exported import describe, written
from support.source_tree import ROOT
from support.studies import rows_of, spec, write_study

OWN = '''
"""A method that leaves a trace when its file is run."""
from pathlib import Path
from distillab.methods import Batch, Method

(Path(__file__).parent / "trace").touch()

class Plain(Method):
    class Config(Method.Config):
        strength: float = 0.5

    def forward(self, student, teacher, batch):
        return {"gap": self.config.strength * (student.logits - teacher.logits.detach()).square().mean()}
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def forget(own: Path) -> None:
    """Unload the module of a method, so that it would be run again."""
    (own.parent / "trace").unlink(missing_ok=True)
    for name in [each for each in sys.modules if each.startswith("distillab_own_")]:
        del sys.modules[name]


def write(own: Path) -> Path:
    return write_study(
        own.parent / "study.yaml",
        methods=["ce", {"mine.py:Plain": {"strength": 0.25}}],
        factors={},
        seeds=1,
        teacher={"provenance": "full"},
    )


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_code_is_refused_unless_it_is_allowed(
    own: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(own)
    command = [verb, str(write(own))]
    command += ["--out", str(own.parent / "dir"), "--executor", "inline"] if verb == "run" else []
    assert cli.execute(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "mine.py:Plain is Python code, which does not run unless it is allowed" in line
    assert "--allow-code" in line
    assert not (own.parent / "trace").exists()
    assert cli.execute([*command, "--allow-code"]) == 0
    assert (own.parent / "trace").exists()


def test_reading_a_study_runs_no_code(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own.parent / "dir"
    finished = Study.read(write(own)).run(folder, executor="inline", device="cpu")
    before = rows_of(finished.folder)
    for verb in (["status"], ["report"], ["report", "--json"], ["verify"], ["verify", "--data"]):
        forget(own)
        assert cli.execute([verb[0], str(folder), *verb[1:]]) == 0
        assert not (own.parent / "trace").exists()
    assert rows_of(finished.folder) == before
    assert "Plain(strength=0.25)" in finished.report.read_text()
    assert capsys.readouterr().err == ""


def test_networks_in_code_and_pickles_are_refused() -> None:
    inputs = InputSpec(1, 8, 8)
    name, _ = write_network(build_model("resnet8", classes=4, inputs=inputs), "teacher")
    for each in ("support.networks:linear", name):
        for rule in (CodeRule.PROMPT, CodeRule.NEVER):
            with code_ruled(rule), pytest.raises(RequestError, match="is Python code, which"):
                build_model(each, classes=4, inputs=inputs)


def test_answer_is_kept_until_the_code_changes(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLAB_CACHE", str(tmp_path / "cache"))
    questions: list[str] = []

    def answer(question: str) -> bool:
        questions.append(question)
        return True

    with code_ruled(CodeRule.PROMPT):
        require_code("mine.py:Plain", own, confirm=answer)
        require_code("mine.py:Plain", own, confirm=answer)
        assert len(questions) == 1
        own.write_text(OWN + "\n# changed\n")
        with pytest.raises(RequestError, match="--allow-code"):
            require_code("mine.py:Plain", own, confirm=lambda _: False)
        own.chmod(0o666)
        with pytest.raises(RequestError, match="--allow-code"):
            require_code("mine.py:Plain", own, confirm=answer)  # anybody may have written it
        own.chmod(0o600)
        monkeypatch.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
        with pytest.raises(RequestError, match="--allow-code"):
            require_code("mine.py:Plain", own, confirm=answer)
    assert len(questions) == 1


def test_a_stricter_rule_stays() -> None:
    with (
        code_ruled(CodeRule.NEVER),
        code_ruled(CodeRule.ALLOW),
        pytest.raises(RequestError, match="not load"),
    ):
        require_code("mine.py:Plain", None)
    require_code("mine.py:Plain", None)
    assert spec().methods  # in Python code is allowed


def test_the_code_that_runs_is_the_code_that_was_hashed(own: Path) -> None:
    """Bytecode beside the file, of whatever origin, is not looked at."""
    forget(own)
    hidden = own.parent / "hidden.py"
    hidden.write_text(OWN.replace("strength: float = 0.5", "strength: float = 9.0"))
    target = Path(importlib.util.cache_from_source(str(own)))
    py_compile.compile(
        str(hidden),
        str(target),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    kind = load_user_method(f"{own}:Plain", "study.yaml: methods").kind
    assert kind.Config().strength == 0.5  # type: ignore[attr-defined]


def test_worker_processes_import_nothing_of_the_current_folder(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study.yaml", factors={}, seeds=1, teacher={"provenance": "full"})
    (tmp_path / "selectors.py").write_text("from pathlib import Path\nPath('trace').touch()\n")
    command = [
        sys.executable,
        "-P",
        "-m",
        "distillab.cli",
        "run",
        str(study),
        "--out",
        "dir",
        "--workers",
        "2",
    ]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(ROOT), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "trace").exists()


def test_a_program_of_torch_export_is_code(tmp_path: Path) -> None:
    made = written(tmp_path / "model", describe(), ["pt2"])
    assert made.files
    with code_ruled(CodeRule.PROMPT), pytest.raises(RequestError, match=r"model\.pt2.*is Python code"):
        load_model(tmp_path / "model")
    assert load_model(tmp_path / "model") is not None
