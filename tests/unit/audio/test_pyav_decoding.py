"""m4a, aac, webm and mp4: decoded where PyAV is installed, otherwise answered with the name of the extra."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest

from accel_asr.audio import decoding as audio
from accel_asr.audio.decoding import AudioError, decode
from accel_asr.audio.pyav_decoding import pyav_kind
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000
FILE_RATE_HZ = 48_000  # one that AAC and Opus both know
KINDS = {"m4a": ("ipod", "aac"), "mp4": ("mp4", "aac"), "webm": ("webm", "libopus"), "aac": ("adts", "aac")}
HEADS = {
    "m4a": b"\x00\x00\x00\x1cftypM4A \x00",
    "mp4": b"\x00\x00\x00\x20ftypisom\x00",
    "webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
    "aac": b"\xff\xf1\x4c\x80\x2e\x7f\xfc\x21\x2b\x98",
}


def encoded(kind: str, *, duration_s: float = 2.0) -> bytes:
    """Two channels: a tone that changes from 440 to 880 Hz after half of the time, and silence."""
    av = pytest.importorskip("av")
    container_format, codec = KINDS[kind]
    time_s = np.arange(round(duration_s * FILE_RATE_HZ)) / FILE_RATE_HZ
    tone = 0.4 * np.sin(2 * np.pi * np.where(time_s < duration_s / 2, 440, 880) * time_s)
    samples = np.stack([tone, np.zeros_like(tone)]).astype(np.float32)
    options = {"movflags": "faststart"} if kind in ("m4a", "mp4") else {}  # as most files are: the index first
    with tempfile.TemporaryDirectory() as folder:  # faststart wants a path
        path = Path(folder) / kind
        with av.open(str(path), "w", format=container_format, options=options) as container:
            stream = container.add_stream(codec, rate=FILE_RATE_HZ, layout="stereo")
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = FILE_RATE_HZ, 0
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
        return path.read_bytes()


def refused(source: bytes | Path, **options: float) -> str:
    with pytest.raises(AudioError) as caught:
        decode(source, sampling_rate_hz=RATE_HZ, **options)
    return str(caught.value)


def main_frequency_hz(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE_HZ / len(samples))


# -- without PyAV


@pytest.mark.parametrize("kind", sorted(HEADS))
@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
def test_without_the_extra_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, as_bytes: bool
) -> None:
    monkeypatch.setattr(audio, "has_pyav", lambda: False)
    (tmp_path / "clip.wav").write_bytes(HEADS[kind])  # the ending does not matter
    message = refused(HEADS[kind] if as_bytes else tmp_path / "clip.wav")
    assert message == f"it is {kind}; m4a, aac, webm, mp4 need PyAV: pip install 'accel-asr[audio]'"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"\xff\xfb\x90\x64" + bytes(8), b"RIFF\x00\x00\x00\x00WAVE", wav_bytes(np.zeros(9)), b"hello m4a"],
)
def test_what_soundfile_is_for_is_not_pyavs(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.m4a").write_bytes(content)
    assert pyav_kind(content) is None
    assert pyav_kind(tmp_path / "clip.m4a") is None


# -- with PyAV


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_is_decoded_at_its_right_speed(kind: str) -> None:
    samples = decode(encoded(kind), sampling_rate_hz=RATE_HZ)
    assert samples.dtype == np.float32
    # 0.064 s too long seen for ADTS, which can't say how much of its ends is padding
    assert len(samples) / RATE_HZ == pytest.approx(2.0, abs=0.07)
    assert main_frequency_hz(samples[3_200:12_800]) == pytest.approx(440, abs=2)
    assert main_frequency_hz(samples[19_200:28_800]) == pytest.approx(880, abs=2)
    assert np.abs(samples[3_200:12_800]).max() == pytest.approx(0.2, abs=0.02)  # one of two channels is silent


@pytest.mark.parametrize("kind", ["m4a", "mp4", "webm"])
def test_what_an_encoder_puts_around_the_sound_does_not_make_it_longer(kind: str) -> None:
    """Else a clip of exactly the model's window is dropped as a longer one."""
    content = encoded(kind, duration_s=30.0)
    assert audio.probe(content).duration_s == 30.0
    assert len(decode(content, sampling_rate_hz=FILE_RATE_HZ)) == 30 * FILE_RATE_HZ


def test_path_bytes_channel_and_segment_are_as_with_soundfile(tmp_path: Path) -> None:
    content = encoded("m4a")
    (tmp_path / "clip.m4a").write_bytes(content)
    whole = decode(content, sampling_rate_hz=FILE_RATE_HZ)
    np.testing.assert_array_equal(decode(tmp_path / "clip.m4a", sampling_rate_hz=FILE_RATE_HZ), whole)
    part = decode(content, sampling_rate_hz=FILE_RATE_HZ, start_s=0.5, end_s=1.25)
    np.testing.assert_array_equal(part, whole[24_000:60_000])
    assert np.abs(decode(content, sampling_rate_hz=RATE_HZ, channel=1)).max() < 0.01
    assert np.abs(decode(content, sampling_rate_hz=RATE_HZ, channel=0)).max() > 0.3
    assert refused(content, start_s=1.0, end_s=9.0).startswith("the segment ends at 9.00 s, but the recording at 2.0")


@pytest.mark.parametrize("kind", ["m4a", "mp4", "webm"])
def test_a_torn_file_is_refused_with_both_reasons(tmp_path: Path, kind: str) -> None:
    (tmp_path / "clip").write_bytes(encoded(kind)[:60])
    message = refused(tmp_path / "clip")
    assert message.startswith("soundfile can't read it (")
    assert ", nor can PyAV (" in message
    assert str(tmp_path) not in message


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_a_file_torn_in_the_middle_is_not_taken_for_a_shorter_one(kind: str) -> None:
    content = encoded(kind, duration_s=8.0)
    message = refused(content[: len(content) // 2])
    assert {"m4a": "nor can PyAV (Invalid data", "webm": "nor can PyAV (it ends at "}[kind] in message
    assert kind == "m4a" or "s, where its header says 8.0" in message
    assert len(decode(content[: len(content) // 2], sampling_rate_hz=RATE_HZ, end_s=2.0)) == 2 * RATE_HZ


def test_many_channels_do_not_crash_the_interpreter() -> None:
    av = pytest.importorskip("av")
    samples = np.outer(np.ones(FILE_RATE_HZ), np.arange(1, 17) / 20).astype(np.float32)  # (samples, channels)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("pcm_f32le", rate=FILE_RATE_HZ, layout="hexadecagonal")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="hexadecagonal")
        frame.sample_rate = FILE_RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    for channel in range(16):
        decoded = decode(file.getvalue(), sampling_rate_hz=FILE_RATE_HZ, channel=channel)
        np.testing.assert_array_equal(decoded, samples[:, channel])


def test_titles_in_another_encoding_are_no_reason_to_refuse_the_sound() -> None:
    content = encoded("m4a")
    assert content.count(b"Lavf") == 1  # the name of the program, among the titles
    changed = content.replace(b"Lavf", b"L\xe4vf")
    np.testing.assert_array_equal(decode(changed, sampling_rate_hz=RATE_HZ), decode(content, sampling_rate_hz=RATE_HZ))


def test_a_film_without_sound_is_refused() -> None:
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for packet in (*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)):
            container.mux(packet)
    assert refused(file.getvalue()).endswith("nor can PyAV (it has no audio stream)")


# -- real recordings


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "duration_s"), [("format_test.m4a", 9.659), ("wrong_extension.aac", 9.659), ("test5.webm", 1.48)]
)
def test_real_files_have_the_length_that_ffmpeg_says(realdata: Path, name: str, duration_s: float) -> None:
    pytest.importorskip("av")
    samples = decode(realdata / "odd-pydub" / name, sampling_rate_hz=RATE_HZ)
    assert len(samples) / RATE_HZ == pytest.approx(duration_s, abs=0.001)
    assert 0.01 < np.abs(samples).max() <= 1.01
