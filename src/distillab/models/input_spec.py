"""The shape of one network input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputSpec:
    """The shape of one input of a network: an image, or a spectrogram or text in its place.

    Attributes:
        channels: Number of channels.
        height: Rows: pixels, or mel bins of a spectrogram; 1 for a text.
        width: Columns: pixels, frames of a spectrogram, or characters.

    Example:
        >>> spec = InputSpec(1, 64, 101)
        >>> spec.shape, spec.is_square, spec.shorter_side
        ((1, 64, 101), False, 64)
        >>> str(InputSpec.square(3, 32))
        '3x32x32'
    """

    channels: int
    height: int
    width: int

    @classmethod
    def square(cls, channels: int, side: int) -> InputSpec:
        """Return the shape of a square input."""
        return cls(channels, side, side)

    def __str__(self) -> str:
        return f"{self.channels}x{self.size}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def size(self) -> str:
        """Height and width as text, such as ``32x32``."""
        return f"{self.height}x{self.width}"

    @property
    def is_text(self) -> bool:
        """True for a text, which is one row of characters."""
        return self.channels == 1 and self.height == 1

    @property
    def is_square(self) -> bool:
        """True if height and width are equal."""
        return self.height == self.width

    @property
    def shorter_side(self) -> int:
        """The smaller of height and width."""
        return min(self.height, self.width)
