"""Data given as Python objects: every form is read, and wrong input is refused in one line."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from distillab.data.dataset import Dataset
from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from distillab.sources.python_data import entry_of
from support.source_files import noise, write_folder

COUNT = 60
IMAGES = noise(COUNT, 3)
LABELS = np.arange(COUNT) % 2
FLOATS = IMAGES / 255


def load(data: Any, **keys: Any) -> Dataset:
    entry, held = entry_of(data, "data")
    dataset = load_dataset(parse_source({**entry, **keys}, Path(), "data"))
    del held  # until here
    return dataset


def refusal(data: Any) -> str:
    with pytest.raises(RequestError) as caught:
        load(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Pairs:
    """A dataset of the least that torch requires."""

    def __init__(self, read: Callable[[int], Any], count: int = COUNT) -> None:
        self.read, self.count = read, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Any:
        return self.read(row)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from zip(IMAGES, LABELS, strict=True)


def chw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def hub(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["0", "1"])})
    pictures = [Image.fromarray(image) for image in images]
    return datasets.Dataset.from_dict({"image": pictures, "label": labels.tolist()}, features=features)


FORMS: dict[str, Callable[[], Any]] = {
    "numpy NHWC": lambda: (IMAGES, LABELS),
    "numpy NCHW": lambda: (IMAGES.transpose(0, 3, 1, 2), LABELS.tolist()),
    "numpy floats": lambda: (FLOATS, LABELS[:, None]),
    "numpy half floats": lambda: (FLOATS.astype(np.float16), LABELS.astype(np.uint8)),
    "torch uint8": lambda: (chw(IMAGES), torch.from_numpy(LABELS)),
    "torch floats": lambda: (chw(FLOATS.astype(np.float32)).requires_grad_(), torch.from_numpy(LABELS)),
    "list of arrays": lambda: (list(IMAGES), LABELS),
    "list of pictures": lambda: ([Image.fromarray(image) for image in IMAGES], list(LABELS)),
    "object array": lambda: (np.array([*IMAGES, None], dtype=object)[:-1], LABELS),
    "pair as a list": lambda: [IMAGES, LABELS],
    "mapping of one split": lambda: {"train": (IMAGES, LABELS)},
    "tensor dataset": lambda: TensorDataset(chw(IMAGES), torch.from_numpy(LABELS)),
    "tensors of a dataset": lambda: Pairs(
        lambda i: (chw(FLOATS.astype(np.float32))[i], torch.tensor(LABELS[i]))
    ),
    "pictures of a dataset": lambda: Pairs(lambda i: (Image.fromarray(IMAGES[i]), int(LABELS[i]))),
    "subset": lambda: Subset(Pairs(lambda i: (IMAGES[i], LABELS[i])), range(COUNT)),  # type: ignore[arg-type]
    "concatenation": lambda: ConcatDataset(
        [TensorDataset(chw(IMAGES[a:b]), torch.from_numpy(LABELS[a:b])) for a, b in ((0, 20), (20, COUNT))]
    ),
    "hugging face": hub,
    "hugging face splits": lambda: datasets.DatasetDict({"train": hub()}),
}


def test_concatenated_datasets_must_have_the_same_classes() -> None:
    def named(*classes: str) -> Any:
        part = Pairs(lambda i: (IMAGES[i], int(LABELS[i])))
        part.classes = list(classes)  # type: ignore[attr-defined]
        return part

    assert load(ConcatDataset([named("cat", "dog"), named("cat", "dog")])).classes == ("cat", "dog")
    with pytest.raises(RequestError, match="the classes cat, dog and dog, fox are concatenated"):
        load(ConcatDataset([named("cat", "dog"), Subset(named("dog", "fox"), range(9))]))


@pytest.mark.parametrize("form", FORMS)
def test_equal_images_in_every_form_are_equal_data(form: str) -> None:
    dataset = load(FORMS[form]())
    assert dataset.digest == load((IMAGES, LABELS)).digest
    assert dataset.classes == ("0", "1")
    assert len(dataset.train) + len(dataset.val) + len(dataset.eval["test"]) == COUNT


@pytest.mark.parametrize("form", ["numpy floats", "torch floats", "tensors of a dataset"])
def test_floats_are_stated_in_the_data_report(form: str) -> None:
    assert "floats in [0, 1]" in load(FORMS[form]()).report.notes[0]
    assert load(FORMS["numpy NHWC"]()).report.notes == ()


def test_equal_data_have_one_content_address() -> None:
    addresses = {entry_of(FORMS[form](), "data")[0]["content"] for form in FORMS if "hugging" not in form}
    assert len(addresses) == 1
    assert entry_of((IMAGES, 1 - LABELS), "data")[0]["content"] not in addresses
    assert entry_of((IMAGES[::-1], LABELS), "data")[0]["content"] not in addresses


def test_gray_images_with_and_without_a_channel_axis_are_equal() -> None:
    gray = IMAGES[..., 0]
    digests = {load((each, LABELS)).digest for each in (gray, gray[:, None], gray[..., None])}
    assert len(digests) == 1


SPLITS: dict[str, Any] = {
    "tuple of pairs": ((IMAGES, LABELS), (255 - IMAGES, LABELS)),
    "mapping": {"train": (IMAGES, LABELS), "test": (255 - IMAGES, LABELS)},
    "other names": {
        "Train": (IMAGES, LABELS),
        "test": TensorDataset(chw(255 - IMAGES), torch.tensor(LABELS)),
    },
    "hugging face": datasets.DatasetDict({"train": hub(), "test": hub(255 - IMAGES)}),
    "tuple of datasets": (hub(), hub(255 - IMAGES)),
}


@pytest.mark.parametrize("form", SPLITS)
def test_given_splits_are_kept(form: str) -> None:
    dataset = load(SPLITS[form])
    assert len(dataset.eval["test"]) == COUNT
    assert len(dataset.train) + len(dataset.val) == COUNT
    assert dataset.report.carved == ("val",)


def test_three_objects_are_train_val_and_test() -> None:
    parts = tuple((noise(10 + seed, seed), np.arange(10 + seed) % 2) for seed in range(3))
    dataset = load(parts)
    assert [len(each) for each in (dataset.train, dataset.val, dataset.eval["test"])] == [10, 11, 12]


def test_mapping_takes_the_keys_of_a_source() -> None:
    given = {
        "train": (IMAGES, LABELS),
        "class_names": ["cat", "dog"],
        "resolution": 16,
        "val": 0.25,
        "name": "pets",
    }
    dataset = load(given)
    assert (dataset.name, dataset.classes, dataset.train.shape) == ("pets", ("cat", "dog"), (3, 16, 16))
    assert len(dataset.val) == 12  # a quarter of what test leaves, 48


def test_columns_of_hugging_face_are_chosen_by_keys() -> None:
    data = hub().rename_column("label", "fine").add_column("coarse", list(LABELS[::-1]))
    assert "several columns could be the label" in refusal({"train": data})
    assert load({"train": data, "label": "fine"}).digest == load((IMAGES, LABELS)).digest


def test_selected_rows_of_hugging_face_are_used() -> None:
    rows = np.arange(10, 40)
    assert load(hub().select(rows)).digest == load((IMAGES[rows], LABELS[rows])).digest


def test_label_sets_are_read() -> None:
    sets = np.random.default_rng(0).integers(0, 2, (COUNT, 3))
    assert load((IMAGES, sets)).train.targets.kind == "label sets"


def test_names_as_labels_are_classes() -> None:
    names = np.array(["dog", "cat"])[LABELS]
    assert load((IMAGES, names)).classes == load((IMAGES, list(names))).classes == ("cat", "dog")


def test_image_folder_equals_the_folder_as_a_source(tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = load(ImageFolder(str(tmp_path)))
    assert dataset.digest == load({"source": "folder", "path": str(tmp_path)}).digest
    assert dataset.classes == ("cat", "dog")
    part = load(Subset(ImageFolder(str(tmp_path)), range(12)))
    assert part.classes == ("cat", "dog") and part.digest == dataset.digest


def test_deterministic_transforms_are_applied(tmp_path: Path) -> None:
    write_folder(tmp_path)
    steps = [v2.Resize(16), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    assert load(ImageFolder(str(tmp_path), v2.Compose(steps))).train.shape == (3, 16, 16)


def test_pictures_of_other_modes_are_converted() -> None:
    pictures = [Image.fromarray(image).convert("P") for image in IMAGES]
    entry, held = entry_of((pictures, LABELS), "data")
    expected = np.asarray(pictures[0].convert("RGB"))
    assert held is not None
    dataset = load_dataset(parse_source({**entry, "duplicates": "keep"}, Path(), "data"))
    sets = (dataset.train, dataset.val, dataset.eval["test"])
    whole = np.concatenate([each.items(np.arange(len(each))) for each in sets])
    assert any(np.array_equal(image.transpose(1, 2, 0), expected) for image in whole)


def test_data_are_released_with_their_last_owner() -> None:
    entry, held = entry_of((noise(COUNT, 99), LABELS), "data")
    del held
    gc.collect()
    with pytest.raises(RequestError, match="were given in Python and are not in this process"):
        load_dataset(parse_source(dict(entry), Path(), "data"))


def flickering(row: int) -> Any:
    return np.random.default_rng().integers(0, 256, (8, 8, 3), dtype=np.uint8), row % 2


WRONG: dict[str, tuple[Any, str]] = {
    "no labels": (IMAGES, "images without labels"),
    "lengths": ((IMAGES, LABELS[:-1]), "60 images but 59 labels"),
    "dtype": ((IMAGES.astype(np.int64), LABELS), "images are int64 (allowed: uint8, or floats in [0, 1]"),
    "16 bits": ((IMAGES.astype(np.uint16), LABELS), "images are uint16"),
    "complex": ((FLOATS.astype(complex), LABELS), "images are complex128"),
    "floats to 255": ((IMAGES.astype(np.float32), LABELS), "floats from 0 to 255"),
    "normalized": (((FLOATS - 0.5) / 0.2, LABELS), "floats from -2.5 to 2.5"),
    "not finite": ((np.where(FLOATS > 0.9, np.nan, FLOATS), LABELS), "floats from nan to nan"),
    "five axes": ((IMAGES[None], LABELS), "images have shape [1, 60, 8, 8, 3]"),
    "two axes": ((IMAGES.reshape(COUNT, -1), LABELS), "images have shape [60, 192]"),
    "five channels": ((np.zeros((COUNT, 8, 8, 5), np.uint8), LABELS), "images have shape [60, 8, 8, 5]"),
    "mixed sizes": (([*IMAGES, np.zeros((9, 9, 3), np.uint8)], [*LABELS, 0]), "images have different sizes"),
    "not images": ((["a"] * COUNT, LABELS), "train: image 0: this is of type str"),
    "files": ((Path("photos"), LABELS), "images are of type"),
    "one class": ((IMAGES, np.zeros(COUNT, int)), "there is only one class"),
    "negative label": ((IMAGES, LABELS - 1), "label -1 in row 0 is out of range"),
    "fraction": ((IMAGES, LABELS + 0.5), "label 0.5 in row 0 is not a whole number"),
    "missing label": ((IMAGES, [None, *LABELS[1:]]), "missing labels (NaN): 1"),
    "mixed labels": ((IMAGES, ["cat", *LABELS[1:]]), "some labels are names and others are numbers"),
    "lists of labels": ((IMAGES, [[0], [0, 1], *[[1]] * 58]), "labels of different images differ in number"),
    "label text": ((IMAGES, "labels"), "labels are of type str"),
    "three axes": ((IMAGES, np.zeros((COUNT, 2, 2))), "labels have shape [60, 2, 2]"),
    "unnamed label": (
        {"train": (IMAGES, LABELS), "class_names": ["cat"]},
        "label 1 in row 1 is out of range",
    ),
    "bad names": ({"train": (IMAGES, LABELS), "class_names": "cat"}, "class_names: 'cat' are no names"),
    "twice": ({"train": (IMAGES, LABELS), "val": hub(), "dev": hub()}, "val split is given twice"),
    "no train": ({"test": (IMAGES, LABELS)}, "no train split"),
    "unknown split": ({"train": (IMAGES, LABELS), "extra": (IMAGES, LABELS)}, "'extra' is no split"),
    "bare arrays": ({"images": IMAGES, "labels": LABELS}, "'images' is no split"),
    "unknown key": ({"train": (IMAGES, LABELS), "resolutoin": 3}, "did you mean 'resolution'?"),
    "column key": ({"train": (IMAGES, LABELS), "label": "y"}, "is for datasets of Hugging Face"),
    "mixed forms": ({"train": hub(), "test": (IMAGES, LABELS)}, "stands beside another object"),
    "classes differ": ({"train": (IMAGES, LABELS), "test": (IMAGES, LABELS + 1)}, "different classes"),
    "loader": (DataLoader(TensorDataset(chw(IMAGES))), "loader.dataset"),
    "iterable": (Endless(), "can only be iterated over"),
    "streaming": (hub().to_iterable_dataset(), "a streaming dataset has no length"),
    "empty": (Pairs(flickering, 0), "the dataset is empty"),
    "one tensor": (TensorDataset(chw(IMAGES)), "the dataset has 1 tensors"),
    "no pair": (Pairs(lambda row: IMAGES[row]), "item 0 is one ndarray"),
    "triple": (Pairs(lambda row: (IMAGES[row], 0, row)), "item 0 is 3 values"),
    "no label": (Pairs(lambda row: (IMAGES[row], None)), "item 0 has no label"),
    "failing": (Pairs(lambda row: ({}[row], 0)), "item 0 cannot be read: KeyError: 0"),
    "random transform": (Pairs(flickering), "differs each time it is read"),
    "normalized items": (Pairs(lambda row: (FLOATS[row] * 4 - 2, row % 2)), "without normalization"),
    "number": (7, "int is no form of data"),
    "none": (None, "NoneType is no form of data"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_data_are_refused_in_one_line(case: str) -> None:
    data, expected = WRONG[case]
    assert expected in refusal(data)


def test_splits_that_number_their_classes_differently_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ("cat", "dog"))
    write_folder(tmp_path / "test", ("ant", "cat", "dog"))
    parts = {split: ImageFolder(str(tmp_path / split)) for split in ("train", "test")}
    assert "classes of 'label' are 'ant', 'cat', 'dog'" in refusal(parts)


def test_labels_that_are_bytes_are_names() -> None:
    assert load((IMAGES, np.array([b"cat", b"dog"])[LABELS])).classes == ("cat", "dog")


def test_floats_that_were_divided_twice_are_refused() -> None:
    assert "2 of 256 levels are left" in refusal((FLOATS / 255, LABELS))
    assert len(load((FLOATS / 8, LABELS)).train) > 0
