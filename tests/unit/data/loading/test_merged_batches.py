"""What merging keeps of a batch: all that its clips hold, whether they are packed, moved or in another batch."""

from dataclasses import replace

import pytest
import torch

from accel_asr.audio.augmentation import Augmentation
from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.model.silence_merging import SilenceMerging

RATE_HZ = 16_000
MERGING = SilenceMerging(window_positions=200, position_s=0.02, margin_s=0.1, end_s=0.1)  # of 4 s


@pytest.fixture
def merging(collator: Collator) -> Collator:
    return replace(collator, merging=MERGING)


def kept_rows(batch) -> list[torch.Tensor]:
    """Of each row, the positions without fillers."""
    pairs = zip(batch.kept.positions, batch.kept.log_counts, strict=True)
    return [positions[log_counts.isfinite()] for positions, log_counts in pairs]


def test_all_clips_of_a_pack_are_kept_and_their_pauses(clip_items: ClipItems, merging: Collator) -> None:
    items = clip_items.of([(0, (1, 4)), (0, 1)])
    batch = merging(items)
    for item, positions in zip(items, kept_rows(batch), strict=True):
        assert torch.equal(positions, MERGING.of_clip(len(item.clip) / RATE_HZ)[0])
        speech = len(item.clip) / RATE_HZ / 0.02
        assert positions[: int(speech) + 5].tolist() == list(range(int(speech) + 5))
    assert batch.utterance_ids == ["clip-1", "clip-4", "clip-1"]


def test_silence_before_a_clip_is_kept_with_it(clip_items: ClipItems, merging: Collator) -> None:
    moved = ClipItems(
        clip_items.utterances,
        feature_extractor=merging.feature_extractor,
        encoder=clip_items.encoder,
        augmentation=Augmentation(AugmentConfig(shift_prob=1.0, max_shift_s=1.0), RATE_HZ),
    )
    plain, shifted = ([items[0, row] for row in range(7)] for items in (clip_items, moved))
    assert sum(len(item.clip) for item in shifted) > sum(len(item.clip) for item in plain) + RATE_HZ
    for item, positions in zip(shifted, kept_rows(merging(shifted)), strict=True):
        assert torch.equal(positions, MERGING.of_clip(len(item.clip) / RATE_HZ)[0])


def test_an_empty_batch_has_something_to_hear(merging: Collator) -> None:
    [positions] = kept_rows(merging([]))
    assert torch.equal(positions, MERGING.of_clip(0.0)[0])
