"""What the decoder reads and what it is asked for: one start token, and an end token that counts once."""

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio.log_mel import log_mel
from accel_asr.data.loading.collator import Batch, Collator, Item

START, END, PAD, EN, TRANSCRIBE, NO_TIMES = 50258, 50257, 50257, 50259, 50359, 50363
EXTRACTOR = WhisperFeatureExtractor(feature_size=2, chunk_length=1, hop_length=4_000)  # features of (2, 4)
COLLATOR = Collator(
    feature_extractor=EXTRACTOR, start_token_id=START, pad_token_id=PAD
)  # Whisper pads with its end token


def item(name: str, *text: int, value: float = 1.0, duration_s: float = 1.0) -> Item:
    features = np.full((2, 4), value, dtype=np.float32)
    return Item(name, duration_s, features, (START, EN, TRANSCRIBE, NO_TIMES, *text, END))


def test_labels_are_the_next_tokens_and_padding_is_no_target() -> None:
    batch = COLLATOR([item("a", 11), item("b", 21, 22, 23)])
    assert batch.decoder_input_ids.tolist() == [
        [START, EN, TRANSCRIBE, NO_TIMES, 11, PAD, PAD],
        [START, EN, TRANSCRIBE, NO_TIMES, 21, 22, 23],
    ]
    assert batch.labels.tolist() == [
        [EN, TRANSCRIBE, NO_TIMES, 11, END, -100, -100],  # END is the padding token too, and a target once
        [EN, TRANSCRIBE, NO_TIMES, 21, 22, 23, END],
    ]


def test_features_ids_and_seconds_are_those_of_the_items_in_order() -> None:
    batch = COLLATOR([item("a", value=1, duration_s=1.5), item("b", value=2, duration_s=2.25)])
    assert batch.utterance_ids == ["a", "b"]
    assert batch.audio_s == 3.75
    assert batch.input_features.shape == (2, 2, 4)
    assert batch.input_features.dtype == torch.float32
    assert batch.input_features[:, 0, 0].tolist() == [1.0, 2.0]
    assert batch.labels.dtype == batch.decoder_input_ids.dtype == torch.long


def test_features_of_audio_are_made_in_the_batch() -> None:
    extractor = WhisperFeatureExtractor(chunk_length=1)
    collator = Collator(feature_extractor=extractor, start_token_id=START, pad_token_id=PAD)
    clips = [np.random.default_rng(size).integers(-9_000, 9_000, size, dtype=np.int16) for size in (16_000, 300)]
    batch = collator([Item("a", 1.0, clip, (START, END)) for clip in clips])
    assert batch.input_features.numpy().tolist() == np.stack([log_mel(clip, extractor) for clip in clips]).tolist()


def test_an_empty_batch_is_one_silent_row_without_targets() -> None:
    batch = COLLATOR([])
    assert (batch.utterance_ids, batch.audio_s) == ([], 0)
    assert batch.decoder_input_ids.tolist() == [[START]]
    assert batch.labels.tolist() == [[-100]]
    assert batch.input_features.tolist() == torch.zeros(1, 2, 4).tolist()


def test_a_label_without_a_start_token_is_a_bug() -> None:
    bare = Item("a", 1.0, np.zeros((2, 4), dtype=np.float32), (EN, 11, END))
    with pytest.raises(AssertionError, match="a: no start token"):
        COLLATOR([bare])


def test_a_batch_moves_with_all_it_holds() -> None:
    batch = COLLATOR([item("a", 11)])
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, Batch)
    assert (moved.utterance_ids, moved.audio_s) == (["a"], 1.0)
    assert {moved.input_features.device.type, moved.decoder_input_ids.device.type, moved.labels.device.type} == {"meta"}
    assert batch.labels.device.type == "cpu"
