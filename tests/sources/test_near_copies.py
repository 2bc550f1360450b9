"""Near copies across splits: all are found, counted at plan time, and dropped from the earlier split."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from distillab.data.examples import Examples
from distillab.data.json_cache import JsonCache
from distillab.errors import RequestError
from distillab.modalities.embedding.near_leaks import near_pairs
from distillab.sources import load_dataset, near_copies, parse_source
from distillab.sources.folder import Folder
from distillab.study.loading import load_study_data
from distillab.study.spec.study import StudySpec
from support.source_files import png

Array = npt.NDArray[np.uint8]
SIDE = 32


def photograph(seed: int, channels: int = 3) -> Array:
    """Return a smooth random picture with edges, ``[32, 32, C]``, that resembles no other one."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 7, channels), np.uint8)
    planes = [np.asarray(Image.fromarray(coarse[:, :, c]).resize((SIDE, SIDE))) for c in range(channels)]
    picture = np.stack(planes, axis=2)
    for _ in range(4):
        x, y = rng.integers(0, SIDE - 8, 2)
        picture[y : y + 8, x : x + 8] = rng.integers(0, 256, channels)
    return picture.astype(np.uint8)


def jpeg(picture: Array) -> Array:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=70)
    return np.asarray(Image.open(buffer))


CHANGES: dict[str, Any] = {
    "compressed": jpeg,
    "brighter": lambda picture: np.asarray(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(1.15)),
    "less contrast": lambda picture: np.asarray(ImageEnhance.Contrast(Image.fromarray(picture)).enhance(0.7)),
    "one pixel": lambda picture: np.where(np.arange(SIDE)[:, None, None] == 0, picture // 2, picture),
    "smaller": lambda picture: np.asarray(Image.fromarray(picture).resize((24, 24)).resize((SIDE, SIDE))),
}


def examples(pictures: list[Array]) -> Examples:
    pixels = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2).astype(np.uint8))
    return Examples.of(pixels, [0] * len(pixels), ("a", "b"))


@pytest.mark.parametrize("change", CHANGES)
def test_every_near_copy_between_two_sets_is_found(change: str) -> None:
    train = [photograph(seed) for seed in range(300)]
    copied = [3, 77, 123, 299]
    test = [CHANGES[change](train[row]) for row in copied] + [photograph(1000 + seed) for seed in range(50)]
    first, second = near_pairs(examples(train), examples(test))
    assert dict(zip(second.tolist(), first.tolist(), strict=True)) == dict(enumerate(copied))


def test_identical_and_flat_images_are_no_near_copies() -> None:
    train = [photograph(seed) for seed in range(20)] + [np.full((SIDE, SIDE, 3), 9, np.uint8)]
    test = [train[4], np.full((SIDE, SIDE, 3), 200, np.uint8)]
    first, _ = near_pairs(examples(train), examples(test))
    assert not len(first)


def write(root: Path) -> dict[str, str]:
    """Write splits in which 3 test images are compressed copies of train, and 2 of val."""
    pictures = {"train": range(40), "val": range(100, 110), "test": range(200, 220)}
    for split, seeds in pictures.items():
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
        for seed in seeds:
            (root / split / ("cat" if seed % 2 else "dog") / f"{seed}.png").write_bytes(png(photograph(seed)))
    copies = {}
    for place, seed in enumerate((0, 7, 12, 101, 104)):
        name = "cat" if (place + seed) % 2 else "dog"  # with another label for every second one
        path = root / "test" / name / f"copy of {seed}.png"
        path.write_bytes(png(jpeg(photograph(seed))))
        copies[path.name] = name
    return copies


def test_near_copies_are_counted_when_a_study_is_planned(tmp_path: Path) -> None:
    write(tmp_path / "data")
    entry = {"source": "folder", "path": str(tmp_path / "data")}
    spec = StudySpec(study="t", data=entry, teacher={"model": "resnet8"}, students="resnet8", methods=["ce"])
    dataset = load_study_data(spec)
    assert dataset.report.notes[-1] == (
        "5 of 25 test images have a near copy in train or val; `duplicates: {near: drop}` leaves those of"
        " train and val out."
    )
    ignoring = spec.model_copy(update={"data": entry | {"duplicates": {"near": "ignore"}}})
    quiet = load_study_data(ignoring)
    assert not any("near cop" in note for note in quiet.report.notes)
    assert quiet.digest == dataset.digest == load_dataset(Folder(path=tmp_path / "data")).digest


def test_near_copies_are_dropped_from_the_earlier_split(tmp_path: Path) -> None:
    write(tmp_path / "data")
    kept = load_dataset(Folder(path=tmp_path / "data"))
    source = parse_source(
        {"source": "folder", "path": str(tmp_path / "data"), "duplicates": {"near": "drop"}}, tmp_path, "data"
    )
    dropped = load_dataset(source)
    assert (len(kept.train), len(kept.val)) == (40, 10)
    assert (len(dropped.train), len(dropped.val)) == (37, 8)
    assert dropped.eval["test"].digest == kept.eval["test"].digest
    gone = np.setdiff1d(kept.train.ids, dropped.train.ids)
    assert len(gone) == 3
    assert any("left out: 3 of train, 2 of val." in note for note in dropped.report.notes)
    assert near_copies.count_near_copies(dropped) == near_copies.NearCopies(found=0, among=25, tests=25)


def test_near_copies_across_carved_splits_are_dropped(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name, first in (("cat", 0), ("dog", 100)):
        (root / name).mkdir(parents=True)
        for seed in range(first, first + 30):
            (root / name / f"{seed}.png").write_bytes(png(photograph(seed)))
            (root / name / f"{seed} again.png").write_bytes(png(jpeg(photograph(seed))))
    leaking = load_dataset(Folder(path=root))
    clean = load_dataset(Folder(path=root, duplicates={"near": "drop"}))  # type: ignore[arg-type]
    assert near_copies.count_near_copies(leaking).found > 5  # type: ignore[union-attr]
    assert near_copies.count_near_copies(clean).found == 0  # type: ignore[union-attr]
    assert clean.eval["test"].digest == leaking.eval["test"].digest


def test_split_that_would_be_emptied_is_refused(tmp_path: Path) -> None:
    for split, change in (("train", lambda picture: picture), ("test", jpeg)):
        for name, seed in (("cat", 0), ("dog", 50)):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(4):
                path = tmp_path / "data" / split / name / f"{number}.png"
                path.write_bytes(png(change(photograph(seed + number))))
    with pytest.raises(RequestError, match="all train examples have near copies in a later split"):
        load_dataset(Folder(path=tmp_path / "data", duplicates={"near": "drop"}))  # type: ignore[arg-type]


def test_counts_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data")
    dataset = load_dataset(Folder(path=tmp_path / "data"))
    monkeypatch.setattr(near_copies, "_WORTH_KEEPING", 0)
    cache = JsonCache(tmp_path / "kept.json")
    first = near_copies.count_near_copies(dataset, cache=cache)
    searches: list[str] = []
    again = near_copies.count_near_copies(dataset, lambda stage, *_: searches.append(stage), cache)
    assert first == again == near_copies.NearCopies(5, 25, 25)
    assert not searches
    (tmp_path / "kept.json").write_text("{damaged")
    assert near_copies.count_near_copies(dataset, cache=cache) == first


def test_search_for_counting_has_a_limit_that_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data")
    monkeypatch.setattr(near_copies, "MOST_PAIRS", 500)  # of 25 test images and 50 others
    counted = near_copies.count_near_copies(load_dataset(Folder(path=tmp_path / "data")))
    assert counted is not None
    assert (counted.among, counted.tests) == (10, 25)
    assert str(counted).endswith("(the other 15 were not compared)")


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ("drop", {}),
        ("keep", {"duplicates": "keep"}),
        ({"near": "keep"}, {}),
        ({"exact": "keep"}, {"duplicates": "keep"}),
        ({"near": "drop"}, {"duplicates": {"near": "drop"}}),
        ({"exact": "keep", "near": "ignore"}, {"duplicates": {"exact": "keep", "near": "ignore"}}),
    ],
)
def test_equal_rules_are_written_in_one_way(written: Any, entry: dict[str, Any], tmp_path: Path) -> None:
    source = parse_source({"source": "digits", "duplicates": written}, tmp_path, "data")
    assert source.entry() == {"source": "digits", **entry}
    assert parse_source(source.entry(), tmp_path, "data") == source


@pytest.mark.parametrize("written", ["remove", {"near": "delete"}, {"nearly": "drop"}, 3])
def test_rules_that_are_none_are_refused(written: Any, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"data\.duplicates"):
        parse_source({"source": "digits", "duplicates": written}, tmp_path, "data")
