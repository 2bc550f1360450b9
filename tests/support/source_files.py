"""Small datasets on disk in every layout that a source reads."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from distillab.errors import RequestError
from distillab.sources import load_dataset, parse_source
from distillab.sources.memory import HeldData
from distillab.sources.python_data import hold
from support.box_files import write_box_table, write_coco, write_voc, write_yolo
from support.mot_folders import drawn_sequence, write_sequence
from support.radiographs import write_chestxray14, write_chexpert, write_padchest

SIDE, EACH = 8, 6  # pixels per side, and images per class and split
Array = npt.NDArray[np.uint8]


def png(image: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def noise(count: int, seed: int, *, side: int = SIDE) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), *, seed: int = 0) -> None:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for row, image in enumerate(noise(EACH, seed + number)):
            (root / name / f"{row}.png").write_bytes(png(image))


def write_parquet(
    path: Path,
    *,
    seed: int = 0,
    names: bool = True,
    classes: tuple[str, ...] = ("cat", "dog"),
    **columns: Any,
) -> None:
    labels = [0, 1] * EACH
    images = [{"bytes": png(image), "path": f"{row}.png"} for row, image in enumerate(noise(2 * EACH, seed))]
    metadata = None
    if names:
        features = {"label": {"names": list(classes), "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": images, "label": labels, **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)


def write_shards(root: Path, *, labels: str = "cls", splits: tuple[str, ...] = ("train", "test")) -> None:
    """Write two shards per split, an image and its label under one name."""
    root.mkdir(parents=True)
    for number, split in enumerate(splits):
        images = noise(2 * EACH, number)
        for shard in range(2):
            with tarfile.open(root / f"{split}-{shard}.tar", "w") as archive:
                for row in range(shard, 2 * EACH, 2):
                    label = (
                        str(row // 2 % 2) if labels == "cls" else json.dumps({"pet": ["cat", "dog"][row % 2]})
                    )
                    for ending, data in (("png", png(images[row])), (labels, label.encode())):
                        member = tarfile.TarInfo(f"{split}/{row:03}.{ending}")
                        member.size = len(data)
                        archive.addfile(member, io.BytesIO(data))


def write_npz(path: Path, **changes: Any) -> None:
    arrays: dict[str, Any] = {
        "x_train": noise(2 * EACH, 0),
        "y_train": [0, 1] * EACH,
        "x_test": noise(2 * EACH, 1),
        "y_test": [0, 1] * EACH,
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def write_mnist(root: Path) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, seed in (("train", 0), ("t10k", 1)):
        images = noise(10 * EACH, seed, side=28)[..., 0]
        labels = np.repeat(np.arange(10, dtype=np.uint8), EACH)
        header = struct.pack(">IIII", 2051, len(images), 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, len(labels)) + labels.tobytes()
        )


def no_files(folder: Path) -> dict[str, Any]:
    return {}


def make_folder(folder: Path) -> dict[str, Any]:
    write_folder(folder / "pets")
    return {"path": "pets"}


def make_parquet(folder: Path) -> dict[str, Any]:
    write_parquet(folder / "pets" / "train.parquet")
    return {"path": "pets"}


def make_npz(folder: Path) -> dict[str, Any]:
    write_npz(folder / "pets.npz")
    return {"path": "pets.npz"}


def make_torchvision(folder: Path) -> dict[str, Any]:
    write_mnist(folder)
    return {"dataset": "MNIST", "root": "."}


def make_huggingface(folder: Path) -> dict[str, Any]:
    datasets = pytest.importorskip("datasets", reason="the extra distillab[huggingface] is not installed")
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    splits = {}
    for name, seed in (("train", 0), ("test", 1)):
        pictures = [Image.fromarray(image) for image in noise(2 * EACH, seed)]
        rows = {"picture": pictures, "kind": [0, 1] * EACH}
        splits[name] = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(splits).save_to_disk(str(folder / "pets"))
    return {"path": "pets"}


def make_shapes(folder: Path) -> dict[str, Any]:
    return {"images": EACH, "test_images": EACH, "seed": 1}


def write_csv(root: Path, *, table: str = "labels.csv", **columns: Sequence[object]) -> None:
    """Write images and a table that lists them, with further columns."""
    root.mkdir(parents=True, exist_ok=True)
    files = [f"{row}.png" for row in range(2 * EACH)]
    for file, image in zip(files, noise(2 * EACH, 0), strict=True):
        (root / file).write_bytes(png(image))
    rows = zip(files, *columns.values(), strict=True)
    delimiter = "\t" if table.endswith(".tsv") else ","
    lines = [delimiter.join(map(str, row)) for row in [("file", *columns), *rows]]
    (root / table).write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def make_csv(folder: Path) -> dict[str, Any]:
    write_csv(folder / "pets", species=["cat", "dog"] * EACH)
    return {"path": "pets/labels.csv"}


def make_audio(folder: Path) -> dict[str, Any]:
    pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")
    from support.recordings import write_tone

    for label, frequency in (("low", 400), ("high", 900)):
        for number in range(EACH):
            write_tone(folder / "tones" / label / f"{number}.wav", frequency, seed=frequency + number)
    return {"path": "tones", "seconds": 0.25, "n_mels": 12}


def make_audio_csv(folder: Path) -> dict[str, Any]:
    entry = make_audio(folder)
    rows = [f"{label}/{number}.wav,{label}" for label in ("low", "high") for number in range(EACH)]
    (folder / "tones" / "labels.csv").write_text("\n".join(["file,pitch", *rows]))
    return {**entry, "path": "tones/labels.csv"}


def make_cinc2016(folder: Path) -> dict[str, Any]:
    pytest.importorskip("soundfile", reason="the extra distillab[audio] is not installed")
    from support.recordings import write_cinc2016

    write_cinc2016(folder / "heart")
    return {"path": "heart", "seconds": 0.25, "n_mels": 12}


PATIENTS = (
    "B_A-14-1",
    "B_F-14-2",
    "B_PT-14-3",
    "B_TA-14-4",
    "M_DC-14-5",
    "M_LC-14-6",
    "M_MC-14-7",
    "M_PC-14-8",
)


def write_breakhis(
    root: Path, patients: Sequence[str] = PATIENTS, magnifications: Sequence[int] = (40, 100)
) -> list[str]:
    """Write two images per patient and magnification in the layout of BreakHis, and return their names."""
    breast = root / "histology_slides" / "breast"
    images = iter(noise(2 * len(patients) * len(magnifications), len(patients)))
    written: list[str] = []
    for patient in patients:
        kind = "benign" if patient.startswith("B") else "malignant"
        subtype = patient[2:].partition("-")[0]
        for zoom in magnifications:
            folder = breast / kind / "SOB" / subtype / f"SOB_{patient.replace('-', '_', 1)}" / f"{zoom}X"
            folder.mkdir(parents=True, exist_ok=True)
            for number in (1, 2):
                name = f"SOB_{patient}-{zoom}-{number:03}.png"
                (folder / name).write_bytes(png(next(images)))
                written.append(name)
    return written


def make_breakhis(folder: Path) -> dict[str, Any]:
    write_breakhis(folder / "BreaKHis_v1")
    return {"path": "BreaKHis_v1", "magnification": 40}


def make_mot(folder: Path) -> dict[str, Any]:
    write_sequence(folder / "walkers", drawn_sequence(frames=12, resolution=32))
    return {"path": "walkers", "gap": 1}


def make_text(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = [
        f"{'ab'[number % 2]}{''.join(rng.choice(list('cdefghij'), 12))},{'ab'[number % 2]}"
        for number in range(40)
    ]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return {"path": "texts.csv", "length": 16}


def make_webdataset(folder: Path) -> dict[str, Any]:
    write_shards(folder / "pets")
    return {"path": "pets"}


def make_memory(folder: Path) -> dict[str, Any]:
    held = hold({"train": (noise(10 * EACH, 0), [0, 1] * 5 * EACH)}, "data")
    HELD.append(held)
    return {"content": held.content}


HELD: list[HeldData] = []  # a source can be read as long as its data are held

SMALL_SOURCES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "audio": make_audio,
    "audio_csv": make_audio_csv,
    "box_table": write_box_table,
    "breakhis": make_breakhis,
    "chestxray14": write_chestxray14,
    "chexpert": write_chexpert,
    "cinc2016": make_cinc2016,
    "coco": write_coco,
    "csv": make_csv,
    "digits": no_files,
    "drawn_boxes": lambda folder: {"images": 30, "test_images": 12, "resolution": 32},
    "drawn_tracks": lambda folder: {"sequences": 2, "tested": 2, "frames": 8, "resolution": 32},
    "memory": make_memory,
    "mnist5k": no_files,
    "mot": make_mot,
    "noise": lambda folder: {"images": EACH, "test_images": EACH, "names": 2, "resolution": 8},
    "folder": make_folder,
    "parquet": make_parquet,
    "npz": make_npz,
    "padchest": write_padchest,
    "torchvision": make_torchvision,
    "huggingface": make_huggingface,
    "text": make_text,
    "voc": write_voc,
    "webdataset": make_webdataset,
    "yolo": write_yolo,
    "shapes": make_shapes,
}


def read(folder: Path, **entry: Any) -> Any:
    return parse_source(entry, folder, "study.yaml: data").read()


def refuse(folder: Path, **entry: Any) -> str:
    """Return the one line that refuses a source, or its content."""
    with pytest.raises(RequestError) as caught:
        load_dataset(parse_source(entry, folder, "study.yaml: data"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_shard(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
