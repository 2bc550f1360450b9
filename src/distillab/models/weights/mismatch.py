"""Why a weight file does not fit a network: one line with the kind of the mismatch and three names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.models.stems import first_convolution
from distillab.models.weights.reading import StateEntry

SHOWN_KEYS: Final = 3
# Parts of the names of weights whose shapes follow from the size of the input and of the patches.
OF_INPUT_SIZE: Final = ("pos_embed", "position_embed", "pos_embedding", "rel_pos", "relative_position")


@dataclass(frozen=True, eq=False)
class Attempt:
    """What an entry of a weight file holds for a network, under one prefix of names.

    Attributes:
        entry: The entry.
        prefix: The prefix.
        matched: Tensors that fit, by the network's names.
        misshapen: Tensors of another shape with the network's own, by the network's names.
        missing: Weights of the network that it does not hold.
        surplus: Tensors for which the network has no place.
        unused: Number of tensors without the prefix, and of auxiliary heads.
        classes: The number of logits of the network.
    """

    entry: StateEntry
    prefix: str
    matched: Mapping[str, Tensor]
    misshapen: Mapping[str, tuple[Tensor, Tensor]]
    missing: Mapping[str, Tensor]
    surplus: tuple[str, ...]
    unused: int
    classes: int

    def fits(self, new_classifier: bool = False) -> bool:
        """Return True if it holds exactly the weights of the network, perhaps but for the classifier."""
        if not self.matched or self.surplus:
            return False
        fits = not self.misshapen and not self.missing
        return fits or (new_classifier and (self.is_of_other_classes or self.lacks_classifier))

    @property
    def fresh(self) -> tuple[str, ...]:
        """The weights that keep their initial values if it is loaded."""
        return (*self.misshapen, *self.missing)

    @property
    def of_classifier(self) -> tuple[str, ...]:
        """The misshapen weights that are those of a classifier for other classes."""
        return tuple(
            name
            for name, (value, own) in self.misshapen.items()
            if own.ndim == value.ndim > 0
            and own.shape[0] == self.classes != value.shape[0]
            and value.shape[1:] == own.shape[1:]
        )

    @property
    def is_of_other_classes(self) -> bool:
        """True if all fits but a classifier for other classes."""
        return not self.missing and bool(self.misshapen) and len(self.of_classifier) == len(self.misshapen)

    @property
    def lacks_classifier(self) -> bool:
        """True if all fits, and there is no classifier."""
        of_one_layer = len({name.rpartition(".")[0] for name in self.missing}) == 1
        widths = {value.shape[:1] for value in self.missing.values()}
        return not self.misshapen and of_one_layer and widths == {(self.classes,)}


def mismatch_error(
    attempts: Sequence[Attempt], network: nn.Module, name: str, classes: int, where: str, entries: list[str]
) -> RequestError:
    """Return the error for weights that do not fit, by the attempt that fits best.

    Args:
        attempts: What was found in the file.
        network: The network.
        name: Its name.
        classes: The number of its logits.
        where: The file.
        entries: The names of entries and prefixes of the file.
    """
    if not attempts:
        return RequestError("has no such entry", where=where, allowed=", ".join(entries) or "no entry")
    best = max(attempts, key=lambda each: (len(each.matched), len(each.misshapen), -len(each.surplus)))
    if best.lacks_classifier and not best.surplus:
        what = f"no classifier: the weights lack {_keys(tuple(best.missing))} of {name}"
        return RequestError(what, where=where, allowed="weights with a classifier")
    kinds = _kinds(best, network, name)
    if kinds is None:
        return _other_architecture(best, name, where)
    found = " and ".join(what for what, _ in kinds)
    allowed = "; ".join(what for _, what in kinds)
    return RequestError(f"{found}: {_shapes(best.misshapen)}", where=where, allowed=allowed)


def _kinds(best: Attempt, network: nn.Module, name: str) -> list[tuple[str, str]] | None:
    """Return each kind of mismatch with what is allowed; None if the architecture is another one."""
    if best.missing or best.surplus:
        return None
    rest, kinds = dict(best.misshapen), []
    if other := {key: value for key, (value, own) in rest.items() if value.shape == own.shape}:
        rest = {key: value for key, value in rest.items() if key not in other}
        [kind, *_] = [value.dtype for value in other.values()]
        kinds.append((f"another type of numbers ({kind})", "weights of floats, as before any quantization"))
    if best.of_classifier:
        [found, *_] = [rest.pop(key)[0].shape[0] for key in best.of_classifier]
        kinds.append(
            (
                f"another number of classes (the weights have {found}, {name} has {best.classes} here)",
                f"weights for {best.classes} classes, or `classes` with the names of all {found}",
            )
        )
    stem = first_convolution(network)
    if stem and (changed := rest.pop(f"{stem[0]}.weight", None)):
        rest.pop(f"{stem[0]}.bias", None)
        kinds.append(_other_stem(*changed, name))
    by_size = [key for key in rest if any(part in key for part in OF_INPUT_SIZE)]
    if by_size:
        rest = {key: value for key, value in rest.items() if key not in by_size}
        kinds.append(
            (
                "another size of inputs or patches",
                f"the size that the weights are for, such as {name.partition('@')[0]}@224",
            )
        )
    return None if rest else kinds


def _other_stem(value: Tensor, own: Tensor, name: str) -> tuple[str, str]:
    if value.ndim == own.ndim == 4 and value.shape[1] != own.shape[1]:
        return (
            f"another stem (for {value.shape[1]} channels, and the inputs have {own.shape[1]})",
            f"data with `channels: {value.shape[1]}`",
        )
    return f"another stem than {name} has at this resolution", "`stem: original`, that of the package"


def _other_architecture(best: Attempt, name: str, where: str) -> RequestError:
    size = len(best.matched) + len(best.misshapen) + len(best.missing)
    if best.missing:
        difference = f"the weights lack {_keys(tuple(best.missing))}"
    elif best.surplus:
        difference = f"it has no place for {_keys(best.surplus)}"
    else:
        difference = _shapes(best.misshapen)
    return RequestError(
        f"another architecture than {name}, of whose {size} weights {len(best.matched)} fit: {difference}",
        where=where,
        allowed=f"weights of {name}, or the model that these weights are of",
    )


def _keys(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(map(repr, keys[:SHOWN_KEYS])) + more


def _shapes(misshapen: Mapping[str, tuple[Tensor, Tensor]]) -> str:
    """Return the shapes of the first three weights in the file and in the network."""
    shown = [
        f"{key!r} is {_shape(value, own)}, not {_shape(own, value)}"
        for key, (value, own) in list(misshapen.items())[:SHOWN_KEYS]
    ]
    more = f" and {len(misshapen) - SHOWN_KEYS} more" if len(misshapen) > SHOWN_KEYS else ""
    return ", ".join(shown) + more


def _shape(value: Tensor, other: Tensor) -> str:
    """Return the shape of a tensor, with its type if the shape is that of the other one."""
    return f"{value.dtype} {list(value.shape)}" if value.shape == other.shape else str(list(value.shape))
