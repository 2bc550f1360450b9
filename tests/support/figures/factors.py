"""The figures of docs/factors.md and of the pages of the factors."""

from __future__ import annotations

import re
from collections.abc import Iterator

import factors_table
from generated import DOCS

from support.figures.tables import Row, decided, interval, only, points, records


def page_fragments(factor: str) -> Iterator[str]:
    """Yield the lines of the generated section of a factor's page."""
    text = factors_table.pages().get(factors_table.PAGES / f"{factor}.md", "")
    yield from text.partition(factors_table.MEASURED)[2].split("\n")


def of(study: str, level: str, method: str = "kd", provenance: str = "full", metric: str = "accuracy") -> Row:
    """Return a row of factors.csv by the text that its level begins with."""
    rows = only(records("factors"), study=study, method=method, provenance=provenance, metric=metric)
    [row] = [each for each in rows if each["level"].startswith(level)]
    return row


def plain(row: Row) -> str:
    return f"{float(row['plain']):.1f}"


def distilled(row: Row) -> str:
    return f"{float(row['distilled']):.1f}"


def _alone(row: Row) -> str:
    """Return the mark of a verdict that does not hold after correction."""
    assert row["verdict"] != "undecided"
    return " (alone)" if row["verdict_family"] == "undecided" else ""


def fragments() -> Iterator[str]:
    """Yield the passages of factors.md that hold figures."""
    yield from _counts()
    yield from _size_and_classes()
    yield from _bias()
    yield from _images()
    for study in ("granularity", "similarity", "shift-corruption", "resolution"):
        assert not decided(only(records("factors"), study=study, metric="accuracy"))


def _counts() -> Iterator[str]:
    rows = [row for row in records("factors") if row["gain"]]
    accuracy = only(rows, metric="accuracy")
    yield (
        f"Of {len(rows)} comparisons in the table {decided(rows)} have a verdict alone and "
        f"{decided(rows, 'verdict_family')} after correction"
    )
    yield (
        f"of {len(accuracy)} comparisons of plain accuracy {decided(accuracy)} and "
        f"{decided(accuracy, 'verdict_family')}."
    )
    steps = sorted({int(row["steps"]) for row in rows})
    yield f"trained for {steps[0]} to {steps[-1]} steps"


def _size_and_classes() -> Iterator[str]:
    few, many = (of("size", f"size {level}") for level in ("5.0", "500.0"))
    own = [of("size", f"size {level}", provenance="same") for level in ("5.0", "50.0")]
    yield f"{interval(few)} at 5 images per class and {interval(many)} at 500;"
    yield f"{interval(own[0])} at 5, {interval(own[1])} at 50{_alone(own[1])}."
    yield f"between 50 and 500 images ({plain(of('size', 'size 50.0'))} and {plain(many)} %)"
    three, twelve = (of("classes", f"classes {level}") for level in ("3.0", "12.0"))
    yield f"{interval(three)} with 3 classes, {interval(twelve)} with 12{_alone(twelve)}"


def _bias() -> Iterator[str]:
    rare = of("imbalance", "imbalance 10.0", metric="tail_accuracy")
    average = of("imbalance", "imbalance 10.0")
    balanced = of("imbalance", "imbalance 10.0", "balanced_kd", metric="tail_accuracy")
    yield f"falls from {plain(rare)} to {distilled(rare)} % with `kd`, {interval(rare)}{_alone(rare)}"
    yield f"while the average is undecided, {interval(average)};"
    yield f"it rises to {distilled(balanced)} %, {interval(balanced)}{_alone(balanced)}."
    clean, noisy = (of("label_noise", f"label_noise {level}") for level in ("0.0", "0.4"))
    yield f"{interval(clean)}{_alone(clean)} with clean labels and {interval(noisy)}{_alone(noisy)} with 40 %"
    yield f"falls from {plain(clean)} to {plain(noisy)} %, the distilled one stays at {distilled(noisy)} %."
    cue, own = (
        of("spurious", "spurious 0.95", provenance=each, metric="accuracy.conflicting")
        for each in ("full", "same")
    )
    yield f"the plain student is correct on {plain(cue)} % of the images with a conflicting frame"
    yield f"correct on {distilled(cue)} %, {interval(cue)}{_alone(cue)};"
    yield f"trained on the same frames on {distilled(own)} %, {interval(own)}."


def _images() -> Iterator[str]:
    there, here = of("shift", "shift 1.0", metric="accuracy.shifted"), of("shift", "shift 1.0")
    yield f"{interval(there)}{_alone(there)} on USPS, {interval(here)}{_alone(here)} on MNIST."
    hard, random = (of("selection", f"selection {rule}") for rule in ("hardest", "random"))
    yield (
        f"reaches {plain(hard)} %, a distilled one {distilled(hard)} %; from random ones {plain(random)} and "
        f"{distilled(random)} %."
    )
    rules = only(records("factors"), study="selection")
    assert max(rules, key=lambda row: float(row["distilled"])) == random
    copies, none = (of("redundancy", f"redundancy {level}") for level in ("0.9", "0.0"))
    yield f"{interval(copies)}{_alone(copies)} where nine images of ten are near copies, {interval(none)}"
    leaked, clean, all_images = (
        of("redundancy-leakage", "redundancy 0.4", metric=metric)
        for metric in ("accuracy.exposed", "accuracy.unexposed", "accuracy")
    )
    yield (
        f"is correct on {plain(leaked)} % of that half and on {plain(clean)} % of the other; the "
        f"distilled one on {distilled(leaked)} and {distilled(clean)} %"
    )
    low, high = -float(all_images["ci_high"]), -float(all_images["ci_low"])
    yield f"it is {points(all_images)[1:]} points [{low:.1f}, {high:.1f}] behind{_alone(all_images)}"
    without, held_out = _unlabelled()
    yield (
        f"correct on {distilled(without)} % without unlabelled images and on {distilled(held_out)} % with "
        f"twice as many of the same domain, while the plain one falls from {plain(without)} to "
        f"{plain(held_out)} %:"
    )
    yield f"most of the larger gain, {points(held_out)} against {points(without)}, is that fall"


def unlabelled_page() -> Iterator[str]:
    """Yield the retraction on the page of unlabelled images."""
    without, held_out = _unlabelled()
    yield f"it fell from {plain(without)} to {plain(held_out)} %, while the distilled student"
    yield f"rose from {distilled(without)} to {distilled(held_out)} % only"
    yield f"rise of the gain from {points(without)} to {points(held_out)}, most"
    [planted] = re.findall(r"\| unlabelled \| .*? \| \+ \| (\S+) \|", (DOCS / "shapes.md").read_text())
    yield f"the gain of {planted} on planted data"


def _unlabelled() -> tuple[Row, Row]:
    without, held_out = (of("unlabelled", f"size 20.0; unlabelled {kind}") for kind in ("none", "held_out"))
    return without, held_out
