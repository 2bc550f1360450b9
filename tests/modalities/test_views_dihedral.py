"""Quarter turns and mirror images: exact, closed, invertible, and numbered."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.views import Views
from distillab.modalities.views.dihedral import (
    ORDER,
    DihedralViews,
    composed_views,
    dihedral_view,
    inverse_view,
)

NUMBERS = range(ORDER)
KINDS = [torch.uint8, torch.float32]


def square(dtype: torch.dtype = torch.uint8, side: int = 5) -> Tensor:
    """Return an image whose pixels all differ, ``[3, side, side]``."""
    return torch.arange(3 * side * side).reshape(3, side, side).to(dtype)


def drawn(seed: int = 0, n: int = 400, epoch: int = 0) -> list[int]:
    views = DihedralViews()
    return list(views.index(views.draw(np.arange(n), epoch, seed)))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("number", NUMBERS)
def test_views_hold_the_pixels_of_the_image(number: int, dtype: torch.dtype) -> None:
    view = dihedral_view(square(dtype), number)
    assert view.shape == (3, 5, 5) and view.dtype == dtype
    assert torch.equal(view.flatten(1).sort().values, square(dtype).flatten(1).sort().values)


def test_all_views_differ_and_the_first_is_the_image() -> None:
    found = [dihedral_view(square(), number) for number in NUMBERS]
    assert torch.equal(found[0], square())
    assert len({each.contiguous().numpy().tobytes() for each in found}) == ORDER


@pytest.mark.parametrize(("first", "then"), list(product(NUMBERS, NUMBERS)))
def test_the_orbit_is_closed(first: int, then: int) -> None:
    both = dihedral_view(dihedral_view(square(), first), then)
    assert torch.equal(both, dihedral_view(square(), composed_views(first, then)))


@pytest.mark.parametrize("number", NUMBERS)
def test_each_view_is_undone_by_its_inverse(number: int) -> None:
    assert torch.equal(dihedral_view(dihedral_view(square(), number), inverse_view(number)), square())
    assert composed_views(number, inverse_view(number)) == 0


@pytest.mark.parametrize("dtype", KINDS)
def test_a_batch_is_rendered_view_by_view(dtype: torch.dtype) -> None:
    items, views = square(dtype).expand(ORDER, -1, -1, -1), DihedralViews()
    rendered = views.render(items, views.at(np.arange(ORDER)))
    assert rendered.dtype == dtype
    assert all(torch.equal(rendered[n], dihedral_view(square(dtype), n)) for n in NUMBERS)


def test_views_are_drawn_evenly_and_by_id_epoch_and_seed() -> None:
    counts = np.bincount(drawn(n=8000), minlength=ORDER)
    assert counts.min() > 900 and counts.max() < 1100
    assert drawn() == drawn() != drawn(seed=1)
    assert drawn() != drawn(epoch=1)


def test_numbers_give_views_and_views_numbers() -> None:
    views = Views.resolve("dihedral", (3, 8, 8))
    assert views.count == ORDER and views.label == "dihedral"
    assert views.index(views.at(np.arange(ORDER))).tolist() == list(NUMBERS)
    with pytest.raises(IndexError, match="0 to 7"):
        views.at(np.array([8]))


@pytest.mark.parametrize("written", [["dihedral"], [{"dihedral": {}}], "dihedral"])
def test_the_operation_alone_has_numbers(written: object) -> None:
    assert modalities["image"].views(written, (3, 8, 8)).count == ORDER  # type: ignore[arg-type]


def test_it_is_an_operation_of_a_chain() -> None:
    chain = modalities["image"].views(["crop", "dihedral", "colour_jitter"], (3, 8, 8))
    assert chain.count is None and chain.label == "crop(pad=1), dihedral, color_jitter"
    assert Views.read(chain.written, chain.pad) == chain


def test_strong_views_follow_the_turn() -> None:
    strong = Views.resolve("dihedral", (3, 8, 8)).strengthened(modalities["image"].strong_operation())
    assert strong.label == "dihedral, rand_augment"


def test_labels_stay() -> None:
    pixels = square(side=8)[None].expand(6, -1, -1, -1).numpy()
    examples = Examples.of(pixels, [0, 1, 2] * 2, ("a", "b", "c"))
    before = examples.labels.tolist()
    rendered = Views.resolve("dihedral", (3, 8, 8)).batch(examples, np.arange(6), 0, 1, torch.device("cpu"))
    assert rendered.mixture is None and examples.labels.tolist() == before
    assert np.array_equal(examples.items(np.arange(6)), pixels), "the pool stays as it is"


@pytest.mark.parametrize("written", ["dihedral", ["dihedral"], ["crop", "dihedral"]])
def test_images_that_are_not_square_are_refused(written: object) -> None:
    with pytest.raises(
        RequestError, match=r"views: dihedral: quarter turns need square images.*8x6.*allowed"
    ):
        modalities["image"].views(written, (3, 8, 6))  # type: ignore[arg-type]


def test_sounds_are_not_turned() -> None:
    with pytest.raises(RequestError, match="dihedral is an operation on image examples"):
        modalities["audio"].views("dihedral", (1, 8, 8))
