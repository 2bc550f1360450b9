"""Stage 1: a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distillab.artefacts import VAL, WEIGHTS, RunRecord, load_state
from distillab.data.class_map import ClassMap
from distillab.methods import MethodSpec, parse_method
from distillab.models import Ensemble, OrbitMean
from distillab.models.black_box import BlackBox, load_black_box
from distillab.models.input_transforms import rescale_inputs
from distillab.models.weights import load_into
from distillab.training.loop.cohort import StepCallback
from distillab.training.loop.initial_weights import InitialWeights
from distillab.training.loop.member import Seeds, new_model
from distillab.training.loop.results import TrainedNetwork
from distillab.training.loop.snapshots import Snapshots
from distillab.training.recipe import ResolvedRecipe
from distillab.training.stages.roles import KeptCurve, RoleSets, StudentSpec
from distillab.training.stages.students import train_student
from distillab.training.stages.trained import write_trained
from distillab.training.teachers.ensembles import greedy_weights, member_weights


@dataclass(frozen=True)
class DistilledFrom:
    """How a teacher is itself distilled.

    Attributes:
        method: The method.
        teacher: The stage 1 folder of its teacher.
        class_map: Its class of each of its teacher's classes, if they differ.

    Example:
        >>> DistilledFrom(parse_method("kd", "teacher"), Path("store/teacher/8f0c")).method.name
        'kd'
    """

    method: MethodSpec
    teacher: Path
    class_map: ClassMap | None = None


@dataclass(frozen=True)
class ExternalWeights:
    """What is known of a teacher that is not trained here.

    Attributes:
        weights: A file of weights, or None for initial weights.
        classes: How many logits it gives, if not one per class of the data.
        class_map: The data's class of each of its classes, if they differ.
        inputs: ``scale`` and ``shift`` per channel that turn the study's normalized images into those that
            the weights were trained on.
        entry: The entry of the file to which the choice is limited.

    Example:
        >>> ExternalWeights(Path("resnet20.safetensors"), classes=100).classes
        100
    """

    weights: Path | None = None
    classes: int | None = None
    class_map: ClassMap | None = None
    inputs: Mapping[str, Sequence[float]] | None = None
    entry: str = ""


def train_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    device: torch.device,
    distilled: DistilledFrom | None = None,
    start: InitialWeights | None = None,
    keep: KeptCurve | None = None,
    on_step: StepCallback | None = None,
    snapshots: Snapshots | None = None,
) -> RunRecord:
    """Train a teacher on ``sets.train`` and write its weights, logits and record.

    The network of its last epoch is the teacher: selection on the validation set would tie its quality to the
    size of that set.

    Args:
        folder: Where it is written.
        model: Name of the network.
        sets: Its examples.
        recipe: How it is trained.
        seeds: Its seeds.
        device: Where it is trained.
        distilled: How it is itself distilled; None to learn from labels alone.
        start: The trained weights that it starts from; None for random ones.
        keep: What is kept of it at each point of its validation curve.
        on_step: Called after each step.
        snapshots: Where it goes on from after an interruption.

    Raises:
        DivergenceError: The loss, or an output for the validation set, is not finite.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> train_teacher(folder, "resnet8", sets, recipe, seeds, device=cpu).model
        'resnet8'
    """
    method = distilled.method if distilled else parse_method("ce", "teacher")
    class_map = distilled.class_map if distilled else None
    return train_student(
        StudentSpec(folder, model, method, sets, recipe, seeds, class_map, start, keep or KeptCurve()),
        outputs_folder=None,
        teacher_folder=distilled.teacher if distilled else None,
        device=device,
        on_step=on_step,
        snapshots=snapshots,
        keep_selected=False,
    )


def fixed_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    external: ExternalWeights,
    device: torch.device,
) -> RunRecord:
    """Write a teacher that is not trained: with external weights, or with its initial ones (a control).

    Args:
        folder: Where it is written.
        model: Name of the network.
        sets: Its test sets, and the shape of its inputs.
        recipe: The precision of its evaluation.
        seeds: The seed of its initial weights.
        external: What is known of it.
        device: Where it is evaluated.

    Raises:
        RequestError: The weights cannot be read or do not fit.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> external = ExternalWeights()  # the initial weights
        >>> fixed_teacher(folder, "resnet8", sets, recipe, seeds, external=external, device=cpu).steps
        0
    """
    width = external.classes or _width(sets)
    network = new_model(model, sets.train, seeds.init, device, logits=width)
    if isinstance(network, BlackBox) and external.weights is not None:
        load_black_box(network, external.weights)
    elif external.weights is not None:
        load_into(network, external.weights, name=model, classes=width, entry=external.entry)
    network = rescale_inputs(network, **external.inputs) if external.inputs else network
    student = StudentSpec(folder, model, parse_method("ce", "teacher"), sets, recipe, seeds)
    return _write_untrained(student, network, device, external.class_map, external.inputs)


def ensemble_teacher(
    folder: Path,
    model: str,
    sets: RoleSets,
    recipe: ResolvedRecipe,
    seeds: Seeds,
    *,
    members: Sequence[Path],
    device: torch.device,
) -> RunRecord:
    """Write an ensemble of teachers, or the mean of one over the orbit of its input. The weights of an
    ensemble follow from the scores of its networks on the validation set.

    Args:
        folder: Where it is written.
        model: Name of the ensemble, such as ``accuracy(resnet8+resnet14)``.
        sets: Its test sets, and the shape of its inputs.
        recipe: The precision of its evaluation.
        seeds: Not used: all weights are those of the members.
        members: The stage 1 folders of its networks.
        device: Where it is evaluated.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from distillab.data.examples import Examples
        >>> from distillab.modalities.image import PixelNormalization
        >>> from distillab.training.recipe import Recipe
        >>> images = Examples.of(np.zeros((8, 1, 8, 8), np.uint8), [0, 1] * 4, ("a", "b"))
        >>> normalize = PixelNormalization(np.zeros(1, np.float32), np.ones(1, np.float32))
        >>> sets = RoleSets(images, images, {"test": images}, normalize)
        >>> recipe = Recipe(steps=1, precision="fp32").resolve(images)
        >>> seeds, cpu, folder = Seeds(1, 2, 3), torch.device("cpu"), Path(tempfile.mkdtemp())
        >>> record = train_teacher(folder, "resnet8", sets, recipe, seeds, device=cpu)
        >>> (folder / "both").mkdir()
        >>> members, both = [folder, folder], "mean(resnet8+resnet8)"
        >>> ensemble = ensemble_teacher(
        ...     folder / "both", both, sets, recipe, seeds, members=members, device=cpu
        ... )
        >>> ensemble.params == 2 * record.params
        True
    """
    network = new_model(model, sets.train, seeds.init, torch.device("cpu"), logits=_width(sets))
    inner = network.network if isinstance(network, OrbitMean) else network
    networks = list(inner.members) if isinstance(inner, Ensemble) else [inner]
    for member, place in zip(networks, members, strict=True):
        load_state(member, place / WEIGHTS)
    if isinstance(inner, Ensemble) and inner.combine == "greedy":
        whole = [OrbitMean(each) if isinstance(network, OrbitMean) else each for each in networks]
        evaluator = replace(sets.evaluator(device, recipe.precision), task=sets.task.on_logits)
        logits = [
            evaluator.outputs(each.to(device), {VAL: sets.val}).stored[VAL].astype(np.float32)
            for each in whole
        ]
        inner.weights.copy_(greedy_weights(logits, sets.val.targets, sets.task.on_logits))
    elif isinstance(inner, Ensemble):
        scores = [RunRecord.read(place).curve[-1].val_accuracy for place in members]
        inner.weights.copy_(member_weights(inner.combine, scores))
    student = StudentSpec(folder, model, parse_method("ce", "teacher"), sets, recipe, seeds)
    return _write_untrained(student, network, device)


def _width(sets: RoleSets) -> int:
    return sets.task.head_width(len(sets.train.classes))


def _write_untrained(
    student: StudentSpec,
    network: nn.Module,
    device: torch.device,
    class_map: ClassMap | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> RunRecord:
    network.to(device)
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    trained = TrainedNetwork(network, state, state, selected_epoch=0, curve=(), seconds=0.0, phases={})
    return write_trained(student, trained, device, keep_selected=False, as_teacher=class_map, inputs=inputs)
