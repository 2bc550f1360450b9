"""Losses and gradients of every method on inputs of closed form, compared with a committed table.

    python tests/support/method_goldens.py                    # print what differs; exit code 1 if anything
    python tests/support/method_goldens.py --write kd "pkt rbf"   # write some rows anew; all without names

A change of the table is a change of the numbers of every study that uses the method: raise its ``revision``
and name it in CHANGELOG.md. Parameters and memories are of closed form as well, so that no random generator
takes part, but for the masks that ``mgd`` draws.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from distillab.methods import Batch, Method, Mixed, Pair, StrongView, build_method, methods, parse_method
from distillab.models import Outputs, OutputShapes, attention_map
from support.methods import INPUTS, N, new_student
from support.tracked import CHANNELS, OF_TRACKERS, tracked_cases, tracked_method, tracked_outputs

TABLE = Path(__file__).resolve().parents[1] / "data" / "method_goldens.csv"
COLUMNS = ("method", "case", "quantity", "value")
DIGITS = 9
Row = tuple[str, str, str, float]

C, N_TRAIN = 5, 12
LABELS = torch.tensor([0, 2, 4, 1])
GROUPS = torch.tensor([0, 1, 0, 1])
OTHERS = torch.tensor([3, 2, 0, 4])
SHARES = torch.tensor([0.9, 0.25, 0.5, 0.1], dtype=torch.float64)
# Channels and side of each stage, from shallow to deep. Every kind of difference: smaller, larger, equal.
STUDENT_STAGES = ((2, 8), (3, 2), (4, 2))
TEACHER_STAGES = ((3, 4), (5, 4), (6, 2))
# Settings beside the defaults, by the name of their rows.
SETTINGS: dict[str, Any] = {
    "abkd forward": {"abkd": {"alpha": 1, "beta": 0}},
    "abkd reverse": {"abkd": {"alpha": 0, "beta": 1}},
    "cat_kd normalise": {"cat_kd": {"normalise": True}},
    "cosine_guided unguided": {"cosine_guided": {"guided": False, "cosine_weight": 0}},
    "crld of unsure teachers": {"crld": {"sure": 0.3, "sure_of_strong": 0.35}},
    "embedding_hint random": {"embedding_hint": {"projection": "random"}},
    "foreground_soft_labels unmasked": {"foreground_soft_labels": {"mask": "none"}},
    "hard_labels alone": {"hard_labels": {"ce_weight": 0, "hard_weight": 1}},
    "logit_standardisation of crld": {"logit_standardisation": {"of": {"crld": {"sure": 0.3}}}},
    "logit_standardisation of dkd": {"logit_standardisation": {"of": "dkd"}},
    "logit_standardisation of mlkd": {"logit_standardisation": {"of": "mlkd"}},
    "logit_standardisation of strong mlkd": {
        "logit_standardisation": {"of": {"mlkd": {"strong_view": True}}}
    },
    "mft wrong only": {"mft": {"correct_all": False}},
    "mlkd half": {"mlkd": {"confident": 0.5}},
    "mlkd strong": {"mlkd": {"strong_view": True}},
    "mskd of fgd": {
        "mskd": {
            "context": "trained",
            "squash": "none",
            "per": "image",
            "softmax_over": "batch",
            "decay": True,
        }
    },
    "ofa 1.5": {"ofa": {"exponent": 1.5}},
    "pkt combined jeffreys": {"pkt": {"kernel": "combined", "divergence": "jeffreys"}},
    "pkt cauchy": {"pkt": {"kernel": "cauchy", "bandwidth": 1.0}},
    "pkt exponential": {"pkt": {"divergence": "exponential"}},
    "pkt gaussian": {"pkt": {"kernel": "gaussian"}},
    "pkt kagan": {"pkt": {"divergence": "kagan"}},
    "pkt with labels": {"pkt": {"label_similarity_weight": 2.0}},
    "pkt rbf": {"pkt": {"kernel": "rbf"}},
    "pkt student_t": {"pkt": {"kernel": "student_t"}},
    "reviewkd batch_norm": {"reviewkd": {"batch_norm": True}},
}


def sine(*shape: int, rate: float) -> Tensor:
    """Return a tensor float64 whose n-th entry is sin(rate n + 0.1)."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(rate * place + 0.1).reshape(shape)


def network(stages: tuple[tuple[int, int], ...], rate: float) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return logits, embedding and maps of a network whose embedding is as wide as its last maps."""
    maps = tuple(
        sine(N, channels, side, side, rate=rate + 0.11 * depth)
        for depth, (channels, side) in enumerate(stages)
    )
    return 2 * sine(N, C, rate=rate + 0.6), sine(N, stages[-1][0], rate=rate + 0.4), maps


def shapes(stages: tuple[tuple[int, int], ...]) -> OutputShapes:
    sizes = tuple((channels, side, side) for channels, side in stages)
    return OutputShapes(C, stages[-1][0], sizes, tuple(size[1:] for size in sizes))


def classifier(width: int, rate: float) -> nn.Linear:
    layer = nn.Linear(width, C, dtype=torch.float64)
    fill(layer, rate)
    return layer


def fill(module: nn.Module, rate: float = 0.7) -> None:
    """Give every parameter of a module, and every memory of vectors, values of closed form."""
    for number, (name, tensor) in enumerate([*module.named_parameters(), *module.named_buffers()]):
        with torch.no_grad():
            if name.endswith("base"):
                tensor.copy_(torch.eye(*tensor.shape))
            elif name.endswith("_memory"):
                tensor.copy_(nn.functional.normalize(sine(*tensor.shape, rate=0.3 + number), dim=1))
            elif isinstance(tensor, nn.Parameter) or ".contexts." in name:
                spread = tensor[0].numel() if tensor.ndim > 1 else 4
                tensor.add_(-tensor).add_(sine(*tensor.shape, rate=rate + 0.13 * number) / spread**0.5)


def outputs(logits: Tensor, embedding: Tensor, maps: tuple[Tensor, ...], last: nn.Linear) -> Outputs:
    attention = tuple(attention_map(each) for each in maps)
    return Outputs(logits, embedding, maps, attention, maps, classifier=last)


def batch(**changes: Any) -> Batch:
    places = torch.arange(N)
    usual = Batch(LABELS, places, places, 0, 0.5, 3, groups=GROUPS, inputs=INPUTS)
    return replace(usual, **changes)


def built(entry: Any, teacher: tuple[tuple[int, int], ...]) -> Method:
    repeated = LABELS.repeat(N_TRAIN // N)
    pair = Pair(
        shapes(STUDENT_STAGES),
        shapes(teacher),
        N_TRAIN,
        labels=repeated,
        groups=GROUPS.repeat(N_TRAIN // N),
        teacher_classifier=classifier(teacher[-1][0], 0.9),
        new_student=new_student,
    )
    torch.manual_seed(0)
    method = build_method(parse_method(entry, "methods"), pair).double()
    fill(method)
    return method


def cases(method: Method, *, all_of_them: bool) -> Iterator[tuple[str, Batch]]:
    """Return the batches of a method, with their names; memories go from one to the next."""
    if not all_of_them:
        yield "equal networks", batch()
        return
    yield "start", batch(progress=0.02)
    yield "middle", batch()
    yield "again", batch(labels=OTHERS, positions=torch.arange(N, 2 * N))
    yield "late", batch(progress=0.9)
    yield "mixed", batch(mixed=Mixed(OTHERS, SHARES))
    if "every_label" not in method.requirements(method.config).needs:
        yield "partly labelled", batch(labels=torch.tensor([0, -1, 4, -1]))


def digest(gradient: Tensor) -> tuple[float, float]:
    """Return the length of a gradient ``[D]``, and its product with a cosine of D places."""
    probe = torch.cos(1.3 * torch.arange(len(gradient), dtype=gradient.dtype))
    return gradient.norm().item(), (gradient @ probe).item()


def computed(entry: Any, name: str, teacher: tuple[tuple[int, int], ...]) -> Iterator[Row]:
    """Return terms and gradients of a method, as rows of the table."""
    method = built(entry, teacher)
    last = classifier(STUDENT_STAGES[-1][0], 0.5)
    taught = network(teacher, 0.23)
    given = outputs(*taught, classifier(teacher[-1][0], 0.9)) if method.learns_from != "none" else None
    for case, each in cases(method, all_of_them=teacher == TEACHER_STAGES):
        torch.manual_seed(1)
        logits, embedding, maps = network(STUDENT_STAGES, 0.37)
        leaves = [tensor.requires_grad_() for tensor in (logits, embedding, *maps)]
        strong = (2 * sine(N, C, rate=0.51)).requires_grad_()
        twin = sine(N, STUDENT_STAGES[-1][0], rate=0.77)
        if "strong_view" in method.requirements(method.config).needs:
            each = replace(each, strong=StrongView(Outputs(strong, twin), Outputs(2 * sine(N, C, rate=0.29))))
        method.zero_grad()
        terms = method.total(outputs(logits, embedding, maps, last), given, each)
        torch.stack(list(terms.values())).sum().backward()
        for term, value in terms.items():
            yield name, case, term, value.item()
        reached = {
            "logits": leaves[:1],
            "embedding": leaves[1:2],
            "maps": leaves[2:],
            "strong logits": [strong],
            "parameters": list(method.parameters()),
        }
        for of, tensors in reached.items():
            gradients = [tensor.grad.flatten() for tensor in tensors if tensor.grad is not None]
            if gradients:
                length, along = digest(torch.cat(gradients))
                yield name, case, f"gradient of {of}: length", length
                yield name, case, f"gradient of {of}: along", along


def computed_of_trackers(entry: Any, name: str) -> Iterator[Row]:
    """Return terms and gradients of a method that is defined for tracking, as rows of the table."""
    for case, teacher, each in tracked_cases():
        method = tracked_method(entry, teacher)
        fill(method)
        student = tracked_outputs("student", CHANNELS["student"])
        leaves = [tensor.requires_grad_() for tensor in (student.logits, *student.maps)]
        terms = method.total(student, tracked_outputs("teacher", CHANNELS[teacher]), each)
        torch.stack(list(terms.values())).sum().backward()
        for term, value in terms.items():
            yield name, case, term, value.item()
        reached = {"logits": leaves[:1], "maps": leaves[1:], "parameters": list(method.parameters())}
        for of, tensors in reached.items():
            gradients = [tensor.grad.flatten() for tensor in tensors if tensor.grad is not None]
            if gradients:
                length, along = digest(torch.cat(gradients))
                yield name, case, f"gradient of {of}: length", length
                yield name, case, f"gradient of {of}: along", along


def rows_of(name: str) -> list[Row]:
    """Return the rows of one method, or of one of :data:`SETTINGS`."""
    entry = SETTINGS.get(name, name)
    if (entry if isinstance(entry, str) else next(iter(entry))) in OF_TRACKERS:
        return list(computed_of_trackers(entry, name))
    return [
        *computed(entry, name, TEACHER_STAGES),
        *computed(entry, name, STUDENT_STAGES),
    ]


def names() -> list[str]:
    """Return the names of all rows: registered methods, and settings beside their defaults."""
    return [*methods, *SETTINGS]


def table() -> dict[tuple[str, str, str], float]:
    """Return the committed values by method, case and quantity."""
    with TABLE.open(newline="") as file:
        return {
            (row["method"], row["case"], row["quantity"]): float(row["value"]) for row in csv.DictReader(file)
        }


def close(found: float, golden: float) -> bool:
    """Return True if two values are equal but for rounding."""
    return math.isclose(found, golden, rel_tol=1e-6, abs_tol=1e-9)


def changes(name: str, golden: Mapping[tuple[str, str, str], float]) -> list[str]:
    """Return one line per value of a method that is not as in the table, or is on one side alone."""
    found = {row[:3]: row[3] for row in rows_of(name)}
    of_table = {key: value for key, value in golden.items() if key[0] == name}
    return [
        f"{' | '.join(key)}: {of_table.get(key)} in the table, {found.get(key)} computed"
        for key in {**of_table, **found}
        if key not in found or key not in of_table or not close(found[key], of_table[key])
    ]


def write(anew: Collection[str] = ()) -> None:
    """Write the table, with new rows of the methods named, or of all."""
    kept = table() if anew else {}
    written = {
        name: [(*key, value) for key, value in kept.items() if key[0] == name]
        if anew and name not in anew
        else rows_of(name)
        for name in names()
    }
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rows in written.values():
            writer.writerows((*row[:3], f"{row[3]:.{DIGITS}g}") for row in rows)


def main() -> int:
    """Write the table, or print what differs from it."""
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2:])
        return 0
    golden = table()
    differing = [line for name in names() for line in changes(name, golden)]
    sys.stdout.write("\n".join(differing) or f"{len(golden)} values are as in {TABLE.name}")
    sys.stdout.write("\n")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
