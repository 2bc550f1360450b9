"""The figures of docs/results.md."""

from __future__ import annotations

from collections.abc import Iterator

from support.figures.tables import (
    Row,
    change,
    decided,
    effects,
    interval,
    level_effects,
    one,
    only,
    percent,
    points,
    results,
    size,
    span,
    verdicts,
)

CORN, CIFAR = "corn-leaf-noise", "cifar100-size"
LEVELS: dict[str, tuple[str, tuple[float, ...]]] = {
    CORN: ("factor_label_noise", (0.0, 0.2, 0.4, 0.6)),
    CIFAR: ("factor_size", (25.0, 50.0, 100.0, 200.0)),
}


def fragments() -> Iterator[str]:
    """Yield the passages of the page that hold figures."""
    yield from _summary()
    yield from _corn()
    yield from _cifar()


def gain(study: str, level: float, method: str, provenance: str, metric: str = "accuracy") -> Row:
    """Return a contrast of a study."""
    factor, _ = LEVELS[study]
    return one(effects(study), method=method, provenance=provenance, metric=metric, **{factor: level})


def change_to(study: str, level: str, provenance: str) -> Row:
    """Return the difference of the gain of ``kd`` at a level from that at the first."""
    return one(level_effects(study), method="kd", provenance=provenance, metric="accuracy", level=level)


def distilled(study: str, provenance: str) -> list[Row]:
    """Return the contrasts of accuracy of both distillation methods at every level."""
    rows = only(effects(study), metric="accuracy", provenance=provenance)
    return [row for row in rows if row["method"] in ("kd", "dkd")]


def _summary() -> Iterator[str]:
    full, same = ([*distilled(CORN, each), *distilled(CIFAR, each)] for each in ("full", "same"))
    alone, own = verdicts(full), verdicts(same)
    yield f"helped in {alone['helps']} of {len(full)} comparisons and harmed in {alone['harms']}"
    yield f"student's data it helped in {own['helps']} of {len(same)} and harmed in {own['harms']}."
    left = [row for row in [*full, *same] if row["verdict_family"] != "undecided"]
    assert (len(left), decided([*full, *same])) == (2, 9)
    assert all(row["factor.label_noise"] == 0.6 and row["provenance"] == "full" for row in left)
    assert {row["method"] for row in left} == {"kd", "dkd"}
    yield f"for the {left[0]['n_tests']} tests of each study, two verdicts of these nine remain"
    yield "`kd` and `dkd` help at 60 % wrong labels"


def _table(study: str, scale: float, form: str) -> Iterator[str]:
    columns = (("kd", "full"), ("kd", "same"), ("dkd", "full"), ("dkd", "same"))
    for level in LEVELS[study][1]:
        rows = [gain(study, level, *column) for column in columns]
        cells = " | ".join(f"{interval(row)} {row['verdict']}" for row in rows)
        yield f"| {form.format(scale * level)} | {percent(rows[0]['plain_mean'])} % | {cells} |"


def _runs(study: str) -> str:
    rows = results(study)
    seeds, failed = {row["seed"] for row in rows}, [row for row in rows if row["status"] != "done"]
    ids = {row["run_id"] for row in rows}
    levels = LEVELS[study][1]
    return (
        f"{len(levels)} levels x {{`ce`, `label_smoothing`, `kd`, `dkd`}} x {len(seeds)} seeds x two "
        f"teachers: {len(ids)} runs, {len(failed)} failed, {len(failed)} excluded."
    )


def _teachers(study: str) -> tuple[str, list[float]]:
    """Return the accuracy of the ``full`` teacher, and those of the ``same`` teachers by level."""
    full = gain(study, LEVELS[study][1][0], "kd", "full")["teacher_accuracy"]
    same = [gain(study, level, "kd", "same")["teacher_accuracy"] for level in LEVELS[study][1]]
    return percent(full), same


def _corn() -> Iterator[str]:
    yield from _table(CORN, 100.0, "{:.0f} %")
    yield _runs(CORN)
    full, same = _teachers(CORN)
    yield f"(one network, {full} %)"
    yield f"(24 networks, {percent(same[0])} % down to {percent(same[-1])} %)"
    kept = [gain(CORN, level, "kd", "full") for level in LEVELS[CORN][1]]
    low, high = span(100 * row["distilled_mean"] for row in kept)
    worst, best = kept[-1], kept[0]
    yield f"with `kd` the student keeps {low} to {high} %"
    yield f"falls from {percent(best['plain_mean'])} to {percent(worst['plain_mean'])} %. At 60 %"
    yield f"the gain is {size(worst)} points, {100 * worst['gap_closed']:.0f} % of the gap to the teacher"
    dkd = gain(CORN, 0.6, "dkd", "full")
    yield f"Of its seven, `kd` {points(worst)} and `dkd` {points(dkd)} at 60 % hold"
    assert decided([*distilled(CORN, "full"), *distilled(CORN, "same")]) == 7
    own = gain(CORN, 0.2, "kd", "same")
    assert (own["verdict"], own["verdict_family"]) == ("helps", "undecided")
    assert not decided([gain(CORN, level, "kd", "same") for level in (0.4, 0.6)])
    yield f"At 40 and 60 % its gains are undecided; {points(own)} at 20 % helps alone"
    grown, undecided = (change_to(CORN, "0.6", each) for each in ("full", "same"))
    assert (grown["verdict_family"], undecided["verdict_family"]) == ("larger", "undecided")
    yield f"wrong labels**, by {change(grown)} between 0 and 60 %, which holds after correction for"
    yield f"correction for {grown['n_tests']} differences; with a teacher of the same labels"
    yield f"the change of {change(undecided)} is undecided"
    clean = [gain(CORN, 0.0, "dkd", each) for each in ("full", "same")]
    assert verdicts(clean) == {"harms": 2} and not decided(clean, "verdict_family")
    assert not decided([gain(CORN, 0.0, "kd", each) for each in ("full", "same")])
    yield f"is {size(clean[0])} and {size(clean[1])} points behind"
    yield from _calibration()
    assert not decided(only(effects(CORN), metric="accuracy", method="label_smoothing"))
    rare = gain(CORN, 0.0, "kd", "full", "worst_class_accuracy")
    low_end, high_end = 100 * rare["ci_low"], 100 * rare["ci_high"]
    yield f"{points(rare)} points [{low_end:.1f}, {high_end:.1f}])"
    yield f"the sign-flip p is {rare['p_value']:.3f}"
    assert not decided(only(effects(CORN), metric="worst_class_accuracy"), "verdict_family")
    yield f"the smallest possible p-value is {2 / 2**6:.3f}, and no corrected p-value over the 20 tests"


def _calibration() -> Iterator[str]:
    errors = [gain(CORN, level, "kd", "full", "ece") for level in LEVELS[CORN][1]]
    low, high = span(-100 * row["gain"] for row in errors[1:])
    yield f"lowers the calibration error by {low} to {high} points (at 40 and 60 % also after correction)"
    assert [row["verdict_family"] for row in errors] == ["undecided", "undecided", "helps", "helps"]
    clean = errors[0]
    yield f"raises it by {size(clean)} points [{100 * clean['ci_low']:.1f}, {100 * clean['ci_high']:.1f}]"


def _cifar() -> Iterator[str]:
    yield from _table(CIFAR, 1.0, "{:.0f}")
    yield _runs(CIFAR)
    full, same = _teachers(CIFAR)
    low, high = span(100 * each for each in same)
    yield f"4,000 steps (one network, {full} %)"
    yield f"(24 networks, {low} to {high} %)"
    strong = [gain(CIFAR, level, "kd", "full") for level in LEVELS[CIFAR][1]]
    low, high = span(100 * row["gain"] for row in strong)
    yield f"`kd` from a strong teacher is {low} to {high} points ahead"
    yield f"most at 25 images per class ({interval(strong[0])}, which helps alone)"
    assert verdicts(strong) == {"helps": 1, "undecided": 3} and strong[0]["verdict"] == "helps"
    weak = [gain(CIFAR, level, "kd", "same") for level in LEVELS[CIFAR][1]]
    better = span(100 * (row["teacher_accuracy"] - row["plain_mean"]) for row in weak)
    yield f"The `same` teachers are {better[0]} to {better[1]} points better than the plain student"
    assert all(row["gain"] < 0 for row in weak) and verdicts(weak) == {"harms": 1, "undecided": 3}
    assert weak[1]["verdict"] == "harms"
    assert not decided(only(effects(CIFAR), metric="accuracy", method="dkd", provenance="same"))
    assert not decided(only(effects(CIFAR), metric="accuracy"), "verdict_family")
    assert decided(only(effects(CIFAR), metric="accuracy")) == 2
    errors = [gain(CIFAR, level, "kd", "full", "ece") for level in LEVELS[CIFAR][1]]
    assert verdicts(errors, "verdict_family") == {"harms": 4}
    low, high = span(100 * row["gain"] for row in errors)
    yield f"raises the calibration error** at every size, by {low} to {high} points, also after correction"
    plain = [row["plain_mean"] for row in strong]
    yield f"student moves from {percent(plain[0])} to {percent(plain[-1])} % between 25 and 200"
    closed = max(row["gap_closed"] for row in strong)
    yield f"The strong teacher closes at most {100 * closed:.0f} % of the gap"
    moved = change_to(CIFAR, "200", "full")
    assert moved["verdict"] == "undecided"
    yield f"between 25 and 200 images, {change(moved)}, is undecided"
    epochs = {row["factor.size"]: row["epochs"] for row in results(CIFAR)}
    yield f"300 steps are {epochs[25.0]} epochs of the smallest set and {epochs[200.0]} of the largest"
