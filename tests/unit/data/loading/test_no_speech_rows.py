"""Rows without speech: how many, what is heard, what is learnt, and where they come in an epoch."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperTokenizer

from accel_asr.config.settings import Config, DataConfig, ModelConfig, SourceConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.data.loading.no_speech_rows import NoSpeechRows
from accel_asr.data.order.packing import GAP_S
from accel_asr.data.reading.rows import Row
from accel_asr.run.job import Job, load_job
from accel_asr.run.training_plan import plan_windows
from tests.refusals import refused
from tests.tiny_datasets import tone_clip, wav_bytes
from tests.unit.data.local_sources import write_rows

RATE_HZ = 16_000


def rows_beside(utterances: int, fraction: float, longest_s: float = 2.0, seed: int = 7) -> NoSpeechRows:
    return NoSpeechRows.beside(utterances, fraction=fraction, longest_s=longest_s, seed=seed, sampling_rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """58 clips of tones, up to half a second long."""
    words = ["pay", "my card", "send", "what", "balance"]
    rows = [Row(f"u{row}", wav_bytes(tone_clip(words[row % 5].split())), words[row % 5]) for row in range(58)]
    return write_rows(rows, tmp_path_factory.mktemp("clips") / "clips.parquet")


@pytest.fixture
def load(tiny_folder: Path, manifest: Path):
    """`load(settings of the data)`: 54 training clips and six without speech, of at most the model's window of 2 s."""

    def make(*, pack: bool = False, **data: object) -> Job:
        settings = DataConfig(str(manifest), train_rows=54, no_speech_fraction=0.1, overlap="allow")
        model = ModelConfig(name_or_path=str(tiny_folder), language="en")
        training = TrainingConfig(seed=7, pack=pack)
        return load_job(Config(model=model, data=replace(settings, **data), training=training))

    return make


# -- how many, and what is heard


@pytest.mark.parametrize(("utterances", "fraction", "count"), [(90, 0.1, 10), (3, 0.1, 1), (100, 0.5, 100)])
def test_so_many_rows_are_added_that_they_are_the_share_of_all(utterances: int, fraction: float, count: int) -> None:
    assert len(rows_beside(utterances, fraction)) == count


def test_lengths_are_from_one_second_to_thirty_or_the_longest_clip() -> None:
    of_whisper = rows_beside(5_000, 0.2, longest_s=30.0).durations_s
    assert 1 <= of_whisper.min() < 1.2
    assert 29.8 < of_whisper.max() <= 30
    assert of_whisper.mean() == pytest.approx(15.5, abs=1)
    assert set(rows_beside(9, 0.5, longest_s=0.8).durations_s) == {0.8}
    assert not np.array_equal(rows_beside(9, 0.5, seed=8).durations_s, rows_beside(9, 0.5).durations_s)


def test_a_row_is_as_long_as_planned_and_sounds_otherwise_with_another_seed() -> None:
    rows = rows_beside(30, 0.5)
    heard = [rows.samples(row, 11) for row in range(30)]
    assert all(len(sound) == round(rows.durations_s[row] * RATE_HZ) for row, sound in enumerate(heard))
    assert all(np.array_equal(sound, rows.samples(row, 11)) for row, sound in enumerate(heard))
    assert sum(not np.array_equal(sound, rows.samples(row, 12)) for row, sound in enumerate(heard)) > 20


def test_recordings_are_drawn_as_often_as_the_made_up_sounds() -> None:
    def excerpt(samples: int, rate_hz: int, draws: np.random.Generator) -> tuple[np.ndarray, str]:
        return np.full(samples, 0.9, dtype=np.float32), "constant"

    rows = replace(rows_beside(300, 0.5), recorded=(excerpt,))
    heard = [rows.samples(row, row) for row in range(300)]
    levels = [float(sound[0]) / 32_768 for sound in heard if len(set(sound.tolist())) == 1 and sound[0] > 0]
    assert 110 < len(levels) < 190
    assert 0.09 < min(levels) < 0.12  # 20 dB softer
    assert 0.8 < max(levels) < 0.9


# -- what is learnt


def test_a_label_teaches_the_token_of_silence_and_an_empty_text(
    clip_items: ClipItems, collator: Collator, encoder: LabelEncoder
) -> None:
    clip_items.no_speech = rows_beside(7, 0.4)
    batch = collator(clip_items.of([(0, 7), (0, 0)]))
    tokens = encoder.tokenizer.convert_ids_to_tokens
    start = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    assert tokens(batch.decoder_input_ids[0][:4].tolist()) == start
    targets = batch.labels[0][batch.labels[0] >= 0].tolist()
    assert tokens(targets) == ["<|nocaptions|>", *start[2:], "<|endoftext|>"]
    assert tokens(batch.labels[1][:1].tolist()) == ["<|en|>"]
    assert batch.utterance_ids == ["no-speech-000000", "clip-0"]


def test_times_are_taught_by_the_first_alone(clip_items: ClipItems, collator: Collator, encoder: LabelEncoder) -> None:
    clip_items.no_speech, clip_items.timestamps_probability = rows_beside(7, 0.4), 1.0
    batch = collator(clip_items.of([(0, 7)]))
    tokens = encoder.tokenizer.convert_ids_to_tokens
    assert tokens(batch.decoder_input_ids[0].tolist()) == [
        "<|startoftranscript|>",
        "<|en|>",
        "<|transcribe|>",
        "<|0.00|>",
    ]
    assert tokens(batch.labels[0].tolist()) == ["<|nocaptions|>", "<|transcribe|>", "<|0.00|>", "<|endoftext|>"]


def test_an_english_only_model_is_taught_the_same_without_a_language(tiny_english_folder: Path) -> None:
    encoder = LabelEncoder(WhisperTokenizer.from_pretrained(tiny_english_folder))
    tokens = encoder.tokenizer.convert_ids_to_tokens
    for is_timed, second in ((False, "<|notimestamps|>"), (True, "<|0.00|>")):
        label = encoder.without_speech(is_timed=is_timed)
        assert tokens(list(label.token_ids)) == ["<|startoftranscript|>", second, "<|endoftext|>"]
        assert tokens([label.after_start]) == ["<|nocaptions|>"]


def test_a_vocabulary_without_the_token_of_silence_is_taught_the_empty_text(encoder: LabelEncoder) -> None:
    encoder.no_speech_id = None
    label = encoder.without_speech()
    assert label.after_start is None
    assert label.token_ids == encoder.encode("").token_ids


# -- in a run


def test_each_epoch_has_every_utterance_and_every_row_without_speech_once(load) -> None:
    job = load()
    utterances, silent = len(job.data.train), len(job.data.no_speech)
    assert silent == round(utterances / 9)
    training = TrainingConfig(per_device_train_batch_size=8, seed=7, dataloader_drop_last=False, num_train_epochs=2)
    plan, last_step = plan_windows(training, job.data, num_processes=1)
    rows = np.concatenate([plan.window(step) for step in range(1, last_step + 1)])
    assert Counter(rows.tolist()) == dict.fromkeys(range(utterances + silent), 2)
    assert job.data.summary["no_speech"]["clips"] == silent
    assert job.data.summary["train"]["utterances"] == utterances
    assert [notice for notice in job.data.notices if f"{silent:,} clips without speech" in notice and "10%" in notice]
    assert job.model.generation_config.begin_suppress_tokens is None  # so that a transcript may be empty
    first = [name for [batch] in windows(job, plan, 8) for name in batch.utterance_ids]
    again = [name for [batch] in windows(job, plan, 8, num_workers=2) for name in batch.utterance_ids]
    assert first == again
    assert sum(name.startswith("no-speech-") for name in first) > 3


def windows(job: Job, plan, last_step: int, **options: int) -> TrainingWindows:
    return TrainingWindows(
        job.train_items, plan, collator=job.train_collator, rank=0, first_step=1, last_step=last_step, **options
    )


def test_without_them_nothing_is_added_and_whisper_is_not_changed(load) -> None:
    job = load(no_speech_fraction=0.0)
    assert job.data.no_speech is None
    assert "no_speech" not in job.data.summary
    assert job.model.generation_config.begin_suppress_tokens is not None
    assert job.fingerprint() != load().fingerprint()


def test_windows_by_length_know_how_long_they_are(load) -> None:
    job = load()
    plan, _ = plan_windows(TrainingConfig(batch_seconds=3.0), job.data, num_processes=1)
    for step, [batch] in enumerate(windows(job, plan, 6), start=1):
        assert batch.audio_s <= 3 + 1e-6
        assert batch.audio_s == pytest.approx(job.data.durations_s()[plan.window(step)].sum(), abs=1e-6)


def test_packs_hold_speech_or_none(load) -> None:
    job = load(pack=True, no_speech_fraction=0.3, max_duration_s=0.8)
    plan, _ = plan_windows(TrainingConfig(pack=True, per_device_train_batch_size=4), job.data, num_processes=1)
    first_silent = len(job.data.train)
    kinds = Counter(
        len({row >= first_silent for row in rows})
        for step in range(1, plan.steps_in(0) + 1)
        for batch in plan.micro_batches(step, 0)
        for _, rows in batch
    )
    assert set(kinds) == {1}
    silent = job.train_items.of([(0, (first_silent, first_silent + 1))])
    [item] = silent
    assert isinstance(item, Item)
    pause = round(GAP_S * RATE_HZ)
    assert [span.utterance_id for span in item.spans] == ["no-speech-000000", "no-speech-000001"]
    assert item.spans[1].first_sample == item.spans[0].stop_sample + pause
    assert item.token_ids == job.train_items.encoder.without_speech().token_ids


def test_the_weights_of_a_mixture_leave_them_their_share(load, manifest: Path) -> None:
    sources = [SourceConfig(str(manifest), name=name, weight=weight) for name, weight in (("a", 1.0), ("b", 3.0))]
    job = load(name_or_path=None, sources=sources, train_rows=None, eval_rows=20)
    plan, _ = plan_windows(TrainingConfig(per_device_train_batch_size=8), job.data, num_processes=1)
    rows = plan.shuffled_rows(0)
    silent = int((rows >= len(job.data.train)).sum())
    assert silent == pytest.approx(len(rows) / 10, abs=1)
    of_a = int((rows < job.data.rows_of_parts()[0]).sum())
    assert of_a == pytest.approx((len(rows) - silent) / 4, abs=1)


def test_features_of_silence_are_made_as_any_other(clip_items: ClipItems, collator: Collator) -> None:
    clip_items.no_speech = rows_beside(7, 0.4)
    batch = collator(clip_items.of([(0, 7), (0, 8)]))
    assert torch.isfinite(batch.input_features).all()


def test_recordings_of_a_folder_are_heard_and_belong_to_the_data(load, tmp_path: Path) -> None:
    constant = np.full(RATE_HZ, 12_345, dtype=np.int16)
    (tmp_path / "room.wav").write_bytes(wav_bytes(constant / 32_768))
    job = load(no_speech_dir=str(tmp_path), no_speech_fraction=0.4)
    rows = job.data.no_speech
    levels = [{abs(int(sample)) for sample in rows.samples(row, row)[2_000:2_010]} for row in range(len(rows))]
    heard = [level for level in levels if len(level) == 1 and level not in ({0}, {1})]
    assert 0.25 * len(rows) < len(heard) < 0.75 * len(rows)
    before = job.fingerprint()
    (tmp_path / "room.wav").write_bytes(wav_bytes(constant / 40_000))
    assert load(no_speech_dir=str(tmp_path), no_speech_fraction=0.4).fingerprint() != before
    with refused("--data.no_speech_dir", "is not a folder"):
        load(no_speech_dir=str(tmp_path / "none"))


# -- gaps of long recordings


def write_long_recording(folder: Path, spans: list[tuple[float, float]]) -> Path:
    """A recording of 12 s whose samples say in which second they are, and a manifest of segments of it."""
    seconds = np.repeat(np.arange(1, 13), RATE_HZ) * 1_000 / 32_768
    (folder / "long.wav").write_bytes(wav_bytes(seconds, sampling_rate_hz=RATE_HZ))
    lines = [f"long.wav,{start},{end},pay {number}" for number, (start, end) in enumerate(spans)]
    (folder / "rows.csv").write_text("\n".join(["audio,start,end,text", *lines]) + "\n")
    return folder / "rows.csv"


SPANS = [(0.0, 0.9), (0.5, 1.8), (4.0, 5.0), (6.0, 7.0), (9.0, 9.5), (11.9, 12.0)]


def test_gaps_are_where_no_row_speaks_not_even_a_validated_one(load, tmp_path: Path) -> None:
    """Between 1.8 and 4 s, 7 and 9 s, 9.5 and 11.9 s; from 5 to 6 s is too short."""
    manifest = write_long_recording(tmp_path, SPANS)
    job = load(name_or_path=str(manifest), train_rows=4, no_speech_fraction=0.5, no_speech_gaps=True)
    assert [notice for notice in job.data.notices if "no_speech_gaps: 3 gaps" in notice]
    [gaps] = job.data.no_speech.recorded
    np.testing.assert_allclose(gaps.start_s, [2.0, 7.2, 9.7])
    np.testing.assert_allclose(gaps.end_s, [3.8, 8.8, 11.7])
    heard = set()
    for seed in range(20):
        excerpt, _ = gaps(RATE_HZ, RATE_HZ, np.random.default_rng(seed))
        assert excerpt.shape == (RATE_HZ,)
        heard |= {round(float(level) * 32.768) for level in excerpt[::200]}
    assert heard <= {3, 4, 8, 9, 10, 11, 12}  # the seconds that the gaps lie in, counted from 1
    assert len(heard) > 4
    long, _ = gaps(3 * RATE_HZ, RATE_HZ, np.random.default_rng(0))  # longer than any gap
    assert len(long) == 3 * RATE_HZ


def test_rows_without_a_gap_between_them_are_refused(load, tmp_path: Path) -> None:
    manifest = write_long_recording(tmp_path, [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0)])
    with refused("--data.no_speech_gaps", "1.4 s", remedy="--data.no_speech_dir"):
        load(name_or_path=str(manifest), train_rows=2, no_speech_gaps=True)


def test_a_recording_that_has_gone_is_a_failure_of_its_row(load, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("accel_asr.data.indexing.index_building.DECODED_UP_FRONT_S", 0.0)
    manifest = write_long_recording(tmp_path, SPANS)
    job = load(name_or_path=str(manifest), train_rows=4, no_speech_fraction=0.5, no_speech_gaps=True)
    (tmp_path / "long.wav").unlink()
    made = job.train_items.of([(epoch, 4) for epoch in range(8)])
    failed = [item for item in made if isinstance(item, FailedItem)]
    assert 0 < len(failed) < 8  # the others are made up
    assert {item.utterance_id for item in failed} == {"no-speech-000000"}
