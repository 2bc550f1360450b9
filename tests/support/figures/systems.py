"""The figures of docs/systems.md and docs/systems/ that committed tables hold."""

from __future__ import annotations

from collections.abc import Iterator

import systems_table

from distillab.models import InputSpec, build_model, count_macs, count_parameters
from support.figures.tables import Record, records
from support.source_tree import ROOT

TABLE = "edge-compression"
SHOWN = (
    *("as given", "int8", "KD + int8"),
    *(
        f"prune {share} % of weights ({kind}"
        for share in (30, 50, 70)
        for kind in ("channels) + int8", "channels) + KD + int8", "zeros) + KD + int8")
    ),
)
MINUS = "−"


def fragments() -> Iterator[str]:
    """Yield the rows of the two tables of compression."""
    yield from arm_rows()
    yield from recovery_rows()


def study_fragments(page: str) -> Iterator[str]:
    """Yield the lines of the tables of a page of docs/systems/ that follow from tables of its studies."""
    for content in systems_table.blocks((ROOT / page).read_text(encoding="utf-8")).values():
        yield from content.splitlines()


def alexnet() -> Iterator[str]:
    """Yield the sizes of AlexNet and of its student without exits, for the study's images."""
    inputs = InputSpec.square(3, 32)
    sizes = {}
    for name in ("alexnet", "alexnet_dsc"):
        network = build_model(name, classes=20, inputs=inputs)
        sizes[name] = count_parameters(network), count_macs(network, inputs) / 1e6
    (params, macs), (small_params, small_macs) = sizes.values()
    yield f"The teacher has {params:,} parameters and {macs:.2f} million multiply-accumulates"
    yield f"the student without exits {small_params:,} and {small_macs:.2f} million"
    fewer = params / small_params, macs / small_macs
    yield "{:.1f} times fewer parameters and {:.1f} times fewer operations".format(*fewer)


def arm_rows() -> Iterator[str]:
    """Yield one row per set and arm that the page shows."""
    arms = [row for row in records(TABLE) if row["table"] == "arms"]
    given = {row["set"]: int(row["bytes"]) for row in arms if row["arm"] == "as given"}
    for row in (each for each in arms if each["arm"] in SHOWN):
        cells = (
            row["set"],
            row["arm"],
            _percent(row["test_accuracy"]),
            "" if row["arm"] == "as given" else _difference(row),
            f"{given[row['set']] / int(row['bytes']):.1f}",
            f"{int(row['bytes']) / 1000:.0f}",
            f"{int(row['gzip_bytes']) / 1000:.0f}",
            f"{int(row['macs']) / 1e6:.2f}",
            f"{float(row['p50_ms']):.2f}",
        )
        yield f"| {' | '.join(cells)} |"


def recovery_rows() -> Iterator[str]:
    """Yield one row per set and start of a fine-tuning."""
    for row in records(TABLE):
        if row["table"] == "recovery":
            share = f"{100 * float(row['sparsity']):.0f} % of weights, {row['kind']}"
            share += f", after {row['after']} stages" if row["after"] else ""
            cells = (
                row["set"],
                share if row["kind"] else "not pruned",
                _percent(row["plain_accuracy"]),
                _percent(row["distilled_accuracy"]),
                _interval(row, "gain"),
                row["verdict"],
            )
            yield f"| {' | '.join(cells)} |"


def _percent(share: str) -> str:
    return f"{100 * float(share):.1f}"


def _difference(row: Record) -> str:
    return _interval(row, "difference")


def _interval(row: Record, column: str) -> str:
    low, high = (f"{100 * float(row[name]):+.1f}" for name in ("ci_low", "ci_high"))
    return f"{100 * float(row[column]):+.1f} [{low}, {high}]".replace("-", MINUS)
