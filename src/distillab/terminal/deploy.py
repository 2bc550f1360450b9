"""What the command line prints about exported models."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

import typer
from rich.console import Console
from rich.table import Table

from distillab.printable import counted, printable
from distillab.terminal.console import make_console

if TYPE_CHECKING:
    from pathlib import Path

    from distillab.deploy import Benchmark, DetectionOutputs, Evaluation, Exported, LoadedModel

QUIET_SECONDS = 10.0  # between lines of output that is not a terminal


@contextlib.contextmanager
def export_progress(
    stream: TextIO | None = None, *, clock: Callable[[], float] = time.time
) -> Iterator[Callable[[str], None]]:
    """Show what an export is doing: one changing line in a terminal, a line now and then elsewhere.

    Args:
        stream: Where to write; by default the error stream.
        clock: Returns seconds.

    Example:
        >>> from io import StringIO
        >>> written, times = StringIO(), iter([0.0, 11.0])
        >>> with export_progress(written, clock=lambda: next(times)) as on_progress:
        ...     on_progress("writing model.onnx")
        >>> written.getvalue().strip()
        'writing model.onnx'
    """
    stream = stream or sys.stderr
    if stream.isatty():
        with Console(stderr=True).status("exporting") as status:
            yield lambda stage: status.update(stage)
        return
    last = clock()

    def on_progress(stage: str) -> None:
        nonlocal last
        now = clock()
        if now - last >= QUIET_SECONDS:
            stream.write(f"{stage}\n")
            stream.flush()
            last = now

    yield on_progress


def print_export(found: Exported) -> None:
    """Print what was exported, what its checks found and what was left out.

    Args:
        found: The exported model.

    Example:
        >>> from pathlib import Path
        >>> from distillab.deploy import Checks, Exported
        >>> print_export(Exported(Path("model"), ("config.json",), Checks(not_written={"model.onnx": "why"})))
        model.onnx is not written: why
        no file passed; what was found is in model
    """
    checks = found.checks
    metric, examples = checks.val.get("metric"), checks.val.get("examples", 0)
    for name, record in checks.files.items():
        size = f"{record.bytes / 1e6:.2f} MB"
        score = f"{metric} {100 * checks.val[name]:.2f} % on {counted(examples, 'val example')}"
        nouns = ("predictions", "detections")
        worst = [gate for gate in checks.gates if gate.file == name and gate.gate in nouns]
        equal = f", {worst[0].gate} that differ {max(g.value for g in worst):.2%}" if worst else ""
        typer.echo(printable(f"{name}: {size}, {score}{equal}"))
    if checks.int8.get("written"):
        typer.echo(printable(f"int8: {checks.int8['answer']}"))
    for name, reason in checks.not_written.items():
        typer.echo(printable(f"{name} is not written: {reason}"))
    if found.kept:
        text = f"no file passed, so the model that was there before is kept: {found.folder}"
    elif not checks.files:
        text = f"no file passed; what was found is in {found.folder}"
    else:
        text = f"exported: {found.folder}"
    typer.echo(printable(text))


def detection_outputs(
    model: LoadedModel,
    confidence: float | None,
    table: Path | None,
    pictures: Path | None,
    animation: Path | None,
    rate: float,
    tracks: Path | None = None,
) -> DetectionOutputs | None:
    """Return what writes the detections, or the tracks, of a model; None for a classifier.

    Args:
        model: The model.
        confidence: Confidence below which boxes are left out; None for the usual one.
        table: A CSV file, or None.
        pictures: A folder of pictures, or None.
        animation: A GIF file, or None.
        rate: Frames of the animation per second.
        tracks: A text file of MOTChallenge, or None.

    Raises:
        RequestError: A classifier is to draw boxes, a model that follows nothing is to write tracks, or the
            confidence is none.
    """
    from distillab.deploy import DetectionOutputs, TrackOutputs
    from distillab.deploy.detected import confidence_from, require_detector
    from distillab.deploy.tracked import require_tracker

    options = {"--confidence": confidence, "--csv": table, "--pictures": pictures, "--gif": animation}
    if tracks is not None:
        require_tracker(model.description, model.path, "--mot is about tracks")
    if not model.task.dense:
        for name, value in options.items():
            if value is not None:
                require_detector(model.description, model.path, f"{name} is about boxes")
        return None
    if confidence is not None:
        confidence_from(confidence)
    if model.task.follows:
        return TrackOutputs(model.classes, table, pictures, animation, rate, tracks=tracks)
    return DetectionOutputs(model.classes, table, pictures, animation, rate)


def print_evaluation(found: Evaluation) -> None:
    """Print the metrics of a model on some data.

    Args:
        found: The evaluation.

    Example:
        >>> from distillab.deploy import Evaluation
        >>> print_evaluation(Evaluation("m.onnx", "leaves", "test", 100, "accuracy", {"accuracy": 0.9}))
        m.onnx on leaves, test: 100 examples
        accuracy  0.9000
    """
    where = f"{found.model} on {found.data}, {found.split}"
    typer.echo(printable(f"{where}: {counted(found.examples, 'example')}"))
    for note in found.notes:
        typer.echo(printable(note))
    values = {name: value for name, value in found.metrics.items() if value == value}
    width = max(map(len, values), default=0)
    for name, value in values.items():
        typer.echo(f"{printable(name):<{width}}  {value:.4f}")
    if found.per_class:
        worst = sorted(found.per_class.items(), key=lambda each: each[1])[:3]
        listed = ", ".join(f"{name} {value:.3f}" for name, value in worst)
        typer.echo(printable(f"lowest classes: {listed}"))


def print_benchmark(found: Benchmark) -> None:
    """Print a table of the times of models, with the machine that they were measured on.

    Args:
        found: The benchmark.

    Example:
        >>> from distillab.deploy import Benchmark
        >>> print_benchmark(Benchmark((), {"cpu": "a CPU", "threads": 2, "packages": {}}))
        model...batch...p50...
        a CPU, 2 threads
    """
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("model", "MB", "load ms", "batch", "first ms", "p50 ms", "p95 ms", "per second"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for each in found.models:
        named = [(str(latency.batch), latency) for latency in each.latency]
        named += [("1 + tracker", each.following)] if each.following else []
        for batch, latency in named:
            table.add_row(
                printable(each.model),
                f"{each.bytes / 1e6:.2f}",
                f"{each.load_ms:.0f}",
                batch,
                f"{latency.first:.2f}",
                f"{latency.p50:.2f}",
                f"{latency.p95:.2f}",
                f"{latency.throughput:,.0f}",
            )
    make_console().print(table)
    versions = "".join(
        f", {name} {version}"
        for name, version in found.environment.get("packages", {}).items()
        if name in ("torch", "onnxruntime")
    )
    threads = counted(int(found.environment["threads"]), "thread")
    typer.echo(printable(f"{found.environment['cpu']}, {threads}{versions}"))
