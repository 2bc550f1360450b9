"""The command line of what is known of a study: ``status``, ``report``, ``watch``, ``verify``, ``repair``."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from distillab.printable import printable, printable_json

StudyFolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder that `distillab run` made.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrackOption = Annotated[
    str | None,
    typer.Option("--track", metavar="mlflow|tensorboard", help="Enter every run there as well, once."),
]


def status_command(folder: StudyFolderArgument, as_json: Json = False) -> None:
    """Show how far a study is: jobs by state, time left, the last finished job, failures by reason."""
    from distillab.study.status import study_status
    from distillab.terminal import print_status

    found = study_status(folder)
    if as_json:
        typer.echo(printable_json(found.as_dict()))
    else:
        print_status(found, time.time())


def report_command(
    folder: StudyFolderArgument,
    as_json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Also write results.csv and effects.csv.")] = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="Also write the figures as PNG and SVG (needs Chromium).")
    ] = False,
    track: TrackOption = None,
) -> None:
    """Write the tables and report.html of DIR from what has run so far."""
    from distillab import api
    from distillab.terminal import print_outcome

    finished = api.report(folder, csv=csv, figures=figures, track=track)
    if as_json:
        typer.echo(printable_json(finished.as_dict()))
    else:
        print_outcome(finished)


def verify_command(
    folder: StudyFolderArgument,
    data: Annotated[
        bool, typer.Option("--data", help="Also read the data again and compare them with the copy in DIR.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every file of DIR against the digests that it was written with; changes nothing."""
    from distillab import api
    from distillab.terminal import load_progress, print_verification

    with load_progress() as on_load:
        found = api.verify(folder, data=data, on_load=on_load)
    if as_json:
        typer.echo(printable_json(found.as_dict()))
    else:
        print_verification(found)
    raise typer.Exit(0 if found.is_sound else 1)


def repair_command(
    folder: StudyFolderArgument,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Make a ledger that is damaged or gone anew, from study.yaml and the store of DIR."""
    from distillab import api
    from distillab.terminal import load_progress, print_repaired

    with load_progress() as on_load:
        done = api.repair(folder, device=device, on_load=on_load)
    print_repaired(done, folder)


def watch_command(
    folder: StudyFolderArgument,
    port: Annotated[int, typer.Option(help="The port; 0 for a free one.")] = 8321,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks at the study.")] = 10.0,
) -> None:
    """Show the report of DIR in a browser of this machine, and renew it while the study runs."""
    from distillab.watch import ReportServer

    def renew(path: Path) -> None:
        from distillab import api

        api.report(path)

    server = ReportServer(folder, port, renew, every=every)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it as Ctrl-C does
    try:
        typer.echo(printable(f"{server.address} shows the report of {folder} until Ctrl-C"))
        server.run()
    except KeyboardInterrupt:
        typer.echo("stopped watching; the study is not affected")
