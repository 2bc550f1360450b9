"""Names in the package: plain English, and one meaning each."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from support.source_tree import TEST_TREES, TREES, identifiers, name_parts, public_names

# Verbs that the field replaces by exact nouns; CONTRIBUTING.md has the glossary.
DIALECT = {
    *("ask", "asks", "asked", "asking", "tell", "tells", "told", "telling", "say", "says", "said"),
    *("hear", "hears", "heard", "speak", "speaks", "whoever", "theirs", "ours"),
}
OF_THE_STANDARD_LIBRARY = {"tell"}  # of file objects


def test_names_are_plain_english() -> None:
    names = {file: identifiers(tree) | {Path(file).stem} for file, tree in (TREES | TEST_TREES).items()}
    offenders = {
        f"{file}: {name}"
        for file, found in names.items()
        for name in found - OF_THE_STANDARD_LIBRARY
        if name_parts(name) & DIALECT
    }
    assert sorted(offenders) == []


def test_public_names_have_one_meaning() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in TREES.items():
        for name in public_names(tree):
            places[name].append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
