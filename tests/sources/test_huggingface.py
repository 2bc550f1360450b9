"""The huggingface source: splits, class names and faults."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from support.source_files import EACH, make_huggingface, read, refuse


def test_saved_dataset_keeps_splits_and_class_names(tmp_path: Path) -> None:
    raw = read(tmp_path, source="huggingface", **make_huggingface(tmp_path))
    assert list(raw.given()) == ["train", "test"]
    assert raw.classes == ("cat", "dog")
    assert raw.train.targets.values.tolist() == [0, 1] * EACH
    entry = {"source": "huggingface", "path": "pets", "label": "kind"}
    raw = read(tmp_path, **entry, group="kind", coarse="kind")
    assert raw.parents == ("cat", "dog") and raw.train.groups.tolist() == [0, 1] * EACH
    assert "unknown coarse column 'kin'" in refuse(tmp_path, **entry, coarse="kin")


def test_missing_package_is_reported_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'distillab[huggingface]'" in refuse(tmp_path, source="huggingface", path="cifar10")


def test_unloadable_dataset_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra distillab[huggingface] is not installed")
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded" in refuse(tmp_path, source="huggingface", path="empty")
