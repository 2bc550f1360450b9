"""What the command line prints of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from distillab.printable import counted, printable
from distillab.terminal.console import make_console
from distillab.terminal.lengths import confounded_in_plan, length_of
from distillab.terminal.wording import time_span

if TYPE_CHECKING:  # the command line prints other things without torch, which takes seconds to import
    from distillab.evidence.planned_power import PlannedPower
    from distillab.study.planning.summary import PlanSummary


def print_plan(seen: PlanSummary, power: PlannedPower | None = None) -> None:
    """Print the design, its cost and its power.

    Args:
        seen: The plan in numbers.
        power: What it can show; by default under an assumed spread of gains.

    Example:
        >>> from distillab.study.planning.summary import PlanSummary
        >>> facts = dict(study="demo", dataset="digits", images={"train": 9, "test": 6}, image="8x8, gray")
        >>> facts |= dict(notes=(), factors={}, conditions=1, cells=2, arms=2, seeds=5, excluded=())
        >>> facts |= dict(runs={"student": 10, "teacher": 1, "outputs": 1}, reused_outputs=4, stored_bytes=9)
        >>> facts |= dict(live=0, seconds={"student": 60.0, "teacher": 9.0, "outputs": 1.0}, workers=2)
        >>> facts |= dict(wall_seconds=40.0, recipes={}, numerics={}, confidence=0.95, margin=0.005, looks=())
        >>> facts |= dict(least_students=10, least_seconds=70.0, least_wall_seconds=40.0)
        >>> print_plan(PlanSummary(**facts))
        study          demo...
        data           digits: 9 train, 6 test examples, 8x8, gray...
        design         1 condition x 2 methods x 5 seeds, 2 cells...
    """
    from distillab.evidence.planned_power import planned_power

    power = power or planned_power(seen)

    console = make_console()
    splits = ", ".join(f"{count:,} {name}" for name, count in seen.images.items())
    hours = {kind: time_span(value) for kind, value in seen.seconds.items()}
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("study", printable(seen.study))
    table.add_row("data", f"{printable(seen.dataset)}: {splits} examples, {seen.image}")
    for note in seen.notes:
        table.add_row("", printable(note))
    for factor, levels in seen.factors.items():
        table.add_row("factor", f"{factor}: {levels}")
    table.add_row(
        "design",
        f"{counted(seen.conditions, 'condition')} x {counted(seen.arms, 'method')} x {_seeds(seen)}, "
        f"{counted(seen.cells, 'cell')}",
    )
    table.add_row(
        "runs",
        f"{counted(seen.runs['student'], 'student')}, {counted(seen.runs['teacher'], 'teacher')}, "
        f"{counted(seen.runs['outputs'], 'set')} of teacher outputs "
        f"(reused {counted(seen.reused_outputs, 'time')})",
    )
    if seen.tuning:
        table.add_row("tuning", seen.tuning)
    live = f"; {seen.live} students query a live teacher" if seen.live else ""
    table.add_row("", f"outputs take {seen.stored_bytes / 1e6:,.1f} MB at most{live}")
    workers = counted(seen.workers, "worker")
    table.add_row("wall time", f"about {time_span(seen.wall_seconds)} with the {workers} of this machine")
    table.add_row(
        "training time",
        f"about {time_span(sum(seen.seconds.values()))} in all workers together "
        f"(teachers {hours['teacher']}, outputs {hours['outputs']}, students {hours['student']}), "
        "from timed trials of a few seconds per model on this machine",
    )
    for name, text in _after_training(seen):
        table.add_row(name, text)
    if seen.looks:
        table.add_row(
            "",
            f"at most; if the first interim analysis decides everything, {seen.least_students} students "
            f"and about {time_span(seen.least_wall_seconds)} of wall time "
            f"(interim analyses at {', '.join(map(str, seen.looks))} seeds)",
        )
    for place, line in enumerate(_draws(seen, power)):
        table.add_row("" if place else "draws", line)
    for line in power.sentences:
        table.add_row("power", line)
    _add_recipes(table, seen)
    for reason in seen.excluded:
        table.add_row("excluded", reason)
    console.print(table)


def _after_training(seen: PlanSummary) -> list[tuple[str, str]]:
    """Return the rows of evaluations by retrieval and of explanation maps, for studies that have them."""
    rows = []
    if seen.retrieval_seconds:
        seconds = time_span(seen.retrieval_seconds)
        rows.append(
            ("retrieval", f"about {seconds} of the training time, to embed and to search the database")
        )
    if maps := seen.maps:
        what = f"{', '.join(maps.attributions)} of {counted(maps.networks, 'network')}"
        rows.append(
            (
                "explanations",
                f"about {time_span(seen.map_seconds)} in all workers together, after the training and part "
                f"of the wall time ({what} on {counted(maps.images, 'image')})",
            )
        )
    return rows


def _add_recipes(table: Table, seen: PlanSummary) -> None:
    """Add the rows of recipes, lengths and numerics."""
    from distillab.modalities.views import Views

    for size, recipe in seen.recipes.items():
        table.add_row(
            "recipe",
            f"{size:,} examples: {length_of(seen, size, recipe)} of {recipe['batch_size']}, "
            f"{recipe['optimiser']} lr {recipe['lr']:g} {recipe['schedule']}, "
            f"views {Views.read(recipe['views'], recipe['pad']).label}",
        )
    for sentence in confounded_in_plan(seen):
        table.add_row("", sentence)
    for model, choice in seen.numerics.items():
        table.add_row("numerics", f"{model}: {choice}")
    if seen.probes:
        share = seen.probe_seconds / max(sum(seen.seconds.values()), 1e-9)
        table.add_row(
            "probes",
            f"{seen.probes} of the students are trained for twice the steps, to see whether training is long "
            f"enough: {100 * share:.0f} % of the training time (`evidence: {{probes: 0}}` omits them)",
        )


def _seeds(seen: PlanSummary) -> str:
    return f"{seen.looks[0]} to {seen.looks[-1]} seeds" if seen.looks else counted(seen.seeds, "seed")


def _draws(seen: PlanSummary, power: PlannedPower) -> list[str]:
    """Return what seeds draw, how many teachers there are, and what other numbers would cost."""
    drawn = "views of their own" if seen.views_drawn else "the same views"
    split = "train/val splits of their own" if seen.split_drawn else "the same train/val split"
    lines = [f"seeds have {drawn} and {split}; test examples are the same for all"]
    if seen.teachers is None:
        return lines
    chosen = seen.teachers
    why = "chosen by the plan" if chosen.automatic else "as the study states"
    if chosen.automatic:
        least = "no more than" if chosen.replicates == "each" else "more than"
        why += f": one for each of {counted(seen.seeds, 'seed')} would cost {least} the students"
    lines.append(f"teachers of provenance full: {chosen.replicates} ({why})")
    for number in chosen.options:
        name = "each" if number >= seen.seeds else str(number)
        if number == 1 and seen.seeds > 1:
            width = "intervals hold for this teacher alone"
        elif number >= seen.seeds:
            width = "intervals cover new teachers"
        else:
            width = f"intervals cover new teachers, about {power.relative_width[number]:.1f} times as wide"
        seconds = seen.teacher_seconds.get(number)
        cost = f"about {time_span(seconds)} of teacher training, " if seconds is not None else ""
        lines.append(f"  replicates: {name}: {cost}{width}")
    spread = power.spread
    if any(1 < number < seen.seeds for number in chosen.options):
        source = "measured" if spread.share_measured else "an assumption"
        share = f"{100 * spread.teacher_share:.0f} %"
        lines.append(f"  if the teacher makes up {share} of the variance of gains ({source})")
    return lines
