"""Log-mel features: analytic peaks, and OpenAI's formula by torch with librosa's filters."""

import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio import INT16_SCALE
from accel_asr.audio.decoding import decode, to_int16
from accel_asr.audio.log_mel import BLOCK_FRAMES, DYNAMIC_RANGE, is_silent, log_mel

RATE_HZ = 16_000
MEL_BINS = 80
EXTRACTOR = WhisperFeatureExtractor(chunk_length=2)


def centre_hz(mel_bin: int) -> float:
    """Slaney's scale: linear up to 1 kHz (15 mels), then 27 mels for a factor of 6.4; 80 filters up to 8 kHz."""
    highest = 15 + 27 * math.log(8) / math.log(6.4)
    mels = (mel_bin + 1) * highest / (MEL_BINS + 1)
    return mels * 200 / 3 if mels < 15 else 1000 * 6.4 ** ((mels - 15) / 27)


def tone(frequency_hz: float, *, duration_s: float = 1.0) -> np.ndarray:
    return to_int16(0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(RATE_HZ * duration_s)) / RATE_HZ))


@pytest.mark.parametrize("mel_bin", [10, 26, 50, 75])
def test_a_tone_at_the_centre_of_a_filter_is_loudest_there(mel_bin: int) -> None:
    features = log_mel(tone(centre_hz(mel_bin)), EXTRACTOR)
    assert (features[:, 10:90].argmax(axis=0) == mel_bin).all()


def test_one_kilohertz_is_in_the_27th_of_80_filters() -> None:
    assert centre_hz(26) == pytest.approx(1000, rel=0.01)
    assert log_mel(tone(1000), EXTRACTOR)[:, 50].argmax() == 26


def test_the_shape_is_the_models_window() -> None:
    assert log_mel(tone(1000), EXTRACTOR).shape == (80, 200)
    assert log_mel(tone(1000), WhisperFeatureExtractor()).shape == (80, 3000)
    assert log_mel(tone(1000), WhisperFeatureExtractor(feature_size=128)).shape == (128, 3000)
    assert log_mel(tone(1000), EXTRACTOR).dtype == np.float32


def test_it_is_openais_formula() -> None:
    samples = to_int16(0.3 * np.random.default_rng(0).standard_normal(2 * RATE_HZ).clip(-3, 3))
    window = torch.hann_window(400, dtype=torch.float64)
    spectrum = torch.stft(torch.from_numpy(samples / 32768), 400, 160, window=window, return_complex=True)
    power = spectrum[:, :-1].abs() ** 2  # the frame that begins after the end is left out
    filters = torch.from_numpy(librosa.filters.mel(sr=RATE_HZ, n_fft=400, n_mels=80)).double()
    log_power = (filters @ power).clamp(min=1e-10).log10()
    expected = (log_power.clamp(min=log_power.max() - 8) + 4) / 4
    np.testing.assert_allclose(log_mel(samples, EXTRACTOR), expected, atol=1e-5)


def in_float64(samples: np.ndarray, extractor: WhisperFeatureExtractor) -> np.ndarray:
    """The formula as it is, over the whole window."""
    signal = np.zeros(extractor.n_samples)
    signal[: len(samples)] = samples / 32768
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, 200, mode="reflect"), 400)[::160][:-1]
    power = np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)), axis=1)) ** 2
    log_power = np.log10(np.maximum(extractor.mel_filters.T @ power.T, 1e-10))
    return (np.maximum(log_power, log_power.max() - 8) + 4) / 4


NOISE = 3_000 * np.random.default_rng(1).standard_normal(2 * RATE_HZ)
ODD = {
    "nothing": np.zeros(16_000),
    "one sample": np.array([30_000]),
    "less than half a frame": NOISE[:150],
    "half a frame": NOISE[:200],
    "a sample more": NOISE[:201],
    "less than a frame": NOISE[:399],
    "a click": np.eye(1, 20_000, 9_999)[0] * 32_767,
    "a constant": np.full(9_000, 20_000),
    "a square wave": np.sign(np.sin(np.arange(20_000) / 9)) * 32_767,
    "a tone": tone(997.3) * 1.9,
    "the least noise": np.random.default_rng(2).integers(-1, 2, size=20_000),
    "all but half a frame": NOISE[: 2 * RATE_HZ - 200],
    "all but a few samples": NOISE[: 2 * RATE_HZ - 39],
    "the whole window": NOISE,
}


@pytest.mark.parametrize("mel_bins", [80, 128])
@pytest.mark.parametrize("clip", ODD)
def test_odd_clips_are_what_the_extractor_makes_of_them_within_its_rounding(clip: str, mel_bins: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=2)
    samples = ODD[clip].round().clip(-32_768, 32_767).astype(np.int16)
    features = log_mel(samples, extractor)
    theirs = extractor(samples / np.float32(32_768), sampling_rate=RATE_HZ, return_tensors="np").input_features[0]
    exact = in_float64(samples, extractor)
    assert np.abs(features - theirs).max() < 1e-4  # seen: 4e-5, of a tone, most of which is their rounding
    assert np.abs(features - exact).max() < max(1e-5, 1.1 * np.abs(theirs - exact).max())


@pytest.mark.parametrize("duration_s", [2 * BLOCK_FRAMES / 100, 2.6 * BLOCK_FRAMES / 100, 30])
@pytest.mark.parametrize("mel_bins", [80, 128])
def test_long_clips_are_computed_in_pieces_and_cut_below_the_loudest_of_all(duration_s: float, mel_bins: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mel_bins)
    noise = np.random.default_rng(3).standard_normal(round(RATE_HZ * duration_s))
    for loudness in (np.geomspace(0.5, 6_000, len(noise)), np.geomspace(6_000, 0.5, len(noise))):
        samples = (loudness * noise).round().clip(-32_768, 32_767).astype(np.int16)
        features = log_mel(samples, extractor)
        assert np.abs(features - in_float64(samples, extractor)).max() < 2e-5
        assert features.max() - features.min() == pytest.approx(DYNAMIC_RANGE / 4)


@pytest.mark.realdata
def test_real_speech_is_nearer_to_the_formula_than_the_extractors(realdata: Path) -> None:
    paths = [realdata / "openai-whisper" / "jfk.flac", *sorted((realdata / "ljspeech-coqui-tts").glob("*.flac"))[:8]]
    extractor = WhisperFeatureExtractor()
    ours, theirs = [], []
    for path in paths:
        samples = to_int16(decode(path, sampling_rate_hz=RATE_HZ))
        exact = in_float64(samples, extractor)
        found = extractor(samples / np.float32(32_768), sampling_rate=RATE_HZ, return_tensors="np").input_features[0]
        ours.append(np.abs(log_mel(samples, extractor) - exact).max())
        theirs.append(np.abs(found - exact).max())
    assert len(ours) == 9
    assert max(ours) < 2e-5  # seen: 1.2e-5 here, 2.2e-5 there
    assert np.mean(ours) < np.mean(theirs)


def test_what_follows_a_clip_is_silence() -> None:
    features = log_mel(tone(1000, duration_s=0.5), EXTRACTOR)
    silence = features[:, 60:]
    assert (silence == silence[0, 0]).all()
    assert silence[0, 0] == features.min()


@pytest.mark.parametrize(("level_dbfs", "expected"), [(-float("inf"), True), (-70, True), (-50, False), (-20, False)])
@pytest.mark.parametrize("mel_bins", [80, 128])
def test_a_clip_is_silent_where_nothing_can_be_heard(level_dbfs: float, expected: bool, mel_bins: int) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mel_bins, chunk_length=2)
    features = torch.from_numpy(log_mel(to_int16(tone(1_000) / INT16_SCALE * 2 * 10 ** (level_dbfs / 20)), extractor))
    speech = torch.from_numpy(log_mel(tone(300), extractor))
    assert is_silent(torch.stack([features, speech])).tolist() == [expected, False]


def test_the_noise_of_a_quiet_room_is_silence_and_whispering_is_not() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ)
    levels = [-65, -45]
    features = [torch.from_numpy(log_mel(to_int16(noise * 10 ** (level / 20)), EXTRACTOR)) for level in levels]
    assert is_silent(torch.stack(features)).tolist() == [True, False]
