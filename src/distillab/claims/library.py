"""The published claims that come with the package."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from distillab.claims.scales import ClaimScale
from distillab.claims.spec import ClaimSpec, read_claim
from distillab.errors import RequestError

PUBLISHED = "published"
DATA_VARIABLE = "DISTILLAB_DATA"
_IN_DATA = re.compile(r"\$\{DISTILLAB_DATA\}/([\w.-]+)")


@cache
def published_claims() -> Mapping[str, ClaimSpec]:
    """Return the claims that come with the package, by id.

    Raises:
        RequestError: A file is not a claim, or is not named after its id.

    Example:
        >>> len(published_claims()) >= 40
        True
    """
    claims: dict[str, ClaimSpec] = {}
    folder = files("distillab.claims") / PUBLISHED
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            claim = read_claim(file.read_text(encoding="utf-8"), file.name)
            if f"{claim.id}.yaml" != file.name:
                raise RequestError(
                    f"the file is not named after its id {claim.id!r}",
                    where=f"{file.name}: id",
                    allowed=file.name.removesuffix(".yaml"),
                )
            claims[claim.id] = claim
    return claims


def find_claim(name: str) -> ClaimSpec:
    """Return a claim by its id.

    Raises:
        RequestError: There is none; the message lists those with a similar id.

    Example:
        >>> find_claim("size-ful")
        Traceback (most recent call last):
        distillab.errors.RequestError: unknown claim 'size-ful', did you mean 'size-full'...
    """
    claims = published_claims()
    if name in claims:
        return claims[name]
    part = {each for each in claims if name and name.lower() in each}
    near = list(dict.fromkeys([*difflib.get_close_matches(name, claims, n=5, cutoff=0.4), *sorted(part)]))
    hint = f", did you mean {' or '.join(repr(each) for each in near[:3])}?" if near else ""
    allowed = f"{', '.join(near)}; `distillab claims list` shows all" if near else None
    raise RequestError(
        f"unknown claim {name!r}{hint}", allowed=allowed or "those that `distillab claims list` shows"
    )


def needed_data(claim: ClaimSpec, scale: ClaimScale) -> tuple[str, ...]:
    """Return the datasets in the folder of real data that a claim needs at a scale.

    Example:
        >>> needed_data(find_claim("size-full"), "smoke")
        ()
    """
    return tuple(sorted(set(_IN_DATA.findall(str(claim.study_values(scale))))))


def require_data(claims: Iterable[ClaimSpec], scale: ClaimScale) -> None:
    """Raise RequestError if a dataset that a claim needs is missing; the message names the claims."""
    root = os.environ.get(DATA_VARIABLE)
    needs: dict[str, list[str]] = {}
    for claim in claims:
        for dataset in needed_data(claim, scale):
            if root is None or not (Path(root) / dataset).exists():
                needs.setdefault(dataset, []).append(claim.id)
    if needs:
        listed = "; ".join(f"{dataset} for {', '.join(ids)}" for dataset, ids in sorted(needs.items()))
        missing = "is not set" if root is None else f"is {root}, which lacks datasets"
        raise RequestError(
            f"{DATA_VARIABLE} {missing}: needed are {listed}",
            where=f"--scale {scale}",
            allowed="a folder with these datasets, or --scale smoke",
        )
