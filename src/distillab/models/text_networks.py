"""Networks for texts: convolutions over characters, a bidirectional LSTM, and transformers like BERT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from distillab.errors import RequestError
from distillab.extras import install_command
from distillab.modalities.text import LONGEST, PADDING, VOCABULARY
from distillab.models.input_spec import InputSpec
from distillab.models.registry import register_for_text

SPANS = (2, 3, 4)  # characters that a filter of a TextCNN sees
BERTS = {"bert_2x128": (2, 128), "bert_4x256": (4, 256)}
"""Layers and width of the transformers; heads have 64 channels."""
_HEAD = 64
_DROPOUT = 0.1


def character_ids(x: Tensor) -> Tensor:
    """Return the numbers of characters that a network is given, int64 ``[N, L]``.

    Args:
        x: ``[N, 1, 1, L]`` of any float dtype, as the normalization of texts gives it. Numbers outside the
            vocabulary, as in trials on random inputs, are those of its ends.

    Example:
        >>> character_ids(torch.tensor([[[[2.0, 7.0, 0.0]]]])).tolist()
        [[2, 7, 0]]
    """
    return x.float().round().long().clamp(0, VOCABULARY - 1).flatten(1)


class TextCNN(nn.Module):
    """Filters over a few characters each, the maximum of each over the text, and a linear classifier.

    Maps ``[N, 1, 1, L]`` to ``[N, classes]``. Source: Kim, "Convolutional neural networks for sentence
    classification", EMNLP 2014; here over characters, with spans of two to four.

    Args:
        width: Length of the vector of a character.
        filters: Filters per span.
        classes: Number of logits.

    Example:
        >>> TextCNN(8, 16, classes=3)(torch.zeros(2, 1, 1, 20)).shape
        torch.Size([2, 3])
    """

    def __init__(self, width: int, filters: int, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width, padding_idx=PADDING)
        self.filters = nn.ModuleList(nn.Conv1d(width, filters, span, padding=span - 1) for span in SPANS)
        self.dropout = nn.Dropout(_DROPOUT)
        self.fc = nn.Linear(filters * len(SPANS), classes)

    def forward(self, x: Tensor) -> Tensor:
        characters = self.table(character_ids(x)).transpose(1, 2)
        found = [filters(characters).relu().amax(dim=2) for filters in self.filters]
        logits: Tensor = self.fc(self.dropout(torch.cat(found, dim=1)))
        return logits


class BiLSTM(nn.Module):
    """An LSTM in both directions, the maximum of its states over the text, and a linear classifier.

    Maps ``[N, 1, 1, L]`` to ``[N, classes]``.

    Args:
        width: Length of the vector of a character.
        states: States per direction.
        classes: Number of logits.

    Example:
        >>> BiLSTM(8, 16, classes=3)(torch.zeros(2, 1, 1, 20)).shape
        torch.Size([2, 3])
    """

    def __init__(self, width: int, states: int, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, width, padding_idx=PADDING)
        # Two networks, so that the second one begins at the end of each text and not in its padding.
        self.onward = nn.LSTM(width, states, batch_first=True)
        self.reverse = nn.LSTM(width, states, batch_first=True)
        self.dropout = nn.Dropout(_DROPOUT)
        self.fc = nn.Linear(2 * states, classes)

    def forward(self, x: Tensor) -> Tensor:
        ids = character_ids(x)
        inside = _inside(ids)
        onward, _ = self.onward(self.table(ids))
        backward, _ = self.reverse(self.table(_reversed(ids, inside)))
        states = torch.cat([onward, backward], dim=2)
        lowest = torch.finfo(states.dtype).min
        logits: Tensor = self.fc(self.dropout(states.masked_fill(~inside[:, :, None], lowest).amax(dim=1)))
        return logits


class Bert(nn.Module):
    """A transformer encoder like BERT with random weights, the mean over the text, and a linear classifier.

    Maps ``[N, 1, 1, L]`` to ``[N, classes]``. Source: Devlin et al., NAACL 2019; built by the configuration
    of the package transformers, without its pretraining.

    Args:
        layers: Number of layers.
        width: Width of the layers.
        classes: Number of logits.

    Raises:
        RequestError: The package transformers is not installed.

    Example:
        >>> Bert(1, 64, classes=3).eval()(torch.zeros(2, 1, 1, 20)).shape
        torch.Size([2, 3])
    """

    def __init__(self, layers: int, width: int, classes: int) -> None:
        super().__init__()
        try:
            from transformers import BertConfig, BertModel
        except ImportError as error:
            raise RequestError(
                "networks like BERT need the package transformers", allowed=install_command("text")
            ) from error
        self.encoder = BertModel(
            BertConfig(
                vocab_size=VOCABULARY,
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=width // _HEAD,
                intermediate_size=4 * width,
                max_position_embeddings=LONGEST,
                type_vocab_size=1,
                pad_token_id=PADDING,
            ),
            add_pooling_layer=False,
        )
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        ids = character_ids(x)
        inside = _inside(ids)
        states = self.encoder(input_ids=ids, attention_mask=inside.long()).last_hidden_state
        weights = inside[:, :, None].to(states)
        logits: Tensor = self.fc((states * weights).sum(dim=1) / weights.sum(dim=1))
        return logits


def _inside(ids: Tensor) -> Tensor:
    """Return which positions belong to a text, bool ``[N, L]``: the first one always."""
    inside = ids != PADDING
    inside[:, 0] = True
    return inside


def _reversed(ids: Tensor, inside: Tensor) -> Tensor:
    """Return texts from their last character to their first, int64 ``[N, L]``; padding stays at the end."""
    last = inside.sum(dim=1, keepdim=True) - 1
    place = torch.arange(ids.shape[1], device=ids.device)
    return torch.where(inside, ids.gather(1, (last - place).clamp(min=0)), ids)


def _register(name: str, summary: str, build: Callable[[int], nn.Module]) -> None:
    def factory(*, classes: int, inputs: InputSpec) -> nn.Module:
        return build(classes)

    factory.__doc__ = summary
    register_for_text(name)(factory)


for _name, _size in {"textcnn": 128, "textcnn_small": 32}.items():
    _register(
        _name,
        f"filters over 2 to 4 characters, {_size} each, on vectors of {_size}",
        partial(TextCNN, _size, _size),
    )
_register("bilstm", "LSTM in both directions, 128 states each, on vectors of 128", partial(BiLSTM, 128, 128))
for _name, (_layers, _width) in BERTS.items():
    _register(
        _name,
        f"transformer like BERT, {_layers} layers of {_width} (extra 'text')",
        partial(Bert, _layers, _width),
    )
