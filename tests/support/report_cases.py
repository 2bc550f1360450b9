"""Studies that a report must survive: the usual one, and those with something missing or too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from distillab.report.collect import rows
from distillab.report.contents.study import (
    Answer,
    Cell,
    Effect,
    Failure,
    Level,
    Pictures,
    ReportContents,
    Run,
    Strip,
    Teacher,
    Tile,
)
from support.report_sample import CLASSES, Scale, class_panel, digit, sample

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>&amp;<b>"


def nothing() -> ReportContents:
    """What the dataclass gives when only what must be given is given."""
    return ReportContents("empty", Answer("Nothing has run yet.", decided=False))


def all_failed() -> ReportContents:
    """Every run failed: no effects, no teachers, no time."""
    usual = sample()
    runs = tuple(replace(run, status="failed", measures={}) for run in usual.runs)
    failures = tuple(Failure(run.run_id, "student", run.method, "OSError: disk full") for run in runs[:30])
    return replace(
        usual,
        answer=Answer("Nothing can be said: all runs failed.", decided=False, missing=("Free some disk.",)),
        pairs=(),
        effects=(),
        doses=(),
        class_panels=(),
        quality=(),
        teachers=(),
        runs=runs,
        failures=failures,
        costs=(),
        method_costs=(),
    )


def one_level() -> ReportContents:
    """One factor at one level, one method: nothing to draw a line through."""
    usual = sample(Scale(sizes=(25.0,), noises=(0.0,), methods=("kd",)))
    factor = replace(usual.factors[0], levels=(25.0,))
    return replace(usual, factors=(factor,), pictures=usual.pictures[:1])


def no_factor() -> ReportContents:
    """The data as given."""
    usual = sample(Scale(sizes=(25.0,), noises=(0.0,)))
    effects = tuple(replace(effect, cell=replace(effect.cell, levels=())) for effect in usual.effects)
    runs = tuple(replace(run, cell=replace(run.cell, levels=())) for run in usual.runs)
    doses = rows.dose_panels(effects, runs)
    quality = rows.qualities(runs)
    return replace(usual, effects=effects, runs=runs, doses=doses, quality=quality, factors=(), pictures=())


def hundred_classes() -> ReportContents:
    """Many classes with long names, an imbalance, and photographs larger than a tile."""
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,)))
    rng = np.random.default_rng(0)
    classes = tuple(f"class number {i} with a long name" for i in range(100))
    photos = tuple(
        Tile(rng.integers(0, 256, (3, 96, 128), dtype=np.uint8), classes[i // 3], dropped=i % 3 == 2)
        for i in range(90)
    )
    falling = tuple(int(500 * 0.95**i) for i in range(100))
    pictures = Pictures(
        "imbalance",
        "photos",
        classes,
        Strip("As read", photos, (500,) * 100),
        (Strip("Ratio 100", photos, falling),),
    )
    data = replace(usual.datasets[0], classes=classes, shape=(3, 96, 128))
    panels = (class_panel(classes), class_panel(classes, "dkd", sizes=True))
    return replace(usual, datasets=(data,), pictures=(pictures,), class_panels=panels)


def missing_numbers() -> ReportContents:
    """None and NaN wherever a number may be missing."""
    nan = float("nan")
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,)))
    half = len(usual.effects) // 2
    effects = tuple(
        replace(
            e,
            gain=nan,
            ci_low=None,
            ci_high=None,
            p_value=nan,
            p_adjusted=None,
            n_pairs=0,
            verdict="undecided",
        )
        for e in usual.effects[:half]
    ) + tuple(replace(e, ci_low=None, ci_high=nan, gap_closed=nan) for e in usual.effects[half:])
    runs = tuple(replace(run, measures={"accuracy": nan, "nll": nan}) for run in usual.runs)
    return replace(
        usual,
        pairs=(replace(usual.pairs[0], teacher_accuracy=None, plain_accuracy=nan, teacher_macs=None),),
        effects=effects,
        runs=runs,
        doses=rows.dose_panels(effects, runs),
        quality=rows.qualities(runs),
        teachers=(Teacher("resnet20", "external", "digits"), replace(usual.teachers[0], ece=nan)),
        statistics=replace(usual.statistics, margin=None),
    )


def forty_levels() -> ReportContents:
    """Forty levels, five methods, two provenances, and an interval as wide as two seeds make it."""
    sizes = tuple(float(5 * (i + 1)) for i in range(40))
    methods = ("label_smoothing", "kd", "dkd", "fitnet", "a_method_with_a_rather_long_name")
    usual = sample(Scale(sizes=sizes, noises=(0.0,), methods=methods, seeds=2))
    wild = replace(usual.effects[0], ci_low=-0.9, ci_high=0.9, n_pairs=2, verdict="undecided")
    effects = (wild, *usual.effects[1:])
    effects += tuple(replace(e, cell=replace(e.cell, provenance="same")) for e in effects)
    return replace(usual, effects=effects, doses=rows.dose_panels(effects, usual.runs))


def hostile() -> ReportContents:
    """Markup in every name that comes from outside."""
    cell = Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (Level("size", 1.0), Level("kind", "<b>&amp;</b>")))
    effects = tuple(
        Effect(cell, HOSTILE, "ce", "accuracy", 3, 0.01, 0.0, 0.02, verdict=v)  # type: ignore[arg-type]
        for v in ("helps", "harms")
    )
    runs = tuple(Run(f"{HOSTILE}{seed}", cell, HOSTILE, seed, "done", {"accuracy": 0.5}) for seed in range(2))
    classes = (HOSTILE, *CLASSES[1:])
    strips = (Strip(HOSTILE, (Tile(digit(0), HOSTILE, "1"), Tile(digit(1), "1", HOSTILE)), (1,) * 10),) * 2
    return replace(
        sample(Scale(sizes=(25.0,), noises=(0.0,), methods=("kd",))),
        study=HOSTILE,
        answer=Answer(HOSTILE, (HOSTILE,), False, (HOSTILE,), (HOSTILE,)),
        effects=effects,
        runs=runs,
        doses=rows.dose_panels(effects, runs),
        quality=rows.qualities(runs),
        class_panels=(class_panel(classes, HOSTILE),),
        pictures=(Pictures(HOSTILE, HOSTILE, classes, strips[0], strips[1:], (), HOSTILE),),
        failures=(Failure(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        teachers=(Teacher(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0, 0.5, 1.0, 0.1),),
    )


def other_baselines() -> ReportContents:
    """Contrasts against a control beside those against plain training; two students; factors by name."""
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,)))
    effects = usual.effects + tuple(
        replace(e, baseline="label_smoothing") for e in usual.effects if e.method != "label_smoothing"
    )
    effects += tuple(replace(e, cell=replace(e.cell, student="mobilenet_v2")) for e in usual.effects)
    doses = rows.dose_panels(effects, usual.runs)
    return replace(usual, effects=effects, doses=doses, pairs=usual.pairs * 5)


CASES: dict[str, Callable[[], ReportContents]] = {
    "sample": sample,
    "nothing": nothing,
    "all_failed": all_failed,
    "one_level": one_level,
    "no_factor": no_factor,
    "hundred_classes": hundred_classes,
    "missing_numbers": missing_numbers,
    "forty_levels": forty_levels,
    "hostile": hostile,
    "other_baselines": other_baselines,
}
