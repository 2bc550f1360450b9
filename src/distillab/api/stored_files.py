"""The files of a study: checked against their digests, and its ledger made anew."""

from __future__ import annotations

from pathlib import Path

from distillab.errors import RequestError
from distillab.integrity import check_seal
from distillab.study.folder import StudyFolder
from distillab.study.loading import LoadProgress, load_study_data
from distillab.study.running.repair import Repaired, repair_study
from distillab.study.running.verification import Finding, FolderCheck, check, verify_study
from distillab.study.store import raising_disk_full
from distillab.training.numerics.device import pick_device


def verify(path: str | Path, *, data: bool = False, on_load: LoadProgress | None = None) -> FolderCheck:
    """Check all files of a study: its ledger, artifacts, cached teacher outputs and tables.

    Nothing is changed, and no code of the study is loaded unless ``data`` is checked.

    Args:
        path: The study's folder.
        data: Whether the data of the study are read again and compared with the copy in its store.
        on_load: Called with (stage, done, total) while data are read.

    Returns:
        What was found, one entry per artifact or file.

    Raises:
        RequestError: There is no study.

    Example:
        >>> verify("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere: no study here ...
    """
    folder = StudyFolder(Path(path))
    findings = list(verify_study(folder).findings)
    for table in sorted(folder.path.glob("*.parquet")):
        findings.append(check(table, folder.path, lambda table=table: _check_table(table)))  # type: ignore[misc]
    if data:
        findings.append(_compared_data(folder, on_load))
    return FolderCheck(tuple(findings))


def repair(path: str | Path, *, device: str = "auto", on_load: LoadProgress | None = None) -> Repaired:
    """Make the ledger of a study anew from its ``study.yaml`` and its store.

    The ledger that was there is kept under another name. `run` then makes what is missing.

    Args:
        path: The study's folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``, for folders of versions that stored no numerics.
        on_load: Called with (stage, done, total) while data are read.

    Raises:
        RequestError: There is no study file, or the data are damaged and gone.
        DiskFullError: There is no space left.

    Example:
        >>> repair("nowhere")
        Traceback (most recent call last):
        distillab.errors.RequestError: nowhere/study.yaml: cannot read the study file ...
    """
    folder = StudyFolder(Path(path))
    with raising_disk_full(folder.path):
        return repair_study(folder, pick_device(device), on_load)


def _check_table(path: Path) -> bool:
    """Check a table against the digest that it holds; return False if it holds none."""
    from distillab.evidence.schema import read_rows

    read_rows(path)
    return check_seal(path, path.read_bytes())


def _compared_data(folder: StudyFolder, on_load: LoadProgress | None) -> Finding:
    """Return whether the data of a study are still those of its store."""

    def same() -> bool:
        read, stored = load_study_data(folder.spec, on_load), folder.dataset
        if read.digest != stored.digest:
            raise RequestError(
                "the data have changed since the study started, which goes on with its copy",
                where=str(folder.study_file),
                allowed="a new folder for a study of the data as they are now",
            )
        return True

    return check(folder.store.root / "data", folder.path, same)
