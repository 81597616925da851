"""Transcribing with the tiny model, in the tests of decoding."""

from collections.abc import Callable

import pytest

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.generation import Transcription, transcribe_utterances


def decoding_of(model, **options) -> Decoding:
    """As `load_model` makes it: language, task and length are those of the model."""
    return Decoding.of_model(model, normalizer=str.lower, **options)


@pytest.fixture
def transcribe(model_and_processor, clip_items, accelerator, collator) -> Callable[..., Transcription]:
    """Transcribe; all others than `model`, `items`, `collator` and `on_batch` are of `Decoding`."""

    def run(
        model=None,
        *,
        items: ClipItems = clip_items,
        batch_size: int = 3,
        collator: Collator = collator,
        on_batch: Callable[[int], object] = lambda count: None,
        **options,
    ) -> Transcription:
        model = model or model_and_processor[0]
        decoding = decoding_of(model, batch_size=batch_size, **options)
        return transcribe_utterances(
            model, items, decoding, accelerator=accelerator, collator=collator, on_batch=on_batch
        )

    return run
