"""Report contents like those of a real study: fixed numbers, real digits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distillab.evidence import Answer
from distillab.report.collect import rows
from distillab.report.collect.doses import dose_panels
from distillab.report.contents import LevelView, Place, ReportContents
from distillab.report.contents.cost import Cost
from distillab.report.contents.gains import ClassGain, ClassPanel
from distillab.report.contents.question import DatasetView, FactorView, MethodView, RecipeLine, RoleView
from distillab.report.contents.runs import (
    Exclusion,
    FailureView,
    ModelPair,
    Reproduction,
    Statistics,
    TeacherView,
)
from distillab.tasks import Classification
from support.report_pictures import CLASSES, SIZES, noise_pictures, size_pictures

TASK = Classification()
NOISES = (0.0, 0.2, 0.4)
TRUE_GAIN = {"kd": 0.030, "dkd": 0.036, "fitnet": 0.012, "label_smoothing": 0.004}
MARGIN = 0.005

YAML = """\
study: small-and-noisy
data: {source: digits}
teacher: {model: resnet20, provenance: full}
students: [resnet8]
methods: [ce, label_smoothing, kd, dkd, fitnet]
factors:
  size: [10, 25, 50, 100]
  label_noise: {levels: [0.0, 0.2, 0.4], kind: symmetric, roles: [transfer]}
seeds: 6
recipe: {epochs: 20, batch_size: 64, lr: 0.05}
"""


@dataclass(frozen=True)
class Scale:
    """The size of the sample study."""

    sizes: tuple[float, ...] = SIZES
    noises: tuple[float, ...] = NOISES
    methods: tuple[str, ...] = ("label_smoothing", "kd", "dkd", "fitnet")
    seeds: int = 6


def table_rows(scale: Scale) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return result rows and effect rows of the sample study."""
    rng = np.random.default_rng(7)
    results: list[dict[str, Any]] = []
    effects: list[dict[str, Any]] = []
    for size in scale.sizes:
        for noise in scale.noises:
            names = {
                "dataset": "digits",
                "factor.size": size,
                "factor.label_noise": noise,
                "provenance": "full",
                "teacher": "resnet20",
                "student": "resnet8",
            }
            base = 0.94 - 0.28 * np.exp(-size / 30) - 0.35 * noise
            for method in ("ce", *scale.methods):
                gain = TRUE_GAIN.get(method, 0.02) * (1.5 - np.log10(size) / 1.5 + 2 * noise)
                gain = gain if method != "fitnet" else gain - 0.03 * (size > 40)
                shift = 0.0 if method == "ce" else gain
                for seed in range(scale.seeds):
                    results.append(_result(rng, names, method, seed, base + shift, size))
                if method != "ce":
                    effects += _effects(rng, names, method, gain, base, scale.seeds)
    return results, effects


def _result(
    rng: np.random.Generator, names: dict[str, Any], method: str, seed: int, mean: float, size: float
) -> dict[str, Any]:
    accuracy = float(np.clip(mean + rng.normal(0, 0.008), 0, 1))
    taught = method not in ("ce", "label_smoothing")
    return names | {
        "run_id": f"{rng.integers(16**12):012x}{rng.integers(16**12):012x}",
        "study": "small-and-noisy",
        "method": method,
        "seed": seed,
        "status": "done",
        "n_train": int(size * 10),
        "accuracy": accuracy,
        "accuracy_selected": accuracy + 0.002,
        "balanced_accuracy": accuracy - 0.001,
        "macro_f1": accuracy - 0.003,
        "worst_class_accuracy": accuracy - 0.14 + float(rng.normal(0, 0.02)),
        "worst_group_accuracy": None,
        "nll": 1.9 * (1 - accuracy) + 0.05,
        "brier": 1.3 * (1 - accuracy),
        "ece": abs(float(rng.normal(0.05 if taught else 0.09, 0.01))),
        "agreement": accuracy + 0.01 if taught else accuracy - 0.02,
        "teacher_kl": 0.2 if taught else 0.6,
        "teacher_accuracy": 0.972,
        "params": 78042,
        "macs": 12.4e6,
        "epochs": 20,
        "train_seconds": 4.1 * (1.6 if taught else 1.0) * size / 25,
    }


def _effects(
    rng: np.random.Generator, names: dict[str, Any], method: str, gain: float, base: float, seeds: int
) -> list[dict[str, Any]]:
    rows_ = []
    factors = {"accuracy": 1.0, "worst_class_accuracy": -0.4, "ece": -1.1, "nll": -3.0, "agreement": 0.8}
    for metric, share in factors.items():
        mean = float(gain * share + rng.normal(0, 0.002))
        half = float(abs(rng.normal(0.007, 0.003)) + 0.002) * (1 if metric != "worst_class_accuracy" else 2.5)
        good = mean if metric not in ("ece", "nll") else -mean
        low, high = good - half, good + half
        inside = low >= -MARGIN and high <= MARGIN
        verdict = (
            "helps"
            if low > MARGIN
            else "harms"
            if high < -MARGIN
            else "equivalent"
            if inside
            else "undecided"
        )
        p = float(min(1.0, 2 * np.exp(-abs(mean) / half * 1.9)))
        rows_.append(
            names
            | {
                "method": method,
                "baseline": "ce",
                "metric": metric,
                "n_pairs": seeds,
                "gain": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "p_value": p,
                "p_adjusted": min(1.0, 4 * p),
                "verdict": verdict,
                "gap_closed": mean / max(0.972 - base, 0.01) if metric == "accuracy" else None,
                "error_ratio": (1 - base - mean) / (1 - base) if metric == "accuracy" else None,
            }
        )
    return rows_


def class_panel(classes: tuple[str, ...], method: str = "kd", sizes: bool = False) -> ClassPanel:
    """Return gains per class, a few of them losses."""
    rng = np.random.default_rng(len(classes))
    cell = Place(
        "digits", "resnet20", "resnet8", "full", (LevelView("size", 25.0), LevelView("label_noise", 0.2))
    )
    gains = []
    for i, name in enumerate(classes):
        gain, half = float(rng.normal(0.008, 0.04)), 0.02
        verdict = "helps" if gain > half else "harms" if gain < -half else "undecided"
        n_train = max(3, int(200 * 0.9**i)) if sizes else None
        gains.append(ClassGain(name, gain, gain - half, gain + half, 0.01, n_train, verdict))  # type: ignore[arg-type]
    return ClassPanel(cell, method, tuple(gains))


def _question() -> dict[str, Any]:
    """Return the question of the study."""
    methods = (
        MethodView("ce", "plain", description="Cross-entropy with the labels, nothing else."),
        MethodView("label_smoothing", "control", "Szegedy et al. 2016", settings=(("epsilon", "0.1"),)),
        MethodView(
            "kd", "distillation", "Hinton et al. 2015", settings=(("temperature", "4"), ("alpha", "0.9"))
        ),
        MethodView("dkd", "distillation", "Zhao et al. 2022", settings=(("alpha", "1"), ("beta", "8"))),
        MethodView("fitnet", "distillation", "Romero et al. 2015", settings=(("weight", "100"),)),
    )
    data = DatasetView(
        name="digits",
        source="digits",
        classes=CLASSES,
        shape=(1, 8, 8),
        splits=(("train", 1197), ("val", 240), ("test", 360)),
        duplicates=(("train/test", 4),),
        dropped_duplicates=4,
        broken=("scan_0113.png", "scan_0877.png"),
        carved=("val", "test"),
        digest="9f2c41aa07d3be5518e0c6a1",
    )
    return {
        "datasets": (data,),
        "roles": (
            RoleView("teacher", "all 1,197 training images, clean"),
            RoleView("transfer", "the training images after size and label noise"),
            RoleView("val", "240 images carved from train, clean"),
            RoleView("eval", "test: 360 images, never touched"),
        ),
        "factors": (
            FactorView(
                "size",
                SIZES,
                "training examples per class",
                ("transfer",),
                "How many images the student sees.",
            ),
            FactorView(
                "label_noise",
                NOISES,
                "share of wrong labels",
                ("transfer",),
                "How many labels are wrong.",
                (("kind", "symmetric"),),
            ),
        ),
        "methods": methods,
        "recipe": (
            RecipeLine("optimizer", "sgd, momentum 0.9, nesterov", origin="set in the study"),
            RecipeLine("lr", "0.05", origin="set in the study"),
            RecipeLine("epochs", "20", origin="set in the study"),
            RecipeLine(
                "steps", "100 to 320", True, "at least 100 steps, so that small sets are trained as long"
            ),
            RecipeLine("views", "shift by 1 pixel, no flip", True, "digits change meaning when flipped"),
        ),
        "seeds": tuple(range(6)),
    }


def sample(scale: Scale = Scale()) -> ReportContents:
    """Return a study of two factors and five methods, with a failed run and a failed check."""
    results, effect_rows = table_rows(scale)
    runs = rows.runs_of(results, TASK)
    failed = replace(runs[7], status="failed", measures={})
    excluded = tuple(
        replace(run, status="excluded") if run.place.value("label_noise") == 0.4 and run.seed == 5 else run
        for run in runs[8:]
    )
    runs = (*runs[:7], failed, *excluded)
    effects = rows.effects_of(effect_rows)
    teachers = tuple(
        TeacherView(
            "resnet20",
            "full",
            "digits",
            "1,197 clean images",
            s,
            {"accuracy": 0.968 + 0.002 * s, "nll": 0.11 - 0.004 * s, "ece": 0.021, "brier": 0.05},
            61.0,
        )
        for s in range(3)
    )
    return ReportContents(
        study="small-and-noisy",
        created="1 March 2026, 14:20",
        version="0.1.0",
        answer=Answer(
            "Distillation helps here, most of all with few images and wrong labels.",
            (
                "KD gains 4.1 points [+3.3, +4.9] over plain training at 10 examples per class without label "
                "noise, and 1.0 point [+0.2, +1.8] at 100 examples per class.",
                "DKD is the best method in 9 of 12 conditions; label smoothing alone explains at most a "
                "tenth of the gain.",
            ),
            decided=1,
            missing=(
                "At 100 examples per class, 4 more seeds would decide between a gain and no difference.",
            ),
            caveats=(
                "One data set of 8 × 8 pixel digits: do not carry the size of the gain over to photographs.",
                "The worst class loses in 3 of 12 conditions although the average rises.",
            ),
        ),
        pairs=(
            ModelPair(
                "resnet20",
                "resnet8",
                0.970,
                0.846,
                0.881,
                "dkd",
                272_474,
                78_042,
                41.2e6,
                12.4e6,
                "25 examples per class · label noise 0",
            ),
        ),
        pictures=(size_pictures(), noise_pictures()),
        effects=effects,
        doses=dose_panels(effects, runs, TASK),
        class_panels=(class_panel(CLASSES), class_panel(CLASSES, "dkd", sizes=True)),
        quality=rows.qualities(runs),
        teachers=teachers,
        runs=runs,
        failures=(
            FailureView(
                "b71e00c2d94f",
                "student",
                "label_smoothing, 10 examples per class, seed 1",
                'Traceback (most recent call last):\n  File "trainer.py", line 88, in step\n'
                "FloatingPointError: the loss is not finite at step 41",
            ),
        ),
        exclusions=(
            Exclusion(
                "label noise 0.4, seed 5", "share of changed labels: requested 0.4, measured 0.357", 20
            ),
        ),
        costs=(
            Cost("teacher", 3, 183.0),
            Cost("teacher outputs", 36, 21.0),
            Cost("student", 359, 2430.0),
        ),
        method_costs=rows.method_costs(runs, "ce"),
        reproduction=Reproduction(
            (
                "pip install distillab==0.1.0",
                "distillab run study.yaml --out small-and-noisy",
                "distillab report small-and-noisy",
            ),
            YAML,
            (("distillab", "0.1.0"), ("torch", "2.6.0"), ("python", "3.11.9")),
            (("processor", "2 cores"), ("system", "Linux")),
        ),
        statistics=Statistics(
            "accuracy of the distilled student minus that of the plain student with the same seed",
            "Student's t interval over seeds, never narrower than the test set allows",
            "sign-flip permutation over seeds, two-sided",
            MARGIN,
            0.95,
            len(effects),
            "Holm within each metric",
        ),
        **_question(),
    )
