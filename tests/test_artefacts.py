"""The files of an artifact: complete or absent, and readable whichever version wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distillab.artefacts import (
    LOGITS,
    RECORD,
    WEIGHTS,
    EpochRecord,
    OutputsRecord,
    RunRecord,
    load_logits,
    load_state,
    save_logits,
    save_state,
    write_atomically,
)
from distillab.errors import RequestError

RUN = RunRecord(
    model="resnet8",
    params=10,
    macs=20,
    epochs=2,
    n_train=30,
    seconds=0.5,
    classes=3,
    steps=4,
    selected_epoch=1,
    curve=(EpochRecord(1, {"ce": 0.7}, 0.6), EpochRecord(2, {"ce": 0.5}, 0.6)),
    phases={"forward": 0.2},
    tested={"test": ("digest", "fp32")},
    accuracy={"test": 0.75},
    inputs={"scale": [1.0], "shift": [0.0]},
    teacher_images=8,
    teacher_forwards=8,
    cohort=2,
)


def test_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_atomically(file) as draft:
        draft.write_text("half of the n")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_text("old")
    with write_atomically(file) as draft:
        draft.write_text("new")
        assert file.read_text() == "old"
        assert draft.parent == tmp_path  # on the same disk, so that the rename is atomic
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "table"):
        pass


def test_records_are_read_back(tmp_path: Path) -> None:
    RUN.write(tmp_path)
    assert RunRecord.read(tmp_path) == RUN
    outputs = OutputsRecord(queries=9, forwards=4, eval_forwards=5, seconds=0.5)
    outputs.write(tmp_path)
    assert OutputsRecord.read(tmp_path) == outputs


def test_keys_of_record_json_are_stable(tmp_path: Path) -> None:
    """Folders of studies outlive the version that wrote them."""
    RUN.write(tmp_path)
    assert list(json.loads((tmp_path / RECORD).read_text())) == [
        *("model", "params", "macs", "epochs", "n_train", "seconds", "classes", "steps", "selected_epoch"),
        *(
            "curve",
            "phases",
            "overhead",
            "tested",
            "accuracy",
            "inputs",
            "teacher_images",
            "teacher_forwards",
            "cohort",
        ),
        "schema",
    ]
    OutputsRecord(1, 1, 1, 0.5).write(tmp_path)
    keys = set(json.loads((tmp_path / RECORD).read_text()))
    assert keys == {"forwards", "asked", "cache", "eval_forwards", "seconds"}


def test_records_of_other_versions_are_read(tmp_path: Path) -> None:
    early = {"model": "m", "params": 1, "macs": 2, "epochs": 3, "n_train": 4, "seconds": 5.0, "new key": 6}
    (tmp_path / RECORD).write_text(json.dumps(early))
    assert RunRecord.read(tmp_path) == RunRecord("m", 1, 2, 3, 4, 5.0, schema=1)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_state({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(RequestError, match="do not fit the model"):
        load_state(nn.Linear(4, 2), tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).write_text("no tensors")
    with pytest.raises(RequestError, match=r"weights\.safetensors: is damaged"):
        load_state(nn.Linear(3, 2), tmp_path / WEIGHTS)


def test_folder_may_have_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    layer, copy = nn.Linear(2, 2), nn.Linear(2, 2)
    save_state(layer.state_dict(), folder / WEIGHTS)
    load_state(copy, folder / WEIGHTS)
    assert torch.equal(copy.weight, layer.weight)
    save_logits({"test.last": np.ones((1, 2), np.float16)}, folder / LOGITS)
    assert load_logits(folder / LOGITS)["test.last"].tolist() == [[1.0, 1.0]]
