"""Real recordings, sound and odd: each is decoded as long as its manifest says, or refused for the reason told here."""

import json
from pathlib import Path

import numpy as np
import pytest

from accel_asr.audio.decoding import AudioError, decode_native, probe
from tests.unit.data.local_sources import load

pytestmark = pytest.mark.realdata

FOLDERS = {"free-spoken-digit-dataset": 600, "ljspeech-coqui-tts": 48, "odd-hound": 22, "odd-pydub": 6, "odd-scipy": 22,
           "openai-whisper": 1, "picovoice-cheetah": 12, "picovoice-leopard": 10, "stt-smoke": 8}  # fmt: skip

# words of the reason; soundfile's own are those in brackets
NO_DATA = "(Error in WAV file. No 'data' chunk marker.)"
UNKNOWN_WIDTH = "(File contains data in an unimplemented format.)"
REFUSED = {
    "odd-hound/crash-24728523ef4be15c838293b676f6853e73723bf4.wav": "Malformed 'fmt ' chunk",
    "odd-hound/crash-b8447179832529c48f9c6bf17feab6337bbc78ea.wav": "2 channels of 0 bits, but 62208 bytes a frame",
    "odd-hound/crash-cbd757427cea12bd8a21f86cd8cf74d98ce56bee.wav": "Malformed 'fmt ' chunk",
    "odd-hound/crash-e5471f5b58397287b509db7d026e95f1724454f5.wav": "(Unspecified internal error.)",  # 0 bytes a frame
    "odd-hound/crash-e879de4eb4d206c59e21f0e01def16457af80fdc.wav": NO_DATA,
    "odd-hound/oom-48ae4cd061ff8578ad3f23dc87624bd365cf5216.wav": NO_DATA,
    "odd-hound/pcmwaveformat-24bit-4byte-48kHz-stereo.wav": "2 channels of 24 bits, but 8 bytes a frame",
    "odd-hound/waveformatex-ieeefloat-44100Hz-mono.wav": "its samples reach 16,411, where 1 is full scale",
    "odd-hound/waveformatextensible-ieeefloat-44100Hz-mono.wav": "its samples reach 16,411, where 1 is full scale",
    "odd-pydub/test1_empty.wav": "it holds no samples",
    "odd-scipy/test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav": NO_DATA,
    "odd-scipy/test-44100Hz-le-1ch-4bytes-early-eof.wav": "it ends at 0.005 s, where its header says 0.100 s",
    "odd-scipy/test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav": NO_DATA,
    "odd-scipy/test-8000Hz-le-3ch-5S-24bit-inconsistent.wav": "3 channels of 24 bits, but 4 bytes a frame",
    "odd-scipy/test-8000Hz-le-3ch-5S-36bit.wav": UNKNOWN_WIDTH,
    "odd-scipy/test-8000Hz-le-3ch-5S-45bit.wav": UNKNOWN_WIDTH,
    "odd-scipy/test-8000Hz-le-3ch-5S-53bit.wav": UNKNOWN_WIDTH,
    "odd-scipy/test-8000Hz-le-3ch-5S-64bit.wav": UNKNOWN_WIDTH,
}
# headers that are right, of samples that only decoding can find wanting
PROBED = {name for name, reason in REFUSED.items() if "full scale" in reason}


def records(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_folder_is_counted_here(realdata: Path) -> None:
    counts = {folder.parent.name: len(records(folder.parent)) for folder in realdata.glob("*/manifest.jsonl")}
    assert counts == {**FOLDERS, "longform": 7, "speechocean762": 676}  # sound ones, heard by tests of real weights


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_manifest_is_read_without_an_edit(realdata: Path, folder: str) -> None:
    expected = [record for record in records(realdata / folder) if record.get("split", "train") == "train"]
    rows = load(realdata / folder / "manifest.jsonl").rows
    assert [row.text for row in rows] == [record["text"] for record in expected]
    assert [row.audio for row in rows] == [realdata / folder / str(record["file"]) for record in expected]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_decoded_to_its_length_or_refused_for_a_reason(realdata: Path, folder: str) -> None:
    reasons = {}
    for record in records(realdata / folder):
        name = f"{folder}/{record['file']}"
        path = realdata / name
        for source in (path, path.read_bytes()):
            try:
                samples, rate_hz = decode_native(source)
            except AudioError as error:
                reasons[name] = str(error)
                if name not in PROBED:
                    with pytest.raises(AudioError) as caught:
                        probe(source)
                    reasons[name] = str(caught.value)
                continue
            assert name not in reasons
            info = probe(source)
            assert (rate_hz, info.sampling_rate_hz, info.channels) == (record["sr"], record["sr"], record["ch"])
            assert len(samples) / rate_hz == pytest.approx(record["dur"], abs=0.1)
            assert info.duration_s == pytest.approx(len(samples) / rate_hz, abs=0.1)
    expected = {name: words for name, words in REFUSED.items() if name.startswith(f"{folder}/")}
    assert reasons.keys() == expected.keys()
    assert [reasons[name] for name, words in expected.items() if words not in reasons[name]] == []


# -- what comes out of odd files, by other readings of the same sound


def test_the_same_sound_comes_out_of_every_wrapping(realdata: Path) -> None:
    def samples(name: str) -> np.ndarray:
        return decode_native(realdata / "odd-scipy" / name)[0]

    for first, second in (
        ("test-44100Hz-le-1ch-4bytes.wav", "test-44100Hz-be-1ch-4bytes.wav"),
        ("test-44100Hz-le-1ch-4bytes.wav", "test-44100Hz-le-1ch-4bytes-rf64.wav"),
        ("test-44100Hz-2ch-32bit-float-le.wav", "test-44100Hz-2ch-32bit-float-be.wav"),
        ("test-8000Hz-le-3ch-5S-24bit.wav", "test-8000Hz-be-3ch-5S-24bit.wav"),
        ("test-8000Hz-le-3ch-5S-24bit.wav", "test-8000Hz-le-3ch-5S-24bit-rf64.wav"),
    ):
        np.testing.assert_allclose(samples(first), samples(second), rtol=0, atol=1e-7)  # 6e-8 seen: rounded otherwise


def test_a_wrong_ending_does_not_matter(realdata: Path) -> None:
    aac, m4a = (decode_native(realdata / "odd-pydub" / name) for name in ("wrong_extension.aac", "format_test.m4a"))
    np.testing.assert_array_equal(aac[0], m4a[0])


def test_long_recordings_are_read_to_their_end_whatever_libsndfile_makes_of_their_tables(realdata: Path) -> None:
    for line in (realdata / "longform" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        length_s = record.get("duration")
        if length_s is not None:
            samples, rate_hz = decode_native(realdata / "longform" / record["file"])
            assert len(samples) / rate_hz == pytest.approx(length_s, abs=0.1), record["file"]
            assert probe(realdata / "longform" / record["file"]).duration_s == pytest.approx(length_s, abs=0.1)
