"""Files that are changed at random are read, or end in one line: no traceback, hang or unbounded memory.

The number of cases is ``DISTILLAB_FUZZ_CASES``, 2,000 by default; ``make soak`` runs 100,000 others.
"""

from __future__ import annotations

import contextlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from distillab import cli
from distillab.api.stored_files import verify
from distillab.api.studies import Study
from distillab.errors import RequestError
from distillab.evidence.schema import read_rows
from distillab.sources import load_dataset, parse_source
from distillab.study.folder import StudyFolder
from distillab.study.spec.study import read_study
from support.fuzz import Change, bounded, changed, changes, fuzzed, replaced
from support.source_files import SMALL_SOURCES
from support.source_tree import ROOT
from support.studies import spec

DRAWN = {"digits", "drawn_boxes", "drawn_tracks", "memory", "mnist5k", "noise", "shapes"}
SOURCES = sorted(SMALL_SOURCES.keys() - DRAWN)
STUDIES = sorted((ROOT / "studies").rglob("*.yaml"))
ONE: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": {}, "seeds": 1}


@contextlib.contextmanager
def one_line(refused: list[str] | None = None) -> Any:
    """Allow a RequestError of one line in the block, within the bounds of a case, and note it."""
    try:
        with bounded():
            yield
    except RequestError as error:
        if refused is not None:
            refused.append(str(error))
        assert len(str(error)) < 5000
        assert not {unicodedata.category(each) for each in str(error)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """A folder with a small data set of each source, and its entry in a study."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for name in SOURCES:
        folder = tmp_path_factory.mktemp(name)
        found[name] = folder, {"source": name, **SMALL_SOURCES[name](folder)}
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_changed_data_end_in_one_line(folders: dict[str, tuple[Path, dict[str, Any]]], name: str) -> None:
    folder, entry = folders[name]
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    load_dataset(parse_source(entry, folder, "data"))  # what is imported on first use is no part of a case
    refused = list[str]()

    @fuzzed(0.5 / len(SOURCES))
    @given(st.sampled_from(files), changes())
    def read_changed(file: Path, drawn: list[Change]) -> None:
        with replaced(file, changed(file.read_bytes(), drawn)), one_line(refused):
            load_dataset(parse_source(entry, folder, "data"))

    read_changed()
    assert refused, "no change did any harm, so that nothing was tested"


def test_changed_studies_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLAB_DATA", str(tmp_path))
    path, refused = tmp_path / "study.yaml", list[str]()

    @fuzzed(0.35)
    @given(st.sampled_from(STUDIES), changes())
    def read_changed(study: Path, drawn: list[Change]) -> None:
        path.write_bytes(changed(study.read_bytes(), drawn))
        with one_line(refused):
            read_study(path)

    read_changed()
    assert refused, "no change did any harm, so that nothing was tested"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def test_values_of_any_kind_in_studies_end_in_one_line(tmp_path: Path) -> None:
    known = yaml.safe_load((ROOT / "studies" / "quickstart.yaml").read_text())
    path, refused = tmp_path / "study.yaml", list[str]()

    @fuzzed(0.1)
    @given(st.sampled_from([*known, "tune", "task", "draws", "explain", "stop"]), values)
    def read_changed(key: str, value: Any) -> None:
        path.write_text(json.dumps({**known, key: value}), encoding="utf-8")
        with one_line(refused):
            read_study(path)

    read_changed()
    assert refused, "no change did any harm, so that nothing was tested"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = Study.of(spec(tmp_path_factory.mktemp("finished"), **ONE))
    folder: StudyFolder = study.run(
        tmp_path_factory.mktemp("runs") / "dir", executor="inline", device="cpu", report=False
    ).folder
    return folder


def test_changed_stored_files_are_found_and_end_in_one_line(
    finished: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Caches of teacher outputs grow, and what they lack is computed again: they may be cut."""
    every = [each for each in sorted(finished.path.rglob("*")) if each.is_file() and each.suffix != ".lock"]
    files = [each for each in every if not each.name.startswith("ledger")]
    mark = finished.store.root / "digests.json"  # says by being there that artifacts have digests
    unsealed = {finished.study_file, mark, *finished.store.caches.rglob("*")}
    assert verify(finished.path).is_sound

    @fuzzed(0.03)
    @given(st.sampled_from(files), changes())
    def read_changed(file: Path, drawn: list[Change]) -> None:
        before = file.read_bytes()
        content = changed(before, drawn)
        with replaced(file, content), one_line():
            if content != before and file not in unsealed:
                assert not verify(finished.path).is_sound, file
            assert cli.execute(["status", str(finished.path)]) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err

    read_changed()


def test_changed_ledgers_end_in_one_line(finished: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ("-wal", "-shm"):
        finished.ledger_file.with_name(finished.ledger_file.name + more).unlink(missing_ok=True)

    @fuzzed(0.02)
    @given(changes())
    def read_changed(drawn: list[Change]) -> None:
        content = changed(finished.ledger_file.read_bytes(), drawn)
        with replaced(finished.ledger_file, content), one_line():
            for verb in ("status", "verify", "report"):
                assert cli.execute([verb, str(finished.path)]) in (0, 1, 2)
        assert "Traceback" not in capsys.readouterr().err

    read_changed()


def test_changed_tables_end_in_one_line(finished: StudyFolder) -> None:
    file = finished.effects_file

    @fuzzed(0.1)
    @given(changes())
    def read_changed(drawn: list[Change]) -> None:
        before = file.read_bytes()
        content = changed(before, drawn)
        with replaced(file, content), one_line():
            read_rows(file)
            assert content == before, "a changed table was read"

    read_changed()
