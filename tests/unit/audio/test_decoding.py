"""Decoding, against librosa as the outside judge."""

import io
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from accel_asr.audio.decoding import AudioError, decode, to_float32, to_int16

RATE_HZ = 16_000


def sound(rate_hz: int, channels: int, *, duration_s: float = 0.5) -> np.ndarray:
    """A tone for each channel and some noise, (samples, channels)."""
    time_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    tones = [0.3 * np.sin(2 * np.pi * 220 * (channel + 1) * time_s) for channel in range(channels)]
    return np.stack(tones, axis=1) + 0.02 * np.random.default_rng(0).standard_normal((len(time_s), channels))


def wav(samples: np.ndarray, *, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file_format", "subtype", "rate_hz", "channels"),
    [
        ("WAV", "PCM_U8", 8_000, 1),
        ("WAV", "PCM_16", 8_000, 1),
        ("WAV", "PCM_16", 16_000, 1),
        ("WAV", "PCM_16", 16_000, 2),
        ("WAV", "PCM_16", 22_050, 1),
        ("WAV", "PCM_24", 44_100, 2),
        ("WAV", "PCM_32", 48_000, 1),
        ("WAV", "PCM_32", 48_000, 6),
        ("WAV", "FLOAT", 11_025, 2),
        ("WAV", "DOUBLE", 96_000, 1),
        ("WAV", "ULAW", 8_000, 1),
        ("FLAC", "PCM_16", 44_100, 2),
        ("FLAC", "PCM_24", 16_000, 1),
        ("OGG", "VORBIS", 22_050, 1),
        ("OGG", "OPUS", 48_000, 2),
        ("MP3", "MPEG_LAYER_III", 44_100, 2),
    ],
)
def test_every_format_is_decoded_as_librosa_does(
    tmp_path: Path, file_format: str, subtype: str, rate_hz: int, channels: int
) -> None:
    path = tmp_path / f"clip.{file_format.lower()}"
    soundfile.write(path, sound(rate_hz, channels), rate_hz, format=file_format, subtype=subtype)
    decoded = decode(path, sampling_rate_hz=RATE_HZ)
    expected, _ = librosa.load(path, sr=RATE_HZ, res_type="soxr_hq")
    assert decoded.dtype == np.float32
    # librosa rounds the length up and fills in a zero; soxr itself rounds to the nearest
    assert 0 <= len(expected) - len(decoded) <= 1
    # 0 seen, and 1.5e-7 for MP3, whose decoding is not the same twice
    np.testing.assert_allclose(decoded, expected[: len(decoded)], rtol=0, atol=1e-6)
    # as little as the resampler's and the codecs' padding; 0.5 s is 8000 samples
    assert len(decoded) == pytest.approx(0.5 * RATE_HZ, abs=1200 if subtype == "MPEG_LAYER_III" else 1)


def test_channels_are_averaged() -> None:
    channels = np.array([[0.5, 0.25], [-0.5, 0.0], [0.125, -0.125]])
    assert decode(wav(channels), sampling_rate_hz=RATE_HZ).tolist() == [0.375, -0.25, 0.0]


def test_full_scale_is_one() -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    assert decode(wav(samples), sampling_rate_hz=RATE_HZ).tolist() == [-1.0, -1 / 32768, 0.0, 1 / 32768, 32767 / 32768]


# -- what can't be used


def refused(source: bytes | Path) -> str:
    with pytest.raises(AudioError) as caught:
        decode(source, sampling_rate_hz=RATE_HZ)
    return str(caught.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.wav") == "the file does not exist"
    assert refused(tmp_path) == "the file does not exist"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.wav", b"hello, I am not a recording"),
        ("torn.wav", wav(sound(RATE_HZ, 1))[:20]),
        ("sound.raw", bytes(100)),
        ("picture.mp3", b"\x89PNG\r\n\x1a\n" + bytes(200)),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "soundfile can't read it" in refused(tmp_path / name)
    assert "soundfile can't read it" in refused(content)


def test_a_file_without_a_byte_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert refused(tmp_path / "empty.wav") == "it is empty: 0 bytes"


@pytest.mark.parametrize("content", [wav(np.zeros(0)), wav(sound(RATE_HZ, 1))[:44]], ids=["no samples", "header only"])
def test_a_recording_without_samples_is_refused(content: bytes) -> None:
    assert refused(content) == "it holds no samples"


def test_a_recording_too_short_to_be_resampled_is_refused() -> None:
    assert refused(wav(np.full(1, 0.5), rate_hz=48_000)) == "it holds no samples"  # a third of a sample at 16 kHz


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers_are_refused(value: float) -> None:
    samples = np.zeros(100)
    samples[50] = value
    assert refused(wav(samples, subtype="FLOAT")) == "it holds samples that are not finite numbers"


def test_the_reason_names_no_file_and_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_bytes(b"hello")
    assert str(tmp_path) not in refused(tmp_path / "text.wav")
    assert "object at 0x" not in refused(b"hello")  # it is written to data_summary.json


# -- int16


def test_every_int16_survives_the_way_to_float_and_back() -> None:
    everything = np.arange(-32768, 32768).astype(np.int16)
    as_float = to_float32(everything)
    assert as_float.dtype == np.float32
    assert (as_float.min(), as_float.max()) == (-1.0, 32767 / 32768)
    np.testing.assert_array_equal(to_int16(as_float), everything)


def test_float_samples_are_rounded_and_clipped() -> None:
    samples = np.array([0.0, 0.4 / 32768, 0.6 / 32768, -0.6 / 32768, 1.0, 1.5, -1.5], dtype=np.float32)
    assert to_int16(samples).tolist() == [0, 0, 1, -1, 32767, 32767, -32768]
