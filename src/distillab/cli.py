"""The command line: parse, call, print. Exit codes: 0 done, 1 some runs failed, 2 the request is wrong."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from distillab import __version__
from distillab.claims_cli import claims_app
from distillab.compress_cli import compress_command
from distillab.deploy_cli import add_deploy_commands
from distillab.errors import DiskFullError, RequestError, WorkerStartError, unknown_name
from distillab.explain_cli import explain_command
from distillab.printable import printable, printable_json
from distillab.report_cli import (
    repair_command,
    report_command,
    status_command,
    verify_command,
    watch_command,
)
from distillab.run_cli import demo_command, run_command
from distillab.shipping_cli import distill_command
from distillab.user_code import ALLOW_CODE, CodeRule, code_ruled

# Newer Typers bundle click, older ones import it; the base of BadParameter is UsageError in both.
UsageError: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]

READERS = frozenset({"report", "status", "verify", "watch"})  # they never load code that a study names
INTERRUPTED = 130  # the exit code that Typer returns for Ctrl-C
_received: list[str] = []  # the signals, but for Ctrl-C, that have ended this process
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(claims_app, name="claims")
app.command(name="compress")(compress_command)
add_deploy_commands(app)
app.command(name="explain")(explain_command)
app.command(name="distill")(distill_command)
app.command(name="run")(run_command)
app.command(name="demo")(demo_command)
app.command(name="status")(status_command)
app.command(name="report")(report_command)
app.command(name="watch")(watch_command)
app.command(name="verify")(verify_command)
app.command(name="repair")(repair_command)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
StudyDir = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `distillab run` made.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[str, typer.Argument(metavar="DATA", help="A folder, a file, or source:argument.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one per CPU core.")]
WeightsFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The weights: safetensors, .pt, .pth, .bin or .ckpt.")
]
SourceKeys = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the source, such as label=fine_label."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"distillab {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    allow_code: Annotated[
        bool,
        typer.Option(ALLOW_CODE, help="Run methods and networks that a study names as code; anywhere."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Does distilling a teacher into a student help on this data, what decides it, and what to do?"""


@app.command(name="plan")
def plan_command(
    study: StudyFile,
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="DIR", help="A study that has run: its spread of gains."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Show the expanded design: cells, runs, shared teachers, cost, power. Trains nothing."""
    from distillab.api import Study
    from distillab.evidence.planned_family import planned_tests
    from distillab.evidence.planned_power import measured_spread, planned_power
    from distillab.explain.costs import planned_maps
    from distillab.study.planning.summary import summarize_plan
    from distillab.terminal import load_progress, print_plan
    from distillab.training.numerics.device import pick_device

    chosen = Study.read(study)
    spread = measured_spread(results, chosen.spec.task_config()) if results else None
    with load_progress() as progress:
        dataset, expanded = chosen.plan(device=device, on_load=progress)
        maps = planned_maps(chosen.spec, dataset, expanded.at_most)
        seen = summarize_plan(
            chosen.spec, dataset, expanded, pick_device(device), maps=maps, progress=progress
        )
    power = planned_power(seen, spread, tests=planned_tests(chosen.spec, expanded.at_most.cells))
    if as_json:
        _print_json({**seen.as_dict(), "power": power.as_dict()})
    else:
        print_plan(seen, power)


@app.command(name="reproduce")
def reproduce_command(
    folder: StudyDir,
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run_id of results.parquet.")],
    device: Device = "auto",
) -> None:
    """Run one job of a study again and compare its numbers with the stored ones."""
    from distillab.study import running
    from distillab.study.folder import StudyFolder
    from distillab.terminal import print_comparison

    comparison = running.reproduce(StudyFolder.open(folder), run_id, device)
    print_comparison(comparison)
    raise typer.Exit(0 if comparison.agrees else 1)


@app.command(name="profile")
def profile_command(
    data: Data,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with pictures.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="OTHER", help="Another dataset to measure the distance to.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="M", help="A model (with --weights) or the DIR of a study.")
    ] = None,
    weights: WeightsFile = None,
    embedding: Annotated[
        str | None, typer.Option(help="patches or imagenet; spectra of recordings, characters of texts.")
    ] = None,
    settings: SourceKeys = None,
    device: Device = "auto",
) -> None:
    """Show the properties of a dataset: labels, duplicates, shortcuts, difficulty. Trains no network."""
    from distillab import api
    from distillab.report.page.profile import write_profile
    from distillab.terminal import load_progress, print_profile
    from distillab.terminal.arguments import require_writable, source_keys

    require_writable(out)
    with load_progress() as on_load:
        found = api.profile(
            data,
            against=against,
            teacher=teacher,
            weights=weights,
            embedding=embedding,
            keys=source_keys(settings or []),
            device=device,
            on_load=on_load,
        )
    if out is not None:
        write_profile(found, out)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_profile(found, out)


@app.command(name="advise")
def advise_command(
    data: Data,
    student: Annotated[str, typer.Option(metavar="S", help="The student's model.")] = "resnet8",
    teacher: Annotated[
        str | None, typer.Option(metavar="T", help="A model, trained on DATA unless --weights, or a DIR.")
    ] = None,
    weights: WeightsFile = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="90s, 15m, 1h30m; 0 trains nothing.")] = "15m",
    margin: Annotated[float, typer.Option(help="Gains up to this fraction do not matter.")] = 0.005,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where runs and page are kept.")] = None,
    base: Annotated[Path | None, typer.Option(metavar="DIR", help="Another evidence base.")] = None,
    settings: SourceKeys = None,
    workers: Workers = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Recommend whether to distil on this data: an answer with an interval, or none, within a budget."""
    started = time.monotonic()
    from distillab.forkserver import prepare_workers

    if budget.strip("0. "):
        prepare_workers()
    from distillab import api
    from distillab.advise import parse_budget
    from distillab.terminal import budget_progress, print_advice
    from distillab.terminal.arguments import source_keys

    seconds = parse_budget(budget)
    with budget_progress(seconds) as (on_progress, _):
        found = api.advise(
            data,
            student=student,
            teacher=teacher,
            weights=weights,
            budget=seconds,
            margin=margin,
            out=out,
            base=base,
            keys=source_keys(settings or []),
            workers=workers,
            device=device,
            on_progress=on_progress,
            started=started,
        )
    if as_json:
        _print_json(found.as_dict())
    else:
        print_advice(found)


@app.command(name="across")
def across_command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR]...", help="Studies or an evidence base; default: the one shipped."),
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="A method to compare; may be repeated.")] = None,
    margin: Annotated[float | None, typer.Option(help="The largest gain that does not matter.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with figures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what holds over several data sets: gains, harms, what they depend on, worth in data."""
    from distillab import api
    from distillab.terminal import print_across
    from distillab.terminal.arguments import require_writable

    require_writable(out)
    found = api.across(*(folders or ()), methods=method or (), margin=margin)
    if out is not None:
        found.write(out)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_across(found, out)


@app.command(name="list")
def list_command(
    what: Annotated[str, typer.Argument(help="sources, factors, models, methods, tasks or modalities.")],
    as_json: AsJson = False,
) -> None:
    """List the names that a study file can use."""
    from distillab.catalogue import CATALOGUE
    from distillab.terminal import print_catalogue

    if what not in CATALOGUE:
        raise unknown_name("list", what, CATALOGUE, where="distillab list")
    entries = CATALOGUE[what]()
    if as_json:
        _print_json([entry.as_dict() for entry in entries])
    else:
        print_catalogue(what, entries)


@app.command(name="selftest")
def selftest_command(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Keep the table and the networks' outputs.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="With less than 20, a reduced selftest.")] = 20.0,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Check on small trained networks that intervals and verdicts are right as often as they should be."""
    from distillab.selftest import run_selftest
    from distillab.terminal import load_progress, print_selftest

    with load_progress() as progress:
        found = run_selftest(out, minutes=minutes, workers=workers, on_progress=progress)
    if as_json:
        _print_json(found.as_dict())
    else:
        print_selftest(found)
    raise typer.Exit(0 if found.passed else 1)


def _print_json(value: Any) -> None:
    typer.echo(printable_json(value))


def main() -> None:
    """Run the command line of this process, and exit."""
    # Python processes that this one starts do not import files of the folder that it was called in.
    os.environ["PYTHONSAFEPATH"] = "1"
    for name in ("SIGTERM", "SIGHUP"):  # `kill`, a time limit, or a terminal that is closed
        if (number := getattr(signal, name, None)) and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    code = execute(sys.argv[1:])
    # Python's last garbage collection would walk through all of torch, longer than many commands take.
    gc.freeze()
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    """End the command as Ctrl-C does: jobs that run are put back in the queue."""
    signal.signal(number, signal.SIG_IGN)  # a second one does not disturb what is being put back
    _received.append(signal.Signals(number).name)
    raise KeyboardInterrupt


def execute(arguments: list[str]) -> int:
    """Run a command line and return its exit code. Errors are printed as one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # paths may hold bytes that are no text, or the locale be C
            stream.reconfigure(errors="backslashreplace")
    with code_ruled(_rule_of(arguments)):
        return _execute([each for each in arguments if each != ALLOW_CODE])


def _rule_of(arguments: list[str]) -> CodeRule:
    """Return what a command line does with Python code that a study names."""
    if next((each for each in arguments if not each.startswith("-")), "") in READERS:
        return CodeRule.NEVER
    return CodeRule.ALLOW if ALLOW_CODE in arguments else CodeRule.PROMPT


def _execute(arguments: list[str]) -> int:
    try:
        code = app(arguments or ["--help"], prog_name="distillab", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except RequestError as error:
        return _end(str(error_for_command(error, arguments)), 2, arguments)
    except UsageError as error:
        return _end(_usage(error), 2, arguments)
    except DiskFullError as error:
        return _end(f"{error}; what was finished is kept: make room and run it again", 1, arguments)
    except WorkerStartError as error:
        return _end(f"{error}; what was finished is kept", 1, arguments)
    except (typer.Abort, KeyboardInterrupt):
        by = f" by {_received[-1]}" if _received else ""
        return _end(f"stopped{by}; what was finished is kept, and the same command resumes it", 1, arguments)
    except Exception as error:  # noqa: BLE001 - the last resort: one line, and a traceback with --debug
        return _end(f"{type(error).__name__}: {error}", 1, arguments)


def error_for_command(error: RequestError, arguments: list[str]) -> RequestError:
    """Return an error whose hints can be used with the command that raised it.

    Args:
        error: The error.
        arguments: The command line.

    Example:
        >>> print(error_for_command(RequestError("no", allowed="`resolution: 32`"), ["profile", "photos"]))
        no (allowed: `resolution: 32` (on the command line --set resolution=32))
    """
    from distillab.terminal.arguments import with_settings

    name = next((each for each in arguments if not each.startswith("-")), "")
    command = getattr(typer.main.get_command(app), "commands", {}).get(name)
    has_set = command is not None and any("--set" in option.opts for option in command.params)
    return with_settings(error) if has_set else error


def _usage(error: Any) -> str:
    command = error.ctx.command_path if error.ctx else "distillab"
    where = command.removeprefix("distillab").strip()
    return f"{where}{': ' if where else ''}{error.format_message()} (see `{command} --help`)"


def _end(line: str, code: int, arguments: list[str]) -> int:
    if "--debug" in arguments:
        typer.echo(printable(traceback.format_exc(), keep="\n\t"), err=True)
        if isinstance(error := sys.exception(), WorkerStartError):
            typer.echo(printable(error.worker_traceback, keep="\n\t"), err=True)
    typer.echo(f"distillab: {printable(' '.join(line.split()))}", err=True)
    return code


if __name__ == "__main__":
    main()
