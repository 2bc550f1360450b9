"""The command line of ``distillab distill``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from distillab.printable import printable_json


def distill_command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder, a file, or source:argument.")],
    student: Annotated[str, typer.Option(metavar="S", help="The student's model.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where study and student are kept.")],
    teacher: Annotated[
        str | None, typer.Option(metavar="T", help="A model (trained on DATA unless --weights), DIR or FILE.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its weights; or its .onnx, or predictions: .parquet, .npz."),
    ] = None,
    methods: Annotated[str, typer.Option(metavar="auto|kd,dkd,...", help="What competes.")] = "auto",
    budget: Annotated[str, typer.Option(metavar="TIME", help="90s, 20m, 1h30m.")] = "20m",
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Pairs; default: 5 to 10.")] = None,
    size: Annotated[int | None, typer.Option(min=8, metavar="PIXELS", help="Resize images.")] = None,
    margin: Annotated[float, typer.Option(help="Gains up to this fraction do not matter.")] = 0.005,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Keys of source and teacher, as teacher.entry=ema."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a student to ship within a budget: distilled or plain, whichever is better on this data."""
    started = time.monotonic()
    from distillab.forkserver import prepare_workers

    prepare_workers()
    from distillab import api
    from distillab.advise import parse_budget
    from distillab.terminal import budget_progress, print_shipping
    from distillab.terminal.arguments import source_keys

    with budget_progress(parse_budget(budget)) as (on_stage, on_line):
        found = api.ship(
            data,
            student,
            teacher=teacher,
            weights=weights,
            methods=methods,
            budget=budget,
            seeds=seeds,
            size=size,
            out=out,
            margin=margin,
            keys=source_keys(settings or []),
            workers=workers,
            device=device,
            on_stage=on_stage,
            on_line=on_line,
            started=started,
        )
    if as_json:
        typer.echo(printable_json(found.as_dict()))
    else:
        print_shipping(found)
    raise typer.Exit(0 if found.is_whole else 1)
