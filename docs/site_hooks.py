"""Hooks of mkdocs: pages and files of the tree that documentation links to, and the API reference."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "start.md"} | {
    name: name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
}
"""Pages at the top of the tree, with their names in the site, where they are beside those of docs/."""
FILES = "tree"
"""The folder of the site with the files that pages link to."""
LINK = re.compile(r"(\]\()((?!\w+:|#|/)[^)\s#]+)(#[^)\s]*)?(\))")
REFERENCE = {
    "distillab": "What a script needs",
    "distillab.methods": "Methods of one's own",
    "distillab.factors": "Factors",
    "distillab.tasks": "Tasks",
    "distillab.track": "Trackers",
}
"""The packages of the API reference, with their titles."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the top of the tree, the API reference, and what pages link to outside of docs/."""
    for name, page_name in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page_name, content=text))
    listed = "\n".join(f"- [{title}]({package}.md)" for package, title in REFERENCE.items())
    files.append(File.generated(config, "reference/index.md", content=f"# API reference\n\n{listed}\n"))
    shown: set[str] = set()
    for package, title in REFERENCE.items():
        paths = [path for path in exported(package) if path not in shown]
        shown |= set(paths)
        names = "\n\n".join(f"::: {path}" for path in paths)
        text = f"# {title}\n\n`import {package}`\n\n{names}\n"
        files.append(File.generated(config, f"reference/{package}.md", content=text))
    for page in list(files.documentation_pages()):
        if not page.src_uri.startswith("reference/"):
            for found in LINK.finditer(page.content_string):
                _add(_inside(found[2], page.src_uri), config, files)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Have links to what is not in docs/ lead to its copy in the site."""
    source = page.file.src_uri

    def changed(found: re.Match[str]) -> str:
        wanted = _place(_inside(found[2], source))
        if files.get_file_from_path(wanted) is None:
            return found[0]
        return f"{found[1]}{os.path.relpath(wanted, PurePosixPath(source).parent)}{found[3] or ''}{found[4]}"

    return LINK.sub(changed, markdown)


def _inside(target: str, source: str) -> str:
    """Return where a link of a page leads to, from the top of the tree."""
    folder = ROOT if source in PAGES.values() else (ROOT / "docs" / source).parent
    return Path(os.path.relpath(folder / target, ROOT)).as_posix()


def _place(inside: str) -> str:
    """Return the place in the site of a file or folder of the tree."""
    if inside in PAGES:
        return PAGES[inside]
    name = inside.removeprefix("docs/") if inside.startswith("docs/") else f"{FILES}/{inside}"
    return f"{name}/index.md" if (ROOT / inside).is_dir() else name


def _add(inside: str, config: Any, files: Files) -> None:
    """Add a file or the list of a folder to the site, unless it is there or does not exist."""
    place, name = ROOT / inside, _place(inside)
    if inside.startswith("..") or not place.exists() or files.get_file_from_path(name) is not None:
        return
    if place.is_dir():
        entries = "\n".join(f"- {each.name}" for each in sorted(place.iterdir()) if each.name[0] not in "._")
        files.append(File.generated(config, name, content=f"# {inside}\n\n{entries}\n"))
    else:
        files.append(File.generated(config, name, abs_src_path=str(place)))


def exported(package: str) -> list[str]:
    """Return where the names in the ``__all__`` of a package are defined, those of functions and classes.

    Example:
        >>> "distillab.methods.method.Method" in exported("distillab.methods")
        True
    """
    import importlib

    module = importlib.import_module(package)
    found = []
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if (
            callable(value)
            and hasattr(value, "__qualname__")
            and str(value.__module__).startswith("distillab")
        ):
            found.append(f"{value.__module__}.{value.__qualname__}")
    return list(dict.fromkeys(found))
