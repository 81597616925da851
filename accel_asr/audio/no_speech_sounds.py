"""Made-up sounds in which nobody speaks: digital silence, hiss and mains hum, as recorders leave them."""

from collections.abc import Callable

import numpy as np

MAINS_HZ = (50.0, 60.0)  # of the world
MOST_HARMONICS = 12
HISS_DBFS, HUM_DBFS = (-75.0, -30.0), (-70.0, -25.0)  # RMS, from barely there to loud
SPECTRAL_SLOPES = (0.0, 2.0)  # power falls with frequency to this power: 0 is white, 1 pink, 2 brown


def synthetic_sound(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """One of the sounds, of a random level.

    Returns:
        float32 in [-1, 1], shape (samples,).
    """
    sounds: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (_silence, _hiss, _hum)
    sound = sounds[int(draws.integers(len(sounds)))](samples, rate_hz, draws)
    return np.clip(sound, -1, 1).astype(np.float32)


def at_level(sound: np.ndarray, dbfs: float) -> np.ndarray:
    """The sound with that RMS, in dB below full scale; silence stays silence."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return sound * (10 ** (dbfs / 20) / rms) if rms > 0 else sound


def _silence(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """Zeros, or the last bit of a converter that flips now and then."""
    if draws.random() < 0.5:
        return np.zeros(samples)
    return draws.integers(-1, 2, samples) / 32_768


def _hiss(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    slope = draws.uniform(*SPECTRAL_SLOPES)
    level = draws.uniform(*HISS_DBFS)
    spectrum = np.fft.rfft(draws.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    spectrum[0] = 0  # no direct current
    return at_level(np.fft.irfft(spectrum, samples), level)


def _hum(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """The mains with harmonics, and a softer hiss below it."""
    mains_hz = MAINS_HZ[int(draws.integers(2))]
    seconds = np.arange(samples) / rate_hz
    harmonics = int(draws.integers(1, MOST_HARMONICS + 1))
    hum = np.zeros(samples)
    for number in range(1, harmonics + 1):
        loudness, phase = draws.random() / number, draws.uniform(0, 2 * np.pi)
        hum += loudness * np.sin(2 * np.pi * number * mains_hz * seconds + phase)
    level = draws.uniform(*HUM_DBFS)
    hiss = _hiss(samples, rate_hz, draws)
    return at_level(hum, level) + at_level(hiss, level - draws.uniform(10, 40))
