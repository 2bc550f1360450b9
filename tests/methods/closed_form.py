"""Closed-form inputs that every method is tested on, and the loss as a function of what the student says.

No random numbers: the same inputs can be written down in any framework.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distillab.methods import Batch, Method, Pair, build_method, methods, parse_method
from distillab.models import Outputs, OutputShapes, attention_map

N, C, D = 4, 5, 3
PLACE = torch.arange(N * C, dtype=torch.float64).reshape(N, C)
STUDENT = 2 * torch.sin(PLACE + 0.5)
TEACHER = 3 * torch.cos(0.7 * PLACE + 0.2)
LABELS = torch.tensor([0, 2, 4, 1])
GROUPS = torch.tensor([0, 1, 0, 1])

AXIS = torch.arange(N * D, dtype=torch.float64).reshape(N, D)
STUDENT_EMBEDDING = torch.sin(0.9 * AXIS + 0.3)
TEACHER_EMBEDDING = torch.cos(0.6 * AXIS - 0.4)
PIXEL = torch.arange(N * 2 * 2 * 2, dtype=torch.float64).reshape(N, 2, 2, 2)
STUDENT_MAPS = torch.sin(0.37 * PIXEL + 0.1)
TEACHER_MAPS = torch.cos(0.23 * PIXEL + 0.6)

INPUTS = torch.sin(torch.arange(N * 3 * 4 * 4, dtype=torch.float64)).reshape(N, 3, 4, 4)

# What a network says, as the tensors that gradients are taken of: logits, embedding, the maps of one stage.
Said = tuple[Tensor, Tensor, Tensor]
STUDENT_SAID: Said = (STUDENT, STUDENT_EMBEDDING, STUDENT_MAPS)
TEACHER_SAID: Said = (TEACHER, TEACHER_EMBEDDING, TEACHER_MAPS)

TAUGHT = [name for name in methods if methods[name].teacher != "none"]
# These compare the images of a batch with one another; the loss of all others is a mean over images.
RELATIONAL = ["dist", "rkd"]


def shapes(classes: int = C, stages: int = 1) -> OutputShapes:
    """Shapes of a network that gives everything."""
    return OutputShapes(classes, D, ((2, 2, 2),) * stages, ((2, 2),) * stages)


def make(entry: str | dict[str, object], classes: int = C) -> Method:
    """The method between two networks alike; what it owns has the same initial values every time."""
    pair = Pair(
        shapes(classes), shapes(classes), n_train=N, labels=LABELS, groups=GROUPS, new_student=new_student
    )
    torch.manual_seed(0)
    return build_method(parse_method(entry, "methods"), pair).double()


def new_student(seed: int) -> torch.nn.Module:
    """A fresh network for :data:`INPUTS`."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(INPUTS[0].numel(), C))


def batch(labels: Tensor = LABELS, progress: float = 0.5, order: list[int] | None = None) -> Batch:
    """What is known of the images; ``order`` says which of them the batch has, all by default."""
    of = torch.arange(len(labels)) if order is None else torch.tensor(order)
    return Batch(
        labels,
        ids=of,
        positions=of,
        epoch=0,
        progress=progress,
        epoch_length=1,
        groups=GROUPS[of],
        inputs=INPUTS[of],
    )


def outputs(said: Said) -> Outputs:
    logits, embedding, maps = said
    return Outputs(logits, embedding, (maps,), (attention_map(maps),))


def loss(
    method: Method,
    student: Said,
    teacher: Said,
    labels: Tensor = LABELS,
    *,
    progress: float = 0.5,
    order: list[int] | None = None,
) -> Tensor:
    told = None if method.teacher == "none" else outputs(teacher)
    terms = method(outputs(student), told, batch(labels, progress, order))
    return torch.stack(list(terms.values())).sum()


def leaves(said: Said) -> Said:
    """The same values, as tensors that collect gradients."""
    logits, embedding, maps = (x.detach().clone().requires_grad_() for x in said)
    return logits, embedding, maps


def cast(said: Said, dtype: torch.dtype) -> Said:
    logits, embedding, maps = (x.to(dtype) for x in said)
    return logits, embedding, maps


def rows(said: Said, chosen: list[int]) -> Said:
    logits, embedding, maps = (x[chosen] for x in said)
    return logits, embedding, maps
