"""A part of a recording, and one of its channels: the very samples of the whole, or a reason."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.audio import soundfile_decoding
from accel_asr.audio.decoding import AudioError, decode
from tests.tiny_datasets import wav_bytes

RATE_HZ = 16_000
DURATION_S = 3.0


def noise(*, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    samples = 0.1 * np.random.default_rng(0).standard_normal((round(rate_hz * DURATION_S), channels))
    return samples.clip(-1, 1).astype(np.float32)


def refused(source: bytes | Path, **options: float | int) -> str:
    with pytest.raises(AudioError) as caught:
        decode(source, sampling_rate_hz=RATE_HZ, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
def test_a_segment_is_that_part_of_the_whole(tmp_path: Path, file_format: str, subtype: str, as_bytes: bool) -> None:
    path = tmp_path / "talk"
    soundfile.write(path, noise(), RATE_HZ, format=file_format, subtype=subtype)
    source = path.read_bytes() if as_bytes else path
    whole = decode(source, sampling_rate_hz=RATE_HZ)
    for start_s, end_s in ((0.5, 1.25), (1.25, 2.0), (2.5, None), (None, 0.1)):
        part = decode(source, sampling_rate_hz=RATE_HZ, start_s=start_s, end_s=end_s)
        expected = whole[round((start_s or 0) * RATE_HZ) : None if end_s is None else round(end_s * RATE_HZ)]
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-6)  # 0 seen, and 6e-8 for MP3


def test_only_the_segment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(soundfile_decoding.SequentialFile):
        def read(self, frames: int = -1, *arguments: object, **options: object) -> np.ndarray:
            asked.append((self.tell(), frames))
            return super().read(frames, *arguments, **options)

    soundfile.write(tmp_path / "talk.wav", noise(), RATE_HZ)
    monkeypatch.setattr(soundfile_decoding, "SequentialFile", Watched)
    decode(tmp_path / "talk.wav", sampling_rate_hz=RATE_HZ, start_s=1.0, end_s=1.5)
    assert asked == [(16_000, 8_000)]


def test_a_segment_is_told_in_seconds_whatever_the_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", noise(rate_hz=8_000), 8_000)
    part = decode(tmp_path / "talk.wav", sampling_rate_hz=RATE_HZ, start_s=0.25, end_s=1.0)
    assert len(part) == 0.75 * RATE_HZ
    whole = decode(tmp_path / "talk.wav", sampling_rate_hz=RATE_HZ)
    # the resampler sees no neighbours at the edges
    np.testing.assert_allclose(part[200:-200], whole[4_000:16_000][200:-200], atol=1e-4)


def test_an_end_may_lie_a_rounding_after_the_recording_and_no_more() -> None:
    clip = wav_bytes(noise()[:, 0], sampling_rate_hz=RATE_HZ)
    assert len(decode(clip, sampling_rate_hz=RATE_HZ, start_s=2.0, end_s=3.09)) == RATE_HZ
    assert refused(clip, start_s=2.0, end_s=3.2) == "the segment ends at 3.20 s, but the recording at 3.00 s"
    assert refused(clip, start_s=3.0) == "the segment starts at 3.00 s, but the recording ends at 3.00 s"
    assert refused(clip, start_s=3400.0, end_s=5200.0).startswith("the segment starts at 3400.00 s")  # milliseconds
    assert refused(clip, start_s=1.0, end_s=1.00001) == "it holds no samples"


@pytest.mark.parametrize("part", [{}, {"start_s": 1.0}, {"start_s": 1.0, "end_s": 2.5}])
def test_a_torn_recording_is_not_taken_for_a_shorter_one(part: dict[str, float]) -> None:
    file = io.BytesIO()
    soundfile.write(file, noise(), RATE_HZ, format="MP3")  # it says at its beginning how long it is
    torn = file.getvalue()[: len(file.getvalue()) // 2]
    assert refused(torn, **part) == "it ends at 1.407 s, where its header says 3.000 s"
    assert len(decode(torn, sampling_rate_hz=RATE_HZ, start_s=0.5, end_s=1.0)) == 0.5 * RATE_HZ


# -- channels


def test_a_channel_is_taken_by_its_number_from_0() -> None:
    samples = noise(channels=3)
    clip = wav_bytes(samples, sampling_rate_hz=RATE_HZ)
    for channel in range(3):
        decoded = decode(clip, sampling_rate_hz=RATE_HZ, channel=channel)
        np.testing.assert_allclose(decoded, samples[:, channel], atol=1 / 32768)


@pytest.mark.parametrize(("channels", "channel"), [(1, 1), (2, 2), (2, 9)])
def test_a_channel_that_is_not_there_is_not_another_one(channels: int, channel: int) -> None:
    clip = wav_bytes(noise(channels=channels), sampling_rate_hz=RATE_HZ)
    there = "1 channel" if channels == 1 else "2 channels"
    assert refused(clip, channel=channel) == f"it has {there}, no number {channel} (they count from 0)"


# -- what the file system says


def test_a_name_that_can_not_be_opened_is_a_reason(tmp_path: Path) -> None:
    # Python 3.14 asks no further than whether it exists
    reasons = ("the file can't be reached (", "the file does not exist")
    assert refused(tmp_path / ("a" * 300 + ".wav")).startswith(reasons)
    assert refused(tmp_path / "a\0.wav") == "the file does not exist"


# -- real recordings


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["LJ001-0001.wav", "LJ001-0001.flac", "LJ001-0001.mp3"])
def test_segments_of_a_real_sentence_join_to_the_whole(realdata: Path, name: str) -> None:
    path = realdata / "ljspeech-coqui-tts" / name
    whole = decode(path, sampling_rate_hz=22_050)
    times_s = [0.0, 1.3, 4.05, 7.77, None]
    parts = [
        decode(path, sampling_rate_hz=22_050, start_s=start_s, end_s=end_s)
        for start_s, end_s in itertools.pairwise(times_s)
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-6)  # 1.2e-7 seen, for MP3


@pytest.mark.realdata
def test_the_channels_of_a_real_stereo_recording(realdata: Path) -> None:
    path = realdata / "openai-whisper" / "jfk.flac"
    both, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(decode(path, sampling_rate_hz=44_100, channel=1), both[:, 1])
    assert refused(path, channel=2) == "it has 2 channels, no number 2 (they count from 0)"
