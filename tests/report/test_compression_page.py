"""The page of a compression in a real browser: the answer first, figures drawn, tables sortable, offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from distillab.deploy.compression.arms import CompressionArm, NetworkCost, TestedNetwork, compared, with_front
from distillab.deploy.compression.result import Compressed, RecoveryGain
from distillab.report.page.compression import render_compression, write_compression
from support.pages import Scheme, draw_all, offline_page


def sample(name: str = "resnet8") -> Compressed:
    """A compression of drawn networks: each technique costs accuracy and saves bytes."""
    rng = np.random.default_rng(0)

    def arm(techniques: tuple[str, ...], sparsity: float, right: float, size: int) -> CompressionArm:
        seeds = range(5) if "prune" in techniques or "KD" in techniques else range(1)
        networks = tuple(TestedNetwork(f"r{s}", s, right, rng.random(400) < right) for s in seeds)
        kind = "structured" if sparsity else None
        cost = NetworkCost(size, size, 100 * size, 4 * size, 3 * size, size / 1e4, size / 5e3)
        fine_tuned = bool(set(techniques) & {"prune", "KD"})
        return CompressionArm(techniques, kind, sparsity, fine_tuned, networks, cost)  # type: ignore[arg-type]

    arms = with_front(
        compared(
            [
                arm((), 0.0, 0.80, 80_000),
                arm(("int8",), 0.0, 0.79, 22_000),
                arm(("KD",), 0.0, 0.82, 80_000),
                arm(("prune",), 0.5, 0.75, 40_000),
                arm(("prune", "KD"), 0.5, 0.79, 40_000),
                arm(("prune", "KD", "int8"), 0.5, 0.795, 12_000),
            ]
        )
    )
    gain = RecoveryGain("structured", 0.5, "", 0.75, 0.79, 0.04, 0.01, 0.07, 5, "helps")
    return Compressed(
        folder=Path("compressed"),
        network=name,
        dataset="leaves",
        teacher="the unpruned network",
        arms=arms,
        recovery=(gain,),
        winner=arms[-1],
        model=Path("compressed/model"),
        max_drop=1.0,
        margin=0.005,
        settings={"seeds": "5"},
        n_test=400,
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_shows_what_to_ship_and_draws_all_figures(
    chromium: Browser, tmp_path: Path, width: int, scheme: Scheme
) -> None:
    page_file = tmp_path / "report.html"
    write_compression(sample(), page_file)
    with offline_page(chromium, page_file, width, scheme) as page:
        assert page.inner_text("h1").startswith(
            "Ship prune 50 % of weights (channels) + KD + int8: 6.7 times"
        )
        draw_all(page)
        for key in ("size", "gzip_size", "macs", "p50_ms"):
            assert page.locator(f"#compression-{key} .main-svg").count() > 0
        page.click("#arms-table th button")
        assert page.get_attribute("#arms-table th", "aria-sort") == "ascending"
        assert page.locator("#recovery-table tbody tr").count() == 1


def test_names_are_escaped_on_the_page() -> None:
    text = render_compression(sample("<script>alert(1)</script>"))
    assert "<script>alert(1)" not in text


def test_page_without_a_winner_ships_the_network_as_it_is() -> None:
    from dataclasses import replace

    text = render_compression(replace(sample(), winner=None, model=None))
    assert "Ship resnet8 as it is" in text
