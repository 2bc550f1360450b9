"""The command line of studies that run: ``run``, and ``demo``, which runs the one in the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distillab.errors import unknown_name
from distillab.machine import garbage_collection_paused
from distillab.report_cli import TrackOption

if TYPE_CHECKING:
    from distillab.api import Study
    from distillab.study.folder import StudyFolder

WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; default: one per CPU core.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def run_command(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The study's folder.")],
    workers: WorkersOption = None,
    executor: Annotated[str, typer.Option(help="inline, processes, ray or slurm.")] = "processes",
    device: DeviceOption = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Take equal runs from another study; may be repeated."),
    ] = None,
    track: TrackOption = None,
) -> None:
    """Run a study, or resume it, and write tables and report into DIR."""

    def read() -> Study:
        from distillab.api import Study

        return Study.read(study)

    _run(read, out, workers, executor, device, retry_failed, reuse or (), track)


def demo_command(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The study's folder; default: runs/quickstart.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short run per method: a minute.")] = False,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Run the quickstart study, which comes with the package: digits, three minutes on two cores."""

    def read() -> Study:
        from distillab.demo import quick_study, quickstart_file

        if quick:
            return quick_study()
        from distillab.api import Study

        return Study.read(quickstart_file())

    _run(read, out or Path("runs/quickstart-quick" if quick else "runs/quickstart"), workers, device=device)


def _run(
    read: Callable[[], Study],
    out: Path,
    workers: int | None,
    executor: str = "processes",
    device: str = "auto",
    retry_failed: bool = False,
    reuse: Sequence[Path] = (),
    track: str | None = None,
) -> None:
    """Run a study with progress, print its outcome, and exit."""
    from distillab.forkserver import prepare_workers

    if executor == "processes":
        prepare_workers()
    with garbage_collection_paused():
        from distillab.study.running import executors
        from distillab.terminal import load_progress, print_begun, print_outcome, run_progress

        chosen = read() if executor in executors else None
    if chosen is None:
        raise unknown_name("executor", executor, executors, where="--executor")

    def on_begin(folder: StudyFolder) -> None:
        print_begun(folder)
        on_progress.begin(folder)

    with load_progress() as on_load, run_progress() as on_progress:
        finished = chosen.run(
            out,
            workers=workers,
            executor=executor,
            device=device,
            retry_failed=retry_failed,
            reuse=reuse,
            on_progress=on_progress,
            on_load=on_load,
            on_begin=on_begin,
            track=track,
        )
    print_outcome(finished)
    raise typer.Exit(0 if finished.outcome.complete else 1)
