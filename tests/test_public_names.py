"""The names that ``import distillab`` offers."""

from __future__ import annotations

import importlib

import pytest

import distillab


@pytest.mark.parametrize("name", ["profile", "report"])
def test_functions_that_share_a_package_name_stay_functions(name: str) -> None:
    importlib.import_module(f"distillab.{name}")
    assert getattr(distillab, name) is getattr(importlib.import_module("distillab.api"), name)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        distillab.nothing  # type: ignore[attr-defined]  # noqa: B018
