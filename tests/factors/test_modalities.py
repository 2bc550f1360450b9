"""Every factor on recordings and texts: it is applied and measured as on images, or refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distillab.cli import execute
from distillab.data import DataReport
from distillab.data.dataset import Dataset
from distillab.data.examples import Examples
from distillab.errors import RequestError
from distillab.factors import factors
from distillab.factors.factor import Factor, FactorContext
from distillab.modalities import modalities
from support.datasets import context_around, examples_of

CLASSES, EACH = 4, 44
KINDS: dict[str, tuple[str, Mapping[str, Any]]] = {
    f"{name}-{number}": (name, example)
    for name in factors
    for number, example in enumerate(factors[name].examples)
}
ON_LABELS = ("size", "imbalance", "label_noise", "groups", "redundancy", "unlabelled")
"""Factors that choose or relabel examples, whatever these are, at least with some settings."""


def in_modality(images: Examples, modality: str) -> Examples:
    """Return examples of a modality with the ids, labels, groups and coarser classes of some images."""
    if modality == "image":
        return images
    items = np.stack(
        [item_of(modality, *each) for each in zip(images.ids.tolist(), images.labels.tolist(), strict=True)]
    )
    made = Examples.of(items, images.labels, images.classes, modality=modality)
    kept = {"groups": images.groups, "group_names": images.group_names, "parents": images.parents}
    return replace(made, ids=images.ids, **kept)


def item_of(modality: str, number: int, label: int) -> np.ndarray:
    """Return an item as sources of a modality have them: of its class, and another one for each number."""
    rng = np.random.default_rng(number)
    if modality == "audio":
        bands = np.random.default_rng(label).normal(-40, 10, (1, 8, 1))
        return (bands + rng.normal(0, 5, (1, 8, 12))).astype(np.float16)
    letters = np.random.default_rng(label).permutation(26)[:13]
    return (97 + rng.choice(letters, (1, 1, 20))).astype(np.int32)


def context_around_examples(images: Examples, modality: str) -> FactorContext:
    """Return the context of :func:`support.datasets.context_around` with examples of a modality."""
    context = context_around(images)
    if modality == "image":
        return context

    def sure_of_label(examples: Examples) -> np.ndarray:
        return np.eye(len(examples.classes), dtype=np.float32)[examples.labels]

    return replace(context, dataset=dataset_in(context.dataset, modality), teacher=sure_of_label)


def dataset_in(images: Dataset, modality: str) -> Dataset:
    train, val, test = (
        in_modality(each, modality) for each in (images.train, images.val, images.eval["test"])
    )
    others = {name: dataset_in(other, modality) for name, other in images.others.items()}
    return Dataset(images.name, train, val, {"test": test}, DataReport(), others)


def made(kind: str) -> Factor:
    name, example = KINDS[kind]
    return factors[name].model_validate(example)


def serves(level: Factor, modality: str) -> bool:
    return level.kinds_of_items is None or modality in level.kinds_of_items


@pytest.mark.parametrize("modality", sorted(modalities))
@pytest.mark.parametrize("kind", KINDS)
def test_factor_serves_the_modalities_that_it_declares(kind: str, modality: str) -> None:
    images = examples_of([EACH] * CLASSES)
    level, before = made(kind), in_modality(images, modality)
    if not serves(level, modality):
        with pytest.raises(
            RequestError, match=f"factor {level.name} .* cannot change examples of modality"
        ) as caught:
            level.check_accepts(before)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(f"(allowed: modality {' or '.join(level.kinds_of_items or ())})")
        return
    level.check_accepts(before)
    after = level.apply(before, np.random.default_rng(0), context_around_examples(images, modality))
    assert after.modality == modality
    if "pixels" not in level.changes:
        assert after.shape == before.shape
    checked = level.check(before, after)
    assert checked.passed, checked


@pytest.mark.parametrize("modality", sorted(modalities))
@pytest.mark.parametrize("name", ON_LABELS)
def test_factors_on_labels_serve_every_modality(name: str, modality: str) -> None:
    assert any(serves(factors[name].model_validate(each), modality) for each in factors[name].examples)


# -- in a study of texts -------------------------------------------------------------------------------------


def refused_of_texts() -> dict[str, Mapping[str, Any]]:
    """Return an example of each kind of factor that texts do not have, by a name."""
    kinds = {kind: each for kind, each in KINDS.items() if not serves(made(kind), "text")}
    by_keys = {f"{name} {each.get('kind', '')}": (name, each) for name, each in kinds.values()}
    return {key: {name: {**each, "levels": [each["level"]]}} for key, (name, each) in by_keys.items()}


def planned(folder: Path, factors: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Plan a study of texts; return the exit code and what was printed."""
    rng, rows = np.random.default_rng(0), ["text\tlabel\tgroup"]
    for number in range(240):
        word = "".join(rng.choice(list("abcdefgh"), 12))
        rows.append(f"{word}\tclass {number % 3}\tgroup {number % 2}")
    (folder / "texts.tsv").write_text("\n".join(rows) + "\n")
    data = {"source": "text", "path": "texts.tsv", "length": 12, "group": "group"}
    levels = {name: {k: v for k, v in keys.items() if k != "level"} for name, keys in factors.items()}
    study = {"study": "texts", "data": data, "teacher": {"model": "textcnn_small"}, "seeds": 1}
    study |= {"students": ["textcnn_small"], "methods": ["ce"], "factors": levels, "recipe": {"steps": 2}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code = execute(["plan", str(folder / "study.yaml"), "--device", "cpu"])
    found = capsys.readouterr()
    return code, found.out + found.err


@pytest.mark.parametrize("key", refused_of_texts())
def test_factors_of_images_are_refused_when_a_study_of_texts_is_planned(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = planned(tmp_path, refused_of_texts()[key], capsys)
    assert code == 2 and len(printed.splitlines()) == 1
    assert "cannot change examples of modality text" in printed and "allowed: modality image" in printed


@pytest.mark.parametrize(
    "factors_of_study",
    [
        {"size": {"levels": [20, 40]}},
        {"imbalance": {"levels": [1, 4]}},
        {"label_noise": {"levels": [0.0, 0.4]}},
        {"groups": {"levels": [0.5, 0.9], "group": "group 0"}},
        {"redundancy": {"levels": [0.0, 0.3]}},
        {"size": {"levels": [10]}, "unlabelled": {"levels": [0.0, 1.0]}},
    ],
    ids=lambda each: next(reversed(each)),
)
def test_factors_on_labels_are_planned_for_texts(
    factors_of_study: Mapping[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = planned(tmp_path, factors_of_study, capsys)
    assert code == 0, printed
    assert "2 conditions" in printed and "excluded" not in printed
