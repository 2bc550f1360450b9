"""How the source of a study decoded its examples, so that later ones are decoded alike."""

from __future__ import annotations

from distillab.canonical import JsonObject
from distillab.data.dataset import Dataset
from distillab.data.examples import IMAGE
from distillab.modalities.audio import AudioSettings
from distillab.modalities.image.rendering import noted_settings
from distillab.sources.source import ImageSource, Source


def decoding_of(source: Source, dataset: Dataset) -> JsonObject:
    """Return the settings by which examples of a dataset were decoded, JSON-able.

    What a source left open (``auto``) was settled when the data were read, as the notes of the dataset state.

    Args:
        source: The source.
        dataset: What was read from it.
    """
    if dataset.modality != IMAGE:
        return source.model_dump(mode="json", include=set(AudioSettings.model_fields))
    settled = noted_settings(dataset.report.notes)
    values: dict[str, object] = {}
    if isinstance(source, ImageSource):
        values["max_pixels"] = source.max_pixels
        if source.intensity != "auto":
            settled["intensity"] = list(source.intensity)
        if source.background != "auto":
            ground = source.background
            settled["background"] = ground if isinstance(ground, str) else list(ground)
    return values | settled
