"""What the report shows of what embeddings retrieve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class FoundTile:
    """An example of the database.

    Attributes:
        picture: uint8 ``[C, H, W]``, or the bytes of a PNG file.
        name: Its class.
        right: Whether that is the class of the query.
    """

    picture: npt.NDArray[np.uint8] | bytes
    name: str
    right: bool


@dataclass(frozen=True)
class FoundBy:
    """What one network retrieved for a query.

    Attributes:
        network: The network in words.
        average_precision: Of the query, over the whole database.
        tiles: The nearest examples, nearest first.
    """

    network: str
    average_precision: float
    tiles: tuple[FoundTile, ...]


@dataclass(frozen=True)
class Query:
    """A test example and what each network retrieved for it.

    Attributes:
        picture: uint8 ``[C, H, W]``, or the bytes of a PNG file.
        name: Its class.
        place: Where it stands among all queries, such as "highest gain".
        found: One entry per network, the plain student first.
    """

    picture: npt.NDArray[np.uint8] | bytes
    name: str
    place: str
    found: tuple[FoundBy, ...]


@dataclass(frozen=True)
class RetrievalView:
    """The section on retrieval.

    Attributes:
        title: The condition, student and seed.
        compared: The method by whose gain over plain training queries are chosen.
        database: Number of examples that are searched.
        queries: The chosen queries.

    Example:
        >>> RetrievalView("resnet8, seed 0", "pkt", 2000, ()).compared
        'pkt'
    """

    title: str
    compared: str
    database: int
    queries: tuple[Query, ...]
