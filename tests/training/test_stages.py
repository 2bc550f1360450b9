"""The stages teacher, outputs and student: each reads examples and files and writes a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distillab.artefacts import (
    CACHE,
    LOGITS,
    RECORD,
    SELECTED_WEIGHTS,
    WEIGHTS,
    OutputsRecord,
    RunRecord,
    load_logits,
    load_state,
    save_logits,
)
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.methods import methods, parse_method
from distillab.models import InputSpec, build_model, count_parameters
from distillab.training.checkpoints import snapshot
from distillab.training.evaluation import predict
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages import (
    ExternalWeights,
    OutputsToStore,
    RoleSets,
    StudentSpec,
    fixed_teacher,
    open_network,
    students,
    teacher_outputs,
    train_student,
    train_teacher,
)
from support.training import CPU, MODEL, SEEDS, equal, examples_of, recipe, role_sets, sealed

SETS = role_sets(evals=("test", "shifted"))
RECIPE = recipe(epochs=3)
TEACHER_SEEDS = replace(SEEDS, init=70)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of stage 1."""
    folder = tmp_path_factory.mktemp("teacher")
    train_teacher(folder, MODEL, SETS, RECIPE, TEACHER_SEEDS, device=CPU)
    return folder


@pytest.fixture(scope="module")
def outputs(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of stage 2."""
    folder = tmp_path_factory.mktemp("outputs")
    keep = OutputsToStore(caches_of(folder), frozenset({"logits"}))
    teacher_outputs(folder, teacher, SETS, RECIPE, view_seed=SEEDS.views, keep=keep, device=CPU)
    return folder


def caches_of(folder: Path) -> Path:
    """The folder of the caches of these tests."""
    return folder.parent / "caches"


def student(
    folder: Path,
    method: Any = "ce",
    *,
    sets: RoleSets = SETS,
    chosen: ResolvedRecipe = RECIPE,
    outputs: Path | None = None,
    teacher: Path | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """Stage 3."""
    folder.mkdir()
    return train_student(
        StudentSpec(folder, MODEL, parse_method(method, "methods"), sets, chosen, SEEDS),
        outputs_folder=outputs,
        teacher_folder=teacher,
        device=CPU,
        caches=caches_of(outputs) if outputs else None,
        **keys,
    )


def record(folder: Path) -> RunRecord:
    return RunRecord.read(folder)


# -- contents of a folder
# -------------------------------------------------------------------------------------


def test_a_teacher_folder_has_weights_and_their_logits(teacher: Path) -> None:
    assert {path.name for path in teacher.iterdir()} == {WEIGHTS, LOGITS, RECORD}
    network = open_network(teacher, SETS.train, CPU)
    assert not network.training
    logits = load_logits(teacher / LOGITS)
    assert logits.keys() == {"test.last", "shifted.last"}
    for name, images in SETS.eval.items():
        predicted = predict(network, images, SETS.normalize, CPU, "fp32")
        assert np.array_equal(predicted, logits[f"{name}.last"])
        accuracy = float((predicted.argmax(1) == images.labels).mean())
        assert record(teacher).accuracy[name] == accuracy


def test_an_outputs_folder_has_a_filled_cache_and_test_logits(teacher: Path, outputs: Path) -> None:
    assert {path.name for path in outputs.iterdir()} == {CACHE, LOGITS, RECORD}
    logits, before = load_logits(outputs / LOGITS), load_logits(teacher / LOGITS)
    assert all(np.array_equal(logits[name], before[f"{name}.last"]) for name in SETS.eval)
    written = OutputsRecord.read(outputs)
    assert (caches_of(outputs) / str(written.cache)).is_dir()
    assert 0 < written.forwards == written.queries <= 3 * len(SETS.train)
    assert written.eval_forwards == 0  # stage 1 had computed them


def test_new_test_sets_go_through_the_teacher(teacher: Path, tmp_path: Path) -> None:
    sets = replace(SETS, eval={**SETS.eval, "other": examples_of(12, first_id=7000)})
    keep = OutputsToStore(tmp_path / "caches", frozenset())
    teacher_outputs(tmp_path, teacher, sets, RECIPE, view_seed=3, keep=keep, device=CPU)
    assert {path.name for path in tmp_path.iterdir()} == {LOGITS, RECORD}
    assert OutputsRecord.read(tmp_path).eval_forwards == 12
    network = open_network(teacher, SETS.train, CPU)
    predicted = predict(network, sets.eval["other"], SETS.normalize, CPU, "fp32")
    assert np.array_equal(load_logits(tmp_path / LOGITS)["other"], predicted)


def test_a_student_folder_has_last_and_selected_weights(tmp_path: Path) -> None:
    """Val labels that contradict the training labels make an early epoch the best."""
    sets = replace(SETS, val=SETS.val.relabel((SETS.val.labels + 1) % 3))
    chosen = recipe(epochs=8, lr=0.3)
    written = student(tmp_path / "s", sets=sets, chosen=chosen)
    assert written == record(tmp_path / "s")
    last, selected = (load_file(tmp_path / "s" / name) for name in (WEIGHTS, SELECTED_WEIGHTS))
    assert not equal(last, selected)
    logits = load_logits(tmp_path / "s" / LOGITS)
    assert logits.keys() == {"test.last", "test.selected", "shifted.last", "shifted.selected"}
    model = build_model(MODEL, classes=3, inputs=InputSpec.square(1, 8))
    for which, state in (("last", last), ("selected", selected)):
        model.load_state_dict(state)
        for name, images in sets.eval.items():
            predicted = predict(model, images, sets.normalize, CPU, "fp32")
            assert np.array_equal(predicted, logits[f"{name}.{which}"])
    assert written.selected_epoch < written.epochs == 8
    assert (written.steps, written.n_train, written.params) == (32, 40, count_parameters(model))
    assert written.seconds > 0


def test_equal_weights_are_written_once(tmp_path: Path) -> None:
    written = student(tmp_path / "s", chosen=recipe(epochs=1))
    assert written.selected_epoch == 1
    assert not (tmp_path / "s" / SELECTED_WEIGHTS).exists()
    logits = load_logits(tmp_path / "s" / LOGITS)
    assert np.array_equal(logits["test.last"], logits["test.selected"])


# -- from stage to stage
# -----------------------------------------------------------------------------------------


def test_stored_and_live_outputs_train_the_same_student(teacher: Path, outputs: Path, tmp_path: Path) -> None:
    """Up to the half precision of the stored outputs, after one step: training magnifies every difference."""
    chosen = replace(RECIPE, steps=1)
    student(tmp_path / "stored", "kd", chosen=chosen, outputs=outputs)
    student(tmp_path / "live", "kd", chosen=chosen, teacher=teacher)
    stored, live = (load_file(tmp_path / name / WEIGHTS) for name in ("stored", "live"))
    for name, value in stored.items():
        torch.testing.assert_close(value, live[name], rtol=1e-2, atol=1e-4)


def test_a_live_teacher_gives_what_is_not_stored(
    teacher: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = []
    real = methods["kd"].forward
    monkeypatch.setattr(methods["kd"], "needs", frozenset({"logits", "labels", "maps"}))

    def spy(self: Any, student: Any, teacher: Any, batch: Any) -> Any:
        maps.append(len(teacher.maps))
        return real(self, student, teacher, batch)

    monkeypatch.setattr(methods["kd"], "forward", spy)
    written = student(tmp_path / "s", "kd", chosen=recipe(steps=2), outputs=outputs, teacher=teacher)
    assert maps == [3, 3]
    assert written.teacher_forwards == written.teacher_images == 2 * 10


def test_a_method_without_its_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a teacher"):
        student(tmp_path / "s", "kd")


def test_test_sets_are_not_read_during_training(
    tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {name: sealed(images) for name, images in SETS.eval.items()}
    sets = replace(SETS, eval={name: images for name, (images, _) in hidden.items()})
    real = students.train_cohort

    def train_then_unseal(*args: Any, **keys: Any) -> Any:
        trained = real(*args, **keys)
        for _, seal in hidden.values():
            seal.open = True
        return trained

    monkeypatch.setattr(students, "train_cohort", train_then_unseal)
    student(tmp_path / "sealed", "kd", sets=sets, outputs=outputs)
    student(tmp_path / "open", "kd", outputs=outputs)
    sealed_weights, weights = (load_file(tmp_path / name / WEIGHTS) for name in ("sealed", "open"))
    assert equal(sealed_weights, weights)
    for _, seal in hidden.values():
        seal.open = False
    with pytest.raises(AssertionError, match="while training"):  # the seal works
        sets.eval["test"].pixels(np.arange(2))


def test_training_does_not_depend_on_the_test_sets(tmp_path: Path) -> None:
    other: dict[str, Examples] = {"test": examples_of(9, first_id=7000, seed=1)}
    student(tmp_path / "a")
    student(tmp_path / "b", sets=replace(SETS, eval=other))
    assert equal(*(load_file(tmp_path / name / WEIGHTS) for name in "ab"))
    assert record(tmp_path / "a").curve == record(tmp_path / "b").curve


# -- teachers that are not trained ----------------------------------------------------------------------


def test_an_external_teacher_has_the_external_weights(teacher: Path, tmp_path: Path) -> None:
    written = fixed_teacher(
        tmp_path,
        MODEL,
        SETS,
        RECIPE,
        replace(SEEDS, init=5),
        external=ExternalWeights(teacher / WEIGHTS),
        device=CPU,
    )
    assert equal(load_file(tmp_path / WEIGHTS), load_file(teacher / WEIGHTS))
    assert (written.steps, written.curve, written.seconds) == (0, (), 0.0)
    assert written.accuracy == record(teacher).accuracy


def test_an_untrained_teacher_has_the_initial_weights(tmp_path: Path) -> None:
    fixed_teacher(tmp_path, MODEL, SETS, RECIPE, SEEDS, external=ExternalWeights(), device=CPU)
    with torch.random.fork_rng():
        torch.manual_seed(SEEDS.init)
        fresh = build_model(MODEL, classes=3, inputs=InputSpec.square(1, 8))
    assert equal(load_file(tmp_path / WEIGHTS), snapshot(fresh))


def test_weights_that_do_not_fit_are_refused(teacher: Path, tmp_path: Path) -> None:
    model = build_model(MODEL, classes=4, inputs=InputSpec.square(1, 8))
    with pytest.raises(RequestError, match="do not fit"):
        load_state(model, teacher / WEIGHTS)
    garbage = tmp_path / "weights.safetensors"
    garbage.write_bytes(b"no weights at all")
    with pytest.raises(RequestError, match="is damaged"):
        load_state(model, garbage)
    with pytest.raises(RequestError, match="is missing"):
        load_state(model, tmp_path / "missing.safetensors")


def test_logits_are_read_as_they_were_written(tmp_path: Path) -> None:
    logits = {"test.last": np.array([[1, 2], [3, -65504]], np.float16), "b": np.zeros((0, 3), np.float16)}
    save_logits(logits, tmp_path / LOGITS)
    read = load_logits(tmp_path / LOGITS)
    assert read.keys() == logits.keys()
    for name, value in logits.items():
        assert read[name].dtype == value.dtype
        assert np.array_equal(read[name], value)
