"""Which parts of a recording are transcribed: by loudness, or by silero's network."""

import sys

import numpy as np
import pytest

from accel_asr.transcription import voice_activity
from accel_asr.transcription.voice_activity import loud_stretches, require_voice_activity, speech_finder
from tests.refusals import refused

RATE_HZ = 16_000


def noise(seconds: float, decibels: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    return (samples * 10 ** (decibels / 20)).astype(np.float32)


def stretches(*parts: np.ndarray) -> list[tuple[float, float]]:
    return [
        (round(start, 1), round(end, 1))
        for start, end in loud_stretches(np.concatenate(parts), sampling_rate_hz=RATE_HZ)
    ]


def test_long_silences_are_left_out_and_short_ones_stay() -> None:
    loud, quiet = noise(2, -20), noise(5, -60)
    assert stretches(loud, quiet, loud) == [(0.0, 2.4), (6.6, 9.0)]
    assert stretches(loud, noise(1, -60), loud) == [(0.0, 5.0)]
    assert stretches(quiet, loud) == [(4.6, 7.0)]


def test_what_counts_as_quiet_follows_the_recording() -> None:
    # a hiss that is louder than another recording's speech
    assert stretches(noise(2, -10), noise(5, -35), noise(2, -10)) == [(0.0, 2.4), (6.6, 9.0)]
    assert stretches(noise(2, -45), noise(5, -65), noise(2, -45)) == [(0.0, 2.4), (6.6, 9.0)]
    # a whisper among speech
    assert stretches(noise(5, -15), noise(5, -40), noise(20, -60))[0] == (0.0, 10.4)


def test_sound_without_pauses_is_all_kept_and_silence_is_not() -> None:
    tone = np.sin(np.arange(5 * RATE_HZ) * 0.2).astype(np.float32)
    assert stretches(tone) == [(0.0, 5.0)]
    assert stretches(np.zeros(5 * RATE_HZ, np.float32)) == []
    assert stretches(noise(5, -90)) == []
    assert loud_stretches(np.zeros(0, np.float32), sampling_rate_hz=RATE_HZ) == []
    assert stretches(noise(0.01, -20)) == [(0.0, 0.0)]


def test_silero_hears_no_speech_in_noise() -> None:
    pytest.importorskip("faster_whisper")
    finder = speech_finder("silero", sampling_rate_hz=RATE_HZ)
    assert finder is not None
    assert finder(noise(3, -30)) == []


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert speech_finder("none", sampling_rate_hz=RATE_HZ) is None
    monkeypatch.setattr(voice_activity, "find_spec", lambda name: None if name == "onnxruntime" else sys)
    with refused("--vad", "onnxruntime", value="silero", remedy="accel-asr[export]"):
        require_voice_activity("silero")
    require_voice_activity("energy")
    with refused("--vad", value="webrtc", remedy="silero"):
        require_voice_activity("webrtc")


def test_silero_knows_one_rate() -> None:
    pytest.importorskip("faster_whisper")
    with refused("--vad", "8000 Hz", remedy="energy"):
        speech_finder("silero", sampling_rate_hz=8000)
