"""Figures on a page: with a unit or a sign, decimals, intervals, counts, cells of tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNITS = (
    r"%|points?|times|x|ms|s|seconds?|minutes?|hours?|days?|kB|MB|GB|MiB|GiB|images/s|"
    r"images per second|runs per hour|Gflop/s|steps per second"
)
NUMBER = r"\d[\d,]*(?:\.\d+)?"
MEASURED = rf"""
    (?<![\w.#/-])[+-]{NUMBER}(?![\w-])                       # signed
    | (?<![\w.#/-]){NUMBER}(?:\s(?:to|and|or)\s{NUMBER})*\s?(?:{UNITS})(?![\w/])   # with a unit
    | (?<![\w.#/-]){NUMBER}\s(?:of|in)\s(?:the\s)?{NUMBER}   # a count
    | ±\s{NUMBER}
"""
BARE = rf"""
    (?<![\w.#/-])(?!\d{{4}}\.\d{{4,5}})\d+\.\d+(?![\w.]|-\w)   # a decimal, but no number of arXiv
    | \[[+-]?{NUMBER},\s[+-]?{NUMBER}\]                      # an interval
    | (?<=\|\s)[+-]?{NUMBER}(?=\s\|)                         # a cell of a table
"""
WITH_UNIT = re.compile(MEASURED, re.VERBOSE)
FIGURE = re.compile(f"{MEASURED}|{BARE}", re.VERBOSE)
CODE = re.compile(r"```.*?```|^    .*?$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Uncovered:
    """A figure that nothing covers.

    Attributes:
        figure: The number with its unit.
        context: The text around it.
        heading: The heading above it.
    """

    figure: str
    context: str
    heading: str


def flat(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def sections(page: str, *, code: bool = False) -> list[tuple[str, str]]:
    """Return the headings of a page and the flat text below each, with or without blocks of code."""
    heading, lines = "", []
    found: list[tuple[str, list[str]]] = [(heading, lines)]
    for line in (page if code else CODE.sub("", page)).splitlines():
        if line.startswith("#"):
            heading, lines = line.lstrip("# "), []
            found.append((heading, lines))
        else:
            lines.append(line)
    return [(heading, flat("\n".join(lines))) for heading, lines in found]


def figures(section: str, pattern: re.Pattern[str] = FIGURE) -> list[tuple[int, int]]:
    """Return where figures stand in the text of a section, those in quotes of code left out."""
    quoted = [match.span() for match in re.finditer(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", section)]
    return [
        match.span()
        for match in pattern.finditer(section)
        if not any(start <= match.start() < end for start, end in quoted)
    ]


def uncovered(page: str, covering: Iterable[str], pattern: re.Pattern[str] = FIGURE) -> list[Uncovered]:
    """Return the figures of a page that stand in none of the given fragments of its text."""
    fragments = [flat(each) for each in covering]
    left = []
    for heading, text in sections(page):
        covered = [
            (match.start(), match.end())
            for fragment in fragments
            for match in re.finditer(re.escape(fragment), text)
        ]
        for start, end in figures(text, pattern):
            if not any(first <= start and end <= last for first, last in covered):
                left.append(Uncovered(text[start:end], text[max(0, start - 60) : end + 40], heading))
    return left
