"""Teacher, its outputs, student: each stage works from images and files alone, and writes a folder."""

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
    open_teacher,
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
    """Where the caches of these tests are."""
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


# -- what a folder holds -------------------------------------------------------------------------------------


def test_a_teacher_is_its_last_weights_and_what_they_say(teacher: Path) -> None:
    assert {path.name for path in teacher.iterdir()} == {WEIGHTS, LOGITS, RECORD}
    network = open_teacher(teacher, SETS.train, CPU)
    assert not network.training
    logits = load_logits(teacher / LOGITS)
    assert logits.keys() == {"test.last", "shifted.last"}
    for name, images in SETS.eval.items():
        said = predict(network, images, SETS.normalise, CPU, "fp32")
        assert np.array_equal(said, logits[f"{name}.last"])
        right = float((said.argmax(1) == images.labels).mean())
        assert record(teacher).accuracy[name] == right


def test_outputs_are_a_filled_cache_and_the_test_logits_of_the_teacher(teacher: Path, outputs: Path) -> None:
    assert {path.name for path in outputs.iterdir()} == {CACHE, LOGITS, RECORD}
    logits, before = load_logits(outputs / LOGITS), load_logits(teacher / LOGITS)
    assert all(np.array_equal(logits[name], before[f"{name}.last"]) for name in SETS.eval)
    told = OutputsRecord.read(outputs)
    assert (caches_of(outputs) / str(told.cache)).is_dir()
    assert 0 < told.forwards == told.queries <= 3 * len(SETS.train)
    assert told.eval_forwards == 0  # stage 1 had asked already


def test_the_teacher_is_asked_about_test_sets_that_stage_1_did_not_see(teacher: Path, tmp_path: Path) -> None:
    sets = replace(SETS, eval={**SETS.eval, "other": examples_of(12, first_id=7000)})
    keep = OutputsToStore(tmp_path / "caches", frozenset())
    teacher_outputs(tmp_path, teacher, sets, RECIPE, view_seed=3, keep=keep, device=CPU)
    assert {path.name for path in tmp_path.iterdir()} == {LOGITS, RECORD}
    assert OutputsRecord.read(tmp_path).eval_forwards == 12
    network = open_teacher(teacher, SETS.train, CPU)
    said = predict(network, sets.eval["other"], SETS.normalise, CPU, "fp32")
    assert np.array_equal(load_logits(tmp_path / LOGITS)["other"], said)


def test_a_student_is_kept_as_it_ended_and_as_val_chose_it(tmp_path: Path) -> None:
    """Val labels that the training labels contradict make an early epoch the best one."""
    sets = replace(SETS, val=SETS.val.relabel((SETS.val.labels + 1) % 3))
    chosen = recipe(epochs=8, lr=0.3)
    told = student(tmp_path / "s", sets=sets, chosen=chosen)
    assert told == record(tmp_path / "s")
    last, selected = (load_file(tmp_path / "s" / name) for name in (WEIGHTS, SELECTED_WEIGHTS))
    assert not equal(last, selected)
    logits = load_logits(tmp_path / "s" / LOGITS)
    assert logits.keys() == {"test.last", "test.selected", "shifted.last", "shifted.selected"}
    model = build_model(MODEL, classes=3, inputs=InputSpec.square(1, 8))
    for which, state in (("last", last), ("selected", selected)):
        model.load_state_dict(state)
        for name, images in sets.eval.items():
            said = predict(model, images, sets.normalise, CPU, "fp32")
            assert np.array_equal(said, logits[f"{name}.{which}"])
    assert told.selected_epoch < told.epochs == 8
    assert (told.steps, told.n_train, told.params) == (32, 40, count_parameters(model))
    assert told.seconds > 0


def test_weights_that_are_the_same_are_kept_once(tmp_path: Path) -> None:
    told = student(tmp_path / "s", chosen=recipe(epochs=1))
    assert told.selected_epoch == 1
    assert not (tmp_path / "s" / SELECTED_WEIGHTS).exists()
    logits = load_logits(tmp_path / "s" / LOGITS)
    assert np.array_equal(logits["test.last"], logits["test.selected"])


# -- how stages meet -----------------------------------------------------------------------------------------


def test_a_student_learns_the_same_from_stored_and_from_live_words(
    teacher: Path, outputs: Path, tmp_path: Path
) -> None:
    """Up to the half precision of what is stored, after a step; training then magnifies every difference."""
    chosen = replace(RECIPE, steps=1)
    student(tmp_path / "stored", "kd", chosen=chosen, outputs=outputs)
    student(tmp_path / "live", "kd", chosen=chosen, teacher=teacher)
    stored, live = (load_file(tmp_path / name / WEIGHTS) for name in ("stored", "live"))
    for name, value in stored.items():
        torch.testing.assert_close(value, live[name], rtol=1e-2, atol=1e-4)


def test_a_method_that_needs_more_than_is_stored_asks_the_live_teacher(
    teacher: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    real = methods["kd"].forward
    monkeypatch.setattr(methods["kd"], "needs", frozenset({"logits", "labels", "maps"}))

    def spy(self: Any, student: Any, said: Any, batch: Any) -> Any:
        heard.append(len(said.maps))
        return real(self, student, said, batch)

    monkeypatch.setattr(methods["kd"], "forward", spy)
    told = student(tmp_path / "s", "kd", chosen=recipe(steps=2), outputs=outputs, teacher=teacher)
    assert heard == [3, 3]
    assert told.teacher_forwards == told.teacher_images == 2 * 10


def test_a_method_without_its_teacher_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a teacher"):
        student(tmp_path / "s", "kd")


def test_test_sets_are_not_read_before_training_is_over(
    tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {name: sealed(images) for name, images in SETS.eval.items()}
    sets = replace(SETS, eval={name: images for name, (images, _) in hidden.items()})
    real = students.train_cohort

    def then_unsealed(*args: Any, **keys: Any) -> Any:
        trained = real(*args, **keys)
        for _, seal in hidden.values():
            seal.open = True
        return trained

    monkeypatch.setattr(students, "train_cohort", then_unsealed)
    student(tmp_path / "sealed", "kd", sets=sets, outputs=outputs)
    student(tmp_path / "open", "kd", outputs=outputs)
    sealed_weights, weights = (load_file(tmp_path / name / WEIGHTS) for name in ("sealed", "open"))
    assert equal(sealed_weights, weights)
    for _, seal in hidden.values():
        seal.open = False
    with pytest.raises(AssertionError, match="while training"):  # the seal does hold
        sets.eval["test"].pixels(np.arange(2))


def test_what_the_test_sets_are_changes_nothing_of_a_training(tmp_path: Path) -> None:
    other: dict[str, Examples] = {"test": examples_of(9, first_id=7000, seed=1)}
    student(tmp_path / "a")
    student(tmp_path / "b", sets=replace(SETS, eval=other))
    assert equal(*(load_file(tmp_path / name / WEIGHTS) for name in "ab"))
    assert record(tmp_path / "a").curve == record(tmp_path / "b").curve


# -- teachers that are not trained here ----------------------------------------------------------------------


def test_a_given_teacher_has_the_given_weights(teacher: Path, tmp_path: Path) -> None:
    told = fixed_teacher(
        tmp_path,
        MODEL,
        SETS,
        RECIPE,
        replace(SEEDS, init=5),
        external=ExternalWeights(teacher / WEIGHTS),
        device=CPU,
    )
    assert equal(load_file(tmp_path / WEIGHTS), load_file(teacher / WEIGHTS))
    assert (told.steps, told.curve, told.seconds) == (0, (), 0.0)
    assert told.accuracy == record(teacher).accuracy


def test_an_untrained_teacher_has_the_weights_of_its_seed(tmp_path: Path) -> None:
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
    with pytest.raises(RequestError, match="cannot read weights"):
        load_state(model, garbage)
    with pytest.raises(RequestError, match="cannot read weights"):
        load_state(model, tmp_path / "missing.safetensors")


def test_logits_come_back_as_they_were(tmp_path: Path) -> None:
    logits = {"test.last": np.array([[1, 2], [3, -65504]], np.float16), "b": np.zeros((0, 3), np.float16)}
    save_logits(logits, tmp_path / LOGITS)
    read = load_logits(tmp_path / LOGITS)
    assert read.keys() == logits.keys()
    for name, value in logits.items():
        assert read[name].dtype == value.dtype
        assert np.array_equal(read[name], value)
