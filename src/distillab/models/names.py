"""Names of networks: whether a name can be built, and the nearest names to one that cannot."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path

from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.models.black_box import is_black_box
from distillab.models.components import component_networks
from distillab.models.exits import EXITS_NAME
from distillab.models.object_files import find_object
from distillab.models.stems import MADE_FOR_SMALL_IMAGES, split_stem, stem_is_never_fitted

FORMS = {
    "timm:NAME": "a network of timm (extra 'timm'), its stem fitted to the resolution",
    "torchvision:NAME": "a classifier of torchvision, its stem fitted to the resolution",
    "MODULE:FACTORY": "a function in a Python module, called with classes=, channels=, resolution=",
    "NAME#original": "a network with its published stem at every resolution",
    "object:NAME": "a network that was given as an object in Python; see docs/python.md",
    "NAME@PIXELS": "any of these, on images resized to so many pixels per side",
}
_REGISTERED = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)  # how timm declares a network
# What names begin with in Python code, on model hubs and in papers.
_PREFIX = re.compile(r"(hf[_-]hub:|(torchvision|timm)\.models\.|(torchvision|timm|models)[/.:]|tv_)+")


def require_known_name(name: str, registered: Collection[str]) -> None:
    """Raise RequestError if a name cannot be that of a network. Builds nothing.

    Args:
        name: A name as :func:`~distillab.models.build_model` takes it.
        registered: The registered networks, by name.

    Raises:
        RequestError: The name is not known, or its package or module cannot be imported. The message has the
            nearest name that would be accepted.

    Example:
        >>> require_known_name("torchvision:resnet18@64", {})
        >>> require_known_name("resnet18", {"resnet8": None})
        Traceback (most recent call last):
        distillab.errors.RequestError: unknown model 'resnet18', did you mean 'torchvision:resnet18'? ...
    """
    if EXITS_NAME.search(name):
        raise RequestError(
            f"{name!r} is what a method makes of a student, not a network to begin with",
            allowed="the network without exits, and a method that gives it some: exits or tskd",
        )
    for each in component_networks(name):
        if not is_black_box(each.name):
            _require_known(each.name, registered)


def _require_known(name: str, registered: Iterable[str]) -> None:
    network, original = split_stem(name)
    library, colon, rest = network.partition(":")
    if original and library not in ("timm", "torchvision") and network not in MADE_FOR_SMALL_IMAGES:
        raise stem_is_never_fitted(network)
    if not colon:
        if network not in registered:
            raise unknown_model(network, registered)
    elif library in ("hf_hub", "hf-hub"):
        raise unknown_model(network, registered)
    else:
        _require_external(library, rest)


def unknown_model(name: str, registered: Iterable[str]) -> RequestError:
    """Return the error for a name without a library that is not registered.

    Such a name is often that of a network of torchvision or timm, possibly as other programs write it.

    Example:
        >>> print(unknown_model("MobileNet-V3-small", ["resnet8"]))
        unknown model 'MobileNet-V3-small', did you mean 'torchvision:mobilenet_v3_small'? ...
    """
    known = list(registered)
    near = _nearest(name, known)
    hint = f", did you mean {near!r}?" if near else ""
    return RequestError(f"unknown model {name!r}{hint}", allowed=", ".join(sorted([*known, *FORMS])))


def unknown_of_library(library: str, name: str, known: Iterable[str]) -> RequestError:
    """Return the error for a name that a library does not have, without the list of its thousand names.

    Example:
        >>> print(unknown_of_library("torchvision", "ResNet18", ["resnet18", "resnet34"]))
        unknown torchvision model 'ResNet18', did you mean 'torchvision:resnet18'? ...
    """
    names = list(known)
    near = _same(name, names) or _similar(name, names, cutoff=0.5)
    hint = f", did you mean '{library}:{near}'?" if near else ""
    return RequestError(
        f"unknown {library} model {name!r}{hint}", allowed=f"a name of {library}'s list_models()"
    )


@cache
def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's classifiers.

    Example:
        >>> "mobilenet_v3_small" in torchvision_names()
        True
    """
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


@cache
def timm_names() -> tuple[str, ...]:
    """Return the names of timm's networks, empty if timm is not installed.

    They are found in the text of its modules, because importing timm takes seconds.

    Example:
        >>> isinstance(timm_names(), tuple)
        True
    """
    found = importlib.util.find_spec("timm")
    names: set[str] = set()
    for place in (found.submodule_search_locations or ()) if found else ():
        for file in (Path(place) / "models").glob("*.py"):
            names.update(_REGISTERED.findall(file.read_text(encoding="utf-8")))
    return tuple(sorted(names))


def _require_external(library: str, name: str) -> None:
    if library == "torchvision":
        if name not in torchvision_names():
            raise unknown_of_library("torchvision", name, torchvision_names())
    elif library == "timm":
        _require_timm(name)
    elif library == "object":
        find_object(name)
    else:
        from distillab.models.external import find_factory

        find_factory(library, name)


def _require_timm(name: str) -> None:
    if importlib.util.find_spec("timm") is None:
        raise RequestError(f"timm:{name} needs the timm package", allowed=install_command("timm"))
    if name in timm_names():
        return
    import timm  # a name with a tag, or of another package that registers networks with timm

    if not timm.is_model(name):
        raise unknown_of_library("timm", name, timm.list_models())


def _nearest(name: str, registered: list[str]) -> str | None:
    """Return the name, with its library, that was probably meant."""
    bare = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
    if re.match(r"(hf[_-]hub:)?timm\b", name):
        bare = bare.partition(".")[0]  # model hubs add a tag for the weights
    libraries: dict[str, Callable[[], Iterable[str]]] = {
        "": lambda: registered,
        "torchvision:": torchvision_names,
        "timm:": timm_names,
    }
    if name.startswith(("timm", "hf")):
        libraries = {"timm:": timm_names} | libraries
    for find in (_equal, _same, _beginning, _similar):
        for library, names in libraries.items():
            if found := find(bare, names()):
                return f"{library}{found}"
    return _similar(bare, registered, cutoff=0.5)


def _equal(name: str, known: Iterable[str]) -> str | None:
    return name if name in known else None


def _same(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that differs in case and separators alone."""
    wanted = _letters(name)
    return next((each for each in known if _letters(each) == wanted), None)


def _beginning(name: str, known: Iterable[str]) -> str | None:
    """Return the shortest known name that continues a name, ``deit_tiny_patch16_224`` for ``deit_tiny``."""
    wanted = _letters(name)
    longer = [each for each in known if _letters(each).startswith(wanted)] if len(wanted) > 3 else []
    return min(longer, key=len, default=None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _similar(name: str, known: Iterable[str], cutoff: float = 0.8) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=cutoff)), None)
