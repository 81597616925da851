"""Waveform augmentation: a clip's sound changed by effects that are drawn for it, whatever process does it."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accel_asr.audio import sound_effects as effects
from accel_asr.audio.decoding import to_float32, to_int16
from accel_asr.config.augmentation_settings import AugmentConfig

# (samples wanted, their rate in Hz, draws) -> float32 noise of so many samples, and its name
NoiseSource = Callable[[int, int, np.random.Generator], tuple[np.ndarray, str]]
DIRECT_DB = (0.0, 12.0)  # energy of the direct sound over the reverberation: a far speaker, and a near one


@dataclass(frozen=True)
class AugmentedClip:
    """`samples`: int16, shape (samples,); `rate`: how much faster it is; `applied`: the effects, in words."""

    samples: np.ndarray
    rate: float = 1.0
    applied: tuple[str, ...] = ()


@dataclass(frozen=True)
class Augmentation:
    """The effects of a run: a pure function of the clip and the seed of its row in this epoch (`row_seed`).

    Args:
        noise: Needed where `settings.noise_prob` is above 0.
    """

    settings: AugmentConfig
    sampling_rate_hz: int
    noise: NoiseSource | None = None

    def clip(self, samples: np.ndarray, *, row_seed: int, most_samples: int) -> AugmentedClip:
        """The clip as it is heard in this epoch; no longer than `most_samples`, unless it already was.

        Where it would clip, all of it is made softer.

        Args:
            samples: int16, shape (samples,).
        """
        if not len(samples):
            return AugmentedClip(samples)
        settings, rate_hz = self.settings, self.sampling_rate_hz
        sound, rate = to_float32(samples), 1.0
        applied: list[str] = []
        if draws := self._drawn("speed", settings.speed_prob, row_seed):
            rate = max(draws.uniform(settings.min_rate, settings.max_rate), min(1.0, len(sound) / max(most_samples, 1)))
            sound = effects.speed(sound, rate, rate_hz=rate_hz)[: max(most_samples, len(samples))]
            applied.append(f"speed x {rate:.3f}")
        if draws := self._drawn("pitch", settings.pitch_prob, row_seed):
            semitones = draws.uniform(settings.min_semitones, settings.max_semitones)
            sound = effects.pitch(sound, semitones, rate_hz=rate_hz)
            applied.append(f"pitch {semitones:+.2f} semitones")
        if draws := self._drawn("room", settings.room_prob, row_seed):
            rt60_s, direct_db = (
                draws.uniform(settings.min_target_rt60, settings.max_target_rt60),
                draws.uniform(*DIRECT_DB),
            )
            white = draws.standard_normal(math.ceil(rt60_s * rate_hz), dtype=np.float32)
            sound = effects.room(sound, rt60_s=rt60_s, direct_db=direct_db, noise=white, rate_hz=rate_hz)
            applied.append(f"room RT60 {rt60_s:.2f} s, direct sound {direct_db:+.1f} dB")
        if draws := self._drawn("noise", settings.noise_prob, row_seed):
            assert self.noise is not None
            snr_db = draws.uniform(settings.min_snr_db, settings.max_snr_db)
            noise, name = self.noise(len(sound), rate_hz, draws)
            sound = effects.with_noise(sound, noise, snr_db=snr_db, rate_hz=rate_hz)
            applied.append(f"noise {name} at {snr_db:.1f} dB SNR")
        if draws := self._drawn("gain", settings.gain_prob, row_seed):
            gain_db = draws.uniform(settings.min_gain_db, settings.max_gain_db)
            sound = sound * np.float32(10 ** (gain_db / 20))
            applied.append(f"gain {gain_db:+.1f} dB")
        if self._drawn("band limit", settings.band_limit_prob, row_seed):
            sound = effects.band_limit(sound, rate_hz=rate_hz)
            applied.append("300 to 3,400 Hz")
        if draws := self._drawn("telephone", settings.telephone_prob, row_seed):
            codec = str(draws.choice(effects.TELEPHONE_CODECS))
            sound = effects.telephone(sound, codec, rate_hz=rate_hz)
            applied.append(f"telephone {codec}")
        if draws := self._drawn("mp3", settings.mp3_prob, row_seed):
            kbits = int(draws.integers(settings.min_bitrate, settings.max_bitrate, endpoint=True))
            sound = effects.mp3(sound, kbits, rate_hz=rate_hz)
            applied.append(f"MP3 {kbits} kbit/s")
        if not applied:
            return AugmentedClip(samples)
        sound, softer_db = effects.within_full_scale(sound)
        if softer_db:
            applied.append(f"made {softer_db:.1f} dB softer, not to clip")
        return AugmentedClip(to_int16(sound), rate, tuple(applied))

    def shifted(self, samples: np.ndarray, *, row_seed: int, most_samples: int) -> tuple[np.ndarray, int]:
        """(the samples, after silence if that is drawn; where they begin); all of it at most `most_samples`."""
        draws = self._drawn("shift", self.settings.shift_prob, row_seed)
        if draws is None:
            return samples, 0
        room, most_s = most_samples - len(samples), self.settings.max_shift_s
        if most_s is not None:
            room = min(room, int(most_s * self.sampling_rate_hz))
        silence = int(draws.integers(0, max(room, 0), endpoint=True))
        return np.concatenate([np.zeros(silence, dtype=np.int16), samples]), silence

    def _drawn(self, effect: str, probability: float, row_seed: int) -> np.random.Generator | None:
        """The draws for the parameters of an effect; None if this clip does not get it."""
        if probability <= 0:
            return None
        # by the effect's name: switching one on or off changes no other
        draws = np.random.default_rng((row_seed, zlib.crc32(effect.encode())))
        return draws if draws.random() < probability else None
