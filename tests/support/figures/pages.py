"""The pages whose figures are checked, and the passages of each that tables cover."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from support.figures import (
    advice,
    answer,
    claims,
    cost,
    factors,
    methods,
    profile,
    readme,
    results,
    sounds_and_texts,
    systems,
)
from support.figures.scan import FIGURE, WITH_UNIT, Uncovered, uncovered
from support.source_tree import ROOT

ALLOWED = Path(__file__).with_name("allowed.csv")
GIVEN = ("given", "published")
"""Reasons that need no command: a definition, a setting or a fact about data; a number of a cited source."""
MEASURED = ("timing", "simulated", "measured")
"""Reasons that need a command beside the figures, since no committed table holds what it prints."""
PAGES = [
    path
    for path in sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
    if path.is_file()
]
OF_PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "README.md": readme.fragments,
    "docs/advice.md": advice.fragments,
    "docs/answer.md": answer.fragments,
    "docs/claims.md": claims.fragments,
    "docs/cost.md": cost.fragments,
    "docs/evidence-base.md": advice.data_card,
    "docs/factors.md": factors.fragments,
    "docs/factors/unlabelled.md": factors.unlabelled_page,
    "docs/methods.md": methods.fragments,
    "docs/profile.md": profile.fragments,
    "docs/results.md": results.fragments,
    "docs/systems.md": systems.fragments,
    "docs/systems/chinese-text.md": sounds_and_texts.chinese_text,
    "docs/systems/heart-sounds.md": sounds_and_texts.heart_sounds,
    "docs/systems/multi-exit-alexnet.md": systems.alexnet,
}


DEFINITIONS = (
    "CONTRIBUTING.md",
    *(f"docs/{name}.md" for name in ("architecture", "audio", "data", "first-contribution", "images")),
    *(f"docs/{name}.md" for name in ("models", "python", "studies")),
)
"""Pages of keys and their defaults, where a number without a unit is a setting."""


def left_over(name: str) -> list[Uncovered]:
    """Return the figures of a page that follow from no table."""
    pattern = WITH_UNIT if name in DEFINITIONS else FIGURE
    return uncovered((ROOT / name).read_text(), covering(name), pattern)


def name_of(page: Path) -> str:
    """Return the path of a page in the project."""
    return page.relative_to(ROOT).as_posix()


def covering(name: str) -> list[str]:
    """Return the passages of a page that follow from tables."""
    own = list(OF_PAGES[name]()) if name in OF_PAGES else []
    if name.startswith("docs/systems") or name == "docs/detection.md":
        own += systems.study_fragments(name)
    if name.startswith("docs/factors/"):
        own += factors.page_fragments(Path(name).stem)
    return [each for each in own if each.strip() and not each.startswith("#")]


@dataclass(frozen=True)
class Allowance:
    """Figures of a section that no committed table holds.

    Attributes:
        page: Path of the page.
        heading: The heading of the section; empty above the first one.
        figures: How many figures of the section are not covered by tables; None for any number, where the
            command that prints them stands beside them.
        reason: One of GIVEN or MEASURED.
        command: The program that prints them, as the section names it.
    """

    page: str
    heading: str
    figures: int | None
    reason: str
    command: str

    def permits(self, found: int) -> bool:
        """Return True if the section has as many such figures as are listed, and at least one."""
        return found > 0 and self.figures in (None, found)


def allowances() -> list[Allowance]:
    """Return the rows of allowed.csv."""
    with ALLOWED.open(newline="") as file:
        return [
            Allowance(
                row["page"],
                row["heading"],
                int(row["figures"]) if row["figures"] else None,
                row["reason"],
                row["command"],
            )
            for row in csv.DictReader(file)
        ]
