"""Stored files that are damaged or gone: found, said, and made again; never read as numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillab import cli
from distillab.api.stored_files import verify
from distillab.api.studies import Study
from distillab.data import storage
from distillab.errors import RequestError
from distillab.integrity import BLOCK, DIGESTS, DamagedFileError, check_folder, read_checked, write_digests
from distillab.study.folder import StudyFolder
from distillab.study.running.lost import put_back_lost
from support.damage import CACHED, DAMAGE, DATA, STORED, copy_of, flip, flip_everywhere, stored_file
from support.studies import CPU, numbers, rows_of, spec, states_of

ONE: dict[str, Any] = {"teacher": {"provenance": "full"}, "factors": {}, "seeds": 1}
Damage = Callable[[Path], None]
damages = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())


def run(folder: StudyFolder, **changes: Any) -> StudyFolder:
    """Run or resume the study of one teacher and two students, in this process."""
    study = Study.of(spec(folder.path.parent, **ONE | changes))
    return study.run(folder.path, executor="inline", device="cpu", report=False).folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return run(StudyFolder(tmp_path_factory.mktemp("finished") / "dir"))


@pytest.fixture
def copied(finished: StudyFolder, tmp_path: Path) -> StudyFolder:
    return copy_of(finished, tmp_path / "dir")


@damages
@pytest.mark.parametrize("kind", STORED)
def test_damaged_artifact_goes_back_into_the_queue(copied: StudyFolder, kind: str, damage: Damage) -> None:
    file = stored_file(copied, STORED[kind])
    damage(file)
    [sentence] = put_back_lost(copied)
    assert file.parent.name in sentence
    assert file.name in sentence
    queued = [job for job, state in states_of(copied).items() if state == "queued"]
    assert queued == [file.parent.name]
    assert not file.parent.exists()


@damages
def test_resumed_study_has_the_same_numbers(
    finished: StudyFolder, copied: StudyFolder, damage: Damage, ran: list[str]
) -> None:
    files = [stored_file(copied, pattern) for pattern in STORED.values() if DIGESTS not in pattern]
    for file in files:
        damage(file)
    resumed = run(copied)
    assert sorted(ran) == sorted({file.parent.name for file in files})
    assert len(resumed.notices) == 3
    assert numbers(rows_of(copied)) == numbers(rows_of(finished))
    for file in files:
        assert check_folder(file.parent)


@damages
@pytest.mark.parametrize("kind", DATA)
def test_damaged_data_are_read_again(copied: StudyFolder, kind: str, damage: Damage) -> None:
    file = stored_file(copied, DATA[kind])
    before = file.read_bytes()
    damage(file)
    with pytest.raises(DamagedFileError, match=file.name):
        StudyFolder(copied.path).dataset  # noqa: B018
    resumed = StudyFolder.begin(copied.path, spec(copied.path.parent, **ONE), CPU)
    assert file.read_bytes() == before
    [notice] = resumed.notices
    assert file.name in notice


def test_data_that_are_gone_fail_by_name(tmp_path: Path) -> None:
    source = tmp_path / "source.npz"
    images = np.random.default_rng(0).integers(0, 255, (80, 8, 8), dtype=np.uint8)
    np.savez(source, images=images, labels=np.arange(80) % 4)
    data = {"source": "npz", "path": str(source)}
    study = spec(tmp_path, **ONE).model_copy(update={"data": data})
    folder = StudyFolder.begin(tmp_path / "dir", study, CPU)
    flip(stored_file(folder, DATA["pixels"]))
    source.unlink()
    with pytest.raises(RequestError, match=r"items\.npy: is damaged.*cannot be made again.*source\.npz"):
        StudyFolder.begin(tmp_path / "dir", study, CPU)
    np.savez(source, images=255 - images, labels=np.arange(80) % 4)
    with pytest.raises(RequestError, match=r"the data of the study have changed"):
        StudyFolder.begin(tmp_path / "dir", study, CPU)


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    source = tmp_path / "source.npz"
    images = np.random.default_rng(0).integers(0, 255, (80, 8, 8), dtype=np.uint8)
    np.savez(source, images=images, labels=np.arange(80) % 4)
    study = spec(tmp_path, **ONE).model_copy(update={"data": {"source": "npz", "path": str(source)}})
    StudyFolder.begin(tmp_path / "dir", study, CPU)
    assert StudyFolder.begin(tmp_path / "dir", study, CPU).notices == []
    assert verify(tmp_path / "dir", data=True).is_sound
    np.savez(source, images=images[:40], labels=np.arange(40) % 4)
    [notice] = StudyFolder.begin(tmp_path / "dir", study, CPU).notices
    assert "source.npz have changed (1 file of" in notice
    assert not verify(tmp_path / "dir", data=True).is_sound


def without_a_student(folder: StudyFolder) -> str:
    """Remove the artifact of the distilled student, which has to be trained again."""
    with folder.ledger() as ledger:
        [name] = [cell.run_id for cell in ledger.cells() if cell.method == "kd"]
    folder.store.discard("student", name)
    return name


@pytest.mark.parametrize("damage", [flip_everywhere, Path.unlink], ids=["flipped", "gone"])
@pytest.mark.parametrize("kind", CACHED)
def test_damaged_teacher_outputs_are_computed_again(
    finished: StudyFolder, copied: StudyFolder, kind: str, damage: Damage, ran: list[str]
) -> None:
    student = without_a_student(copied)
    [outputs] = [job for job, each in states_of(copied).items() if copied.store.has("outputs", job) and each]
    for file in copied.path.glob(CACHED[kind]):
        damage(file)
    run(copied)
    if kind == "facts of a cache" and damage is Path.unlink:
        assert ran == [student]  # the facts are known, and written again
    else:
        assert ran == [student, outputs, student]
        with copied.ledger() as ledger:
            assert len(ledger.made_again()) == 2
    assert numbers(rows_of(copied)) == numbers(rows_of(finished))


def test_teacher_outputs_may_be_deleted(finished: StudyFolder, copied: StudyFolder, ran: list[str]) -> None:
    shutil.rmtree(copied.store.caches)
    run(copied)
    assert ran == []  # no student is left that reads them
    student = without_a_student(copied)
    run(copied)
    assert ran[0] == ran[-1] == student
    assert len(ran) == 3
    assert numbers(rows_of(copied)) == numbers(rows_of(finished))


@pytest.mark.parametrize("kind", ["a student's logits", "a teacher's logits", "a student's record"])
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped", "gone"])
def test_report_names_the_file_and_what_to_run(
    copied: StudyFolder, kind: str, damage: Damage, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stored_file(copied, STORED[kind])
    damage(file)
    assert cli.execute(["report", str(copied.path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{file}: is " in printed.err
    assert "`distillab run` on this study, which makes it again" in printed.err


def test_folders_without_digests_are_read_unverified(copied: StudyFolder, ran: list[str]) -> None:
    for file in copied.path.rglob(DIGESTS):
        file.unlink()
    run(copied)
    assert ran == []
    assert not check_folder(stored_file(copied, STORED["a student's logits"]).parent)
    without_a_student(copied)
    run(copied)
    assert not (copied.store.root / DIGESTS).exists()  # other artifacts of this store have none


def test_blocks_of_large_files_are_checked_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "LARGE", 1)
    items = np.arange(3 * BLOCK, dtype=np.uint8).reshape(-1, 1, 64, 64)
    np.save(tmp_path / "items.npy", items)
    write_digests(tmp_path)
    content = bytearray(read_checked(tmp_path / "items.npy"))
    content[-1] ^= 1
    (tmp_path / "items.npy").write_bytes(content)
    opened = storage.open_items(tmp_path / "items.npy")
    np.testing.assert_array_equal(opened[:100], items[:100])
    with pytest.raises(DamagedFileError, match="is damaged at byte"):
        opened[[-1]]
