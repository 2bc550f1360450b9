"""Write the tables of docs/systems/: gains, students against teachers, exits, explanations, by study.

python docs/systems_table.py [--check]
python docs/systems_table.py --add NAME DIR

A page has a place ``<!-- NAME KIND -->`` for each of its tables, where NAME is a study of
``studies/systems/`` and KIND one of ``KINDS``. They are written from
``docs/results/systems/NAME-TABLE.parquet``, which ``--add`` copies from the folder of a finished study. Of a
study whose test set has groups it also writes what the group alone predicts, into ``NAME-group-rule.csv``.
With ``--check`` nothing is written, and 1 is returned if something would change.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from generated import DOCS, gain_with_interval, replace_block, table, write_or_check
from scipy import stats
from systems_groups import (
    ALONE,
    RULE,
    by_group,
    group_rules,
    left_out_of,
    new_sites,
    of_rule,
    recalls,
    write_rules,
)
from systems_networks import selection, speed, teacher_scores
from systems_rows import (
    STUDIES,
    TABLES,
    levels_of,
    mean_of_runs,
    percent,
    points,
    primary_of,
    rows_of,
    with_used_columns,
)
from systems_tracks import followed

from distillab.evidence import Row
from distillab.evidence.schema import read_rows
from distillab.factors.factor import level_text
from distillab.study.folder import StudyFolder

COPIED = (
    "results",
    "effects",
    "level-effects",
    "against-teacher",
    "exits",
    "explanations",
    "explanation-gains",
    "groups",
    "alignment",
)
PAGES = (DOCS / "systems.md", DOCS / "detection.md", *sorted((DOCS / "systems").glob("*.md")))
NOT_RUN = "The study has not been run yet."
PLACE = re.compile(r"<!-- ([a-z0-9-]+) ([a-z-]+) -->")


BOTH_INTERVALS = (
    "The interval beside a gain is for {draws}; that under *same networks* is\n"
    "for these trained networks on new test examples, which is what a bootstrap over test examples estimates."
)


def gains(study: str, metric: str = "") -> str:
    """Return the gains of every method over every baseline, in the primary metric or in a given one."""
    metric = metric or primary_of(study)
    results = [row for row in rows_of(study, "results") if row["status"] == "done"]
    effects = [row for row in rows_of(study, "effects") if row["metric"] == metric]
    place, numbers = ("condition", "teacher", "student", "baseline", "method"), ("plain, %", "distilled, %")
    head = (*place, ALONE, *numbers, "gain, points", "same networks", "pairs", "verdict")
    has_both = any(_interval_of_same_runs(row) for row in effects)
    return with_used_columns(
        head,
        [
            (
                levels_of(row),
                f"`{row['teacher']}`",
                f"`{row['student']}`",
                f"`{row['baseline']}`",
                f"`{row['method']}`",
                of_rule(study, metric),
                percent(mean_of_runs(results, row | {"method": row["baseline"]}, metric)),
                percent(mean_of_runs(results, row, metric)),
                points(row),
                _interval_of_same_runs(row),
                str(row["n_pairs"]),
                str(row.get("verdict_family") or row["verdict"]),
            )
            for row in effects
        ],
    ) + (f"\n\n{BOTH_INTERVALS.format(draws=_draws_of(effects))}" if has_both else "")


def _draws_of(effects: Sequence[Row]) -> str:
    """Return what the intervals of effects are about."""
    alone = all(row.get("n_teachers") == 1 for row in effects)
    return (
        "new seeds and test examples, with this one teacher"
        if alone
        else "new seeds, teachers and test examples"
    )


def _interval_of_same_runs(row: Row) -> str:
    """Return the interval for the same trained networks on new test units; empty in tables without it."""
    low, high = (row.get(f"ci_{end}_same_runs") for end in ("low", "high"))
    return "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"


def within_groups(study: str) -> str:
    """Return the gains in the mean score of the groups, each counted once."""
    return gains(study, f"group_{primary_of(study)}")


def among_positive(study: str) -> str:
    """Return the gains in macro AUC among the test examples that have at least one label."""
    return gains(study, "macro_auc_positive")


def levels(study: str) -> str:
    """Return the differences between levels in the gain of the declared or of all methods."""
    rows = [row for row in rows_of(study, "level-effects") if row["metric"] == primary_of(study)]
    head = ("student", "method", "between", "difference, points", "pairs", "verdict")
    return table(
        head,
        [
            (
                f"`{row['student']}`",
                f"`{row['method']}`",
                f"{level_text(row['level'])} and {level_text(row['reference'])}",
                points(row, ("difference", "ci_low", "ci_high")),
                str(row["n_pairs"]),
                str(row.get("verdict_family") or row["verdict"]),
            )
            for row in rows
        ],
    )


def teachers(study: str) -> str:
    """Return the students of every method against their teacher: score, loss and the paired difference."""
    head = ("student", "method", "score, %", "loss, nats", "less its teacher, points", "pairs", "verdict")
    return table(
        head,
        [
            (
                f"`{row['student']}`",
                f"`{row['method']}`",
                percent(row["score"]),
                f"{row['loss']:.3f}",
                points(row, ("difference", "ci_low", "ci_high")),
                str(row["n_pairs"]),
                str(row["verdict"]),
            )
            for row in rows_of(study, "against-teacher")
        ],
    )


def exits(study: str) -> str:
    """Return the mean score of every exit of every method, with its parameters and cost."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(study, "exits"):
        found.setdefault((row["method"], str(row["exit"])), []).append(row)
    head = ("method", "exit", "parameters", "M MACs", "test, %", "runs")
    scores: dict[str, list[float]] = {}
    for (method, _), rows in found.items():
        scores.setdefault(method, []).append(float(np.mean([row["score"] for row in rows])))
    methods = list(scores)
    # `vote=True` is the same training: the exits of both are the same.
    shown = [
        each for place, each in enumerate(methods) if scores[each] not in [scores[m] for m in methods[:place]]
    ]
    return table(
        head,
        [
            (
                f"`{method}`",
                exit_,
                f"{rows[0]['params']:,}",
                f"{rows[0]['macs'] / 1e6:.2f}",
                percent(float(np.mean([row["score"] for row in rows]))),
                str(len(rows)),
            )
            for (method, exit_), rows in found.items()
            if method in shown
        ],
    )


def maps(study: str) -> str:
    """Return the measures of attribution maps: of plain and distilled students, and the gain."""
    head = ("condition", "attribution", "measure", "plain", "distilled", "gain", "pairs")
    return with_used_columns(
        head,
        [
            (
                levels_of(row),
                str(row.get("attribution") or ""),
                str(row["measure"]).replace("_", " "),
                f"{row['plain']:.3f}",
                f"{row['distilled']:.3f}",
                f"{row['gain']:+.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
                if row["ci_low"] is not None
                else f"{row['gain']:+.3f} [no interval]",
                str(row["n_pairs"]),
            )
            for row in rows_of(study, "explanation-gains")
        ],
    )


def leakage(study: str) -> str:
    """Return what students reach on images split at random beyond whole groups on one side.

    The interval of the difference is that of Welch over seeds, widened by the sampling of both test sets.
    """
    by_image = rows_of(f"{study}-by-image", "results")
    places = dict.fromkeys((row["student"], row["method"]) for row in rows_of(study, "results"))
    lines = []
    for place in places:
        groups, images = (
            [row for row in rows if (row["student"], row["method"]) == place]
            for rows in (rows_of(study, "results"), by_image)
        )
        low, high, difference = _welch(images, groups)
        scores = [float(np.mean([row["accuracy"] for row in rows])) for rows in (groups, images)]
        cells = (f"`{place[0]}`", f"`{place[1]}`", *map(percent, scores))
        lines.append((*cells, gain_with_interval(100 * difference, 100 * low, 100 * high)))
    head = ("student", "method", "split by tile, %", "split by image, %", "difference, points")
    return table(head, lines)


def _welch(ones: Sequence[Row], others: Sequence[Row]) -> tuple[float, float, float]:
    """Return the ends of a 95 % interval and the difference of mean accuracies of independent studies."""
    means, variances = [], []
    for rows in (ones, others):
        values = np.array([row["accuracy"] for row in rows])
        mean = float(values.mean())
        means.append(mean)
        variances.append(float(values.var(ddof=1)) / len(values) + mean * (1 - mean) / rows[0]["n_test"])
    half = float(stats.t.ppf(0.975, len(ones) + len(others) - 2)) * float(np.sqrt(sum(variances)))
    difference = means[0] - means[1]
    return difference - half, difference + half, difference


CONTROLS = (
    *("border_share", "teacher_border_share", "border_area"),
    *(f"{name}{end}" for name in ("deletion", "insertion") for end in ("", "_random", "_untrained")),
)


def controls(study: str) -> str:
    """Return the means of measures of maps beside those of their controls, by method and attribution."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(study, "explanations"):
        found.setdefault((row["attribution"], row["method"]), []).append(row)
    places = list(found)
    head = ("measure", *(f"{attribution}, `{method}`" for attribution, method in places))
    return table(
        head,
        [
            (
                name.replace("_", " "),
                *(f"{float(np.mean([row[name] for row in found[place]])):.3f}" for place in places),
            )
            for name in CONTROLS
        ],
    )


def border(study: str) -> str:
    """Return how much more of the attribution lies on the border than the border has of the image.

    Intervals are those of Student's t over teachers, whose networks are averaged first: those of one teacher
    are no independent draws.
    """
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows_of(study, "explanations"):
        for who, share in ((f"`{row['method']}`", "border_share"), ("teacher", "teacher_border_share")):
            if row[share] is not None:
                by_teacher = found.setdefault((row["attribution"], who), {})
                by_teacher.setdefault(row["teacher_run"], []).append(row[share] - row["border_area"])
    lines = []
    for (attribution, who), by_teacher in found.items():
        means = np.array([np.mean(values) for values in by_teacher.values()])
        half = float(stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)) if len(means) > 1 else np.nan
        mean = float(means.mean())
        lines.append(
            (attribution, who, f"{mean:+.3f} [{mean - half:.3f}, {mean + half:.3f}]", str(len(means)))
        )
    return table(("attribution", "network", "border share less its area", "teachers"), lines)


def alignment(study: str) -> str:
    """Return how alike students are to their teachers over the views of test images, as means over seeds."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(study, "alignment"):
        found.setdefault((levels_of(row) or f"`{row['teacher']}`", f"`{row['method']}`"), []).append(row)
    names = ("cka", "cosine", "spread", "teacher_spread")
    head = ("condition", "method", "CKA", "cosine", "changed views", "changed views, teacher", "runs")
    lines = []
    for place, rows in found.items():
        known = [[row[name] for row in rows if row[name] is not None] for name in names]
        means = [f"{float(np.mean(values)):.3f}" if values else "" for values in known]
        lines.append((*place, *means, str(len(rows))))
    return table(head, lines)


def found(_: str) -> str:
    """Return a row per study that was run: the range of its gains, and how many have which verdict."""
    head = ("study", "metric", "gains, points", "pairs", *VERDICTS, "long enough")
    lines = []
    for path in sorted(STUDIES.glob("*.yaml")):
        study, metric = path.stem, primary_of(path.stem)
        rows = [row for row in rows_of(study, "effects") if row["metric"] == metric]
        if rows:
            gained = [100 * row["gain"] for row in rows if row["gain"] is not None]
            verdicts = [row.get("verdict_family") or row["verdict"] for row in rows]
            lines.append(
                (
                    f"`{study}`",
                    metric.replace("_", " "),
                    f"{min(gained):+.1f} to {max(gained):+.1f}" if len(gained) > 1 else f"{gained[0]:+.1f}",
                    " or ".join(dict.fromkeys(str(row["n_pairs"]) for row in rows)),
                    *(str(verdicts.count(each)) for each in VERDICTS),
                    _long_enough([row.get("converged") for row in rows]),
                )
            )
    return table(head, lines)


def _long_enough(converged: Sequence[bool | None]) -> str:
    """Return in how many of the comparisons training was shown to be long enough or too short."""
    if all(each is None for each in converged):
        return "not measured"
    counts = {"yes": converged.count(True), "no": converged.count(False), "unsure": converged.count(None)}
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count)


VERDICTS = ("helps", "equivalent", "harms", "undecided")


EVERY = "every-study"
KINDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "gains": ("effects", gains),
    "followed": ("effects", followed),
    "within-groups": ("effects", within_groups),
    "by-group": ("groups", by_group),
    "among-positive": ("effects", among_positive),
    "border": ("explanations", border),
    "alignment": ("alignment", alignment),
    "levels": ("level-effects", levels),
    "teachers": ("against-teacher", teachers),
    "new-sites": ("effects", new_sites),
    "recalls": ("effects", recalls),
    "selection": ("results", selection),
    "leakage": ("results", leakage),
    "exits": ("exits", exits),
    "maps": ("explanation-gains", maps),
    "controls": ("explanations", controls),
    "speed": ("speed", speed),
    "found": ("effects", found),
    "teacher-scores": ("teacher-scores", teacher_scores),
}


def blocks(text: str) -> dict[str, str]:
    """Return the content of every place of a page, by the name of the place."""
    found = {}
    for study, kind in PLACE.findall(text):
        if kind not in KINDS:
            continue
        source, write = KINDS[kind]
        found[f"{study} {kind}"] = write(study) if study == EVERY or rows_of(study, source) else NOT_RUN
    return found


def files() -> dict[Path, str]:
    """Return the pages with their tables."""
    pages = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for place, content in blocks(text).items():
            text = replace_block(text, place, content, page)
        pages[page] = text
    return pages


def add(name: str, folder: Path) -> None:
    """Copy the tables of a finished study."""
    TABLES.mkdir(parents=True, exist_ok=True)
    for kind in COPIED:
        path = folder / f"{kind.replace('-', '_')}.parquet"
        if path.exists() and read_rows(path):
            shutil.copy(path, TABLES / f"{name}-{kind}.parquet")
    if (folder / "groups.parquet").exists() and read_rows(folder / "groups.parquet"):
        study = StudyFolder.open(folder)
        train, test = study.dataset.train, study.dataset.eval["test"]
        rules = group_rules(train, test, study.spec.task_config(), left_out_of(name))
        write_rules(rules, TABLES / f"{name}-{RULE}.csv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Add the tables of a study, or write the pages."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--add"]:
        _, name, folder = given
        if not (STUDIES / f"{name}.yaml").exists():
            sys.exit(f"there is no study {name} in {STUDIES}")
        add(name, Path(folder))
        return 0
    return write_or_check(__doc__, files, given)


if __name__ == "__main__":
    sys.exit(main())
