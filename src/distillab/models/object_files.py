"""The files of networks that were given as Python objects, and the folders in which they are looked for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from distillab.artefacts import write_atomically
from distillab.errors import RequestError

KIND = "object"
ENDING = ".pickle.z"  # compressed: the weights in it are zeros
_MENTIONED = re.compile(rf"\b{KIND}:([\w.-]+)")
_WEIGHTS = re.compile(r".*[/\\]objects[/\\]([0-9a-f]{64})\.safetensors")
_PATH = re.compile(r"\S*[/\\]objects[/\\][0-9a-f]{64}\.safetensors")
_places: dict[Path, None] = {}  # the last one is searched first


def find_object(name: str) -> Path:
    """Return the file of the network ``object:NAME``.

    Raises:
        RequestError: No folder has it.

    Example:
        >>> find_object("Net-c0ffee")
        Traceback (most recent call last):
        distillab.errors.RequestError: object:Net-c0ffee: this network was given in Python and is not ...
    """
    path = _find(f"{name}{ENDING}")
    if path is None:
        raise RequestError(
            "this network was given in Python and is not in this process",
            where=f"{KIND}:{name}",
            allowed="the program that gives it, or the folder of its study",
        )
    return path


def add_place(folder: Path) -> None:
    """Look for the files of objects in a folder too, before those that were added earlier.

    Example:
        >>> add_place(Path("runs/demo/objects"))
    """
    folder = folder.resolve()
    _places.pop(folder, None)
    _places[folder] = None


def copy_objects(texts: Iterable[str], folder: Path) -> None:
    """Copy the files of all objects that texts mention into a folder, unless they are there.

    Args:
        texts: Names of networks, and paths of weights that this process wrote.
        folder: The folder; created if it is needed.

    Raises:
        OSError: A file cannot be written.

    Example:
        >>> copy_objects(["resnet8", "teacher.safetensors"], Path("objects"))
    """
    for text in texts:
        files = [f"{name}{ENDING}" for name in _MENTIONED.findall(text)]
        if Path(text).parent == written_here():
            files.append(Path(text).name)
        for file in files:
            source = _find(file)
            if source is not None and not (folder / file).exists():
                folder.mkdir(parents=True, exist_ok=True)
                with write_atomically(folder / file) as draft:
                    shutil.copyfile(source, draft)


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in the values of mappings and lists.

    Example:
        >>> list(texts_in({"model": "resnet8", "seeds": [1, 2], "notes": ["a", "b"]}))
        ['resnet8', 'a', 'b']
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value


def in_folder(text: str, folder: Path) -> str:
    """Return the path of weights that this process wrote as it is in a folder; other texts as they are.

    Example:
        >>> in_folder(str(written_here() / "c0ffee.safetensors"), Path("objects"))
        'objects/c0ffee.safetensors'
    """
    return str(folder / Path(text).name) if Path(text).parent == written_here() else text


def located(path: Path) -> Path:
    """Return the path of weights, or where they are now if they belong to a study whose folder has moved.

    Example:
        >>> located(Path("teacher.safetensors")).as_posix()
        'teacher.safetensors'
    """
    return path if path.exists() else _find(path.name) or path


def portable(value: Any) -> Any:
    """Return JSON values with the content addresses of weights in the place of their paths in a folder.

    Example:
        >>> portable({"weights": "/runs/demo/objects/" + 64 * "0" + ".safetensors"})["weights"][:10]
        'object:000'
    """
    if isinstance(value, Mapping):
        return {key: portable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [portable(each) for each in value]
    found = _WEIGHTS.fullmatch(value) if isinstance(value, str) else None
    return f"{KIND}:{found[1]}" if found else value


@contextmanager
def naming_given_networks() -> Iterator[None]:
    """Replace the paths of weights of networks that were given as objects in the message of a RequestError.

    Example:
        >>> with naming_given_networks():
        ...     raise RequestError("at chance", where=f"teacher: /runs/objects/{64 * 'a'}.safetensors")
        Traceback (most recent call last):
        distillab.errors.RequestError: teacher: the given network: at chance
    """
    try:
        yield
    except RequestError as error:
        texts = [
            each and _PATH.sub("the given network", each) for each in (error.what, error.where, error.allowed)
        ]
        raise RequestError(texts[0] or "", where=texts[1], allowed=texts[2]) from error


def written_here() -> Path:
    """Return the folder of the files that this process writes. It is removed when the process ends.

    Example:
        >>> written_here().is_dir()
        True
    """
    folder = Path(_temporary().name).resolve() / "objects"
    if folder not in _places:
        folder.mkdir(exist_ok=True)
        add_place(folder)
    return folder


@cache
def _temporary() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="distillab-")


def _find(file: str) -> Path | None:
    return next((place / file for place in reversed(_places) if (place / file).is_file()), None)
