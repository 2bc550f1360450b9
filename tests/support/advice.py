"""Requests for advice on small data, a clock that ticks when it is read, and an advice to show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from distillab.advise import (
    Advice,
    AdviceRequest,
    EvidenceItem,
    NextStep,
    RungRow,
    WhatIf,
    WhatIfPoint,
    teacher_keys,
)
from distillab.sources.digits import Digits
from support.planted import CLASSES, gratings


class TickingClock:
    """A clock that goes on by a fixed time whenever it is read, whatever the machine does."""

    def __init__(self, tick: float) -> None:
        self.tick, self.now = tick, 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def request(folder: Path, **changes: Any) -> AdviceRequest:
    """Return a request on three digits, with networks of three layers, run in this process."""
    values: dict[str, Any] = {
        "source": Digits(classes=["0", "1", "8"]),
        "student": ["convnet3"],
        "teacher": teacher_keys("convnet3x2", None),
        "budget": 60.0,
        "folder": folder,
        "data_text": "digits",
        "executor": "inline",
        "device": "cpu",
        "recipe": {"steps": 80, "batch_size": 8},
    }
    return AdviceRequest(**values | changes)


def image_folder(root: Path, count: int = 160, classes: int = 2, side: int = 16) -> Path:
    """Write a folder of gratings, one folder per class."""
    images, labels = gratings(count, side=side, classes=classes)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(folder / f"{row}.png")
    return root


def sample_advice(folder: Path, **changes: Any) -> Advice:
    """Return an advice with every part, and names that need escaping."""
    nan = math.nan
    grid = WhatIf(
        (0.5, 1.0, 2.0),
        (1.0, 2.0),
        (
            (WhatIfPoint(0.03, 0.01, 0.05), WhatIfPoint(0.025, 0.008, 0.042)),
            (WhatIfPoint(0.02, 0.008, 0.032), WhatIfPoint(0.015, 0.001, 0.029)),
            (WhatIfPoint(0.001, -0.002, 0.004), WhatIfPoint(nan, nan, nan)),
        ),
        "What the evidence base predicts.",
    )
    values: dict[str, Any] = {
        "verdict": "distil",
        "headline": "Distil: kd is expected to gain +2.0 points of accuracy.",
        "gain": 0.02,
        "low": 0.008,
        "high": 0.032,
        "method": "kd",
        "harm_risk": 0.12,
        "evidence": (
            EvidenceItem("pilot", "In a paired race, kd gained +2.1 points.", runs=("8f0c", "77aa")),
            EvidenceItem("prior", "Nearest: usps.", contexts=("r-0007",)),
            EvidenceItem("data", "Labels of <b>cats</b> look wrong."),
        ),
        "reasons": (),
        "seconds": 61.0,
        "dataset": "le<b>aves",
        "metric": "accuracy",
        "region": "helps",
        "margin": 0.005,
        "student": "resnet8",
        "teacher": "resnet20",
        "provenance": "full",
        "initialisation": "scratch",
        "settings": {"steps": 800, "epochs": 20, "batch_size": 64, "lr": 0.05, "tuned": True},
        "cost": {"plain_seconds": 10.0, "distilled_seconds": 12.0, "teacher_seconds": 40.0},
        "rungs": (RungRow("kd", 3, 200, 0.021, -math.inf, math.inf, "advice/race/8f0c"),),
        "alarms": ("2 % of the labels look wrong.",),
        "what_if": grid,
        "next_step": NextStep("Confirm it.", "distillab run 'a b/next.yaml' --out out"),
        "folder": folder,
        "base": {"contexts": 100, "base_sets": 8},
    }
    return Advice(**values | changes)
