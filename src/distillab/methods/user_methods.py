"""Methods of users: a class in a file, named in a study as ``file.py:Class``; nothing is registered."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from pydantic import ConfigDict

from distillab.config import expand_home
from distillab.errors import RequestError, unknown_name
from distillab.methods.method import Method
from distillab.user_code import code_rule, require_code


@dataclass(frozen=True)
class UserMethod:
    """A method that a file holds.

    Attributes:
        path: The file, absolute.
        name: The name of the class.
        digest: Content address of the file's code, part of the id of every run that uses it.
        kind: The class.
    """

    path: Path
    name: str
    digest: str
    kind: type[Method] = field(compare=False)

    @property
    def entry(self) -> str:
        """How a study names it."""
        return f"{self.path}:{self.name}"


def is_user_method(name: str) -> bool:
    """Return True if a method is written as ``file.py:Class``."""
    return ".py:" in name


def absolute(entry: str, base: Path | None = None) -> str:
    """Return ``file.py:Class`` with the file's absolute path."""
    file, _, name = entry.rpartition(":")
    return f"{((base or Path.cwd()) / expand_home(Path(file))).resolve()}:{name}"


def load_user_method(entry: str, where: str, base: Path | None = None) -> UserMethod:
    """Return the method ``file.py:Class``, the file relative to ``base``.

    The file is run once per process for every state of its code. By commands that never load code it is not:
    the method then has the settings that the study states, and cannot be built.

    Raises:
        RequestError: The file cannot be read, is not allowed to run or fails when it is run, or has no such
            method.
    """
    file, _, name = absolute(entry, base).rpartition(":")
    path = Path(file)
    try:
        code = path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot read {path} ({error.strerror})", where=where) from error
    digest = hashlib.sha256(code).hexdigest()
    if not code_rule().runs:
        return UserMethod(path, name, digest, _unloaded(name))
    require_code(f"{path}:{name}", path, where=where)
    found = vars(_module(path, code, digest, where)).get(name)
    if not (isinstance(found, type) and issubclass(found, Method)):
        there = [key for key, value in vars(_module(path, code, digest, where)).items() if _is_method(value)]
        raise unknown_name("method", name, there, where=f"{where}: {file}")
    if "name" not in vars(found):
        found.name = name
    return UserMethod(path, name, digest, found)


def _unloaded(name: str) -> type[Method]:
    """Return a class that stands for a method whose code is not loaded."""

    class Config(Method.Config):
        model_config = ConfigDict(extra="allow")

    return type(name, (Method,), {"name": name, "Config": Config, "__doc__": "A method of the user."})


def _is_method(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__.startswith("distillab_own_")
    )


def _module(path: Path, code: bytes, digest: str, where: str) -> ModuleType:
    """Return the module of the very code whose digest is part of run ids: no bytecode that lies beside it."""
    name = f"distillab_own_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(code, str(path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[name]
        raise RequestError(
            f"{path} fails when it is run ({type(error).__name__}: {error})", where=where
        ) from error
    return module
