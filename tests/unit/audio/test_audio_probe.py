"""A recording's length from its header, its own rate, and recordings inside of larger files."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.audio import decoding as audio
from accel_asr.audio.decoding import AudioError, AudioInfo, ByteRange, decode, decode_native, probe
from tests.tiny_datasets import wav_bytes
from tests.unit.audio.test_pyav_decoding import encoded as encoded_with_pyav

RATE_HZ = 8_000


def noise(duration_s: float = 2.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(round(RATE_HZ * duration_s))).astype(np.float32)


CLIP = wav_bytes(noise(), sampling_rate_hz=RATE_HZ)


def probe_refused(source: bytes | Path | ByteRange, **options: float) -> str:
    with pytest.raises(AudioError) as caught:
        probe(source, **options)
    return str(caught.value)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("samples were decoded")

    for name in ("mono_blocks", "read_mono", "read_with_pyav"):
        monkeypatch.setattr(audio, name, read)


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
@pytest.mark.usefixtures("no_decoding")
def test_a_length_is_told_without_decoding(tmp_path: Path, file_format: str, subtype: str) -> None:
    soundfile.write(tmp_path / "clip", np.stack([noise(), noise()], 1), RATE_HZ, format=file_format, subtype=subtype)
    for source in (tmp_path / "clip", (tmp_path / "clip").read_bytes()):
        assert probe(source) == AudioInfo(2.0, RATE_HZ, 2)
        assert probe(source, start_s=0.5, end_s=1.25, channel=1) == AudioInfo(0.75, RATE_HZ, 2)


@pytest.mark.parametrize("kind", ["m4a", "mp4", "webm", "aac"])
def test_a_length_is_told_for_pyavs_kinds(kind: str) -> None:
    content = encoded_with_pyav(kind)
    samples, rate_hz = decode_native(content)
    info = probe(content)
    assert info.duration_s == pytest.approx(len(samples) / rate_hz, abs=0.1)  # encoders put a little before the sound
    assert (info.sampling_rate_hz, info.channels) == (rate_hz, 2)
    assert probe(content, start_s=0.5, end_s=1.25).duration_s == pytest.approx(0.75)
    assert probe_refused(content, start_s=1.0, end_s=9.0).startswith("the segment ends at 9.00 s, but the recording at")
    assert probe_refused(content, channel=2) == "it has 2 channels, no number 2 (they count from 0)"
    if kind in ("m4a", "webm"):
        assert "nor can PyAV (" in probe_refused(content[: len(content) // 2])


def test_probe_refuses_as_decode_does(tmp_path: Path) -> None:
    assert probe_refused(tmp_path / "gone.wav") == "the file does not exist"
    assert "soundfile can't read it" in probe_refused(b"hello")
    assert probe_refused(CLIP, channel=1) == "it has 1 channel, no number 1 (they count from 0)"
    assert probe_refused(CLIP, start_s=2.0) == "the segment starts at 2.00 s, but the recording ends at 2.00 s"
    assert probe_refused(CLIP, end_s=2.2) == "the segment ends at 2.20 s, but the recording at 2.00 s"
    assert probe_refused(CLIP, start_s=1.0, end_s=1.00001) == "it holds no samples"
    assert probe_refused(wav_bytes(np.zeros(0))) == "it holds no samples"
    assert probe_refused(CLIP, end_s=1e308).startswith("the segment ends at 1000")


def test_threads_may_probe_at_the_same_time(tmp_path: Path) -> None:
    paths = []
    for number in range(40):
        path = tmp_path / f"{number}"
        soundfile.write(path, noise(0.1 + number / 100), RATE_HZ, format=("WAV", "FLAC", "OGG", "MP3")[number % 4])
        paths.append(path)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert [info.duration_s for info in pool.map(probe, paths)] == [probe(path).duration_s for path in paths]


# -- the file's own rate


def test_a_recording_may_keep_its_own_rate() -> None:
    samples, rate_hz = decode_native(CLIP)
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(samples, soundfile.read(io.BytesIO(CLIP), dtype="float32")[0])
    np.testing.assert_array_equal(decode(CLIP, sampling_rate_hz=None), samples)
    part, _ = decode_native(CLIP, start_s=0.5, end_s=1.0, channel=0)
    np.testing.assert_array_equal(part, samples[4_000:8_000])
    assert len(decode(CLIP, sampling_rate_hz=16_000)) == 2 * len(samples)


# -- inside of a larger file


def test_a_recording_inside_of_a_larger_file_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "shard.tar").write_bytes(bytes(512) + CLIP + bytes(1024))
    member = ByteRange(tmp_path / "shard.tar", 512, len(CLIP))
    np.testing.assert_array_equal(decode(member, sampling_rate_hz=16_000), decode(CLIP, sampling_rate_hz=16_000))
    assert probe(member, start_s=1.0) == AudioInfo(1.0, RATE_HZ, 1)
    for broken in (
        ByteRange(tmp_path / "shard.tar", 512 + 1024, len(CLIP) + 1),
        ByteRange(tmp_path / "shard.tar", 1 << 40, 10),
        ByteRange(tmp_path / "shard.tar", 512, 1 << 62),
    ):
        assert probe_refused(broken) == "the file that holds it ends before it does"
        with pytest.raises(AudioError, match="the file that holds it ends before it does"):
            decode(broken, sampling_rate_hz=16_000)
    assert probe_refused(ByteRange(tmp_path / "gone.tar", 0, 10)) == "the file does not exist"
