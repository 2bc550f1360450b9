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
from distillab.errors import RequestError, unknown_name

PUBLISHED = "published"
DATA_VARIABLE = "DISTILLAB_DATA"
_IN_DATA = re.compile(r"\$\{DISTILLAB_DATA\}/([\w.-]+)")


def study_owner(claim: ClaimSpec) -> str:
    """Return the id of the claim whose study it shares; its own if it shares none.

    Example:
        >>> study_owner(find_claim("size-same"))
        'size-full'
    """
    return claim.study_of or claim.id


@cache
def published_claims() -> Mapping[str, ClaimSpec]:
    """Return the claims that come with the package, by id.

    Raises:
        RequestError: A file is not a claim, or is not named after its id.

    Example:
        >>> len(published_claims()) >= 40
        True
    """
    folder = files("distillab.claims") / PUBLISHED
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    return claims_of({name: text for name, text in sorted(texts.items()) if name.endswith(".yaml")})


def claims_of(texts: Mapping[str, str]) -> dict[str, ClaimSpec]:
    """Return the claims that some files describe, by id.

    Args:
        texts: The content of each file by name.

    Raises:
        RequestError: A file is not a claim, is not named after its id, or refers to an unknown study.

    Example:
        >>> claims_of({})
        {}
    """
    claims: dict[str, ClaimSpec] = {}
    for name, text in texts.items():
        claim = read_claim(text, name)
        if f"{claim.id}.yaml" != name:
            raise RequestError(
                f"the file is not named after its id {claim.id!r}",
                where=f"{name}: id",
                allowed=name.removesuffix(".yaml"),
            )
        claims[claim.id] = claim
    for name, claim in claims.items():
        if claim.study_of is not None:
            owners = [each for each, own in claims.items() if own.study_of is None]
            if claim.study_of not in owners:
                raise unknown_name("claim", claim.study_of, owners, where=f"{name}.yaml: study_of")
            claims[name] = claim.sharing(claims[claim.study_of])
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
    """Raise RequestError if a dataset that a claim needs is missing; the message names the claims.

    Args:
        claims: The claims.
        scale: The scale.

    Example:
        >>> require_data([find_claim("size-full")], "laptop")
    """
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
