"""Stage 2: the outputs of a teacher."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from distillab.artefacts import (
    CACHE,
    LOGITS,
    WEIGHTS,
    OutputsRecord,
    RunRecord,
    StoredLogits,
    load_logits,
    load_state,
    save_logits,
    weights_digest,
)
from distillab.canonical import JsonObject
from distillab.data.class_map import ClassMap
from distillab.data.examples import Examples
from distillab.integrity import read_checked_json, reading
from distillab.modalities.views.dihedral import SYMMETRIES
from distillab.models import Ensemble, InputSpec, NetworkInfo, OrbitMean, inspect_network
from distillab.models.black_box import BlackBox
from distillab.training.evaluation import evaluation_digest
from distillab.training.loop.initial_weights import preprocess_inputs
from distillab.training.loop.member import new_model
from distillab.training.numerics.device import compute_clock, inference_batch_size
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.roles import RoleSets
from distillab.training.strong_views import original_recipe, strong_recipe, strong_view_seed
from distillab.training.teachers.cache import CacheFormat, FillResult, TeacherCache
from distillab.training.teachers.class_mapping import to_student_classes
from distillab.training.teachers.feed import LiveTeacher

STRONG_CACHE = "strong.json"


def open_network(folder: Path, images: Examples, device: torch.device) -> nn.Module:
    """Return a trained network, in evaluation mode.

    Args:
        folder: The folder of a teacher or a student in the store.
        images: Examples of the shape of its inputs.
        device: Where it is put.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> from distillab.training.stages.teachers import ExternalWeights, fixed_teacher
        >>> _ = fixed_teacher(folder, "resnet8", sets, recipe, seeds, external=ExternalWeights(), device=cpu)
        >>> open_network(folder, images, cpu).fc
        Linear(in_features=64, out_features=2, bias=True)
    """
    record, classes = RunRecord.read(folder), teacher_class_count(folder, images)
    network = new_model(record.model, images, 0, device, logits=classes)
    load_state(network, folder / WEIGHTS)
    preprocess_inputs(network, record.inputs, record.interpolation)
    return network.to(device).eval()


def teacher_class_count(folder: Path, images: Examples) -> int:
    """Return how many logits the teacher in a stage 1 folder gives."""
    return RunRecord.read(folder).classes or len(images.classes)


def inspect_teacher(teacher: nn.Module, sets: RoleSets, classes: int) -> NetworkInfo:
    """Return the shapes of a teacher's outputs for some examples, in its own classes, and its taps."""
    return inspect_network(teacher, InputSpec(*sets.train.shape), classes=classes)


def set_side_by_side(network: nn.Module, *, side_by_side: bool = True) -> int:
    """Have an ensemble that is weighted by correctness give the logits of its networks side by side, or not.

    Returns:
        How many networks' logits are side by side: 1 for every other network.
    """
    if not isinstance(network, Ensemble) or network.combine != "correctness":
        return 1
    network.side_by_side = side_by_side
    return len(network.members)


@dataclass(frozen=True)
class OutputsToStore:
    """What is stored of a teacher's outputs.

    Attributes:
        caches: The folder of the caches of all teachers of a study.
        needs: Which outputs; none if empty.
        top_k: Of how many classes the logits are stored, the likeliest; None for all.
        strong: Whether they are stored for strong views as well.

    Example:
        >>> OutputsToStore(Path("caches"), frozenset({"logits"}), top_k=100).top_k
        100
    """

    caches: Path
    needs: frozenset[str]
    top_k: int | None = None
    strong: bool = False


@dataclass(frozen=True)
class CacheReference:
    """Which cache holds a teacher's outputs: ``cache.json`` of stage 2; ``strong.json`` for strong views.

    Attributes:
        facts: The facts by which the cache is named.
        stored: Which outputs it holds.
        view_seed: Seed of the augmentation.
        members: Number of networks whose logits are side by side in it.
        originals: Whether it holds the outputs for examples as they are, whatever view the student sees.
    """

    facts: JsonObject
    stored: CacheFormat
    view_seed: int
    members: int = 1
    originals: bool = False

    def open(self, caches: Path, train: Examples) -> TeacherCache:
        """Return the cache, for the examples of a pool."""
        return TeacherCache(caches, self.facts, self.stored, rows=len(train.pool.items))

    def place(self, caches: Path) -> Path:
        """Return the folder of the cache, whether it exists or not."""
        return caches / TeacherCache.name_of(self.facts, self.stored)

    def write(self, folder: Path, name: str = CACHE) -> None:
        """Write the reference into a stage 2 folder."""
        held = {"facts": self.facts, "kept": self.stored.as_dict(), "view_seed": self.view_seed}
        held |= {"members": self.members} if self.members > 1 else {}
        held |= {"originals": True} if self.originals else {}
        (folder / name).write_text(json.dumps(held))

    @classmethod
    def read(cls, folder: Path, name: str = CACHE) -> CacheReference:
        """Return the reference in a stage 2 folder. Raises DamagedFileError if it is none."""
        held = read_checked_json(folder / name)
        with reading(folder / name):
            stored = CacheFormat.from_dict(held["kept"])
            members, originals = held.get("members", 1), held.get("originals", False)
            return cls(held["facts"], stored, held["view_seed"], members, originals)


def teacher_outputs(
    folder: Path,
    teacher_folder: Path,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    *,
    view_seed: int,
    keep: OutputsToStore,
    device: torch.device,
    class_map: ClassMap | None = None,
) -> OutputsRecord:
    """Store the outputs of a teacher for all views of a training, and for each test set as it is.

    Views whose outputs the cache holds are not computed again, nor are test sets that stage 1 evaluated. The
    cache holds the teacher's classes; the logits for test sets are written in the student's.

    Args:
        folder: Where logits and record are written.
        teacher_folder: The stage 1 folder of the teacher.
        sets: The examples, without a student transform.
        recipe: The recipe of the students: views, epochs and precision.
        view_seed: Seed of the augmentation.
        keep: What is stored.
        device: Where the teacher computes.
        class_map: The student's class of each of the teacher's classes, if they differ.

    Raises:
        OSError: The disk is full. What was stored stays.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.loop.member import Seeds
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> cpu, folder, outputs = torch.device("cpu"), Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> recipe, keep = Recipe(steps=1).resolve(images), OutputsToStore(folder, frozenset({"logits"}))
        >>> from distillab.training.stages.teachers import ExternalWeights, fixed_teacher
        >>> seeds = Seeds(1, 2, 3)
        >>> _ = fixed_teacher(folder, "resnet8", sets, recipe, seeds, external=ExternalWeights(), device=cpu)
        >>> teacher_outputs(outputs, folder, sets, recipe, view_seed=3, keep=keep, device=cpu).queries
        8
    """
    clock = compute_clock(device)
    started = clock()
    network = open_network(teacher_folder, sets.train, device)
    filled, name = FillResult(0, 0, 0), None
    if keep.needs:
        if _sees_originals(network, recipe, strong=keep.strong):
            recipe = original_recipe(recipe)
        reference, teacher = _prepare(network, teacher_folder, sets, recipe, view_seed, keep, device)
        filled, name = _fill(reference.open(keep.caches, sets.train), teacher, sets, recipe, view_seed)
        reference.write(folder)
        if keep.strong:
            strong, seed = strong_recipe(sets.train, recipe), strong_view_seed(view_seed)
            facts = _cache_facts(teacher_folder, sets, strong, seed, device)
            reference = replace(reference, facts=facts, view_seed=seed)
            more, _ = _fill(reference.open(keep.caches, sets.train), teacher, sets, strong, seed)
            reference.write(folder, STRONG_CACHE)
            filled = FillResult(filled.queries + more.queries, filled.forwards + more.forwards, filled.bytes)
        set_side_by_side(network, side_by_side=False)
    logits, eval_forwards = _eval_logits(network, teacher_folder, sets, recipe, device)
    mapped = {key: to_student_classes(each, class_map, sets.task) for key, each in logits.items()}
    save_logits(mapped, folder / LOGITS)
    record = OutputsRecord(filled.queries, filled.forwards, eval_forwards, clock() - started, name)
    record.write(folder)
    return record


def _sees_originals(network: nn.Module, recipe: ResolvedRecipe, *, strong: bool) -> bool:
    """Return True if outputs for examples as they are serve all views: a black box that has no others, or a
    mean over the orbit, which is the same for all views in it."""
    if isinstance(network, OrbitMean):
        return recipe.view_spec.kind in SYMMETRIES and not strong
    return isinstance(network, BlackBox) and network.sees_originals


def _prepare(
    network: nn.Module,
    teacher_folder: Path,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    view_seed: int,
    keep: OutputsToStore,
    device: torch.device,
) -> tuple[CacheReference, LiveTeacher]:
    """Return the cache to fill, and the teacher that fills it."""
    facts = _cache_facts(teacher_folder, sets, recipe, view_seed, device)
    info = inspect_teacher(network, sets, teacher_class_count(teacher_folder, sets.train))
    members = set_side_by_side(network)
    shapes = replace(info.shapes, classes=info.shapes.classes * members)
    stored = CacheFormat.of(keep.needs, shapes, keep.top_k)
    teacher = LiveTeacher(network, info.taps, stored.needs, device, recipe.precision)
    originals = isinstance(network, BlackBox | OrbitMean) and recipe.view_spec.count == 1
    return CacheReference(facts, stored, view_seed, members, originals), teacher


def _fill(
    cache: TeacherCache, teacher: LiveTeacher, sets: RoleSets, recipe: ResolvedRecipe, view_seed: int
) -> tuple[FillResult, str]:
    """Fill a cache for all views of a training; returns what that did, and the name of the cache."""
    filled = cache.fill(
        sets.train,
        recipe.view_spec,
        view_seed,
        recipe.view_epochs,
        lambda items: teacher.query(items, sets.normalize),
        batch=inference_batch_size(teacher.device),
        device=teacher.device,
    )
    return filled, cache.folder.name


def _cache_facts(
    teacher_folder: Path, sets: RoleSets, recipe: ResolvedRecipe, view_seed: int, device: torch.device
) -> JsonObject:
    """Return all that decides a teacher's outputs for a view."""
    views, record = recipe.view_spec, RunRecord.read(teacher_folder)
    inputs = {"inputs": record.inputs} if record.inputs else {}
    interpolation = {"interpolation": record.interpolation} if record.interpolation else {}
    return {
        **inputs,
        **interpolation,
        "weights": weights_digest(teacher_folder / WEIGHTS),
        "model": record.model,
        "pixels": sets.train.pool.digest,
        "normalisation": [sets.normalize.mean.tolist(), sets.normalize.std.tolist()],
        "views": [recipe.views, recipe.pad],
        # Views that are not numbered are identified by what they are drawn from, so the seed distinguishes
        # them; mixed ones depend on other examples of the set as well.
        **({"views known by": ["row", "id", "epoch"]} if views.count is None else {}),
        "view_seed": view_seed if views.count is None else None,
        "images": sets.train.input_digest if views.mixes else None,
        # Partners are drawn among examples of one kind.
        **({"labelled": labelled} if views.mixes and (labelled := sets.train.labelled_digest) else {}),
        "arithmetic": [device.type, recipe.precision],
    }


def _eval_logits(
    teacher: nn.Module, teacher_folder: Path, sets: RoleSets, recipe: ResolvedRecipe, device: torch.device
) -> tuple[dict[str, StoredLogits], int]:
    """Return the teacher's logits for the test sets, and how many examples went through it now."""
    tested = RunRecord.read(teacher_folder).tested
    before = load_logits(teacher_folder / LOGITS)
    same = {
        name: before[f"{name}.last"]
        for name, images in sets.eval.items()
        if tested.get(name) == (evaluation_digest(sets.task, images, sets.train), recipe.precision)
    }
    others = {name: images for name, images in sets.eval.items() if name not in same}
    now = sets.evaluator(device, recipe.precision).outputs(teacher, others).stored if others else {}
    found = {**same, **now}
    return {name: found[name] for name in sets.eval}, sum(map(len, others.values()))
