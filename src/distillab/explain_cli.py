"""The verb ``distillab explain``: where images support the class that an exported model predicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from distillab.deploy_cli import ModelPath
from distillab.errors import RequestError
from distillab.printable import printable_json


def explain_command(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Files, and folders of files.")],
    method: Annotated[
        str, typer.Option("--method", help="grad_cam, integrated_gradients, lime or occlusion.")
    ] = "grad_cam",
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Default: the predicted class.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where overlays are written as PNG.")
    ] = Path("explained"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list instead of lines.")] = False,
) -> None:
    """Show where images support a class: a PNG overlay and one JSON line per file."""
    from distillab.api.explanations import Explanation, explain_files

    done: list[Explanation] = []
    failed: list[RequestError] = []
    for each in explain_files(model, images, method=method, class_name=class_name, out=out):
        if each.error is not None:
            failed.append(RequestError(each.error, where=each.file))
            continue
        done.append(each)
        if not as_json:
            typer.echo(printable_json(each.as_dict(), indent=None))
    if failed and not done:
        for error in failed[:-1]:
            typer.echo(str(error), err=True)
        raise failed[-1]  # the only file, or the last of several, none of which could be read
    for error in failed:
        typer.echo(str(error), err=True)
    if as_json:
        typer.echo(printable_json([each.as_dict() for each in done]))
    sys.stdout.flush()
    raise typer.Exit(1 if failed else 0)
