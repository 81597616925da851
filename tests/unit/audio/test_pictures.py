"""Pictures of recordings: drawn off screen, for clips of any length."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from accel_asr.audio.pictures import log_mel_picture, waveform_picture

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def extractor() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(chunk_length=2)


def tone(frequency_hz: float, samples: int = RATE_HZ) -> np.ndarray:
    return (16_000 * np.sin(2 * np.pi * frequency_hz * np.arange(samples) / RATE_HZ)).astype(np.int16)


def brightest_row(picture: np.ndarray) -> float:
    """Where the loudest band is, from 0 at the top to 1 at the bottom; the page around it is white."""
    yellow = (picture[:, :, 0] > 200) & (picture[:, :, 2] < 200)
    return float(np.argmax(yellow.sum(axis=1)) / len(picture))


def test_a_high_tone_is_above_a_low_one(extractor: WhisperFeatureExtractor) -> None:
    low, high = (log_mel_picture(tone(f), feature_extractor=extractor) for f in (300, 3000))
    assert low.shape == high.shape
    assert low.dtype == np.uint8
    assert brightest_row(high) < brightest_row(low) - 0.2


def test_a_loud_waveform_is_taller_than_silence() -> None:
    blue = [
        (waveform_picture(samples, sampling_rate_hz=RATE_HZ) == (31, 119, 180)).all(axis=2).any(axis=1).sum()
        for samples in (np.zeros(RATE_HZ, np.int16), tone(300))
    ]
    assert blue[1] > 10 * blue[0]


@pytest.mark.parametrize("samples", [1, 3, 161, 2 * RATE_HZ])
def test_next_to_nothing_has_pictures_too(extractor: WhisperFeatureExtractor, samples: int) -> None:
    clip = tone(300, samples)
    assert log_mel_picture(clip, feature_extractor=extractor).shape[2] == 3
    assert waveform_picture(clip, sampling_rate_hz=RATE_HZ).shape[2] == 3
