"""Studies that a report must handle: the usual one, and those with something missing or too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from distillab.evidence import Answer
from distillab.evidence.verdicts import Verdict
from distillab.report.collect import rows
from distillab.report.collect.doses import dose_panels
from distillab.report.contents import Effect, LevelView, Place, ReportContents, Run
from distillab.report.contents.pictures import Pictures, Strip, Tile
from distillab.report.contents.runs import FailureView, TeacherView
from distillab.tasks import MultiLabel
from support.report_detections import detections
from support.report_pictures import CLASSES, digit
from support.report_sample import TASK, Scale, class_panel, sample
from support.report_tracks import tracks

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>&amp;<b>"


def nothing() -> ReportContents:
    """Return contents with the required fields alone."""
    return ReportContents("empty", Answer("Nothing has run yet."))


def all_failed() -> ReportContents:
    """Return a study whose runs all failed: no effects, no teachers, no time."""
    usual = sample()
    runs = tuple(replace(run, status="failed", measures={}) for run in usual.runs)
    failures = tuple(
        FailureView(run.run_id, "student", run.method, "OSError: disk full") for run in runs[:30]
    )
    return replace(
        usual,
        answer=Answer("All runs failed.", missing=("Free some disk space.",)),
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
    """Return a study of one factor at one level and one method: there is no curve."""
    usual = sample(Scale(sizes=(25.0,), noises=(0.0,), methods=("kd",)))
    factor = replace(usual.factors[0], levels=(25.0,))
    return replace(usual, factors=(factor,), pictures=usual.pictures[:1])


def no_factor() -> ReportContents:
    """Return a study of the data as given."""
    usual = sample(Scale(sizes=(25.0,), noises=(0.0,)))
    effects = tuple(replace(effect, place=replace(effect.place, levels=())) for effect in usual.effects)
    runs = tuple(replace(run, place=replace(run.place, levels=())) for run in usual.runs)
    doses = dose_panels(effects, runs, TASK)
    quality = rows.qualities(runs)
    return replace(usual, effects=effects, runs=runs, doses=doses, quality=quality, factors=(), pictures=())


def hundred_classes() -> ReportContents:
    """Return a study with many long class names, an imbalance, and photographs larger than a tile."""
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,)))
    rng = np.random.default_rng(0)
    classes = tuple(f"class number {i} with a long name" for i in range(100))
    photos = tuple(
        Tile(rng.integers(0, 256, (3, 96, 128), dtype=np.uint8), (classes[i // 3],), dropped=i % 3 == 2)
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
    """Return a study with None and NaN wherever a number may be missing."""
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
        pairs=(replace(usual.pairs[0], teacher_score=None, plain_score=nan, teacher_macs=None),),
        effects=effects,
        runs=runs,
        doses=dose_panels(effects, runs, TASK),
        quality=rows.qualities(runs),
        teachers=(
            TeacherView("resnet20", "external", "digits"),
            replace(usual.teachers[0], measures={"accuracy": 0.97, "ece": nan}),
        ),
        statistics=replace(usual.statistics, margin=None),
    )


def forty_levels() -> ReportContents:
    """Return a study of 40 levels, five methods, two provenances, and one very wide interval."""
    sizes = tuple(float(5 * (i + 1)) for i in range(40))
    methods = ("label_smoothing", "kd", "dkd", "fitnet", "a_method_with_a_rather_long_name")
    usual = sample(Scale(sizes=sizes, noises=(0.0,), methods=methods, seeds=2))
    wild = replace(usual.effects[0], ci_low=-0.9, ci_high=0.9, n_pairs=2, verdict="undecided")
    effects = (wild, *usual.effects[1:])
    effects += tuple(replace(e, place=replace(e.place, provenance="same")) for e in effects)
    return replace(usual, effects=effects, doses=dose_panels(effects, usual.runs, TASK))


def early_training() -> ReportContents:
    """Return a study that is long enough at its larger sizes alone."""
    usual = sample()
    first = usual.effects[0].place.value("size")
    note = "ce: +12.3 points (1 probe, certainty 99 %)"
    effects = tuple(
        replace(effect, converged=False, convergence_note=note)
        if effect.place.value("size") == first
        else replace(effect, converged=True)
        for effect in usual.effects
    )
    caveats = ("Epochs fall from 64 to 4 as size grows, at 100 steps: their effects are not separated.",)
    sentence = "Early training in 4 of 12 comparisons: twice the steps change accuracy on val by 1 point."
    answer = replace(usual.answer, early=4, early_training=sentence, caveats=caveats)
    return replace(usual, effects=effects, answer=answer)


def hostile() -> ReportContents:
    """Return a study with markup in every name that comes from outside."""
    levels = (LevelView("size", 1.0), LevelView("kind", "<b>&amp;</b>"))
    place = Place(HOSTILE, HOSTILE, HOSTILE, HOSTILE, levels)
    verdicts: tuple[Verdict, ...] = ("helps", "harms")
    effects = tuple(
        Effect(place, HOSTILE, "ce", "accuracy", 3, 0.01, 0.0, 0.02, verdict=verdict) for verdict in verdicts
    )
    runs = tuple(
        Run(f"{HOSTILE}{seed}", place, HOSTILE, seed, "done", {"accuracy": 0.5}) for seed in range(2)
    )
    classes = (HOSTILE, *CLASSES[1:])
    strips = (
        Strip(HOSTILE, (Tile(digit(0), (HOSTILE,), ("1",)), Tile(digit(1), ("1",), (HOSTILE,))), (1,) * 10),
    ) * 2
    return replace(
        sample(Scale(sizes=(25.0,), noises=(0.0,), methods=("kd",))),
        study=HOSTILE,
        answer=Answer(HOSTILE, (HOSTILE,), missing=(HOSTILE,), caveats=(HOSTILE,)),
        effects=effects,
        runs=runs,
        doses=dose_panels(effects, runs, TASK),
        quality=rows.qualities(runs),
        class_panels=(class_panel(classes, HOSTILE),),
        pictures=(Pictures(HOSTILE, HOSTILE, classes, strips[0], strips[1:], (), HOSTILE),),
        failures=(FailureView(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        teachers=(TeacherView(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0, {"accuracy": 0.5, "ece": 0.1}),),
        detections=detections((HOSTILE, f"{HOSTILE}2")),
        tracks=tracks(HOSTILE),
    )


def detectors() -> ReportContents:
    """Return a study of detectors with crowded images and more classes than are drawn."""
    classes = tuple(f"class number {number} with a long name" for number in range(9))
    return replace(sample(), detections=detections(classes, boxes=40, side=200))


def trackers() -> ReportContents:
    """Return a study of networks for tracking with crowded frames."""
    return replace(sample(), detections=detections(("walker",)), tracks=tracks(boxes=20, side=200))


def other_baselines() -> ReportContents:
    """Return contrasts against a control beside those against plain training, of two students."""
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,)))
    effects = usual.effects + tuple(
        replace(e, baseline="label_smoothing") for e in usual.effects if e.method != "label_smoothing"
    )
    effects += tuple(replace(e, place=replace(e.place, student="mobilenet_v2")) for e in usual.effects)
    doses = dose_panels(effects, usual.runs, TASK)
    return replace(usual, effects=effects, doses=doses, pairs=usual.pairs * 5)


def several_labels() -> ReportContents:
    """Return a multi-label study of sounds, with long label sets below the spectrograms."""
    usual = sample(Scale(sizes=(25.0, 100.0), noises=(0.0,), methods=("kd",), seeds=3))
    task = MultiLabel()
    effects = tuple(replace(e, metric="macro_auc") for e in usual.effects if e.metric == "accuracy")
    runs = tuple(replace(run, measures={"macro_auc": run.measures.get("accuracy")}) for run in usual.runs)
    labels = ("pleural effusion", "atelectasis", "enlarged cardiomediastinum")
    spectrogram = np.random.default_rng(0).integers(0, 256, (1, 40, 101), dtype=np.uint8)
    tiles = (
        Tile(spectrogram, labels, sound=b"RIFF"),
        Tile(spectrogram, (), sound=b"RIFF"),
        Tile(spectrogram, labels[:1], labels[1:]),
        Tile(spectrogram, labels[:2], added=True),
    )
    strip = Strip("as read", tiles, (3, 2, 1))
    pictures = Pictures("label_noise", "hearts", labels, strip, (strip,), several_labels=True)
    return replace(
        usual,
        task=task,
        datasets=(replace(usual.datasets[0], modality="audio", shape=(1, 40, 101), classes=labels),),
        effects=effects,
        runs=runs,
        doses=dose_panels(effects, runs, task),
        quality=rows.qualities(runs),
        class_panels=(class_panel(labels),),
        teachers=(TeacherView("resnet20", "full", "hearts", measures={"macro_auc": 0.9, "ece": 0.1}),),
        pictures=(pictures,),
    )


CASES: dict[str, Callable[[], ReportContents]] = {
    "sample": sample,
    "nothing": nothing,
    "all_failed": all_failed,
    "one_level": one_level,
    "no_factor": no_factor,
    "hundred_classes": hundred_classes,
    "missing_numbers": missing_numbers,
    "forty_levels": forty_levels,
    "early_training": early_training,
    "hostile": hostile,
    "other_baselines": other_baselines,
    "several_labels": several_labels,
    "detectors": detectors,
    "trackers": trackers,
}
