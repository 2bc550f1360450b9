"""The figures of docs/cost.md that the committed tables hold."""

from __future__ import annotations

from collections.abc import Iterator

from support.figures.tables import Record, records

COSTS = ("wall_seconds", "cpu_seconds", "peak_mib", "teacher_images")
METHODS = ("ce", "kd", "dist", "at", "rkd")
NAMES = {
    "torchdistill": "torchdistill",
    "distillab auto": "distillab, auto",
    "distillab fp32": "distillab, fp32",
}


def fragments() -> Iterator[str]:
    """Yield the rows on cost and accuracy, and the ratios."""
    rows = records("study-cost-whole")
    seen: set[str] = set()
    for row in rows:
        pair = "" if row["pair"] in seen else row["pair"]
        seen.add(row["pair"])
        first = f"| {pair} | {NAMES[row['side']]} |" if pair else f"| | {NAMES[row['side']]} |"
        yield f"{first} {' | '.join(f'{float(row[name]):,.0f}' for name in COSTS)} |"
        cells = (
            f"{100 * float(row[f'accuracy_{name}']):.1f} ± {100 * float(row[f'sd_{name}']):.1f}"
            for name in METHODS
        )
        yield f"{first} {' | '.join(cells)} |"
    auto, fp32 = ratios(rows)
    yield f"`ratio_auto={auto:.2f} ratio_fp32={fp32:.2f}` for both pairs together"
    of_pairs = [
        ratios([row for row in rows if row["pair"] == pair])
        for pair in dict.fromkeys(r["pair"] for r in rows)
    ]
    larger, smaller = (f"{auto:.2f} and {fp32:.2f}" for auto, fp32 in of_pairs)
    yield f"{larger} for the first, {smaller} for the second"
    for name, first in (
        ("whole", "5,000, 100 | 390"),
        ("middle", "1,000, 10 | 270"),
        ("quick", "256, 100 | 16"),
    ):
        auto, fp32 = ratios(records(f"study-cost-{name}"))
        yield f"| {first} | {auto:.2f} | {fp32:.2f} |"


def ratios(rows: tuple[Record, ...] | list[Record]) -> tuple[float, float]:
    """Return how many times the wall time of distillab torchdistill takes, at ``auto`` and in fp32."""
    wall = {side: sum(float(row["wall_seconds"]) for row in rows if row["side"] == side) for side in NAMES}
    return wall["torchdistill"] / wall["distillab auto"], wall["torchdistill"] / wall["distillab fp32"]
