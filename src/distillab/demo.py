"""The quickstart study, which comes with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from distillab.api import Study
from distillab.study.spec.study import parse_study
from distillab.study.spec.study_yaml import read_study_yaml

QUICKSTART: Final = "quickstart.yaml"


QUICK: Final[Mapping[str, object]] = MappingProxyType(
    {
        "study": "quickstart-quick",
        "seeds": 1,
        "factors": {"size": [20]},
        "tune": None,
        "evidence": {"probes": 0},
    }
)
"""What the quick form replaces: one run of each method, to see that everything works."""
QUICK_STEPS: Final = 60


def quick_study() -> Study:
    """Return the quickstart study in a form that ends within a minute, and that no conclusion rests on.

    Example:
        >>> quick_study()
        Study(quickstart-quick: convnet3x4 to convnet3 by ce, label_smoothing, kd)
    """
    path = quickstart_file()
    values = {**read_study_yaml(path), **QUICK}
    values["recipe"] = {**values["recipe"], "steps": QUICK_STEPS}
    values["teacher"] = {**values["teacher"], "recipe": {"steps": QUICK_STEPS}}
    return Study.of(parse_study(values, path.parent, path.name))


def quickstart_file() -> Path:
    """Return the study file: in the installed package, or in the source tree of an editable installation.

    Example:
        >>> quickstart_file().name
        'quickstart.yaml'
    """
    packaged = Path(__file__).with_name(QUICKSTART)
    return packaged if packaged.exists() else Path(__file__).parents[2] / "studies" / QUICKSTART
