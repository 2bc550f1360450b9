"""Text as a modality: cleaning, vocabulary, views, embedding, preview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillab.cli import execute
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.modalities import modalities
from distillab.modalities.embedding import fit_embedding
from distillab.modalities.text import CharacterIds, encode_texts, text_of, vocabulary_of
from distillab.modalities.text.views import CharacterDrop, CharacterSwap

IDS = np.arange(200)


def examples(texts: list[str], length: int = 20) -> Examples:
    items = encode_texts(texts, texts, length).items
    return Examples.of(np.asarray(items), [0] * len(texts), ("a", "b"), modality="text")


@given(st.text(max_size=40))
def test_cleaning_is_idempotent_and_leaves_nothing_unprintable(text: str) -> None:
    found = encode_texts([text], ["it"], 512)
    if not found.intact[0]:
        assert found.broken == (("it", "it has no character"),)
        return
    cleaned = text_of(np.asarray(found.items)[0])
    assert all(character.isprintable() for character in cleaned)
    again = encode_texts([cleaned], ["it"], 512)
    assert text_of(np.asarray(again.items)[0]) == cleaned


def test_frequent_characters_have_small_numbers() -> None:
    texts = examples(["aab", "aac", "ab"])
    normalize = modalities["text"].normalization(vocabulary_of(texts))
    assert isinstance(normalize, CharacterIds)
    found = normalize(torch.from_numpy(np.asarray(examples(["abcx"]).items(np.arange(1)))))
    assert found[0, 0, 0, :6].tolist() == [2, 3, 4, 1, 0, 0]


def test_padding_is_no_character() -> None:
    points, _ = vocabulary_of(examples(["ab"]))
    assert points.tolist() == [97, 98]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_as_many_characters_are_dropped_as_stated(share: float) -> None:
    texts = torch.arange(1, 65, dtype=torch.int32).expand(200, 1, 1, 64)
    kept = CharacterDrop(share=share).render(texts, IDS, epoch=0, seed=0)[:, 0, 0]
    dropped = (kept == 0).float().mean().item()
    assert dropped == pytest.approx(share * 63 / 64, abs=0.02)
    for row in kept:
        left = row[row > 0]
        assert (left.diff() > 0).all() and (row[len(left) :] == 0).all() and left[0] == 1


@given(st.floats(0, 0.9), st.integers(1, 12))
def test_swapped_texts_have_the_same_characters(share: float, length: int) -> None:
    texts = torch.zeros(20, 1, 1, 12, dtype=torch.int32)
    texts[:, 0, 0, :length] = torch.arange(1, length + 1, dtype=torch.int32)
    swapped = CharacterSwap(share=share).render(texts, IDS[:20], epoch=1, seed=2)[:, 0, 0]
    assert (swapped.sort(dim=1).values == texts[:, 0, 0].sort(dim=1).values).all()
    assert ((swapped - texts[:, 0, 0])[:, :length].abs() <= 1).all()
    assert (swapped[:, length:] == 0).all()


def test_views_that_mix_values_are_refused() -> None:
    with pytest.raises(
        RequestError, match="mixup is an operation on image and audio examples, and these are text"
    ):
        modalities["text"].views(["mixup"], (1, 1, 20))


def test_texts_with_the_same_characters_are_near() -> None:
    texts = examples(["abab", "baba", "xyxy", "yxyx"] * 5)
    vectors = fit_embedding(texts, dimensions=2).vectors(texts)
    assert np.linalg.norm(vectors[0] - vectors[1]) < 0.1 * np.linalg.norm(vectors[0] - vectors[2])


def test_distill_refuses_texts_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    out = tmp_path / "out"
    command = ["distill", f"text:{tmp_path / 'texts.csv'}", "--student", "textcnn_small", "--out", str(out)]
    assert execute(command) == 2
    [line] = [each for each in capsys.readouterr().err.splitlines() if each.startswith("distillab: ")]
    assert "networks for text examples cannot be exported (allowed: audio and image examples)" in line
    assert not out.exists()


def test_preview_shows_the_text() -> None:
    preview = modalities["text"].preview(examples(["two words"]).items(np.arange(1))[0])
    assert preview.text == "two words"
    assert preview.picture.dtype == np.uint8 and preview.picture.ndim == 3
    assert modalities["text"].describe((1, 1, 20)) == "20 characters"
