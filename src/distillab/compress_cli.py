"""The verb ``distillab compress``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distillab.printable import printable_json

ModelToCompress = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The folder of an exported model, or model.safetensors.")
]
ItsData = Annotated[
    str, typer.Argument(metavar="DATA", help="What MODEL was trained on: a folder, or source:argument.")
]
Prune = Annotated[
    str, typer.Option(metavar="SHARE", help="Of weights to remove; or stages, such as 0.3,0.5; 0: none.")
]
Kinds = Annotated[str, typer.Option(metavar="K,K", help="structured (channels), unstructured (zeros).")]
Int8 = Annotated[bool, typer.Option("--int8/--no-int8", help="Whether networks are quantized.")]
OtherTeacher = Annotated[
    Path | None, typer.Option(metavar="T", help="Another exported model; default: the unpruned network.")
]
MaxDrop = Annotated[float, typer.Option("--max-drop", metavar="POINTS", help="What may be lost on val.")]
CompressionDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Resumed if it exists.")]
DataKeys = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the source, such as label=fine_label."),
]


def compress_command(
    model: ModelToCompress,
    data: ItsData,
    prune: Prune = "0.5",
    kinds: Kinds = "structured,unstructured",
    int8: Int8 = True,
    teacher: OtherTeacher = None,
    method: Annotated[str, typer.Option(help="The method of distillation.")] = "kd",
    steps: Annotated[int | None, typer.Option(help="Of fine-tuning per stage; default: 5 epochs.")] = None,
    seeds: Annotated[int, typer.Option(help="Networks per arm; a verdict needs 5.")] = 5,
    max_drop: MaxDrop = 1.0,
    out: CompressionDir = Path("compressed"),
    settings: DataKeys = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one per core.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prune, distil and quantize a trained network, and write the smallest that is as good."""
    from distillab.api.compression import compress, parse_kinds
    from distillab.deploy.compression.schedule import pruning_stages
    from distillab.forkserver import prepare_workers
    from distillab.terminal.arguments import source_keys
    from distillab.terminal.compression import compression_progress, print_compression

    pruning_stages(prune)
    wanted = parse_kinds(kinds)
    prepare_workers()
    with compression_progress() as on_progress:
        found = compress(
            model,
            data,
            prune=prune,
            kinds=wanted,
            int8=int8,
            teacher=teacher,
            method=method,
            steps=steps,
            seeds=seeds,
            max_drop=max_drop,
            keys=source_keys(settings or []),
            out=out,
            workers=workers,
            device=device,
            on_progress=on_progress,
        )
    if as_json:
        typer.echo(printable_json(found.as_dict()))
    else:
        print_compression(found)
    raise typer.Exit(1 if found.failed else 0)
