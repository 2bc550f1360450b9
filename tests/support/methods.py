"""Closed-form inputs that every method is tested on, and the loss as a function of the student's outputs.

No random numbers: the same inputs can be written down in any framework.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from distillab.methods import Batch, Method, Pair, StrongView, build_method, methods, parse_method
from distillab.methods.divergence import in_full_precision
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

CLASSIFIER = torch.nn.Linear(D, C, dtype=torch.float64)
CLASSIFIER.load_state_dict(
    {
        "weight": torch.sin(torch.arange(C * D, dtype=torch.float64)).reshape(C, D),
        "bias": torch.cos(torch.arange(C, dtype=torch.float64)),
    }
)

INPUTS = torch.sin(torch.arange(N * 3 * 4 * 4, dtype=torch.float64)).reshape(N, 3, 4, 4)

# Logits for the strong views of the examples.
STUDENT_STRONG = 2 * torch.sin(1.3 * PLACE + 0.2)
TEACHER_STRONG = 3 * torch.cos(0.5 * PLACE - 0.3)

STUDENT_STRONG_EMBEDDING = torch.sin(1.1 * AXIS - 0.2)

# Outputs of a network as the tensors that gradients are taken of: logits, embedding, maps of one stage.
RawOutputs = tuple[Tensor, Tensor, Tensor]
STUDENT_RAW: RawOutputs = (STUDENT, STUDENT_EMBEDDING, STUDENT_MAPS)
TEACHER_RAW: RawOutputs = (TEACHER, TEACHER_EMBEDDING, TEACHER_MAPS)

OF_CLASSIFIERS = [name for name in methods if "classification" in (methods[name].tasks or ["classification"])]
TAUGHT = [name for name in OF_CLASSIFIERS if methods[name].teacher != "none"]
# Methods that compare neighbouring stages, or shallow ones with the deepest; and one that wants the last maps
# as wide as the embedding.
WIDE = 0
STAGES = {"fsp": 2, "multi_exit": 3, "multilayer_pkt": 2, "cat_kd": WIDE, "exits": 3, "tskd": 3}
# Methods with a transfer term only at the beginning of training, before the labels; a time when they have it.
EARLY = {"fsp": 0.05, "ab": 0.05}
# These draw masks, a new one for every place of a batch.
DRAWING = ["mgd"]
# These normalise what they compare over the batch: batch normalisation in connectors, statistics of a batch.
NORMALISING = [
    "ab",
    "fitnet",
    "ft",
    "ickd",
    "multi_exit",
    "ofd",
    "semckd",
    "srrl",
    "wkd_features",
    "exits",
    "tskd",
]
# These compare the examples of a batch with one another; the loss of all others is a mean over examples.
COMPARING = ["cc", "crd", "infonce", "multilayer_pkt", "pkt", "queue_similarity", "simclr", "sp", "srd"]
RELATIONAL = [*DRAWING, *NORMALISING, *COMPARING, "dist", "long_tail_kd", "mlkd", "rkd"]
# These compare logits as they are: a constant added to a row is a difference to be learned.
OF_RAW_LOGITS = ["bernoulli_kd", "logit_mse", "netgraft"]
# Gradients of these are not those of the value, by design: a weight that depends on the student is held
# fixed (in crd, a scale of the first batch), or the student teaches another. They are tested one by one.
HELD_FIXED = ["crd", "multi_exit", "tskd", "mutual_learning", "wsld"]
# These have no use for the labels unless they are teacher_given so: their weight is 0 by default.
WITHOUT_LABELS = [name for name in OF_CLASSIFIERS if getattr(methods[name].Config(), "ce_weight", 1) == 0]
# These have no use for the labels, and learn from logits.
OF_LOGITS_ALONE = ["netgraft"]
# These remember the batches before while they are in training mode.
REMEMBERING = ["worst_group_kd"]


def shapes(classes: int = C, stages: int = 1) -> OutputShapes:
    """Return the shapes of a network that gives all outputs."""
    if stages == WIDE:
        return OutputShapes(classes, D, ((D, 2, 2),), ((2, 2),))
    return OutputShapes(classes, D, ((2, 2, 2),) * stages, ((2, 2),) * stages)


def make(entry: str | dict[str, object], classes: int = C, labels: Tensor = LABELS) -> Method:
    """Build the method between two equal networks; what it owns has the same initial values every time."""
    named = entry if isinstance(entry, dict) else {entry: {}}
    stages = next((STAGES[name] for name in named if name in STAGES), 1)
    pair = Pair(
        shapes(classes, stages),
        shapes(classes, stages),
        n_train=N,
        labels=labels,
        groups=GROUPS,
        teacher_classifier=CLASSIFIER,
        new_student=new_student,
    )
    torch.manual_seed(0)
    method = build_method(parse_method(entry, "methods"), pair).double()
    for part in method.modules():
        if getattr(part, "name", "") in REMEMBERING:
            part.eval()
    return method


def new_student(seed: int) -> torch.nn.Module:
    """Return a new network for :data:`INPUTS`."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(INPUTS[0].numel(), C))


def batch(labels: Tensor = LABELS, progress: float = 0.5, order: list[int] | None = None) -> Batch:
    """Return a batch of the examples; ``order`` selects those that it has, all by default."""
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
        strong=StrongView(
            Outputs(STUDENT_STRONG[of], STUDENT_STRONG_EMBEDDING[of]), Outputs(TEACHER_STRONG[of])
        ),
    )


def outputs(raw: RawOutputs, stages: int = 1) -> Outputs:
    """Return the outputs of a network at one stage or several, each half as strong as the one before."""
    logits, embedding, maps = raw
    found = tuple(maps / 2**depth for depth in range(stages))
    if stages == WIDE:
        found = (torch.cat((maps, maps[:, :1]), dim=1),)
    attention = tuple(attention_map(each) for each in found)
    return Outputs(logits, embedding, found, attention, found, classifier=CLASSIFIER)


def loss(
    method: Method,
    student: RawOutputs,
    teacher: RawOutputs,
    labels: Tensor = LABELS,
    *,
    progress: float | None = None,
    order: list[int] | None = None,
) -> Tensor:
    """Return the loss half way through the training, or when the method has a transfer term."""
    stages = STAGES.get(method.name, 1)
    teacher_given = None if method.teacher == "none" else outputs(teacher, stages)
    full = in_full_precision(student[0]).dtype
    method.to(full)  # its own modules are as precise as its inputs
    of = batch(labels, EARLY.get(method.name, 0.5) if progress is None else progress, order)
    found = outputs(student, stages)
    # The strong view gives the same outputs, so that it has the symmetries of the first.
    of = replace(of, inputs=INPUTS[of.positions].to(full), strong=StrongView(found, teacher_given))
    terms = method.total(found, teacher_given, of)
    return torch.stack(list(terms.values())).sum()


def leaves(raw: RawOutputs) -> RawOutputs:
    """Return the same values as tensors that collect gradients."""
    logits, embedding, maps = (x.detach().clone().requires_grad_() for x in raw)
    return logits, embedding, maps


def cast(raw: RawOutputs, dtype: torch.dtype) -> RawOutputs:
    logits, embedding, maps = (x.to(dtype) for x in raw)
    return logits, embedding, maps


def rows(raw: RawOutputs, chosen: list[int]) -> RawOutputs:
    logits, embedding, maps = (x[chosen] for x in raw)
    return logits, embedding, maps
