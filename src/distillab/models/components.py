"""The networks that a name is made of, whether it names one, an ensemble, or one with exits."""

from __future__ import annotations

from dataclasses import dataclass

from distillab.models.ensemble import ensemble_parts
from distillab.models.exits import split_exits
from distillab.models.input_spec import InputSpec
from distillab.models.input_transforms import split_input_size
from distillab.models.orbit import split_orbit


@dataclass(frozen=True)
class ComponentNetwork:
    """A network that no other network is part of.

    Attributes:
        label: Its name, with the size of its inputs if that is stated.
        name: Its name alone, perhaps with ``#original``.
        pixels: The side of the square that its inputs are resized to; None if they are not.

    Example:
        >>> ComponentNetwork("resnet8@64", "resnet8", 64).seen(InputSpec.square(3, 32)).size
        '64x64'
    """

    label: str
    name: str
    pixels: int | None

    def seen(self, inputs: InputSpec) -> InputSpec:
        """Return the shape of what it gets, for inputs of the whole network."""
        return inputs if self.pixels is None else InputSpec.square(inputs.channels, self.pixels)


def component_networks(name: str) -> tuple[ComponentNetwork, ...]:
    """Return the networks that a name is made of, in order.

    Args:
        name: A name that :func:`~distillab.models.build_model` accepts.

    Example:
        >>> [each.label for each in component_networks("orbit(mean(resnet8@64+wrn16-2))")]
        ['resnet8@64', 'wrn16-2']
    """
    with_exits, turned = split_exits(name), split_orbit(name)
    if with_exits or turned:
        return component_networks(with_exits[0] if with_exits else str(turned))
    if several := ensemble_parts(name):
        return tuple(part for member in several[1] for part in component_networks(member))
    return (ComponentNetwork(name, *split_input_size(name)),)
