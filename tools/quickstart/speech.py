"""From a sentence to a waveform: espeak-ng, trimming, resampling, and what a telephone line does to a voice.

Waveforms are float32 arrays of shape (samples,) in -1..1.
"""

import io
import random
import subprocess

import numpy as np
import soundfile
import soxr

from tools.quickstart.voices import Delivery

ESPEAK_RATE_HZ = 22_050
WAV_HEADER_BYTES = 44  # espeak-ng --stdout: 16-bit mono WAV, whose header cannot know the length
MAX_CLIP_S = 4.8  # the base model hears 5 s; a clip never has to be cut
MAX_SPEED_WPM = 240
KEPT_SILENCE_S = 0.05  # at either end
SILENCE_DB = -40.0  # relative to the clip's peak

WIDE_RATE_HZ = 16_000
TELEPHONE_RATE_HZ = 8_000
TELEPHONE_BAND_HZ = (300.0, 3_400.0)
BAND_EDGE_HZ = 80.0  # width of the filter's slopes, which lie inside the band
TELEPHONE_SNR_DB = (23.0, 33.0)
TELEPHONE_RMS_DB = (-30.0, -18.0)  # relative to full scale
QUIET_SNR_DB = (25.0, 50.0)  # a quiet room: no recording has digital silence between words
QUIET_RMS_DB = (-28.0, -16.0)
LOW_EDGES_HZ, HIGH_EDGES_HZ = (50.0, 400.0), (3_000.0, 3_900.0)  # of the narrow band
MAX_PEAK = 0.9


def speak(text: str, delivery: Delivery) -> np.ndarray:
    """Speak `text` in at most MAX_CLIP_S, trimmed; waveform at ESPEAK_RATE_HZ.

    A clip that is too long is spoken again, faster. Raises ValueError where MAX_SPEED_WPM is not fast enough.
    """
    speed_wpm = delivery.speed_wpm
    while True:
        command = ["espeak-ng", "-v", delivery.voice, "-s", str(speed_wpm), "-p", str(delivery.pitch), "--stdout", text]
        wav = subprocess.run(command, check=True, capture_output=True).stdout
        samples = np.frombuffer(wav, dtype="<i2", offset=WAV_HEADER_BYTES)
        audio = trim_silence(samples.astype(np.float32) / 32_768, ESPEAK_RATE_HZ)
        duration_s = len(audio) / ESPEAK_RATE_HZ
        if duration_s <= MAX_CLIP_S:
            return audio
        if speed_wpm >= MAX_SPEED_WPM:
            raise ValueError(f"{text!r} lasts {duration_s:.1f} s at {speed_wpm} words/min; at most {MAX_CLIP_S} s fit")
        speed_wpm = min(MAX_SPEED_WPM, round(1.05 * speed_wpm * duration_s / MAX_CLIP_S))


def trim_silence(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """Cut what is silent before and after the speech, but for KEPT_SILENCE_S. Raises ValueError if all is silent."""
    peak = np.abs(audio).max(initial=0.0)
    loud = np.flatnonzero(np.abs(audio) > peak * 10 ** (SILENCE_DB / 20))
    if peak == 0.0:
        raise ValueError("espeak-ng returned silence")
    margin = round(KEPT_SILENCE_S * rate_hz)
    return audio[max(0, loud[0] - margin) : loud[-1] + 1 + margin]


def resample(audio: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resample with soxr's very high quality."""
    return soxr.resample(audio, from_hz, to_hz, quality="VHQ").astype(np.float32)


def set_level(audio: np.ndarray, rms_db: float) -> np.ndarray:
    """Scale to an RMS relative to full scale, or to less where the peak would pass MAX_PEAK."""
    gain = 10 ** (rms_db / 20) / np.sqrt(np.mean(audio**2))
    return (audio * min(gain, MAX_PEAK / np.abs(audio).max())).astype(np.float32)


def wide_band(audio: np.ndarray, rng: random.Random) -> np.ndarray:
    """Bring speech at ESPEAK_RATE_HZ to WIDE_RATE_HZ, with the faint noise of a quiet room, at a random level."""
    speech = resample(audio, ESPEAK_RATE_HZ, WIDE_RATE_HZ)
    speech = add_noise(speech, white_noise(len(speech), rng), rng.uniform(*QUIET_SNR_DB))
    return set_level(speech, rng.uniform(*QUIET_RMS_DB))


def narrow_band(audio: np.ndarray, rng: random.Random) -> np.ndarray:
    """The same at TELEPHONE_RATE_HZ, in a band whose edges are drawn at random."""
    speech = resample(audio, ESPEAK_RATE_HZ, TELEPHONE_RATE_HZ)
    speech = add_noise(speech, white_noise(len(speech), rng), rng.uniform(*QUIET_SNR_DB))
    band_hz = rng.uniform(*LOW_EDGES_HZ), rng.uniform(*HIGH_EDGES_HZ)
    return set_level(band_limit(speech, TELEPHONE_RATE_HZ, band_hz), rng.uniform(*QUIET_RMS_DB))


def telephone(audio: np.ndarray, rng: random.Random) -> np.ndarray:
    """Send speech at ESPEAK_RATE_HZ down a telephone line: noise, 300..3400 Hz, 8 kHz, a random level."""
    audio = resample(audio, ESPEAK_RATE_HZ, TELEPHONE_RATE_HZ)
    speech = band_limit(audio, TELEPHONE_RATE_HZ, TELEPHONE_BAND_HZ)
    noise = band_limit(white_noise(len(audio), rng), TELEPHONE_RATE_HZ, TELEPHONE_BAND_HZ)
    return set_level(add_noise(speech, noise, rng.uniform(*TELEPHONE_SNR_DB)), rng.uniform(*TELEPHONE_RMS_DB))


def white_noise(num_samples: int, rng: random.Random) -> np.ndarray:
    """White noise of unit power."""
    return np.random.default_rng(rng.getrandbits(64)).standard_normal(num_samples).astype(np.float32)


def add_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix at a signal-to-noise ratio, of the powers of the whole clip."""
    return speech + noise * np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


def band_limit(audio: np.ndarray, rate_hz: int, band_hz: tuple[float, float]) -> np.ndarray:
    """Keep what lies between the two edges, with raised-cosine slopes; zero phase."""
    low_hz, high_hz = band_hz
    frequencies_hz = np.fft.rfftfreq(len(audio), 1 / rate_hz)
    inside_hz = np.minimum(frequencies_hz - low_hz, high_hz - frequencies_hz)  # distance to the nearer edge
    gain = 0.5 - 0.5 * np.cos(np.pi * np.clip(inside_hz / BAND_EDGE_HZ, 0.0, 1.0))
    return np.fft.irfft(np.fft.rfft(audio) * gain, len(audio)).astype(np.float32)


def encode(audio: np.ndarray, rate_hz: int, *, subtype: str, compression_level: float | None = None) -> bytes:
    """Encode as soundfile does: "PCM_16" gives FLAC, "OPUS" and "VORBIS" an OGG file."""
    buffer = io.BytesIO()
    container = "FLAC" if subtype == "PCM_16" else "OGG"
    level = {} if compression_level is None else {"compression_level": compression_level}
    soundfile.write(buffer, audio, rate_hz, format=container, subtype=subtype, **level)
    return buffer.getvalue()
