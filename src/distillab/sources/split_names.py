"""Names that stand for a split: of folders, of files, of rows in a column, and of parts of a dataset."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillab.errors import RequestError, unknown_name

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
"""The split that a folder, file or value stands for, by its name in lower case."""

EITHER = "val or test"
"""What a name stands for that is used for both val and test."""

_EITHER_NAMES = dict.fromkeys(("eval", "evaluation", "holdout"), EITHER)
_SET_NOUNS = ("set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder", "dir")
_FUSED = {
    f"{name}{noun}": split for name, split in (SPLIT_NAMES | _EITHER_NAMES).items() for noun in _SET_NOUNS
}
_SPLITS_BY_TOKEN = SPLIT_NAMES | _EITHER_NAMES | _FUSED
_UNSPECIFIC = frozenset(
    (
        *_SET_NOUNS,
        *("sets", "pics", "pictures", "photos", "files", "splits", "raw", "resized", "cropped", "processed"),
        *("original", "classes", "samples", "examples", "audio", "wav", "recordings", "clips"),
        *("of", "shard", "part", "jpg", "jpeg", "png", "labelled", "labeled"),
    )
)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_SHARD = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:[-_.].*)?", re.IGNORECASE)
_FOLD = re.compile(r"(?:fold|split)[-_ ]?(?:\d+|[a-e])", re.IGNORECASE)


@dataclass(frozen=True)
class SplitLikeness:
    """What a name that contains the name of a split stands for.

    Attributes:
        split: train, val, test, or :data:`EITHER`.
        rest: What else the name contains, in lower case, without numbers and nouns such as "images".
        exact: Whether the name contains nothing else.
    """

    split: str
    rest: tuple[str, ...]
    exact: bool


def likeness(name: str) -> SplitLikeness | None:
    """Return what a name stands for if it contains the name of one split.

    Example:
        >>> likeness("seg_train")
        SplitLikeness(split='train', rest=('seg',), exact=False)
        >>> likeness("Testing").split, likeness("valSet2017").rest, likeness("steam engines")
        ('test', (), None)
    """
    joined = re.sub(r"[\W_]+", "", name).lower()
    if split := (SPLIT_NAMES | _EITHER_NAMES).get(joined):
        return SplitLikeness(split, (), True)
    tokens = [token.lower() for token in _TOKEN.findall(name)]
    splits = {_SPLITS_BY_TOKEN[token] for token in tokens if token in _SPLITS_BY_TOKEN}
    if len(splits) != 1:
        return None
    rest = tuple(
        token
        for token in tokens
        if token not in _SPLITS_BY_TOKEN and token not in _UNSPECIFIC and not token.isdecimal()
    )
    return SplitLikeness(splits.pop(), rest, False)


def splits_by_name(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each name that certainly stands for one.

    A name with a further part, such as ``seg_train``, certainly stands for a split only beside one that has
    the same part and another split, such as ``seg_test``.

    Example:
        >>> splits_by_name(["Training", "Testing", "bullet_train"])
        {'Training': 'train', 'Testing': 'test'}
        >>> splits_by_name(["seg_train", "seg_test", "seg_pred"])
        {'seg_train': 'train', 'seg_test': 'test'}
    """
    found = {name: like for name in names if (like := likeness(name)) is not None}
    splits: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for like in found.values():
        splits[like.rest].add(like.split)
    return {name: like.split for name, like in found.items() if not like.rest or len(splits[like.rest]) > 1}


def shard_names(stem: str) -> tuple[str, ...]:
    """Return the names that the files of a split may share, from the name of one of them without its ending.

    Example:
        >>> shard_names("train-00000-of-00002"), shard_names("imagenet-val-7"), shard_names("Testing")
        (('train',), ('imagenet', 'imagenet-val-7'), ('Testing',))
    """
    match = _SHARD.fullmatch(stem)
    return (match[1],) if match else tuple(dict.fromkeys((stem.partition("-")[0] or stem, stem)))


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that match a pattern, sorted, without hidden ones and ``__MACOSX``.

    Example:
        >>> visible_files(Path("no such folder"), "*.tar")
        []
    """
    return [
        path
        for path in sorted(folder.rglob(pattern))
        if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    ]


def looks_like_fold(name: str) -> bool:
    """Return True for the name of a fold of cross-validation, such as ``fold_3``."""
    return _FOLD.fullmatch(name) is not None


@dataclass(frozen=True)
class SplitChoice:
    """The source's own names of splits, as a user states them.

    Attributes:
        stated: Own names by split; an empty tuple for a split that is left out.

    Example:
        >>> choice = SplitChoice({"test": ("validation",)})
        >>> choice.of(["train", "validation", "extra"], "flowers")
        {'train': 'train', 'validation': 'test'}
    """

    stated: Mapping[str, tuple[str, ...]]

    def of(self, names: Sequence[str], where: str, *, single: bool = False) -> dict[str, str]:
        """Return the split of each of the source's names that is one: the stated ones, and those found.

        Args:
            names: The source's own names.
            where: The place of the source, for messages.
            single: Whether one name alone can be found for a split: an exact one, such as train, before
                others, such as train_small.

        Raises:
            RequestError: A stated name is not one of the source's, or two names are found for one split.
        """
        by_stated: dict[str, str] = {}
        for split, owns in self.stated.items():
            for own in owns:
                alike = [name for name in names if name.lower() == own.lower()]
                if own not in names and len(alike) != 1:
                    raise unknown_name("split", own, names, where=f"{where}: splits")
                by_stated[own if own in names else alike[0]] = split
        found = splits_by_name(name for name in names if name not in by_stated)
        found = {name: split for name, split in found.items() if split not in self.stated and split != EITHER}
        if single:
            found = _single(found, where)
        return {name: by_stated.get(name) or found[name] for name in names if name in by_stated | found}


def _single(found: Mapping[str, str], where: str) -> dict[str, str]:
    """Return one name per split, an exact one if there is one. Raises RequestError for two."""
    single: dict[str, str] = {}
    for split in dict.fromkeys(found.values()):
        named = [name for name, of in found.items() if of == split]
        exact = [name for name in named if (like := likeness(name)) is not None and like.exact] or named
        if len(exact) > 1:
            raise RequestError(
                f"{exact[0]!r} and {exact[1]!r} may both be the {split} split",
                where=where,
                allowed=f"`splits: {{{split}: {exact[0]}}}`",
            )
        single[exact[0]] = split
    return single


def read_split_choice(value: Any) -> dict[str, str | list[str] | None] | None:
    """Return the key ``splits`` with our names of splits and texts as the source's.

    Raises:
        RequestError: A key is no split, a value is no name, or two splits have one name.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise RequestError(
            f"{value!r} is not a choice of splits",
            allowed="a mapping such as {train: Training, test: Testing}, with null for a split to leave out",
        )
    choice: dict[str, str | list[str] | None] = {}
    owners: dict[str, str] = {}
    for key, own in value.items():
        split = SPLIT_NAMES.get(str(key).lower())
        if split is None or split in choice:
            raise RequestError(
                f"{key!r} is {'no split' if split is None else 'a split named before'}",
                allowed="train, val and test, once each",
            )
        if own is None and split == "train":
            raise RequestError("the train split cannot be left out", allowed="a name, or val or test: null")
        names = [] if own is None else own if isinstance(own, list | tuple) else [own]
        if own is not None and (not names or not all(isinstance(each, str | int | float) for each in names)):
            raise RequestError(f"{own!r} is no name of the {split} split", allowed="a name, a list, or null")
        for each in map(str, names):
            if owners.setdefault(each, split) != split:
                raise RequestError(f"{each!r} is both {owners[each]} and {split}", allowed="one split each")
        texts = [str(each) for each in names]
        choice[split] = None if own is None else texts[0] if len(texts) == 1 else texts
    return choice
