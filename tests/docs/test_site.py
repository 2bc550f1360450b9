"""The documentation builds as a site, strictly: no link leads nowhere, and the API reference is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import distillab
from support.source_tree import ROOT

SITE = "from mkdocs.__main__ import cli; cli()"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", SITE, "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert all((site / page).with_suffix(".html").exists() for page in [*pages, Path("start.md")])
    study = "studies/factors/size.yaml"
    assert (site / "tree" / study).read_bytes() == (ROOT / study).read_bytes()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = (site / "reference/distillab.html").read_text()
    titles = {each.rpartition(".")[2] for each in re.findall(r'<h2 id="(distillab[\w.]+)"', text)}
    assert set(distillab.__all__) <= titles
    assert 'class="gp">&gt;&gt;&gt;' in text  # examples are shown as code


def test_pages_need_no_network(site: Path) -> None:
    for page in ("index.html", "teachers.html", "reference/distillab.html"):
        assert not re.findall(
            r'<(?:script|link)[^>]+(?:src|href)="(https?:)?//[^"]+"', (site / page).read_text()
        )
