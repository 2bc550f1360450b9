"""The table of docs/systems/tracking.md: gains in the metrics of tracks."""

from __future__ import annotations

from generated import table
from systems_rows import mean_of_runs, percent, points, rows_of

TRACK_METRICS = ("mota", "idf1", "hota")


def followed(study: str) -> str:
    """Return the gains in the metrics of tracks."""
    results = [row for row in rows_of(study, "results") if row["status"] == "done"]
    effects = [row for row in rows_of(study, "effects") if row["metric"] in TRACK_METRICS]
    head = ("metric", "method", "plain, %", "distilled, %", "gain, points", "pairs", "verdict")
    return table(
        head,
        [
            (
                str(row["metric"]).upper(),
                f"`{row['method']}`",
                percent(mean_of_runs(results, row | {"method": row["baseline"]}, row["metric"])),
                percent(mean_of_runs(results, row, row["metric"])),
                points(row),
                str(row["n_pairs"]),
                str(row.get("verdict_family") or row["verdict"]),
            )
            for row in sorted(effects, key=lambda row: TRACK_METRICS.index(row["metric"]))
        ],
    )
