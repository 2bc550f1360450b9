"""Load the entry of a weight file that fits a network, whatever was wrapped around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from distillab.models.weights.mismatch import Attempt, mismatch_error
from distillab.models.weights.reading import StateEntry, WeightFile, read_weights

# What wrappers put into the names of weights, at any place: DataParallel, torch.compile, FSDP.
WRAPPER_PARTS: Final = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
)
# What is no weight: counters of batch normalization, and what profilers leave in a network.
COUNTERS: Final = frozenset({"num_batches_tracked", "total_ops", "total_params", "n_averaged"})
# Heads that help in training only. Networks are built without them.
AUXILIARY: Final = frozenset({"AuxLogits", "aux1", "aux2", "aux_classifier", "aux_head"})
# Buffers that follow from the size of the input, which some versions of a network save and others do not.
DERIVED: Final = frozenset({"attn_mask", "relative_coords_table", "relative_position_index", "position_ids"})


@dataclass(frozen=True)
class LoadedWeights:
    """Which part of a weight file was loaded into a network.

    Attributes:
        path: The file.
        entry: The keys that lead to the weights, joined by dots; ``""`` for the file itself.
        prefix: What was taken off the names of the weights.
        others: Entries or prefixes that fit as well and were not taken.
        unused: Number of tensors of the entry that belong to other networks or are auxiliary.
        fresh: Weights of the classifier that kept their initial values.
        class_names: The names of the classes in the order of the logits, if they are stated for as many
            classes as there are logits.
        names_from: Where the names of the classes come from.
        details: What else was found, in a few words each.

    Example:
        >>> LoadedWeights(Path("w.pth"), "state_dict", "module.").text
        "entry 'state_dict', without the prefix 'module.'"
    """

    path: Path
    entry: str
    prefix: str
    others: tuple[str, ...] = ()
    unused: int = 0
    fresh: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    names_from: str = ""
    details: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What was loaded, in a few words."""
        parts = [f"entry {self.entry!r}"] if self.entry else []
        parts += [f"without the prefix {self.prefix!r}"] if self.prefix else []
        parts += [f"not {' or '.join(map(repr, self.others))}, which would fit too"] if self.others else []
        parts += [f"{self.unused} tensors of other modules unused"] if self.unused else []
        parts += ["with a new classifier"] if self.fresh else []
        parts += self.details
        return ", ".join(parts)


def load_into(
    network: nn.Module,
    weights: WeightFile | Path,
    *,
    name: str,
    classes: int,
    entry: str = "",
    new_classifier: bool = False,
) -> LoadedWeights:
    """Load into a network the part of a weight file that fits it.

    A part fits if it has a tensor of the right shape for every weight of the network and no further ones.
    Names may have a prefix (``module.``, ``_orig_mod.``, ``model.``, ``student.``, any other, or several);
    tensors without it belong to other modules and are left out. What wrappers insert within names is removed,
    counters of batch normalization may be missing, and auxiliary heads are left out.

    If several parts fit, moving averages (``ema``) come first, then ``state_dict``, ``model`` and the others
    in the order of ``ENTRY_ORDER``; among prefixes, moving averages, then others, then ``teacher.`` last.

    Args:
        network: The network; its weights are replaced in place, or left alone in case of an error.
        weights: The file, or what was read from it.
        name: The network's name in errors.
        classes: The number of its logits.
        entry: A key or prefix in the file, such as ``ema`` or ``teacher``, to which the choice is limited.
        new_classifier: Whether a classifier for other classes, or none, is accepted: that of the network
            then keeps its initial weights.

    Returns:
        What was loaded.

    Raises:
        RequestError: The file cannot be read, or no part of it fits the network.

    Example:
        >>> import tempfile, torch
        >>> file = Path(tempfile.mkdtemp()) / "teacher.pth"
        >>> state = {"module.weight": torch.ones(2, 3), "module.bias": torch.zeros(2)}
        >>> torch.save({"epoch": 9, "state_dict": state}, file)
        >>> layer = nn.Linear(3, 2)
        >>> load_into(layer, file, name="linear", classes=2).text
        "entry 'state_dict', without the prefix 'module.'"
        >>> layer.weight.sum().item()
        6.0
    """
    held = weights if isinstance(weights, WeightFile) else read_weights(weights)
    target = _Target(network)
    attempts = [
        attempt
        for each in held.entries
        for attempt in _attempts(each, target, classes)
        if not entry or entry in (*each.path, *attempt.prefix.split("."))
    ]
    fits = sorted((each for each in attempts if each.fits(new_classifier)), key=_rank)
    if not fits:
        names = dict.fromkeys([each.name for each in held.entries] + [a.prefix for a in attempts])
        where = f"{held.path}{f' ({entry})' if entry else ''}"
        raise mismatch_error(attempts, network, name, classes, where, [each for each in names if each])
    chosen = fits[0]
    network.load_state_dict(dict(chosen.matched), strict=False)
    stated = held.class_names if len(held.class_names) == classes else ()
    return LoadedWeights(
        held.path,
        chosen.entry.name,
        chosen.prefix,
        tuple(dict.fromkeys(_difference(each, chosen) for each in fits[1:] if not _same(each, chosen))),
        chosen.unused,
        chosen.fresh,
        stated,
        held.names_from if stated else "",
    )


class _Target:
    """The names of a network's weights as a file may have them.

    Attributes:
        state: The weights by name.
        required: The names of those that a file must hold: counters and what is no float are not learned.
        plain: From names without the parts of wrappers to those of the network.
    """

    def __init__(self, network: nn.Module) -> None:
        self.state = network.state_dict()
        learned = {name for name, _ in network.named_parameters(remove_duplicate=False)}
        self.required = frozenset(
            name
            for name, value in self.state.items()
            if name in learned or (_last(name) not in COUNTERS | DERIVED and value.is_floating_point())
        )
        self.plain = {_unwrapped(name): name for name in self.state}
        if len(self.plain) < len(self.state):
            self.plain = {name: name for name in self.state}
        firsts = {name.partition(".")[0] for name in self.plain}
        if len(firsts) == 1 and all("." in name for name in self.plain):
            # A network in a wrapper of its own: the file may be that of the inner network.
            self.plain |= {name.partition(".")[2]: own for name, own in dict(self.plain).items()}


def _attempts(entry: StateEntry, target: _Target, classes: int) -> Iterator[Attempt]:
    """Yield what is found in an entry under each prefix, those with the most weights of the network first."""
    plain = {_unwrapped(name): name for name in entry.tensors}
    if len(plain) < len(entry.tensors):
        plain = {name: name for name in entry.tensors}
    counts: Counter[str] = Counter()
    for name in plain:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in target.plain:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    for prefix, _ in counts.most_common(20) or [("", 0)]:
        yield _attempt(entry, plain, prefix, target, classes)


def _attempt(
    entry: StateEntry, plain: Mapping[str, str], prefix: str, target: _Target, classes: int
) -> Attempt:
    """Return what an entry holds for a network under a prefix."""
    inside = {name.removeprefix(prefix): own for name, own in plain.items() if name.startswith(prefix)}
    matched: dict[str, Tensor] = {}
    misshapen: dict[str, tuple[Tensor, Tensor]] = {}
    surplus: list[str] = []
    auxiliary = 0
    for name, own in inside.items():
        value, place = entry.tensors[own], target.plain.get(name)
        if place is None:
            if AUXILIARY & set(name.split(".")):
                auxiliary += 1
            elif value.is_floating_point() and _last(name) not in COUNTERS | DERIVED:
                surplus.append(own)
        elif _alike(value, target.state[place]):
            matched[place] = value
        elif place in target.required:
            misshapen[place] = value, target.state[place]
    misshapen = {place: misshapen[place] for place in target.state if place in misshapen}
    surplus.sort(key=lambda own: (_last(own) != "weight", own))
    lacking = target.required - matched.keys() - misshapen.keys()
    missing = {name: value for name, value in target.state.items() if name in lacking}
    written = _written_prefix(inside, prefix)
    unused = len(entry.tensors) - len(inside) + auxiliary
    return Attempt(entry, written, matched, misshapen, missing, tuple(surplus), unused, classes)


def _alike(value: Tensor, own: Tensor) -> bool:
    """Return True if a tensor can take the place of a network's own; any precision of floats will do."""
    same_kind = value.is_floating_point() == own.is_floating_point() and not value.is_quantized
    return same_kind and value.shape == own.shape


def _written_prefix(inside: Mapping[str, str], prefix: str) -> str:
    """Return a prefix as it is in the file, with the parts of wrappers."""
    name, own = next(iter(inside.items()), ("", prefix))
    return own.removesuffix(name) if own.endswith(name) else prefix


def _unwrapped(name: str) -> str:
    """Return the name of a weight without what wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _rank(attempt: Attempt) -> tuple[object, ...]:
    """Return where a part that fits comes among several."""
    parts = attempt.prefix.split(".")
    averaged = attempt.entry.is_averaged or any("ema" in part.split("_") for part in parts)
    teacher = any("teacher" in part.split("_") for part in parts)
    return not averaged, attempt.entry.rank, teacher, len(parts), attempt.prefix


def _same(one: Attempt, other: Attempt) -> bool:
    """Return True if two parts are the same tensors."""
    return all(value is other.matched.get(place) for place, value in one.matched.items())


def _difference(other: Attempt, chosen: Attempt) -> str:
    """Return the name of a part that was not taken: its entry, or its prefix within the same entry."""
    return other.prefix if other.entry is chosen.entry else other.entry.name or "the file itself"
