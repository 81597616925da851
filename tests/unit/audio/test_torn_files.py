"""Files that end before they say are refused; those that never said are read to their end."""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.audio import decoding, soundfile_decoding
from accel_asr.audio.decoding import AudioError, decode, decode_native, probe
from accel_asr.audio.soundfile_decoding import SequentialFile, has_last_frame

RATE_HZ = 16_000
DURATION_S = 3.0


def noise(duration_s: float = DURATION_S, *, channels: int = 1) -> np.ndarray:
    samples = 0.1 * np.random.default_rng(0).standard_normal((round(RATE_HZ * duration_s), channels))
    return samples.clip(-1, 1).astype(np.float32)


def encoded(file_format: str, subtype: str, endian: str = "FILE", samples: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    options = {"format": file_format, "subtype": subtype, "endian": endian}
    soundfile.write(file, noise() if samples is None else samples, RATE_HZ, **options)
    return file.getvalue()


def refused(source: bytes | Path, **options: float) -> str:
    """What both say."""
    with pytest.raises(AudioError) as caught:
        decode(source, sampling_rate_hz=RATE_HZ, **options)
    with pytest.raises(AudioError) as caught_by_probe:
        probe(source, **options)
    assert str(caught.value) == str(caught_by_probe.value)
    return str(caught.value)


def seconds(content: bytes) -> float:
    samples, rate_hz = decode_native(content)
    assert probe(content).duration_s == len(samples) / rate_hz
    return len(samples) / rate_hz


COUNTED = [("WAV", "PCM_16", "FILE"), ("WAV", "PCM_16", "BIG"), ("WAV", "FLOAT", "FILE"), ("WAV", "ULAW", "FILE"),
           ("WAVEX", "PCM_24", "FILE"), ("WAV", "IMA_ADPCM", "FILE"), ("RF64", "PCM_16", "FILE"),
           ("W64", "PCM_16", "FILE"), ("AIFF", "PCM_16", "FILE"), ("AU", "PCM_16", "FILE"),
           ("NIST", "PCM_16", "FILE")]  # fmt: skip
COMPRESSED = [("FLAC", "PCM_16", "FILE"), ("OGG", "VORBIS", "FILE"), ("OGG", "OPUS", "FILE"),
              ("MP3", "MPEG_LAYER_III", "FILE"), ("CAF", "FLOAT", "FILE"), ("CAF", "ALAC_16", "FILE")]  # fmt: skip


def test_sphere_files_of_shorten_are_refused_with_the_way_to_convert_them() -> None:
    header = encoded("NIST", "PCM_16", "FILE")[:1024].replace(b"-s3 pcm\n", b"-s26 pcm,embedded-shorten-v2.00\n")
    assert "sph2pipe -f wav" in refused(header[:1024] + b"ajkg\x02" + bytes(9_000))


@pytest.mark.parametrize("kind", COUNTED, ids="-".join)
def test_a_file_with_fewer_samples_than_promised_says_where_it_ends(tmp_path: Path, kind: tuple[str, str, str]) -> None:
    whole = encoded(*kind)
    header_bytes = 1024 if kind[0] == "NIST" else 120
    for share in (0.5, 0.9):
        torn = whole[: round(header_bytes + share * (len(whole) - header_bytes))]
        message = refused(torn)
        ends_s, promised_s = (float(word) for word in message.split() if word[0].isdigit())
        assert message.startswith("it ends at ")
        tolerance_s = 0.2 if kind[1] == "IMA_ADPCM" else 0.02  # which is counted in blocks
        assert ends_s == pytest.approx(share * DURATION_S, abs=tolerance_s)
        assert promised_s == pytest.approx(DURATION_S, abs=tolerance_s)
        (tmp_path / "torn").write_bytes(torn)
        assert refused(tmp_path / "torn") == message
        assert refused(torn, start_s=0.5) == message
        assert refused(torn, end_s=2.9) == message
        part = decode(torn, sampling_rate_hz=RATE_HZ, start_s=0.25, end_s=1.25)
        np.testing.assert_array_equal(part, decode(whole, sampling_rate_hz=RATE_HZ)[4_000:20_000])


@pytest.mark.parametrize("kind", COMPRESSED, ids="-".join)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.96])
def test_a_torn_compressed_file_is_refused(tmp_path: Path, kind: tuple[str, str, str], share: float) -> None:
    whole = encoded(*kind)
    torn = whole[: round(share * len(whole))]
    (tmp_path / "torn").write_bytes(torn)
    assert refused(torn) == refused(tmp_path / "torn")
    assert str(tmp_path) not in refused(tmp_path / "torn")


@pytest.mark.parametrize("kind", [*COUNTED, *COMPRESSED], ids="-".join)
def test_a_whole_file_is_not_torn_nor_one_that_lacks_a_moment(kind: tuple[str, str, str]) -> None:
    whole = encoded(*kind)
    assert seconds(whole) == pytest.approx(DURATION_S, abs=0.06)  # blocks of ADPCM are filled up
    if kind in COUNTED[:3]:
        assert seconds(whole[:-40]) == pytest.approx(DURATION_S, abs=0.01)  # a header that counts itself


# -- headers that do not say


def with_sizes(riff: int | None, data: int | None, *, tail: bytes = b"", samples: np.ndarray | None = None) -> bytes:
    content = bytearray(encoded("WAV", "PCM_16", samples=samples))
    content[4:8] = content[4:8] if riff is None else struct.pack("<I", riff)
    content[40:44] = content[40:44] if data is None else struct.pack("<I", data)
    return bytes(content + tail)


@pytest.mark.parametrize(
    ("riff", "data"),
    [(0xFFFFFFFF, 0xFFFFFFFF), (0, 0), (8, 0), (36, 0), (None, 0), (0xFFFFFFFF, 0), (0x7FFFFFFF, 0x7FFFFFFF - 36),
     (0x80000024, 0x80000000), (None, 0x7FFFF000)]
)  # fmt: skip
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, riff: int | None, data: int) -> None:
    content = with_sizes(riff, data)
    (tmp_path / "pipe.wav").write_bytes(content)
    expected = decode(encoded("WAV", "PCM_16"), sampling_rate_hz=RATE_HZ)
    for source in (content, tmp_path / "pipe.wav"):
        np.testing.assert_array_equal(decode(source, sampling_rate_hz=RATE_HZ), expected)
        assert probe(source).duration_s == DURATION_S


def test_an_rf64_from_a_pipe_is_read_to_its_end() -> None:
    content = bytearray(encoded("RF64", "PCM_16"))
    place = content.index(b"ds64") + 8
    content[place : place + 24] = bytes(24)
    np.testing.assert_array_equal(
        decode(bytes(content), sampling_rate_hz=RATE_HZ), decode(encoded("WAV", "PCM_16"), sampling_rate_hz=RATE_HZ)
    )


def test_a_wav_of_no_samples_with_a_comment_after_them_is_not_read_as_sound() -> None:
    comment = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"
    assert refused(with_sizes(None, 0, tail=comment, samples=np.zeros(0))) == "it holds no samples"


def test_a_flac_from_a_pipe_is_read_to_its_end() -> None:
    content = bytearray(encoded("FLAC", "PCM_16"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert seconds(bytes(content)) == DURATION_S
    part = decode(bytes(content), sampling_rate_hz=RATE_HZ, start_s=1.0, end_s=2.0)
    np.testing.assert_array_equal(part, decode(bytes(content), sampling_rate_hz=RATE_HZ)[RATE_HZ : 2 * RATE_HZ])
    assert refused(bytes(content), end_s=3.2) == "the segment ends at 3.20 s, but the recording at 3.00 s"


# -- MP3


def mp3_without_table(samples: np.ndarray) -> bytes:
    """Variable bitrate, and the first frame, which says how many follow, taken out."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
    content = file.getvalue()
    assert content[13:17] in (b"Xing", b"Info")
    return content[content.index(content[:2], 100) :]


@pytest.mark.parametrize("loud_first", [False, True])
def test_an_mp3_that_does_not_say_how_long_it_is_is_read_to_its_end(loud_first: bool) -> None:
    loud, quiet = noise(4.0), noise(4.0) * 1e-4
    content = mp3_without_table(np.concatenate([loud, quiet] if loud_first else [quiet, loud]))
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert abs(file.frames / RATE_HZ - 8.0) > 0.5  # libsndfile's guess, by the bitrate of the first frame
    assert seconds(content) == pytest.approx(8.0, abs=0.15)  # the encoder's padding is not taken off
    part = decode(content, sampling_rate_hz=RATE_HZ, start_s=5.0, end_s=6.0)
    np.testing.assert_array_equal(part, decode(content, sampling_rate_hz=RATE_HZ)[5 * RATE_HZ : 6 * RATE_HZ])


def test_a_tag_before_an_mp3_is_passed_over() -> None:
    tag = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    assert seconds(tag + encoded("MP3", "MPEG_LAYER_III")) == pytest.approx(DURATION_S, abs=0.01)
    assert seconds(tag + tag + mp3_without_table(noise())) == pytest.approx(DURATION_S, abs=0.15)


# -- Ogg


def pages(content: bytes) -> Iterator[bytes]:
    while content:
        length = 27 + content[26] + sum(content[27 : 27 + content[26]])
        yield content[:length]
        content = content[length:]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_must_have_all_its_pages(subtype: str) -> None:
    whole = encoded("OGG", subtype)
    first, *middle, last = pages(whole)
    assert len(middle) > 2
    without_end = whole[: -len(last)]
    message = refused(without_end)
    assert "without Ogg's end mark" in message
    assert "'ffmpeg -i OLD -c copy NEW'" in message
    assert len(decode(without_end, sampling_rate_hz=RATE_HZ, start_s=0.5, end_s=1.0)) == RATE_HZ // 2
    assert refused(without_end, start_s=0.5, end_s=2.99) == message
    cut = whole[:-10]
    assert "ends inside of an Ogg page after" in refused(cut)
    assert refused(cut, start_s=0.5, end_s=2.99) == refused(cut)
    parts = [decode(content, sampling_rate_hz=RATE_HZ, start_s=0.5, end_s=1.0) for content in (whole, cut)]
    np.testing.assert_array_equal(*parts)
    assert "pages are missing" in refused(first + b"".join(middle[:-1]) + last)
    assert refused(whole + whole).startswith("another Ogg stream begins after 3.00 s")
    assert refused(whole + bytes(20)).startswith("it is damaged after 3.00 s")
    assert seconds(whole + b"TAG" + bytes(125)) == DURATION_S
    for place in (len(whole) // 2, len(whole) - 5, len(first) + 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        assert "it is damaged in an Ogg page" in refused(bytes(damaged))


def test_a_last_buffer_that_was_never_written_is_no_reason_to_refuse_a_file() -> None:
    whole = encoded("WAV", "PCM_16")
    frame_bytes = (len(whole) - 44) // round(DURATION_S * RATE_HZ)
    for missing_s, is_kept in ((0.021, True), (0.049, True), (0.052, False)):
        cut = whole[: len(whole) - round(missing_s * RATE_HZ) * frame_bytes]
        if is_kept:
            info = probe(cut)
            assert info.missing_s == pytest.approx(missing_s, abs=1e-3)
            assert info.duration_s == pytest.approx(DURATION_S - missing_s, abs=1e-3)
            assert len(decode(cut, sampling_rate_hz=None)) == round(info.duration_s * RATE_HZ)
        else:
            assert refused(cut) == "it ends at 2.948 s, where its header says 3.000 s"
    assert probe(whole).missing_s == 0


# -- FLAC


def test_hours_of_silence_without_a_length_are_counted_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3600 * RATE_HZ, dtype=np.int16), RATE_HZ, format="FLAC")
    content = bytearray(file.getvalue())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # as a FLAC from a pipe
    tracemalloc.start()
    assert probe(bytes(content)).duration_s == 3600
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 64 << 20  # 230 MB as float32
    monkeypatch.setattr(soundfile_decoding, "MOST_S", 1800.0)
    assert refused(bytes(content)) == "it does not say how long it is, and is longer than 0.5 hours"


def test_a_damaged_flac_says_how_far_it_can_be_read() -> None:
    content = bytearray(encoded("FLAC", "PCM_16"))
    content[len(content) // 2] ^= 1
    with pytest.raises(AudioError) as caught:
        decode(bytes(content), sampling_rate_hz=RATE_HZ)
    assert str(caught.value) == "it is damaged: it can be read to 1.280 s of the 3.000 s that its header says"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [100, 4_096, 40_000, 600_000])
def test_the_end_of_a_flac_is_found_without_decoding_it_all(
    monkeypatch: pytest.MonkeyPatch, channels: int, length: int
) -> None:
    content = encoded("FLAC", "PCM_16", samples=noise(length / RATE_HZ, channels=channels))
    for torn in (content[:-1], content[:-1] + b"\0"):
        assert not has_last_frame(SequentialFile(torn))
    monkeypatch.setattr(decoding, "mono_blocks", lambda *_, **__: pytest.fail("was decoded"))
    assert probe(content).duration_s == length / RATE_HZ


# -- headers that lie or contradict themselves


@pytest.mark.parametrize(("subtype", "frame_bytes"), [("PCM_24", 8), ("PCM_16", 2), ("FLOAT", 4)])
def test_a_wav_whose_samples_would_be_cut_at_wrong_places_is_refused(subtype: str, frame_bytes: int) -> None:
    content = bytearray(encoded("WAV", subtype, samples=noise(channels=2)))
    content[32:34] = struct.pack("<H", frame_bytes)
    assert refused(bytes(content)).endswith(f" bits, but {frame_bytes} bytes a frame")


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 0x7FFFFFFF])
def test_a_rate_that_no_recording_has_is_refused(rate_hz: int) -> None:
    content = bytearray(encoded("WAV", "PCM_16"))
    content[24:28] = struct.pack("<I", rate_hz)
    assert refused(bytes(content)) == f"its header says {rate_hz:,} samples a second, which is no rate of a recording"


def test_integers_written_as_floats_are_not_clipped_to_noise() -> None:
    loud = encoded("WAV", "FLOAT", samples=noise() * 32768)
    with pytest.raises(AudioError, match="where 1 is full scale"):
        decode(loud, sampling_rate_hz=RATE_HZ)
    assert np.abs(decode(encoded("WAV", "FLOAT", samples=noise() * 8), sampling_rate_hz=RATE_HZ)).max() > 1


@pytest.mark.parametrize("kind", [("VOC", "PCM_16"), ("MAT5", "PCM_16"), ("PAF", "PCM_16")])
def test_kinds_whose_end_nothing_tells_are_refused(kind: tuple[str, str]) -> None:
    assert refused(encoded(*kind)).endswith("a torn file of that kind looks like a shorter one; make it WAV")


def test_a_header_that_promises_years_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    read = soundfile.SoundFile.read

    def watched(self: soundfile.SoundFile, frames: int, *arguments: object, **options: object) -> np.ndarray:
        asked.append(frames)
        return read(self, frames, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    content = bytearray(encoded("FLAC", "PCM_16"))
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4  # 68,719,476,735 samples
    assert " s, where its header says 4294967.296 s" in refused(bytes(content))
    assert max(asked) <= 1 << 22
