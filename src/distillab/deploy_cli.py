"""The verbs of deployment: export, predict, evaluate, benchmark. They print JSON lines or tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillab.errors import RequestError
from distillab.printable import printable_json

if TYPE_CHECKING:
    from distillab.deploy import FileDetections, FilePrediction

ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The folder of an exported model, or a model file in it.")
]
DeployAsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Compute threads; default: one per core.")]


def add_deploy_commands(app: typer.Typer) -> None:
    """Add the verbs of deployment to the command line.

    Args:
        app: The command line.

    Example:
        >>> app = typer.Typer()
        >>> add_deploy_commands(app)
        >>> sorted(command.name for command in app.registered_commands)
        ['benchmark', 'evaluate', 'export', 'predict']
    """
    app.command(name="export")(export_command)
    app.command(name="predict")(predict_command)
    app.command(name="evaluate")(evaluate_command)
    app.command(name="benchmark")(benchmark_command)


def export_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study.")],
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="[RUN_ID]", help="A run_id of results.parquet, or its beginning."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option("--format", metavar="F,F", help="Of safetensors, onnx, int8 and pt2; default: all."),
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", metavar="POINTS", help="What int8 may lose on val.")
    ] = 1.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Default: DIR/exported/RUN_ID.")
    ] = None,
    as_json: DeployAsJson = False,
) -> None:
    """Write a student of a study as a folder to ship: safetensors, ONNX, int8, card; each file checked."""
    from distillab.api.models import export
    from distillab.terminal.deploy import export_progress, print_export

    wanted = None
    if formats is not None:
        wanted = [name.strip() for name in formats.split(",") if name.strip()]
    with export_progress() as on_progress:
        found = export(folder, run_id, out, formats=wanted, max_drop=max_drop, on_progress=on_progress)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_export(found)
    raise typer.Exit(0 if found.checks.passed and set(found.checks.files) else 1)


def predict_command(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Files, and folders of files.")],
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", metavar="C", help="Boxes of at least this; default 0.3. Detectors."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A table with one row per box. Detectors.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="FOLDER", help="Images with boxes drawn. Detectors.")
    ] = None,
    animation: Annotated[
        Path | None, typer.Option("--gif", metavar="FILE", help="The same, one frame per image. Detectors.")
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option("--mot", metavar="FILE", help="Tracks as in MOTChallenge. Networks for tracking."),
    ] = None,
    rate: Annotated[
        float, typer.Option("--fps", min=0.1, max=50.0, help="Frames of --gif per second.")
    ] = 10.0,
    threads: Threads = None,
) -> None:
    """Print what is predicted of each image, one JSON line per file: class and probability, or boxes.

    A network for tracking takes the frames of one sequence, and its boxes have identities.
    """
    from distillab.api.models import load
    from distillab.deploy import detect_files, files_in, frames_in, predict_files, track_files
    from distillab.terminal.deploy import detection_outputs

    loaded = load(model, threads=threads)
    follows = loaded.task.follows
    files = frames_in(images) if follows else files_in(images, loaded)
    outputs = detection_outputs(loaded, confidence, table, pictures, animation, rate, tracks)
    if outputs is None:
        _print_results(predict_files(loaded, files))
        return
    outputs.check(images, files)
    least = {} if confidence is None else {"least": confidence}
    find = track_files if follows else detect_files
    _print_results(outputs.written(find(loaded, files, **least)))


def _print_results(results: Iterable[FilePrediction | FileDetections]) -> None:
    """Print one line per file, and end with the exit code 1 if one cannot be read."""
    done = failed = 0
    last = None
    for each in results:
        if each.error is None:
            typer.echo(printable_json(each.as_dict(), indent=None))
            done += 1
        else:
            if last is not None:
                typer.echo(str(last), err=True)
            last = RequestError(each.error, where=each.file)
            failed += 1
    if last is not None and not done:
        raise last  # the only file, or the last of several, none of which could be read
    if last is not None:
        typer.echo(str(last), err=True)
    sys.stdout.flush()
    raise typer.Exit(1 if failed else 0)


def evaluate_command(
    model: ModelPath,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder, a file, or source:argument.")],
    split: Annotated[str, typer.Option(help="auto, test, val, train or all.")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the source, such as label=fine_label."),
    ] = None,
    threads: Threads = None,
    as_json: DeployAsJson = False,
) -> None:
    """Measure a model on labelled data, whichever file of it: the same numbers by the same code."""
    from distillab.api.models import evaluate
    from distillab.terminal import load_progress
    from distillab.terminal.arguments import source_keys
    from distillab.terminal.deploy import print_evaluation

    keys = source_keys(settings or [])
    with load_progress() as on_load:
        found = evaluate(model, data, split=split, keys=keys, threads=threads, on_load=on_load)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_evaluation(found)


def benchmark_command(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Exported models, or their files.")
    ],
    batch: Annotated[int, typer.Option(help="The larger batch size, beside 1.")] = 32,
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time per batch size, about.")] = 2.0,
    frames: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also time network and tracker on these. Networks for tracking."),
    ] = None,
    as_json: DeployAsJson = False,
) -> None:
    """Time models on this CPU, in turn: latency at batch 1 and n, first pass, throughput, bytes."""
    from distillab.deploy import benchmark_models
    from distillab.terminal.deploy import print_benchmark

    found = benchmark_models(models, batch=batch, threads=threads, seconds=seconds, frames=frames)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_benchmark(found)


def _print_json(value: object) -> None:
    typer.echo(printable_json(value))
