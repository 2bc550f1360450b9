"""Damage to the stored files of a study: bits that flip, files that are cut short, files that are gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from distillab.study.folder import StudyFolder

# One file of every kind in the store of a study, as a pattern below its folder.
STORED = {
    "a student's logits": "store/student/*/logits.safetensors",
    "a student's weights": "store/student/*/weights.safetensors",
    "a student's record": "store/student/*/record.json",
    "a teacher's logits": "store/teacher/*/logits.safetensors",
    "a teacher's weights": "store/teacher/*/weights.safetensors",
    "a teacher's record": "store/teacher/*/record.json",
    "outputs' logits": "store/outputs/*/logits.safetensors",
    "outputs' record": "store/outputs/*/record.json",
    "a reference to a cache": "store/outputs/*/cache.json",
    "digests": "store/student/*/digests.json",
}
DATA = {
    "pixels": "store/data/*/items.npy",
    "a split": "store/data/*/train.npz",
    "facts of the data": "store/data/*/dataset.json",
}
CACHED = {
    "cached logits": "store/teacher_outputs/*/*.logits",
    "keys of cached records": "store/teacher_outputs/*/*.keys",
    "facts of a cache": "store/teacher_outputs/*/cache.json",
}


def flip(path: Path) -> None:
    """Flip the lowest bit of the byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    rewrite(path, bytes(content))


def flip_everywhere(path: Path) -> None:
    """Flip the lowest bit of every eighth byte of a file, so that every record in it is damaged."""
    content = bytearray(path.read_bytes())
    content[::8] = bytes(byte ^ 1 for byte in content[::8])
    rewrite(path, bytes(content))


def cut(path: Path) -> None:
    """Cut a file short by a third."""
    content = path.read_bytes()
    rewrite(path, content[: 2 * len(content) // 3])


def rewrite(path: Path, content: bytes) -> None:
    """Replace a file, which may be a link to that of another study."""
    path.unlink()
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {"flipped": flip, "cut": cut, "gone": Path.unlink}


def stored_file(folder: StudyFolder, pattern: str) -> Path:
    """Return the first file of a kind."""
    return sorted(folder.path.glob(pattern))[0]


def copy_of(folder: StudyFolder, path: Path) -> StudyFolder:
    """Return a copy of a study."""
    shutil.copytree(folder.path, path)
    return StudyFolder(path)


def forget_digests(folder: Path) -> None:
    """Leave an artifact as a version without digests wrote it, so that a test may change it."""
    (folder / "digests.json").unlink()
    (folder.parents[1] / "digests.json").unlink(missing_ok=True)  # states that all artifacts have some
