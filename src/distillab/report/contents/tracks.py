"""What the report shows of tracks: the same frames with the objects and with the tracks of each network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TrackMark:
    """A box with an identity over a frame.

    Attributes:
        left: Left edge in pixels of the frame.
        top: Top edge.
        right: Right edge.
        bottom: Bottom edge.
        number: The identity: that of the track, or of the object.
        color: Number of its color: a track has that of the object that it covers first.
        found: Whether the track covers an object.
        before: The track that covered the object before, if it has changed since the frame shown before.
        trail: Where the middle of its lower edge was since the frame shown before, in pixels.

    Example:
        >>> TrackMark(0.0, 0.0, 4.0, 8.0, number=7, color=0, before=3).text
        '3→7'
    """

    left: float
    top: float
    right: float
    bottom: float
    number: int
    color: int
    found: bool = True
    before: int | None = None
    trail: tuple[tuple[float, float], ...] = ()

    @property
    def text(self) -> str:
        """The identity, and that of before where it has changed."""
        return str(self.number) if self.before is None else f"{self.before}→{self.number}"


@dataclass(frozen=True)
class TrackStrip:
    """The tracks of one network, or the objects, over the frames.

    Attributes:
        network: The network in words.
        note: What its tracks amount to.
        frames: The boxes of each frame.
    """

    network: str
    note: str
    frames: tuple[tuple[TrackMark, ...], ...]


@dataclass(frozen=True, eq=False)
class ShownFrame:
    """A frame of a test sequence.

    Attributes:
        picture: uint8 ``[C, H, W]``.
        name: Its place in the sequence in words.
    """

    picture: npt.NDArray[np.uint8]
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.picture.shape[1], self.picture.shape[2]


@dataclass(frozen=True)
class TracksView:
    """The section on tracks.

    Attributes:
        title: The condition, student and seed of the networks.
        sequence: The name of the sequence.
        switches: Identity switches of the networks from the first to the last frame shown.
        frames: The frames, in order.
        strips: The objects, then one entry per network.

    Example:
        >>> TracksView("fairmot_resnet_s, seed 0", "sequence 5", 0, (), ()).sequence
        'sequence 5'
    """

    title: str
    sequence: str
    switches: int
    frames: tuple[ShownFrame, ...]
    strips: tuple[TrackStrip, ...]
