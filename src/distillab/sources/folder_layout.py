"""Which folders hold the splits of a dataset, and what is left out beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from distillab.errors import RequestError
from distillab.sources.folder_tree import FolderNode, merge_nodes
from distillab.sources.split_names import EITHER, SplitChoice, likeness, looks_like_fold, splits_by_name

Splits = Mapping[str, FolderNode]
_ORDER = ("train", "val", "test")
_HERE = "."


@dataclass(frozen=True, eq=False)
class FolderLayout:
    """The folder of each split, whose folders are the classes (or groups).

    Attributes:
        splits: Trees by split, train first; a source without splits has train alone.
        outside: How many readable files lie beside the folders of splits.
        unused: How many are in folders that are not a split.
        notes: Sentences on folders that are left out.
    """

    splits: dict[str, FolderNode]
    outside: int = 0
    unused: int = 0
    notes: tuple[str, ...] = ()


def find_layout(tree: FolderNode, choice: SplitChoice, *, by_class: bool, in_classes: bool) -> FolderLayout:
    """Return the splits of a folder: those that a user states, and those that are found by their names.

    Folders that hold nothing but one folder, such as that of an archive, are entered. Splits may lie above
    the classes or below them, and between a split and its classes there may be one more folder.

    Args:
        tree: The folder.
        choice: What the key ``splits`` states.
        by_class: Whether the layout has no other level than that of classes.
        in_classes: Whether files are in folders of their class, rather than named after it.

    Raises:
        RequestError: A stated folder does not exist, or names look like splits that are not clearly ones.
    """
    if choice.stated.get("train") == (_HERE,):
        if others := [own for split, owns in choice.stated.items() if split != "train" for own in owns]:
            raise RequestError(
                f"train is the folder itself, which holds {_listed(others)}",
                where="splits",
                allowed="`train: .` alone",
            )
        return FolderLayout({"train": tree})
    if any(choice.stated.values()):
        found = _stated_layout(tree, choice, by_class and in_classes)
    else:
        found = _found_layout(tree, by_class=by_class, in_classes=in_classes)
    unused = {split for split, own in choice.stated.items() if not own}
    kept = {split: node for split, node in found.splits.items() if split not in unused}
    if not (by_class and in_classes):
        return replace(found, splits=kept)
    classes = {split: _without_copies(node) for split, node in kept.items()}
    copied = sum(node.count - classes[split].count for split, node in kept.items())
    notes = found.notes + _same_folders(classes["train"]) + _copy_notes(kept, classes)
    return replace(found, splits=classes, unused=found.unused + copied, notes=notes)


def _stated_layout(tree: FolderNode, choice: SplitChoice, descend: bool) -> FolderLayout:
    """Return the layout with the folders that ``splits`` names, and those found by name beside them."""
    stated = {split: [_below(tree, own) for own in owns] for split, owns in choice.stated.items() if owns}
    parents = {own.strip("/").rpartition("/")[0] for owns in choice.stated.values() for own in owns}
    parent = _below(tree, parents.pop()) if len(parents) == 1 else tree
    taken = {node.path for nodes in stated.values() for node in nodes}
    rest = {name: node for name, node in parent.filled.items() if node.path not in taken}
    for name, split in splits_by_name(rest).items():
        if split not in choice.stated and split not in stated and split != EITHER:
            stated[split] = [rest[name]]
    if "train" not in stated:
        raise RequestError(
            "no folder holds the train split", where=str(tree.path), allowed="`splits: {train: FOLDER}`"
        )
    splits = {split: merge_nodes(stated[split]) for split in _ORDER if split in stated}
    used = {node.path for nodes in stated.values() for node in nodes}
    unused = [name for name, node in rest.items() if node.path not in used]
    return _layout(tree, parent, _entered(splits) if descend else splits, unused)


def _below(tree: FolderNode, path: str) -> FolderNode:
    """Return the folder of a relative path. Raises RequestError if there is none."""
    node = tree
    for part in path.strip("/").split("/") if path.strip("/") else ():
        if part not in node.folders:
            raise RequestError(
                f"there is no folder {path!r} here",
                where=f"{tree.path}: splits",
                allowed=", ".join(node.folders) or "a folder of class folders",
            )
        node = node.folders[part]
    return node


def _found_layout(tree: FolderNode, *, by_class: bool, in_classes: bool) -> FolderLayout:
    names = _split_folders(tree, in_classes)
    if names is not None:
        splits: dict[str, FolderNode] = {}
        for split in _ORDER:
            if owners := [name for name, of in names.items() if of == split]:
                splits[split] = tree.folders[owners[0]]
        rest = [name for name in tree.filled if name not in names]
        return _layout(tree, tree, _entered(splits) if by_class and in_classes else splits, rest)
    inner = {name: _inner_splits(folder) for name, folder in tree.filled.items()}
    if any(inner.values()):
        return _layout_below(tree, inner, by_class=by_class, in_classes=in_classes)
    if by_class and in_classes and len(inner) == 1 and not tree.files:
        [only] = tree.filled.values()
        if not only.files and only.filled:
            return _found_layout(only, by_class=by_class, in_classes=in_classes)
    return FolderLayout({"train": tree})


def _layout_below(
    tree: FolderNode, inner: Mapping[str, Mapping[str, str]], *, by_class: bool, in_classes: bool
) -> FolderLayout:
    """Return the layout where split folders lie one level deeper, in one folder or in every class folder."""
    holders = [name for name, names in inner.items() if names]
    nodes = [tree.folders[name] for name in holders]
    flat = all(tree.folders[h].folders[name].files for h in holders for name in inner[h])
    if flat and by_class and in_classes and len(inner) > 1:
        if len(holders) < len(inner) or any("train" not in names.values() for names in inner.values()):
            odd = next(n for n in inner if n not in holders or "train" not in inner[n].values())
            raise _ambiguous(tree, f"{holders[0]!r} holds folders of splits, and {odd!r} lacks one of train")
        return _splits_in_classes(tree, inner)
    if len(holders) == 1 and len(inner) == 1:
        found = _found_layout(nodes[0], by_class=by_class, in_classes=in_classes)
        return replace(found, outside=found.outside + len(tree.files))
    paths = " or ".join(f"`path` ending in {name}" for name in holders[:4])
    raise RequestError(
        f"{_listed(holders)} hold{'s' if len(holders) == 1 else ''} folders of splits"
        + (
            ""
            if len(holders) == len(inner)
            else f", beside {_listed([n for n in inner if n not in holders])}"
        ),
        where=str(tree.path),
        allowed=f"{paths}, or `splits: {{train: {holders[0]}/TRAIN, test: {holders[0]}/TEST}}`",
    )


def _splits_in_classes(tree: FolderNode, inner: Mapping[str, Mapping[str, str]]) -> FolderLayout:
    """Return the layout where every class folder holds folders of splits, and these hold the files."""
    splits: dict[str, FolderNode] = {}
    for split in _ORDER:
        of_classes = {}
        for name, names in inner.items():
            if own := [tree.folders[name].folders[each] for each, of in names.items() if of == split]:
                of_classes[name] = merge_nodes(own)
        if of_classes:
            splits[split] = FolderNode(tree.path, (), of_classes, tree.identity)
    unused = tree.count - len(tree.files) - sum(node.count for node in splits.values())
    return FolderLayout(splits, len(tree.files), unused)


def _layout(tree: FolderNode, parent: FolderNode, splits: Splits, rest: list[str]) -> FolderLayout:
    """Return a layout with what lies beside its splits in the folder that holds them."""
    unused = sum(parent.folders[name].count for name in rest)
    outside = len(parent.files) + (0 if parent is tree else len(tree.files))
    return FolderLayout(dict(splits), outside, unused, _notes(parent, rest))


def _inner_splits(folder: FolderNode) -> Mapping[str, str]:
    """Return the folders of splits in a folder, if it holds those of two splits or more."""
    names = splits_by_name(folder.filled)
    return names if len(set(names.values())) > 1 else {}


def _split_folders(tree: FolderNode, in_classes: bool) -> dict[str, str] | None:
    """Return the split of each folder in a folder that holds one; None if they are classes or groups.

    Raises:
        RequestError: Names look like splits, but which folder holds which is not clear.
    """
    folders = tree.filled
    alike = {name: like for name in folders if (like := likeness(name)) is not None}
    certain = splits_by_name(folders)
    if len(folders) > 1 and all(map(looks_like_fold, folders)):
        raise _ambiguous(tree, f"{_listed(list(folders))} look like folds", folds=True)
    if len(alike) == len(folders) > 1:  # nothing but names of splits
        certain = {name: like.split for name, like in alike.items()}
    if not certain or (len(certain) == 1 and _is_class(tree, next(iter(certain)), in_classes)):
        return None
    exact = {name for name in certain if alike[name].exact}
    chosen: dict[str, str] = {}
    for split in dict.fromkeys(certain.values()):
        named = [name for name, of in certain.items() if of == split]
        best = [name for name in named if name in exact] or named
        if len(best) > 1:
            raise _ambiguous(tree, f"two folders hold the {split} split, {_listed(best)}")
        chosen[best[0]] = split
    if EITHER in chosen.values():
        own = next(name for name, split in chosen.items() if split == EITHER)
        raise _ambiguous(tree, f"{own!r} could be the val split or the test split")
    if "train" not in chosen.values():
        raise _ambiguous(tree, f"there is no train folder beside {_listed(list(chosen))}")
    if in_classes:
        _check_holds_classes(tree, chosen)
    return chosen


def _is_class(tree: FolderNode, name: str, in_classes: bool) -> bool:
    """Return True if a folder is a class although its name is that of a split: trains beside buses and cars.

    Raises:
        RequestError: It may be either.
    """
    if len(tree.filled) == 1:
        return False
    if tree.folders[name].files or not in_classes:
        return True
    if name.lower() == "train":
        return False
    others = _listed([other for other in tree.filled if other != name])
    raise _ambiguous(tree, f"{name!r} may be a split or a class beside {others}")


def _check_holds_classes(tree: FolderNode, chosen: Mapping[str, str]) -> None:
    """Raise RequestError if folders of splits, beside others, hold files and no folders of classes."""
    flat = [name for name in chosen if not tree.folders[name].filled]
    if flat and len(tree.filled) > len(chosen):
        others = _listed([name for name in tree.filled if name not in chosen])
        raise _ambiguous(tree, f"{_listed(flat)} may be splits or classes beside {others}")


def _entered(splits: Splits) -> dict[str, FolderNode]:
    """Return the folders of splits or, where they hold nothing but one folder of folders, that one.

    One folder may be a class of a split that lacks the others. It is entered if it is called after the split,
    or like a set of files, or if every split holds only one.
    """
    nodes = dict(splits)
    while True:
        inner = {split: below for split, node in nodes.items() if (below := _only_folder(node)) is not None}
        if len(inner) < len(nodes):
            inner = {split: node for split, node in inner.items() if _repeats(node.path.name, split)}
        if not inner:
            return nodes
        nodes |= inner


def _only_folder(node: FolderNode) -> FolderNode | None:
    """Return the only folder in a folder, if it holds folders itself and nothing lies beside it."""
    if node.files or len(node.filled) != 1:
        return None
    [only] = node.filled.values()
    return only if only.filled and not only.files else None


def _repeats(name: str, split: str) -> bool:
    like = likeness(name)
    return name.lower() in ("images", "imgs", "data") or (like is not None and like.split == split)


def _notes(tree: FolderNode, rest: list[str]) -> tuple[str, ...]:
    if not rest:
        return ()
    held = ", ".join(f"{name} ({tree.folders[name].count:,} files)" for name in rest[:8])
    more = f" and {len(rest) - 8} more" if len(rest) > 8 else ""
    return (f"Folders that are not a split, left out: {held}{more}.",)


def _same_folders(tree: FolderNode) -> tuple[str, ...]:
    """Return a note if all class folders hold the same two folders or more and no files: perhaps classes."""
    inner = [frozenset(folder.filled) for folder in tree.filled.values()]
    if len(inner) < 2 or len(set(inner)) > 1 or len(inner[0]) < 2:
        return ()
    if any(folder.files for folder in tree.filled.values()):
        return ()
    same = _listed(sorted(inner[0]))
    return (
        f"The classes are {_listed(list(tree.filled))}; each holds the same folders, {same} "
        "(if those are the classes, set `layout: group/class`).",
    )


def _without_copies(tree: FolderNode) -> FolderNode:
    """Return the folder of a split without folders that hold classes instead of being one.

    These hold nothing but folders with the names of classes beside them: a copy of the data, or augmented
    images.
    """
    classes = {name for name, folder in tree.filled.items() if folder.files}
    copies = {
        name
        for name, folder in tree.filled.items()
        if not folder.files and len(folder.filled) > 1 and classes.issuperset(folder.filled)
    }
    kept = {name: folder for name, folder in tree.folders.items() if name not in copies}
    return replace(tree, folders=kept) if copies else tree


def _copy_notes(before: Splits, after: Splits) -> tuple[str, ...]:
    left = [
        f"{name} ({folder.count:,} files)"
        for split, node in before.items()
        for name, folder in node.folders.items()
        if name not in after[split].folders
    ]
    if not left:
        return ()
    return (f"Folders that hold folders of the classes beside them, left out: {', '.join(left[:8])}.",)


def _listed(names: list[str]) -> str:
    shown = [repr(name) for name in names[:4]]
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _ambiguous(tree: FolderNode, what: str, *, folds: bool = False) -> RequestError:
    names = list(tree.filled)
    if folds:
        stated = f"`splits: {{train: [{names[0]}, ...], test: {names[-1]}}}`, `layout: group/class`"
    else:
        own = {like.split: name for name in reversed(names) if (like := likeness(name)) is not None}
        stated = (
            f"`splits: {{train: {own.get('train', 'FOLDER')}, test: {own.get('test', 'FOLDER')}}}` with the "
            "folder of each split"
        )
    return RequestError(
        what, where=str(tree.path), allowed=f"{stated}, or `splits: {{train: .}}` if these are classes"
    )
