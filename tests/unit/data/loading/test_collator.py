"""What the decoder reads and what it is asked for: one start token, and an end token that counts once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio.log_mel import log_mel
from accel_asr.audio.spec_augment import SpecAugment
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import ClipSpan, Item
from accel_asr.data.loading.row_seeds import row_seed

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


# -- SpecAugment

SPEC_AUGMENT = SpecAugment(mask_time_prob=0.5, mask_time_length=20, mask_feature_prob=0.7, mask_feature_length=27)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9_000, 9_000, int(16_000 * seconds), dtype=np.int16)


def spoken(name: str, clip: np.ndarray, row: int) -> Item:
    return Item(name, len(clip) / 16_000, clip, (START, END), row_seed=row_seed(3, 0, row))


@pytest.fixture
def plain() -> Collator:
    """Without masks, of a window of two seconds."""
    return Collator(feature_extractor=WhisperFeatureExtractor(chunk_length=2), start_token_id=START, pad_token_id=PAD)


def test_masks_lie_on_the_audio_of_their_clip_and_never_on_padding(plain: Collator) -> None:
    masking = replace(plain, spec_augment=SPEC_AUGMENT)
    items = [spoken("a", noise(0.73), 0), spoken("b", noise(1.5), 1), spoken("c", noise(2.0), 2)]
    unmasked, batch = plain(items), masking(items)
    changed = (unmasked.input_features != batch.input_features).any(dim=1)  # (rows, frames)
    assert changed.any(dim=1).all()
    for row, frames in enumerate((73, 150, 200)):
        assert not changed[row, frames:].any()
        assert (batch.masks[row].first_frame, batch.masks[row].stop_frame) == (0, frames)
    assert unmasked.masks == ()


def test_features_that_are_kept_elsewhere_are_not_touched(plain: Collator) -> None:
    features = log_mel(noise(1.0), plain.feature_extractor)
    kept = features.copy()
    masked = replace(plain, spec_augment=SPEC_AUGMENT)([Item("a", 1.0, features, (START, END))])
    assert masked.masks[0].stop_frame == 100
    assert not torch.equal(masked.input_features[0], torch.from_numpy(kept))
    np.testing.assert_array_equal(features, kept)


def test_the_device_masks_what_the_workers_would_have_masked(plain: Collator) -> None:
    masking = replace(plain, spec_augment=SPEC_AUGMENT)
    items = [spoken(name, noise(seconds), row) for row, (name, seconds) in enumerate([("a", 0.5), ("b", 1.2)])]
    made_by_cpu = masking(items)
    samples = replace(masking, features_on_device=True)(items)
    assert samples.input_features.dtype == torch.int16
    moved = samples.to(torch.device("cpu"))
    torch.testing.assert_close(moved.input_features, made_by_cpu.input_features, rtol=0, atol=1e-4)
    again = moved.to(torch.device("cpu"))
    assert torch.equal(again.input_features, moved.input_features)


def test_a_clip_is_masked_alike_alone_in_a_batch_and_in_a_pack(plain: Collator) -> None:
    masking = replace(plain, spec_augment=SPEC_AUGMENT)
    one, other = noise(0.6, seed=1), noise(0.8, seed=2)
    alone = [masking([spoken("a", one, 5)]), masking([spoken("b", other, 6)])]
    together = masking([spoken("c", noise(2.0), 4), spoken("a", one, 5)])
    assert torch.equal(together.input_features[1], alone[0].input_features[0])
    gap = 3_200
    spans = (
        ClipSpan("a", row_seed(3, 0, 5), 0, len(one)),
        ClipSpan("b", row_seed(3, 0, 6), len(one) + gap, len(one) + gap + len(other)),
    )
    joined = np.concatenate([one, np.zeros(gap, dtype=np.int16), other])
    pack = masking([Item("a", 1.4, joined, (START, END), spans=spans, row_seed=spans[0].row_seed)])
    assert pack.utterance_ids == ["a", "b"]
    for single, clip, offset in zip(alone, pack.masks, (0, 80), strict=True):
        np.testing.assert_array_equal(clip.masks - [offset, offset, 0, 0], single.masks[0].masks)
    unmasked = plain([Item("a", 1.4, joined, (START, END), spans=spans)]).input_features[0]
    changed = (pack.input_features[0] != unmasked).any(dim=0)
    assert not changed[60:80].any()  # the pause between them
    assert not changed[160:].any()


def test_a_batch_has_the_seed_of_each_row(plain: Collator) -> None:
    batch = plain([spoken("a", noise(0.5), 1), spoken("b", noise(0.5), 2)])
    assert batch.row_seeds.tolist() == [row_seed(3, 0, 1), row_seed(3, 0, 2)]
    assert batch.row_seeds.dtype == torch.int64
    assert plain([]).row_seeds.tolist() == [0]
    seeds = {row_seed(*key) for key in [(3, 0, 1), (3, 1, 0), (4, 0, 1), (3, 0, 2), (3, 0, "1x")]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
