"""The model card of an exported model: README.md, with the metadata that model hubs read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from distillab.data.examples import IMAGE
from distillab.deploy.checks import Checks
from distillab.deploy.description import ModelDescription
from distillab.deploy.detector_files import DETECTOR_USE, TRACKER_USE
from distillab.deploy.files import INT8
from distillab.deploy.recipe import BuildRecipe
from distillab.deploy.snippets import Snippet, snippets_for
from distillab.deploy.statement import Statement
from distillab.deploy.statement_text import statement_sections
from distillab.evidence.pairs import Row
from distillab.printable import counted, printable

_LISTED_CLASSES = 50
_DIFFERENCES = {"logits": "a logit {:.1e} (relative)", "probabilities": "a probability {:.1e}"}
_DIFFERENCES |= {"cells": "a raw output {:.1e} (relative)", "ap50": "AP50 {:.1e}"}
_DIFFERENCES |= {"embeddings": "a number in an embedding {:.1e}"}


def model_card(
    description: ModelDescription,
    checks: Checks,
    recipe: BuildRecipe | None = None,
    statement: Statement | None = None,
    sections: Sequence[str] = (),
) -> str:
    """Return the model card.

    Args:
        description: What the model is.
        checks: What was checked.
        recipe: How a library builds its network; None if none does.
        statement: What the study of the student measured; None for other networks.
        sections: Further sections in Markdown, put before the one on files.

    Example:
        >>> import numpy as np
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> model_card(description, Checks()).splitlines()[0]
        '---'
    """
    name = _name(description, statement)
    parts = [
        f"---\n{_metadata(description, checks, name, statement)}---",
        f"# {name}",
        _summary(description, statement),
        *(statement_sections(statement, description.task_config()) if statement else []),
        *sections,
        _use(snippets_for(description, recipe, checks.files), description),
        _files(checks),
        _gates(checks),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _name(description: ModelDescription, statement: Statement | None) -> str:
    if statement is None:
        return printable(f"{description.architecture}, {len(description.classes)} classes")
    return printable(f"{statement.dataset}, {description.architecture}, {statement.method}")


def _metadata(description: ModelDescription, checks: Checks, name: str, statement: Statement | None) -> str:
    task = "image-classification" if description.modality == IMAGE else "audio-classification"
    if description.task_config().dense:
        task = "object-detection"
    library = {"timm": "timm"}.get(description.architecture.partition(":")[0], "pytorch")
    tags = ["distillab", *(["onnx"] if any(file.endswith(".onnx") for file in checks.files) else [])]
    if statement is not None and not statement.is_plain:
        tags.append("knowledge-distillation")
    values: dict[str, object] = {"library_name": library, "pipeline_tag": task, "tags": tags}
    if statement is not None and statement.scores:
        metrics = description.task_config().metrics
        measured = [
            {"type": metric, "value": round(value, 6), "name": metrics[metric].title}
            for metric, value in statement.scores.items()
            if metric in metrics and metrics[metric].kind != "fidelity" and not metric.endswith("_selected")
        ]
        data = {"name": statement.dataset, "type": _slug(statement.dataset), "split": "test"}
        result = {
            "task": {"type": task, "name": task.replace("-", " ").capitalize()},
            "dataset": data,
            "metrics": measured,
        }
        values["model-index"] = [{"name": name, "results": [result]}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"


def _summary(description: ModelDescription, statement: Statement | None) -> str:
    size, gray = description.item, description.item.channels == 1
    if description.modality == IMAGE:
        item = f"{size.width}x{size.height} {'gray' if gray else 'RGB'} image"
    else:
        item = f"{size.channels}x{size.height}x{size.width} spectrogram"
    shown = ", ".join(description.classes[:_LISTED_CLASSES])
    more = len(description.classes) - _LISTED_CLASSES
    lines = [
        f"`{description.architecture}` {_predicted(description)} of a {item}: "
        f"{shown}{f' and {more} more' if more > 0 else ''}."
    ]
    if statement is not None:
        how = (
            "on labels alone" if statement.is_plain else f"by `{statement.method}`, a method of distillation,"
        )
        levels = "".join(f", {name} {level}" for name, level in statement.levels.items())
        lines.append(
            f"It was trained {how} on {statement.n_train:,} images of {statement.dataset}{levels} "
            f"(seed {statement.seed}, run `{statement.run_id}` of the study {statement.study})."
        )
    return printable(" ".join(lines))


def _predicted(description: ModelDescription) -> str:
    classes = f"{len(description.classes)} classes"
    if description.task_config().follows:
        return "finds objects, each with a box and an embedding by which it is followed, in the pixels"
    if description.task_config().dense:
        return f"finds objects of {classes}, each with a box, in the pixels"
    several = description.task_config().name != "classification"
    return f"predicts {'any of' if several else 'one of'} {classes}"


def _use(snippets: Sequence[Snippet], description: ModelDescription) -> str:
    if not snippets:
        return ""
    if description.task_config().dense:
        text = TRACKER_USE if description.task_config().follows else DETECTOR_USE
    elif description.modality == IMAGE:
        text = (
            "Run these in this folder. ONNX files and `model.pt2` take pixels (uint8, "
            "`[N, height, width, channels]`, any N) and return probabilities: scaling, normalization and "
            "softmax are inside. What is outside is the resizing (bilinear, antialiased, by Pillow) and the "
            "conversion of color, as below. `distillab predict` also treats transparent parts and pixels of "
            "more than 8 bits as the training did."
        )
    else:
        text = (
            "Run these in this folder. The files take features (float32, `[N, channels, bands, frames]`) and "
            "return probabilities. The features are computed from recordings outside of the model, with the "
            "settings under `decoding` in `config.json`; `distillab predict` does so."
        )
    blocks = [f"### {each.title}\n\n```python\n{each.code}\n```" for each in snippets]
    return "\n\n".join(["## Use", text, *blocks])


def _files(checks: Checks) -> str:
    rows = [
        f"| `{name}` | {record.bytes:,} | {100 * checks.val[name]:.2f} % | {record.origin} |"
        for name, record in checks.files.items()
        if name in checks.val
    ]
    missing = [f"`{name}` is not here: {reason}." for name, reason in checks.not_written.items()]
    if not rows and not missing:
        return ""
    metric = checks.val.get("metric", "score")
    head = [f"| file | bytes | {metric} on val | written by |", "|---|---|---|---|"]
    table = ["\n".join([*head, *rows])] if rows else []
    int8 = [f"int8: {checks.int8['answer']}."] if checks.int8.get("written") else []
    return "\n\n".join(["## Files", *table, *int8, *missing])


def _gates(checks: Checks) -> str:
    if not checks.gates:
        return ""
    worst: dict[str, Row] = {}
    for gate in checks.gates:
        entry = worst.setdefault(gate.file, {"examples": gate.examples})
        entry[gate.gate] = max(entry.get(gate.gate, 0.0), gate.value)
    lines = [
        f"- `{file}`: {_differing(values)}, largest difference of "
        + " and of ".join(text.format(values[gate]) for gate, text in _DIFFERENCES.items() if gate in values)
        for file, values in worst.items()
        if file in checks.files
    ]
    examples = checks.gates[0].examples
    machine = checks.environment
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    int8 = INT8 in checks.files
    text = (
        f"Every file{' in float' if int8 else ''} was compared with the trained network on all {examples:,} "
        "validation images, one at a time and in batches; a file that differs is not written. `checks.json` "
        "has all numbers."
    )
    threads = counted(int(machine.get("threads", 1)), "thread")
    cpu = f"Measured on {machine.get('cpu', 'an unknown CPU')}, {threads}; {packages}."
    parts = ["## Checks", text, "\n".join(lines), _int8_check(checks) if int8 else "", cpu]
    return "\n\n".join(part for part in parts if part)


def _differing(values: Row) -> str:
    """Return how much of what is predicted differs from the trained network."""
    noun = "predictions" if "predictions" in values else "detections"
    return f"{values[noun]:.2%} of {noun} differ"


def _int8_check(checks: Checks) -> str:
    """Return what holds for the file in int8, which may differ."""
    metric, drop = checks.val.get("metric", "score"), checks.int8.get("max_drop", 1.0)
    text = (
        f"`{INT8}` does not give the outputs of the trained network, and is not held to that: its {metric} "
        f"on the same images may be lower by at most {drop:g} {'point' if drop == 1 else 'points'}."
    )
    most = max(checks.int8.get("changed_predictions", ()), key=lambda each: each["differing"], default=None)
    if most is None:
        return text
    return (
        f"{text} {most['differing']:,} of its {most['predictions']:,} predictions ({most['share']:.2%}) "
        f"differ from those in float: of these, {most['newly_right']:,} are right where float is wrong, "
        f"{most['newly_wrong']:,} are wrong where float is right, and {most['wrong_in_both']:,} are wrong in "
        "both."
    )
