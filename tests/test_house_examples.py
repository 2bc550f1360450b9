"""The public face of every package: `__all__`, and an example for each function and class in it.

The examples run as doctests of the modules that define them (`pytest src/distillab`).
"""

from __future__ import annotations

import inspect

from support.source_tree import packages


def test_packages_define_their_public_names() -> None:
    found = packages()
    assert [name for name, package in found.items() if not hasattr(package, "__all__")] == []
    undefined = [
        f"{name}.{export}"
        for name, package in found.items()
        for export in package.__all__
        if not hasattr(package, export)
    ]
    assert undefined == []


def test_public_functions_and_classes_have_examples() -> None:
    offenders = set()
    for package in packages().values():
        for export in package.__all__:
            value = getattr(package, export)
            own = getattr(value, "__module__", "").startswith("distillab")
            if own and (inspect.isclass(value) or inspect.isfunction(value)):
                documented = inspect.getdoc(value) or ""
                if "Example:" not in documented or ">>>" not in documented:
                    offenders.add(f"{value.__module__}.{value.__qualname__}")
    assert sorted(offenders) == []
