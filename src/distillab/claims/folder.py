"""From the folder of a study that has run to the verdict on a claim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillab.claims.judging import ClaimTables, failed_check, findings_of
from distillab.claims.scales import ClaimScale
from distillab.claims.spec import ClaimSpec
from distillab.claims.verdict import ClaimAnswer, ClaimVerdict, RuleFinding, combined
from distillab.evidence.draws import FloatArray
from distillab.evidence.harms import ClassHarm, class_harms
from distillab.evidence.measurements import Measurements
from distillab.evidence.pairs import Row
from distillab.evidence.results import Tables
from distillab.study.design import Cell
from distillab.study.folder import StudyFolder
from distillab.study.ledger import JobState

NOT_TESTED: ClaimAnswer = "not tested"
SMOKE_REASON = "At scale smoke a claim is run, and not decided"


def judge_claim(claim: ClaimSpec, scale: ClaimScale, folder: StudyFolder, tables: Tables) -> ClaimVerdict:
    """Return the verdict on a claim from the folder of its study.

    Args:
        claim: The claim.
        scale: The scale at which its study ran.
        folder: The folder of the study.
        tables: Its tables, as :func:`distillab.evidence.write_tables` returned them.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.claims.library import find_claim
        >>> from distillab.evidence import write_tables
        >>> claim = find_claim("size-full")
        >>> path, cpu = Path(tempfile.mkdtemp()) / "study", torch.device("cpu")
        >>> folder = StudyFolder.begin(path, claim.study_spec("smoke"), cpu)
        >>> judge_claim(claim, "smoke", folder, write_tables(folder)).verdict
        'not tested'
    """
    rows = tables.results
    distinct = {row["run_id"]: row for row in rows if row["run_id"]}.values()
    done = [row for row in distinct if row["status"] == JobState.DONE]
    failed = sum(row["status"] == JobState.FAILED for row in distinct)
    waiting = sum(row["status"] in (JobState.QUEUED, JobState.RUNNING) for row in distinct)
    claim_tables = tables_of(folder, tables)
    findings = findings_of(claim, claim_tables)
    if failed:
        answer, because = NOT_TESTED, f"{failed} runs failed; `--retry-failed` tries them again."
    elif waiting:
        answer, because = NOT_TESTED, f"{waiting} runs have not finished; the same command continues."
    else:
        answer, because = _answer(claim, scale, claim_tables, findings)
    with folder.ledger() as ledger:
        seconds = sum(total for _, total in ledger.seconds().values())
    return ClaimVerdict(
        claim=claim.id,
        version=claim.version,
        scale=scale,
        verdict=answer,
        because=because,
        findings=findings,
        dataset=folder.dataset.name,
        runs=len(done),
        failed=failed,
        minutes=seconds / 60,
        waiting=waiting,
    )


def tables_of(folder: StudyFolder, tables: Tables) -> ClaimTables:
    """Return the tables of a study in the form in which claims read them.

    Args:
        folder: The folder of the study.
        tables: Its tables.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from distillab.claims.library import find_claim
        >>> spec, path = find_claim("size-full").study_spec("smoke"), Path(tempfile.mkdtemp()) / "study"
        >>> tables_of(StudyFolder.begin(path, spec, torch.device("cpu")), Tables([], [])).levels
        {'size': (2.0, 4.0, 8.0)}
    """
    spec, headline = folder.spec, tables.headline
    measurements = Measurements(folder)
    cells = {cell.run: cell for cell in measurements.cells if cell.run}

    def class_changes(after: Sequence[Row], before: Sequence[Row]) -> list[ClassHarm]:
        scores = [
            _per_class(measurements, [cells[row["run_id"]] for row in rows]) for rows in (after, before)
        ]
        counts = measurements.per_class(cells[after[0]["run_id"]]) or {}
        sizes = np.array([max(size, 1) for _, size in counts.values()])
        return class_harms(
            scores[0],
            scores[1],
            list(counts),
            resolution=1.0 / sizes,
            confidence=spec.evidence.confidence,
        )

    return ClaimTables(
        results=headline.results,
        effects=headline.effects,
        level_effects=headline.level_effects,
        levels={
            levels[0].name: tuple(
                each.level if isinstance(each.level, str) else float(each.level) for each in levels
            )
            for levels in spec.factor_levels()
        },
        task=spec.task_config(),
        margin=spec.evidence.margin,
        confidence=spec.evidence.confidence,
        contributions=measurements.contributions_to,
        class_changes=class_changes,
    )


def _per_class(measurements: Measurements, cells: Sequence[Cell]) -> FloatArray:
    """Return the metric of each class of some runs, float64 ``[n, C]``."""
    found = [measurements.per_class(cell) or {} for cell in cells]
    return np.array([[value for value, _ in each.values()] for each in found], dtype=np.float64)


def _answer(
    claim: ClaimSpec,
    scale: ClaimScale,
    tables: ClaimTables,
    findings: tuple[RuleFinding, ...],
) -> tuple[ClaimAnswer, str]:
    """Return the verdict and its reason: failed checks come before what rules found."""
    if scale == "smoke":
        return "undecided", f"{SMOKE_REASON}: {combined(findings)[1]}"
    reason = failed_check(claim, tables)
    return (NOT_TESTED, reason) if reason else combined(findings)
