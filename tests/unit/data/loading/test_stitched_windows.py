"""A window of one recording as an item: its sound, its times, its previous text, and the utterance that it cuts."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from accel_asr.audio.augmentation import AugmentedClip
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.data.loading.stitched_windows import StitchedWindows
from accel_asr.data.order.packing import PackPlan
from accel_asr.data.order.stitching import Stitching
from accel_asr.data.reading.rows import Row
from tests.unit.data.local_sources import RATE_HZ, utterances_of

WINDOW_S = 2.0  # of the tiny model
SPANS_S = [(0.10, 0.60), (0.70, 1.30), (1.50, 2.40), (2.50, 3.00), (3.1, 4.0)]
TEXTS = ["pay my bill", "now", "where is it", "ask", "again"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ), RATE_HZ, subtype="PCM_16")
    return path


@pytest.fixture
def windows(recording: Path, encoder: LabelEncoder, model_and_processor, tmp_path: Path) -> StitchedWindows:
    rows = [
        Row(f"talk.wav[{start_s:.3f}-{end_s:.3f}]", recording, text, start_s, end_s)
        for (start_s, end_s), text in zip(SPANS_S, TEXTS, strict=True)
    ]
    utterances = utterances_of(rows, tmp_path)
    return StitchedWindows(
        utterances,
        Stitching.of_utterances(utterances, encoder=encoder, validation=(), longest_pause_s=1.0, window_s=WINDOW_S),
        model_and_processor[1].feature_extractor,
        encoder,
        timestamps_probability=1.0,
        previous_text_probability=0.0,
        seed=0,
    )


def label_of(item: Item | FailedItem, windows: StitchedWindows) -> str:
    assert isinstance(item, Item)
    return windows.encoder.tokenizer.decode(item.token_ids, decode_with_timestamps=True)


def test_a_window_is_one_stretch_with_the_times_in_it_and_ends_with_the_start_of_what_it_cuts(windows) -> None:
    [item] = windows.items(0, (0, 1))
    whole, _ = soundfile.read(windows.utterances[0].recording.source, dtype="int16")
    assert np.array_equal(item.clip, whole[round(0.1 * RATE_HZ) : round(2.1 * RATE_HZ)])
    assert label_of(item, windows) == (
        "<|startoftranscript|><|en|><|transcribe|><|0.00|>pay my bill<|0.50|><|0.60|> now<|1.20|><|1.40|><|endoftext|>"
    )
    assert [span.utterance_id for span in item.spans] == ["talk.wav[0.100-0.600]", "talk.wav[0.700-1.300]"]
    assert [(span.first_sample, span.stop_sample) for span in item.spans] == [(0, 9_600), (9_600, 32_000)]
    assert item.duration_s == pytest.approx(1.1)


def test_without_times_the_window_ends_before_the_utterance_that_does_not_fit(windows) -> None:
    [item] = replace(windows, timestamps_probability=0.0).items(0, (0, 1))
    assert len(item.clip) == round(1.4 * RATE_HZ)
    assert item.token_ids == windows.encoder.encode("pay my bill now").token_ids


def test_the_text_before_is_the_previous_text_of_its_share_of_the_windows(windows) -> None:
    [item] = replace(windows, previous_text_probability=1.0).items(0, (2,))
    assert label_of(item, windows).startswith("<|startofprev|> pay my bill now<|startoftranscript|>")
    assert item.token_ids[item.prompt_tokens] == windows.encoder.start_id
    [first] = replace(windows, previous_text_probability=1.0).items(0, (0, 1))
    assert first.prompt_tokens == 0
    half = replace(windows, previous_text_probability=0.5)
    drawn = [half.items(epoch, (2,))[0].prompt_tokens > 0 for epoch in range(40)]
    assert 10 < sum(drawn) < 30
    assert drawn == [replace(half).items(epoch, (2,))[0].prompt_tokens > 0 for epoch in range(40)]


def test_a_label_with_its_previous_text_fits_the_decoder(windows) -> None:
    long = [replace(utterance, text="pay my bill " * 30) for utterance in windows.utterances]
    encoder = LabelEncoder(windows.encoder.tokenizer, max_label_tokens=200)
    [item] = replace(windows, utterances=long, encoder=encoder, previous_text_probability=1.0).items(0, (3,))
    assert len(item.token_ids) <= 200
    assert item.prompt_tokens > 0


def test_a_window_is_heard_faster_as_a_whole(windows) -> None:
    class TwiceAsFast:
        def clip(self, samples, *, row_seed, most_samples):
            return AugmentedClip(samples[::2], rate=2.0)

        def shifted(self, samples, *, row_seed, most_samples):
            return np.concatenate([np.zeros(RATE_HZ // 10, dtype=np.int16), samples]), RATE_HZ // 10

    [item] = replace(windows, augmentation=TwiceAsFast()).items(0, (0, 1))
    assert label_of(item, windows) == (
        "<|startoftranscript|><|en|><|transcribe|><|0.10|>pay my bill<|0.34|><|0.40|> now<|0.70|><|0.80|><|endoftext|>"
    )
    assert [span.first_sample for span in item.spans] == [1_600, 6_400]


def test_a_recording_that_is_gone_fails_each_of_its_utterances_by_name(windows, recording: Path) -> None:
    recording.unlink()
    failed = windows.items(0, (0, 1))
    assert [type(item) for item in failed] == [FailedItem, FailedItem]
    assert [item.utterance_id for item in failed] == ["talk.wav[0.100-0.600]", "talk.wav[0.700-1.300]"]


def test_rows_without_neighbours_stay_as_they_are(windows, recording: Path) -> None:
    apart = replace(windows.stitching, next_row=np.full(len(SPANS_S), -1))
    items = ClipItems(
        windows.utterances,
        feature_extractor=windows.feature_extractor,
        encoder=windows.encoder,
        stitched=replace(windows, stitching=apart),
    )
    [item] = items.of([(0, (1,))])
    assert isinstance(item, Item)
    assert np.array_equal(item.clip, windows.utterances[1].samples())
    together = ClipItems(
        windows.utterances,
        feature_extractor=windows.feature_extractor,
        encoder=windows.encoder,
        stitched=windows,
    )
    assert len(together.of([(0, (1,))])[0].clip) > len(item.clip)  # with the pause after it


def test_worker_processes_and_a_resumed_run_give_the_same_windows(windows, collator: Collator) -> None:
    windows = replace(windows, previous_text_probability=0.5, timestamps_probability=0.5)
    items = ClipItems(
        windows.utterances, feature_extractor=windows.feature_extractor, encoder=windows.encoder, stitched=windows
    )
    plan = PackPlan(len(SPANS_S), 1, 1, 1, seed=4, drop_last=False, packing=windows.stitching)
    last_step = plan.last_step(5)
    alone, others, late = (
        list(
            TrainingWindows(
                items, plan, collator=collator, rank=0, num_workers=workers, first_step=first_step, last_step=last_step
            )
        )
        for workers, first_step in ((0, 1), (2, 1), (0, 4))
    )
    for whole, part in ((alone, others), (alone[3:], late)):
        for batch, same in zip(itertools.chain(*whole), itertools.chain(*part), strict=True):
            assert batch.utterance_ids == same.utterance_ids
            assert torch.equal(batch.input_features, same.input_features)
            assert torch.equal(batch.labels, same.labels)
            assert torch.equal(batch.decoder_input_ids, same.decoder_input_ids)
    assert any(len(batch.utterance_ids) > 1 for batch in itertools.chain(*alone))
