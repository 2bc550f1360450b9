"""View operations of text: they change which characters stand where."""

from distillab.modalities.text.views.character_drop import CharacterDrop
from distillab.modalities.text.views.character_swap import CharacterSwap

__all__ = ["CharacterDrop", "CharacterSwap"]
