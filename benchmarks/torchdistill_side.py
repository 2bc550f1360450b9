"""The torchdistill side of study_cost.py: a grid of runs as in torchdistill's own examples.

study_cost.py starts it with a JSON file that describes the runs:

    python benchmarks/torchdistill_side.py JOB.json

Every run is made by ``get_distillation_box`` (``get_training_box`` for plain students) from a configuration
with the keys of torchdistill's YAML samples, and follows its image classification example: epochs of forward
pass, loss, backward pass and scheduler, evaluation on val, one test at the end. Features come from its
forward hooks, the losses are its own, the images are PIL images behind torchvision's transforms and a
DataLoader. All runs of a job share one process, so that importing and reading happen once.

Differences in favor of torchdistill: val is evaluated after the same epochs as in distillab rather than after
each, the test uses batches of 256 rather than of one image, the teacher is not tested, no best weights are
written, and nothing is logged. The teacher is put into evaluation mode here; torchdistill leaves that to its
user.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision import transforms

from distillab.canonical import JsonObject
from distillab.models import InputSpec, build_model

CPU = torch.device("cpu")
TEST_BATCH = 256
STAGES = ("stages.0", "stages.1", "stages.2")
EMBEDDING = "fc.embedding"
LOGITS = {
    "student_module_path": ".",
    "student_module_io": "output",
    "teacher_module_path": ".",
    "teacher_module_io": "output",
}


@dataclass(frozen=True)
class Job:
    """The runs to make. ``runs`` are (method, seed); ``most_steps`` ends each run early, for a pilot."""

    data: str
    teacher: str
    teacher_weights: str
    student: str
    runs: list[tuple[str, int]]
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    val_epochs: list[int]
    mean: list[float]
    std: list[float]
    loader_workers: int
    out: str
    most_steps: int | None = None


class Run(TypedDict):
    """The result of a run; ``accuracy`` is missing in a pilot."""

    method: str
    seed: int
    seconds: float
    teacher_images: int
    accuracy: NotRequired[float]


class Images(Dataset[tuple[Any, int]]):
    """Images in memory, returned as torchvision's CIFAR datasets do: as PIL images through a transform."""

    def __init__(self, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], transform: Any) -> None:
        self.pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        self.labels, self.transform = labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def read_sets(job: Job) -> tuple[dict[str, Images], int, int]:
    """Return the three splits behind their transforms, the number of classes, and the side of an image."""
    plain = [transforms.ToTensor(), transforms.Normalize(job.mean, job.std)]
    with np.load(job.data) as arrays:
        side = arrays["x_train"].shape[2]
        moved = [transforms.RandomCrop(side, padding=side // 8), transforms.RandomHorizontalFlip()]
        through = {"train": transforms.Compose([*moved, *plain])}
        sets = {
            split: Images(
                arrays[f"x_{split}"], arrays[f"y_{split}"], through.get(split, transforms.Compose(plain))
            )
            for split in ("train", "val", "test")
        }
        return sets, int(arrays["y_train"].max()) + 1, side


def network(name: str, classes: int, side: int, weights: str | None = None) -> nn.Module:
    """Return a network of distillab with an identity before its classifier, whose output can be hooked."""
    model = build_model(name, classes=classes, inputs=InputSpec.square(3, side))
    if weights:
        model.load_state_dict(load_file(weights))
    classifier: nn.Module = model.get_submodule("fc")
    model.fc = nn.Sequential(OrderedDict(embedding=nn.Identity(), linear=classifier))
    return model


def terms(method: str) -> dict[str, JsonObject]:
    """Return the ``sub_terms`` of a method's loss, with the values of distillab's defaults.

    All but kd, which includes its own, add the cross-entropy with weight 1.
    """
    cross_entropy: JsonObject = {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {"reduction": "mean"}},
        "criterion_wrapper": {
            "key": "SimpleLossWrapper",
            "kwargs": {
                "input": {"is_from_teacher": False, "module_path": ".", "io": "output"},
                "target": {"uses_label": True},
            },
        },
        "weight": 1.0,
    }
    ends = {"io": "output"}
    pairs = {path: {"teacher": ends | {"path": path}, "student": ends | {"path": path}} for path in STAGES}
    added: dict[str, JsonObject] = {
        "kd": {"key": "KDLoss", "kwargs": LOGITS | {"temperature": 4.0, "alpha": 0.1, "beta": 0.9}},
        "dist": {"key": "DISTLoss", "kwargs": LOGITS | {"beta": 1.0, "gamma": 1.0, "tau": 4.0}},
        "at": {"key": "ATLoss", "kwargs": {"at_pairs": pairs, "mode": "code"}},
        "rkd": {
            "key": "RKDLoss",
            "kwargs": {
                "student_output_path": EMBEDDING,
                "teacher_output_path": EMBEDDING,
                "dist_factor": 25.0,
                "angle_factor": 50.0,
                "reduction": "mean",
            },
        },
    }
    weights = {"dist": 2.0, "at": 1000.0}
    found: dict[str, JsonObject] = {} if method == "kd" else {"ce": cross_entropy}
    if method != "ce":
        found[method] = {"criterion": added[method], "weight": weights.get(method, 1.0)}
    return found


def configuration(job: Job, method: str, steps: int) -> JsonObject:
    """Return the ``train`` section of a torchdistill configuration."""
    hooked = {"at": list(STAGES), "rkd": [EMBEDDING]}.get(method, [])
    model = {
        "forward_proc": "forward_batch_only",
        "sequential": [],
        "forward_hook": {"input": [], "output": hooked},
    }

    def loader(dataset_id: str, sampler: type, batch: int, drop_last: bool) -> JsonObject:
        kwargs = {"batch_size": batch, "num_workers": job.loader_workers, "drop_last": drop_last}
        return {
            "dataset_id": dataset_id,
            "sampler": {"class_or_func": sampler, "kwargs": {}},
            "kwargs": kwargs,
        }

    return {
        "num_epochs": job.epochs,
        "train_data_loader": loader("train", RandomSampler, job.batch_size, True),
        "val_data_loader": loader("val", SequentialSampler, TEST_BATCH, False),
        "teacher": model | {"requires_grad": False},
        "student": model | {"requires_grad": True},
        "model": model | {"requires_grad": True},
        "optimizer": {
            "key": "SGD",
            "kwargs": {"lr": job.lr, "momentum": job.momentum, "weight_decay": job.weight_decay},
        },
        "scheduler": {"key": "CosineAnnealingLR", "kwargs": {"T_max": steps}, "scheduling_step": 1},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms(method)}},
    }


@torch.inference_mode()
def accuracy(model: nn.Module, loader: DataLoader[Any]) -> float:
    """Return the share of images that the model classifies correctly."""
    model.eval()
    right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in loader)
    return right / len(loader.dataset)  # type: ignore[arg-type]


def run_once(job: Job, method: str, seed: int, sets: dict[str, Images], classes: int, side: int) -> Run:
    """Train and test one student; return its accuracy and the number of images through the teacher."""
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.core.training import get_training_box

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    student = network(job.student, classes, side)
    teacher_images = 0

    def count(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Any) -> None:
        nonlocal teacher_images
        teacher_images += len(inputs[0])

    steps = job.epochs * (len(sets["train"]) // job.batch_size)
    config = configuration(job, method, steps)
    if method == "ce":
        box = get_training_box(student, sets, config, CPU, None, False, 1)
    else:
        teacher = network(job.teacher, classes, side, job.teacher_weights).eval()
        teacher.register_forward_hook(count)
        box = get_distillation_box(teacher, student, sets, config, CPU, None, False, 1)
    seconds = train(job, box, student)
    box.clean_modules()
    found: Run = {"method": method, "seed": seed, "seconds": seconds, "teacher_images": teacher_images}
    if job.most_steps is None:
        test = DataLoader(sets["test"], batch_size=TEST_BATCH, num_workers=job.loader_workers)
        found["accuracy"] = accuracy(student, test)
    return found


def train(job: Job, box: Any, student: nn.Module) -> float:
    """Train as in the example; return the seconds of all steps but the first, which includes start-up."""
    done, started = 0, time.perf_counter()
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        for images, labels, extra in box.train_data_loader:
            loss = box.forward_process(images, labels, extra)
            box.post_forward_process(loss=loss)
            if not loss.isfinite():
                raise ValueError(f"the loss is {loss.item()}")
            done += 1
            if done == 1:
                started = time.perf_counter()
            if done == job.most_steps:
                return time.perf_counter() - started
        if epoch + 1 in job.val_epochs:
            accuracy(student, box.val_data_loader)
        box.post_epoch_process()
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    """Make the runs of the job file and write their results."""
    if len(arguments) != 1:
        print("benchmarks/study_cost.py runs this file")
        return
    job = Job(**json.loads(Path(arguments[0]).read_text()))
    sets, classes, side = read_sets(job)
    runs = [run_once(job, method, seed, sets, classes, side) for method, seed in job.runs]
    facts = {"threads": torch.get_num_threads(), "runs": runs}
    Path(job.out).write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
