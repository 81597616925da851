"""Features made of a whole batch are those made clip by clip, whatever the clips are like and whichever share it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio import batch_log_mel as batch_features
from accel_asr.audio.batch_log_mel import BatchLogMel, makes_features
from accel_asr.audio.decoding import decode, to_int16
from accel_asr.audio.log_mel import features_shape, log_mel
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.items import Item
from accel_asr.model.silence_merging import SilenceMerging
from tests.unit.audio.test_log_mel import NOISE, ODD, RATE_HZ

CPU = torch.device("cpu")
TWO_SECONDS = WhisperFeatureExtractor(chunk_length=2)


def as_int16(samples: np.ndarray) -> np.ndarray:
    return samples.round().clip(-32_768, 32_767).astype(np.int16)


def padded(clips: list[np.ndarray]) -> torch.Tensor:
    samples = torch.zeros(len(clips), max(map(len, clips)), dtype=torch.int16)
    for row, clip in zip(samples, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return samples


@pytest.mark.parametrize("mel_bins", [80, 128])
def test_odd_clips_in_one_batch_are_what_each_is_alone(mel_bins: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=2)
    clips = [as_int16(clip) for clip in ODD.values()]
    features = BatchLogMel.of_extractor(extractor)(padded(clips))
    assert (features.shape, features.dtype) == ((len(clips), mel_bins, 200), torch.float32)
    for name, found, clip in zip(ODD, features.numpy(), clips, strict=True):
        difference = np.abs(found - log_mel(clip, extractor)).max()
        assert difference < 1e-4, name  # seen: 5e-5, of a click; most others 1e-5


@pytest.mark.parametrize("clip", ODD)
def test_an_odd_clip_alone_too(clip: str) -> None:
    samples = as_int16(ODD[clip])
    found = BatchLogMel.of_extractor(TWO_SECONDS)(torch.from_numpy(samples)[None])[0].numpy()
    assert np.abs(found - log_mel(samples, TWO_SECONDS)).max() < 1e-4


@pytest.mark.parametrize("frames", [200, 120, 40])
def test_it_gives_as_many_frames_as_are_heard(frames: int) -> None:
    samples = torch.from_numpy(as_int16(NOISE[:RATE_HZ]))[None]
    whole = BatchLogMel.of_extractor(TWO_SECONDS)
    heard = replace(whole, frames=frames)(samples)
    assert heard.shape == (1, 80, frames)
    assert torch.equal(heard, whole(samples)[:, :, :frames])


def test_window_and_filters_are_made_once_however_much_is_heard() -> None:
    batch_features._constants.cache_clear()
    for frames in range(20, 200, 10):
        replace(BatchLogMel.of_extractor(TWO_SECONDS), frames=frames)(torch.zeros(1, 800, dtype=torch.int16))
    assert batch_features._constants.cache_info().misses == 1


def test_many_clips_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.from_numpy(np.random.default_rng(5).integers(-9_000, 9_000, size=(7, 8_000), dtype=np.int16))
    whole = BatchLogMel.of_extractor(TWO_SECONDS)(samples)
    monkeypatch.setattr(batch_features, "MOST_FRAMES", 2 * 52)
    torch.testing.assert_close(BatchLogMel.of_extractor(TWO_SECONDS)(samples), whole, rtol=0, atol=2e-6)
    monkeypatch.setattr(batch_features, "MOST_FRAMES", 1)  # no clip fits: one at a time
    torch.testing.assert_close(BatchLogMel.of_extractor(TWO_SECONDS)(samples), whole, rtol=0, atol=2e-6)


def test_it_works_in_fp32_where_the_model_does_not() -> None:
    samples = torch.from_numpy(as_int16(NOISE))[None]
    expected = BatchLogMel.of_extractor(TWO_SECONDS)(samples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = BatchLogMel.of_extractor(TWO_SECONDS)(samples)
    assert torch.equal(found, expected)


@pytest.mark.realdata
def test_real_speech_is_equal_within_rounding(realdata: Path) -> None:
    paths = [realdata / "openai-whisper" / "jfk.flac", *sorted((realdata / "ljspeech-coqui-tts").glob("*.flac"))[:8]]
    clips = [to_int16(decode(path, sampling_rate_hz=RATE_HZ)) for path in paths]
    extractor = WhisperFeatureExtractor()
    features = BatchLogMel.of_extractor(extractor)(padded(clips)).numpy()
    differences = [np.abs(found - log_mel(clip, extractor)).max() for found, clip in zip(features, clips, strict=True)]
    assert len(differences) == 9
    assert max(differences) < 5e-5  # seen: 2e-5


# -- who makes them


def test_the_cpu_makes_them_unless_another_is_told_to() -> None:
    assert not makes_features(CPU, wanted=None, extractor=TWO_SECONDS)
    assert not makes_features(CPU, wanted=False, extractor=TWO_SECONDS)
    assert makes_features(CPU, wanted=True, extractor=TWO_SECONDS)


class FakeGpu:
    """A device that calls itself cuda; tensors sent to it stay where they are."""

    type = "cuda"


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    gpu = FakeGpu()
    move = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, to: tensor if to is gpu else move(tensor, to))
    return gpu


def test_a_gpu_makes_them_if_it_gives_what_the_cpu_gives(fake_gpu: FakeGpu) -> None:
    assert makes_features(fake_gpu, wanted=None, extractor=TWO_SECONDS)  # type: ignore[arg-type]
    assert not makes_features(fake_gpu, wanted=False, extractor=TWO_SECONDS)  # type: ignore[arg-type]


def test_a_gpu_that_rounds_is_not_trusted_with_them(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = BatchLogMel.__call__
    monkeypatch.setattr(BatchLogMel, "__call__", lambda self, samples: exact(self, samples) + 2e-3)
    assert not makes_features(fake_gpu, wanted=None, extractor=TWO_SECONDS)  # type: ignore[arg-type]
    note = capsys.readouterr().err
    assert note.startswith("note: data.features_on_device: ")
    assert "0.002" in note


# -- in a batch


ROWS = [(0, 0), (0, 3), (0, (1, 2))]  # the last is a pack of two


@pytest.fixture
def device_collator(collator: Collator) -> Collator:
    return replace(collator, features_on_device=True)


@pytest.mark.parametrize("merging", [None, SilenceMerging(100, 0.02, margin_s=0.1, end_s=0.1)])
def test_a_batch_of_samples_becomes_the_batch_of_features(
    clip_items: ClipItems, collator: Collator, device_collator: Collator, merging: SilenceMerging | None
) -> None:
    items = clip_items.of([(0, 1), (0, 4)] if merging else ROWS)  # the first are short
    batch, expected = (replace(way, merging=merging)(items) for way in (device_collator, collator))
    assert (expected.input_features.shape[-1] < 200) is (expected.kept is not None) is (merging is not None)
    assert batch.input_features.dtype == torch.int16
    assert batch.input_features.nbytes < expected.input_features.nbytes
    moved = batch.to(CPU)
    torch.testing.assert_close(moved.input_features, expected.input_features, rtol=0, atol=1e-4)
    assert torch.equal(moved.labels, expected.labels)
    assert moved.utterance_ids == expected.utterance_ids
    assert moved.to(CPU).input_features is moved.input_features  # they are made once
    assert moved.input_features.shape == expected.input_features.shape
    assert moved.model_inputs().keys() == {"input_features", "kept"}


def test_samples_are_not_given_to_a_model(clip_items: ClipItems, device_collator: Collator) -> None:
    with pytest.raises(AssertionError, match="these are samples"):
        device_collator(clip_items.of(ROWS)).model_inputs()


def test_an_empty_batch_has_features(device_collator: Collator) -> None:
    shape = features_shape(device_collator.feature_extractor)
    assert device_collator([]).to(CPU).input_features.shape == (1, *shape)


def test_features_that_are_kept_are_taken_as_they_are(device_collator: Collator) -> None:
    shape = features_shape(device_collator.feature_extractor)
    kept = Item("a", 1.0, np.full(shape, 0.5, dtype=np.float32), [device_collator.start_token_id, 7])
    batch = device_collator([kept])
    assert batch.log_mel is None
    assert torch.equal(batch.input_features[0], torch.full(shape, 0.5))
