"""An exported model and images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from support.exported import describe, smooth_images, written


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of a small network for color images."""
    out = tmp_path_factory.mktemp("exported") / "model"
    written(out, describe(size=(3, 16, 16)), ["safetensors", "onnx", "pt2"], max_drop=100.0)
    return out


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two images."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / "one.png", folder / "two.png"]
    for path, pixels in zip(paths, smooth_images(2, (3, 40, 30)), strict=True):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return paths
