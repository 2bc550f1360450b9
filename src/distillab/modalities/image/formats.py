"""Image formats: the endings of files that can be read, and what makes others readable."""

from __future__ import annotations

import importlib
from functools import cache

from PIL import Image

from distillab.extras import install_command

_PLUGINS = {
    "pillow_heif": ((".heic", ".heif", ".hif"), install_command("heif")),
    "pillow_jxl": ((".jxl",), install_command("jxl")),
}
"""Endings, and the command that makes them readable, by the package that reads them."""

INSTALLABLE_FORMATS = {
    **{ending: command for endings, command in _PLUGINS.values() for ending in endings},
    **dict.fromkeys((".avif", ".avifs"), "pip install --upgrade pillow"),
}
"""The command that makes a format readable, by the ending of its files."""


@cache
def register_formats() -> None:
    """Register with Pillow the formats of the packages that are installed: HEIC and JPEG XL.

    Example:
        >>> register_formats()
    """
    Image.init()
    for package in _PLUGINS:
        try:
            plugin = importlib.import_module(package)
        except ModuleNotFoundError:
            continue
        if package == "pillow_heif":
            plugin.register_heif_opener()


def image_extensions() -> frozenset[str]:
    """Return the endings (lower case, with dot) of the files that Pillow reads.

    Example:
        >>> {".png", ".jpg", ".webp"} <= image_extensions()
        True
    """
    register_formats()
    return frozenset(ext for ext, kind in Image.registered_extensions().items() if kind in Image.OPEN)
