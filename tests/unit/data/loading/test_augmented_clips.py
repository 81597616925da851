"""Augmented items: the same on any worker, inside of packs, and with labels whose times follow the sound."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_asr.audio.augmentation import Augmentation
from accel_asr.config.augmentation_settings import AugmentConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.items import Item
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.packing import Packing
from accel_asr.data.reading.rows import Row
from accel_asr.data.text_processing import TextProcessing
from tests.tiny_datasets import wav_bytes
from tests.unit.data.local_sources import utterances_of

RATE_HZ, WINDOW = 16_000, 32_000  # the tiny model's window is 2 s
PLAN = WindowPlan(num_rows=7, micro_batch_size=2, accumulation_steps=1, num_processes=1, seed=3, drop_last=False)


def hiss(samples: int, rate_hz: int, draws: np.random.Generator) -> tuple[np.ndarray, str]:
    return draws.standard_normal(samples).astype(np.float32), "hiss"


@pytest.fixture
def augmented(clip_items: ClipItems) -> Callable[..., ClipItems]:
    """`augmented(timestamps_probability, **settings)`: seven clips of tones that get these effects."""

    def make(timestamps_probability: float = 0.0, **settings: float) -> ClipItems:
        return ClipItems(
            clip_items.utterances,
            feature_extractor=clip_items.feature_extractor,
            encoder=clip_items.encoder,
            timestamps_probability=timestamps_probability,
            seed=3,
            augmentation=Augmentation(AugmentConfig(**settings), RATE_HZ, hiss),  # type: ignore[arg-type]
        )

    return make


EVERYTHING = dict.fromkeys(
    ["speed_prob", "room_prob", "noise_prob", "gain_prob", "telephone_prob", "mp3_prob", "shift_prob"], 0.5
)


def features(items: ClipItems, collator: Collator, *, num_workers: int = 0, first_step: int = 1) -> list[torch.Tensor]:
    windows = TrainingWindows(
        items, PLAN, collator=collator, rank=0, first_step=first_step, last_step=8, num_workers=num_workers
    )
    return [batch.input_features for window in windows for batch in window]


def test_any_number_of_workers_and_any_start_give_the_same_sounds(augmented, collator: Collator) -> None:
    alone = features(augmented(**EVERYTHING), collator)
    for num_workers in (1, 2):
        others = features(augmented(**EVERYTHING), collator, num_workers=num_workers)
        assert all(map(torch.equal, alone, others))
    assert all(map(torch.equal, alone[5:], features(augmented(**EVERYTHING), collator, first_step=6)))
    assert not any(map(torch.equal, alone, features(augmented(), collator)))


def test_a_row_sounds_different_in_each_epoch_and_the_same_however_often_it_is_asked_for(augmented) -> None:
    items = augmented(noise_prob=1.0)
    first, again, later = (items[key].clip for key in ((0, 2), (0, 2), (1, 2)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)


def times_of(item: Item, items: ClipItems) -> list[float]:
    read = items.encoder.tokenizer.decode(item.token_ids, decode_with_timestamps=True)
    return [float(time) for time in re.findall(r"<\|(\d+\.\d\d)\|>", read)]


def test_times_are_those_of_the_sound(augmented) -> None:
    items = augmented(1.0, speed_prob=1.0, min_rate=0.7, shift_prob=1.0)
    begins = set()
    for row in range(7):
        item, original = items[0, row], items.utterances[row].samples()
        begin_s, end_s = times_of(item, items)
        rate = len(original) / RATE_HZ / (end_s - begin_s)
        for heard, there in zip(loud_s(item.clip), loud_s(original), strict=True):
            assert heard == pytest.approx(begin_s + there / rate, abs=0.04)
        assert end_s == pytest.approx(len(item.clip) / RATE_HZ, abs=0.021)
        begins.add(begin_s)
    assert len(begins) > 3


def loud_s(samples: np.ndarray) -> list[float]:
    """Where the sound begins and ends."""
    return [float(place) / RATE_HZ for place in np.flatnonzero(np.abs(samples.astype(int)) > 1_000)[[0, -1]]]


def test_parts_of_a_text_keep_to_their_sound(encoder: LabelEncoder, model_and_processor, tmp_path: Path) -> None:
    clip = wav_bytes(np.full(9_600, 0.1), sampling_rate_hz=RATE_HZ)
    row = Row("a", clip, "<|0.00|> my<|0.20|><|0.20|> card<|0.60|>")
    items = ClipItems(
        utterances_of([row], tmp_path, text=TextProcessing(written_times="read")),
        feature_extractor=model_and_processor[1].feature_extractor,
        encoder=encoder,
        timestamps_probability=1.0,
        augmentation=Augmentation(AugmentConfig(speed_prob=1.0, min_rate=0.5, max_rate=0.5, shift_prob=1.0), RATE_HZ),
    )
    item = items[0, 0]
    begin_s = np.flatnonzero(item.clip)[0] / RATE_HZ
    assert begin_s > 0
    assert times_of(item, items) == pytest.approx([begin_s, begin_s + 0.4, begin_s + 0.4, begin_s + 1.2], abs=0.021)


def test_each_clip_of_a_pack_has_its_own_effects_and_the_pack_fits(augmented) -> None:
    items = augmented(speed_prob=1.0, min_rate=0.8, max_rate=0.8)
    [item] = items.of([(0, (1, 3))])
    alone = [items[0, row].clip for row in (1, 3)]
    gap = np.zeros(3_200, dtype=np.int16)
    assert np.array_equal(item.clip, np.concatenate([alone[0], gap, alone[1]]))

    [shifted] = augmented(1.0, speed_prob=1.0, shift_prob=1.0).of([(0, (1, 3))])
    begin_s, first_end_s, second_s, end_s = times_of(shifted, items)
    assert begin_s > 0
    assert second_s - first_end_s == pytest.approx(0.2, abs=0.021)
    assert end_s == pytest.approx(len(shifted.clip) / RATE_HZ, abs=0.021)
    assert end_s <= WINDOW / RATE_HZ


def test_packs_leave_room_for_the_slowest_speed(clip_items: ClipItems) -> None:
    plain, slowed = (
        Packing.of_utterances(
            clip_items.utterances, encoder=clip_items.encoder, sampling_rate_hz=RATE_HZ, window_s=2.0, slowest=slowest
        )
        for slowest in (1.0, AugmentConfig(speed_prob=0.1, min_rate=0.8).slowest)
    )
    assert slowed.samples == pytest.approx(plain.samples * 1.25, abs=2)
    assert plain.checksum != slowed.checksum
