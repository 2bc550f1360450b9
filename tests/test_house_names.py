"""Names in the package: plain English, and one meaning each."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from support.remaining import assert_only_known
from support.source_tree import TEST_TREES, TREES, identifiers, name_parts, public_names

# Verbs that the field replaces by exact nouns; CONTRIBUTING.md has the glossary.
DIALECT = {
    *("ask", "asks", "asked", "asking", "tell", "tells", "told", "telling", "say", "says", "said"),
    *("hear", "hears", "heard", "speak", "speaks", "spoken", "whoever", "theirs", "ours"),
}
OF_THE_STANDARD_LIBRARY = {"tell"}  # of file objects
# Public names that several files define on purpose: name -> reason.
SHARED_NAMES: dict[str, str] = {}


def test_names_are_plain_english() -> None:
    names = {file: identifiers(tree) | {Path(file).stem} for file, tree in (TREES | TEST_TREES).items()}
    offenders = {
        f"{file}: {name}"
        for file, found in names.items()
        for name in found - OF_THE_STANDARD_LIBRARY
        if name_parts(name) & DIALECT
    }
    assert_only_known("dialect", offenders)


def test_public_names_have_one_meaning() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in TREES.items():
        for name in public_names(tree):
            places[name].append(file)
    repeated = {name: files for name, files in places.items() if len(files) > 1}
    assert_only_known("repeated name", set(repeated) - set(SHARED_NAMES))
    assert sorted(set(SHARED_NAMES) - set(repeated)) == [], "these names are defined once now"
