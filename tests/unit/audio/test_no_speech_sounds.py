"""Made-up sounds without speech: their levels and spectra."""

import numpy as np
import pytest

from accel_asr.audio.no_speech_sounds import HISS_DBFS, HUM_DBFS, _hiss, _hum, _silence, at_level, synthetic_sound

RATE_HZ = 16_000


def dbfs(sound: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(sound)))))


def sounds(make, count: int = 40) -> list[np.ndarray]:
    return [make(RATE_HZ, RATE_HZ, np.random.default_rng(seed)) for seed in range(count)]


def test_hiss_is_of_any_level_in_its_range_and_white_pink_or_brown() -> None:
    levels, slopes = [], []
    for hiss in sounds(_hiss):
        levels.append(dbfs(hiss))
        power = np.abs(np.fft.rfft(hiss)) ** 2  # 1 Hz apart
        octaves = [power[first : 2 * first].mean() for first in (250, 4_000)]
        slopes.append(-np.log2(octaves[1] / octaves[0]) / 4)
    assert HISS_DBFS[0] - 0.01 < min(levels) < -65
    assert -40 < max(levels) < HISS_DBFS[1] + 0.01
    assert -0.2 < min(slopes) < 0.3
    assert 1.7 < max(slopes) < 2.2


def test_hum_is_the_mains_and_its_harmonics() -> None:
    found = set()
    for hum in sounds(_hum):
        power = np.abs(np.fft.rfft(hum)) ** 2
        mains = max((50, 60), key=lambda hertz: power[hertz::hertz][:12].sum())
        assert power[mains::mains][:12].sum() > 0.85 * power.sum()
        assert HUM_DBFS[0] - 0.5 < dbfs(hum) < HUM_DBFS[1] + 0.5
        found.add(mains)
    assert found == {50, 60}


def test_silence_is_digital_or_of_the_last_bit() -> None:
    assert {float(np.abs(silence).max()) * 32_768 for silence in sounds(_silence)} == {0.0, 1.0}


def test_all_three_are_drawn_and_the_same_generator_draws_the_same() -> None:
    made = sounds(synthetic_sound, 60)
    assert all(sound.dtype == np.float32 and sound.shape == (RATE_HZ,) for sound in made)
    assert 3 < sum(np.abs(sound).max() <= 1 / 32_768 for sound in made) < 35
    assert all(np.array_equal(sound, again) for sound, again in zip(made, sounds(synthetic_sound, 60), strict=True))


def test_a_level_is_set_and_silence_stays_silence() -> None:
    tone = np.sin(np.arange(RATE_HZ))
    assert dbfs(at_level(tone, -43.0)) == pytest.approx(-43, abs=1e-9)
    assert not at_level(np.zeros(9), -43.0).any()
