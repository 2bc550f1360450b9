"""Claims run from a function: their studies, their verdicts, and the table of verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from distillab.api.studies import Study
from distillab.claims import (
    VERDICTS_FILE,
    ClaimScale,
    ClaimSpec,
    ClaimVerdict,
    find_claim,
    judge_claim,
    merged_verdicts,
    published_claims,
    read_verdicts,
    require_data,
    scale_named,
    study_owner,
    write_verdicts,
)
from distillab.errors import RequestError
from distillab.study.folder import StudyFolder
from distillab.study.running import OnProgress

CLAIMS_PAGE = "claims.html"
OnVerdict = Callable[[ClaimVerdict], None]


def run_claims(
    claims: Sequence[str] | None = None,
    *,
    scale: str = "smoke",
    out: str | Path | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    on_start: Callable[[ClaimSpec], None] | None = None,
    on_verdict: OnVerdict | None = None,
    on_progress: OnProgress | None = None,
    on_begin: Callable[[StudyFolder], None] | None = None,
) -> list[ClaimVerdict]:
    """Run the studies of claims, the cheapest first, and return the verdicts.

    Claims that share a study run it once, and studies that share teachers train them once. What was finished
    is kept in ``out``, so that the same call resumes; the table of verdicts and a page are written there
    after each claim.

    Args:
        claims: The ids of the claims; None for all.
        scale: ``smoke``, ``laptop`` or ``full``.
        out: The folder of the studies; by default a temporary one at scale smoke, and ``claims`` otherwise.
        workers: Number of worker processes; by default one per CPU core. At scale smoke there are none.
        retry_failed: Try failed runs again.
        on_start: Called with each claim before its study runs.
        on_verdict: Called with each verdict.
        on_progress: Called with the share of a study that is finished.
        on_begin: Called once a study is planned.

    Raises:
        RequestError: A claim or scale is unknown, or the real data that a claim needs are missing.

    Example:
        >>> run_claims(["size-ful"])
        Traceback (most recent call last):
        distillab.errors.RequestError: unknown claim 'size-ful', did you mean 'size-full'...
    """
    chosen = scale_named(scale)
    wanted = (
        [find_claim(name) for name in dict.fromkeys(claims)] if claims else [*published_claims().values()]
    )
    require_data(wanted, chosen)
    with tempfile.TemporaryDirectory(prefix="distillab-claims-") as temporary:
        folder = Path(out) if out else Path(temporary if chosen == "smoke" else "claims")
        runner = _Runner(chosen, folder, workers, retry_failed, on_progress, on_begin)
        verdicts = []
        for claim in cheapest_first(wanted, chosen):
            if on_start:
                on_start(claim)
            verdict = runner.run(claim)
            verdicts.append(verdict)
            if folder != Path(temporary):
                _record(verdict, folder)
            if on_verdict:
                on_verdict(verdict)
    return verdicts


def cheapest_first(claims: Sequence[ClaimSpec], scale: ClaimScale) -> list[ClaimSpec]:
    """Return claims by planned minutes; those that share a study follow each other.

    Example:
        >>> first, *_ = cheapest_first(list(published_claims().values()), "laptop")
        >>> first.minutes["laptop"] == min(each.minutes["laptop"] for each in published_claims().values())
        True
    """
    return sorted(claims, key=lambda each: (each.minutes.get(scale, 0.0), study_owner(each), each.id))


class _Runner:
    """Runs the studies of claims in one folder."""

    def __init__(
        self,
        scale: ClaimScale,
        folder: Path,
        workers: int | None,
        retry_failed: bool,
        on_progress: OnProgress | None,
        on_begin: Callable[[StudyFolder], None] | None,
    ) -> None:
        self.on_begin = on_begin
        self.scale, self.folder, self.workers = scale, folder, workers
        self.retry_failed, self.on_progress = retry_failed, on_progress

    def run(self, claim: ClaimSpec) -> ClaimVerdict:
        """Run the study of a claim, or resume it, and judge the claim."""
        owner = find_claim(study_owner(claim))
        path = self.folder / self.scale / f"{owner.id}-v{owner.version}"
        study = Study.of(claim.study_spec(self.scale))
        others = [each for each in self._others() if each != path] if not path.exists() else []
        finished = study.run(
            path,
            workers=self.workers,
            executor="inline" if self.scale == "smoke" else "processes",
            device="cpu" if self.scale == "smoke" else "auto",
            retry_failed=self.retry_failed,
            reuse=others,
            on_progress=self.on_progress,
            on_begin=self.on_begin,
            report=self.scale != "smoke",
        )
        return judge_claim(claim, self.scale, finished.folder, finished.tables)

    def _others(self) -> Iterator[Path]:
        """Go through the studies of other claims whose networks can be used again."""
        if self.scale == "smoke":
            return
        for path in sorted((self.folder / self.scale).glob("*/study.yaml")):
            yield path.parent


def _record(verdict: ClaimVerdict, folder: Path) -> None:
    """Add a verdict to the table of a folder, and write its page anew."""
    table = folder / VERDICTS_FILE
    from distillab.report.page.claims import write_claims_page

    try:
        held = read_verdicts(table.read_text(encoding="utf-8"), str(table)) if table.exists() else ()
        verdicts = merged_verdicts(held, [verdict])
        write_verdicts(verdicts, table)
        write_claims_page(list(published_claims().values()), verdicts, folder / CLAIMS_PAGE)
    except OSError as error:
        raise RequestError(f"cannot write there ({error.strerror})", where=str(folder)) from error
