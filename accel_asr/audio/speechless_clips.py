"""Clips in which nobody speaks, to test a model with: always the same ones, and not those that training makes up."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from accel_asr.audio.no_speech_sounds import at_level

LENGTHS_S = (1.0, 4.0, 12.0)
LEVELS_DBFS = {
    "hiss": (-70.0, -50.0, -30.0),
    "hum": (-60.0, -45.0, -30.0),
    "music": (-45.0, -30.0, -18.0),
    "babble": (-45.0, -30.0, -18.0),
}
SPEECHLESS_CLIPS = len(LENGTHS_S) * (1 + sum(map(len, LEVELS_DBFS.values())))  # fewer in a short window
_SEED = 20_260_017
_TALKERS, _SYLLABLES_HZ = 12, (2.5, 6.0)
_FORMANTS_HZ = ((300, 900), (900, 2_200), (2_200, 3_200))


@dataclass(frozen=True)
class SpeechlessClip:
    """One clip. `level_dbfs` is its RMS below full scale; None for digital silence. `samples`: float32 in [-1, 1]."""

    kind: str
    level_dbfs: float | None
    duration_s: float
    samples: np.ndarray

    @property
    def name(self) -> str:
        """`hum at -45 dBFS, 4 s`."""
        level = "" if self.level_dbfs is None else f" at {self.level_dbfs:g} dBFS"
        return f"{self.kind}{level}, {self.duration_s:g} s"


def speechless_clips(rate_hz: int, *, longest_s: float) -> Iterator[SpeechlessClip]:
    """Digital silence, hiss, hum, chords and babble without words, each at several levels and lengths.

    Args:
        longest_s: No clip is longer; the longest ones are cut to it.
    """
    lengths_s = sorted({min(length_s, longest_s) for length_s in LENGTHS_S})
    for length_s in lengths_s:
        samples = int(length_s * rate_hz)
        yield SpeechlessClip("digital silence", None, length_s, np.zeros(samples, dtype=np.float32))
        for number, (kind, levels) in enumerate(LEVELS_DBFS.items()):
            for place, level in enumerate(levels):
                draws = np.random.default_rng((_SEED, number, place, samples))
                sound = at_level(_SOUNDS[kind](samples, rate_hz, draws), level)
                yield SpeechlessClip(kind, level, length_s, np.clip(sound, -1, 1).astype(np.float32))


def _hiss(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """White, pink or brown noise."""
    spectrum = np.fft.rfft(draws.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (draws.choice((0.0, 0.5, 1.0)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples)


def _hum(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """The mains with odd harmonics, as of a transformer, over a soft hiss."""
    seconds = np.arange(samples) / rate_hz
    mains_hz = draws.choice((50.0, 60.0))
    phases = draws.uniform(0, 2 * np.pi, 6)
    hum = sum(np.sin(2 * np.pi * (2 * n + 1) * mains_hz * seconds + phase) / (n + 1) for n, phase in enumerate(phases))
    return np.asarray(hum) + 0.02 * draws.standard_normal(samples)


def _music(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """Struck chords with harmonics that die away, about two a second."""
    sound = np.zeros(samples)
    beat = int(rate_hz * draws.uniform(0.4, 0.6))
    for start in range(0, samples, beat):
        seconds = np.arange(min(3 * beat, samples - start)) / rate_hz
        root_hz = 110 * 2 ** (draws.integers(0, 24) / 12)
        for third in (0, 4, 7):
            for harmonic in range(1, 5):
                tone = np.sin(2 * np.pi * harmonic * root_hz * 2 ** (third / 12) * seconds)
                sound[start : start + len(seconds)] += tone * np.exp(-4 * seconds) / harmonic
    return sound


def _babble(samples: int, rate_hz: int, draws: np.random.Generator) -> np.ndarray:
    """A crowd without words: noises with the formants and the rhythm of syllables, many at once."""
    sound = np.zeros(samples)
    frequencies_hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    seconds = np.arange(samples) / rate_hz
    for _ in range(_TALKERS):
        spectrum = np.fft.rfft(draws.standard_normal(samples))
        shape = sum(np.exp(-(((frequencies_hz - draws.uniform(*band)) / 150) ** 2)) for band in _FORMANTS_HZ)
        voice = np.fft.irfft(spectrum * shape, samples)
        rhythm = np.sin(2 * np.pi * draws.uniform(*_SYLLABLES_HZ) * seconds + draws.uniform(0, 2 * np.pi))
        sound += voice / max(float(np.abs(voice).max()), 1e-9) * np.clip(rhythm, 0, None)
    return sound


_SOUNDS = {"hiss": _hiss, "hum": _hum, "music": _music, "babble": _babble}
