"""What holds for every view operation, on examples of every modality that accepts it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distillab.data.examples import Examples, ItemShape
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.views import Views, operations
from distillab.modalities.views.views import OF_SYMBOLS

CPU = torch.device("cpu")
DTYPES = {"image": torch.uint8, "audio": torch.float16, "text": torch.int32}
STORED = {"image": np.uint8, "audio": np.float16, "text": np.int32}
SHAPES: dict[str, list[ItemShape]] = {
    "image": [(3, 32, 32), (1, 28, 28), (3, 9, 14), (4, 5, 3), (1, 1, 1)],
    "audio": [(1, 40, 101), (3, 13, 60), (2, 5, 3), (1, 1, 1)],
    "text": [(1, 1, 32), (1, 1, 7), (1, 1, 1)],
}
LONG_CHAINS = {
    "image": ["random_resized_crop", "crop", "flip", "colour_jitter", "rand_augment", "mixup"],
    "audio": ["time_shift", "noise", "spec_augment", "mixup"],
    "text": ["character_drop", "character_swap"],
}


def accepts(modality: str, name: str) -> bool:
    """Whether an operation is one of a modality, or of all whose values are quantities."""
    kind = operations[name].modality
    return kind == modality or (kind is None and modality not in OF_SYMBOLS)


CASES = [
    (modality, chain)
    for modality in modalities
    for chain in [
        *([name] for name in operations if accepts(modality, name)),
        LONG_CHAINS[modality],
    ]
]
every_chain = pytest.mark.parametrize(("modality", "chain"), CASES, ids=lambda value: "+".join([*value]))


def examples_of(
    modality: str, shape: ItemShape | None = None, *, first_id: int = 1000, n: int = 24
) -> Examples:
    """Noise with some structure: a gradient along each axis, and some flat items."""
    channels, height, width = shape or SHAPES[modality][0]
    rng = np.random.default_rng(0)
    slopes = np.linspace(0, 90, height)[:, None] + np.linspace(0, 90, width)
    items = 40 + slopes + 20 * rng.normal(size=(n, channels, height, width))
    items[::7] = 200
    stored = np.clip(items, 0, 255).astype(STORED[modality])
    return Examples.of(stored, np.arange(n) % 2, ("a", "b"), first_id=first_id, modality=modality)


def resolve(modality: str, chain: list[str], shape: ItemShape | None = None) -> Views:
    return modalities[modality].views(chain, shape or SHAPES[modality][0])  # type: ignore[arg-type]


def shapes_of(modality: str, chain: list[str]) -> list[ItemShape]:
    """Return shapes that a chain accepts: only squares have quarter turns."""
    return [each for each in SHAPES[modality] if "dihedral" not in chain or each[1] == each[2]]


@every_chain
def test_view_is_the_same_in_any_batch(modality: str, chain: list[str]) -> None:
    """To the bit, whatever the size and order of the batch: of odd shapes too, where the last values of a
    batch take another path through vectorized loops than the others."""
    for shape in shapes_of(modality, chain):
        examples, views = examples_of(modality, shape, n=23), resolve(modality, chain, shape)
        whole = views.batch(examples, np.arange(23), 5, 6, CPU)
        assert whole.items.dtype == DTYPES[modality]
        assert whole.items.shape == (23, *shape)
        rng = np.random.default_rng(0)
        for size in (1, 2, 7, 23, 40):
            positions = rng.integers(0, 23, size)
            part = views.batch(examples, positions, 5, 6, CPU)
            assert torch.equal(part.items, whole.items[positions])
            assert (part.mixture is None) == (whole.mixture is None)
            if part.mixture and whole.mixture:
                assert (part.mixture.partners == whole.mixture.partners[positions]).all()
                assert torch.equal(part.mixture.share, whole.mixture.share[positions])


@every_chain
def test_global_random_states_are_neither_used_nor_changed(modality: str, chain: list[str]) -> None:
    examples, views, positions = examples_of(modality), resolve(modality, chain), np.arange(24)
    torch.manual_seed(0)
    np.random.seed(0)
    first = views.batch(examples, positions, 3, 4, CPU)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    second = views.batch(examples, positions, 3, 4, CPU)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(first.items, second.items)


@every_chain
@pytest.mark.parametrize("change", ["epoch", "seed", "id"])
def test_another_epoch_seed_or_id_gives_another_view(modality: str, chain: list[str], change: str) -> None:
    examples, views = examples_of(modality), resolve(modality, chain)
    epoch, seed = {"epoch": (1, 0), "seed": (0, 1), "id": (0, 0)}[change]
    other = examples_of(modality, first_id=5000) if change == "id" else examples
    first = views.batch(examples, np.arange(24), 0, 0, CPU).items
    second = views.batch(other, np.arange(24), epoch, seed, CPU).items
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.from_numpy(examples.items(np.arange(24))))


@every_chain
def test_training_set_is_not_changed(modality: str, chain: list[str]) -> None:
    examples = examples_of(modality)
    before = examples.items(np.arange(24)).copy()
    resolve(modality, chain).batch(examples, np.arange(24), 0, 0, CPU)
    assert (examples.items(np.arange(24)) == before).all()


@pytest.mark.parametrize("modality", modalities)
def test_operations_of_other_modalities_are_refused(modality: str) -> None:
    for name in operations:
        if not accepts(modality, name):
            with pytest.raises(RequestError, match=f"{name} is an operation on .* and these are {modality}"):
                resolve(modality, [name])
    if modality != "image":
        with pytest.raises(RequestError, match="crop is an operation on image examples"):
            modalities[modality].views("crop_flip", SHAPES[modality][0])


@pytest.mark.parametrize("modality", modalities)
def test_usual_views_suit_their_modality(modality: str) -> None:
    views = modalities[modality].views("auto", SHAPES[modality][0])
    assert views.batch(examples_of(modality), np.arange(3), 0, 0, CPU).items.dtype == DTYPES[modality]
    assert modalities[modality].views("none", SHAPES[modality][0]).count == 1
