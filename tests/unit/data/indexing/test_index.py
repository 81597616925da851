"""The index of a source: built once, opened warm, and built anew whenever what it was read from has changed."""

import dataclasses
import errno
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accel_asr.audio.decoding import AudioError, ByteRange
from accel_asr.data.indexing import index_building, survey
from accel_asr.data.indexing.index import AUDIO_FILE, FACTS_FILE, INDEX_FILE, SAMPLES_FILE, SCHEMA, Index
from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.source_table import DatasetCell
from accel_asr.data.reading.sources import Source, SourceName
from accel_asr.data.selection.utterances import Part
from accel_asr.data.text_processing import TextProcessing
from accel_asr.files import cache_folder
from accel_asr.files.cache_folder import default_cache_dir, make_cache_folder
from accel_asr.files.content_hash import hash_of, hash_of_file
from tests.refusals import refused
from tests.tiny_datasets import make_minds14_like, wav_bytes
from tests.unit.data.local_sources import AUDIO_TYPE, part_of, utterances_of, write_rows

RATE_HZ = 16_000


def clip(duration_s: float, *, loudness: float = 0.25) -> bytes:
    return wav_bytes(np.full(round(duration_s * RATE_HZ), loudness), sampling_rate_hz=RATE_HZ)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources that were read, as they are read."""
    read_source, names = index_building.read_source, []

    def counted(name: SourceName, **options: Any) -> Source:
        names.append(name.name_or_path)
        return read_source(name, **options)

    monkeypatch.setattr(index_building, "read_source", counted)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips of 0.1 to 0.3 s with a manifest in one folder."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in (1, 2, 3):
        (clips / f"{number}.wav").write_bytes(clip(number / 10))
    lines = [f"{number}.wav,text {number}" for number in (1, 2, 3)]
    (clips / "metadata.csv").write_text("\n".join(["file_name,text", *lines]))
    return clips


def opened(path: Path | str, cache: Path, **options: Any) -> Index:
    return open_index(SourceName(str(path)), cache_dir=cache, **{"sampling_rate_hz": RATE_HZ} | options)[0]


def of_rows(rows: list[Row], cache: Path, **options: Any) -> Index:
    """The index of rows as a source of some kind might give them."""
    name = SourceName("made-up", split=f"{len(os.listdir(cache.parent))}")
    return open_index(name, cache_dir=cache, sampling_rate_hz=RATE_HZ, read=lambda: Source(rows), **options)[0]


def texts(index: Index) -> list[str | None]:
    return [text for piece in index.texts() for text in piece]


def touch(path: Path) -> None:
    """A later time of the last change, with the same content."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


# -- what stands in it


def test_recordings_that_lack_a_moment_of_their_end_are_used_and_counted(folder: Path, cache: Path) -> None:
    path = folder / "2.wav"
    path.write_bytes(path.read_bytes()[: -2 * round(0.02 * RATE_HZ)])
    index, notices = open_index(SourceName(str(folder)), cache_dir=cache, sampling_rate_hz=RATE_HZ)
    assert index.durations_s[1] == pytest.approx(0.18)
    assert "recordings that end up to 0.020 s before their headers say, used as they are: 1 (2.wav)" in notices


def test_an_index_has_every_row_as_the_source_says_it(folder: Path, cache: Path) -> None:
    index = opened(folder, cache)
    assert [index[row].audio for row in range(len(index))] == [folder / f"{number}.wav" for number in (1, 2, 3)]
    for row, path in enumerate(folder / f"{number}.wav" for number in (1, 2, 3)):
        found = path.stat()
        assert index[row].signature == (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        assert index[row].content == hash_of_file(path)
    assert texts(index) == ["text 1", "text 2", "text 3"]
    assert index.durations_s.tolist() == [0.1, 0.2, 0.3]
    assert index.numbers("sampling_rate_hz").tolist() == [RATE_HZ] * 3
    assert index.numbers("channels").tolist() == [1] * 3
    assert (index.has_any("language"), index.has_any("text")) == (False, True)
    assert index.texts_of("text", np.array([2, 0])) == ["text 3", "text 1"]
    assert index.texts_of("language", np.array([2, 0])) == [None, None]
    assert index.text_of("utterance_id", 1) == "2.wav"


def test_cells_to_tell_scores_by_are_kept_with_the_utterances(cache: Path) -> None:
    rows = [Row("a", clip(0.1), "x", breakdown=("s1", None)), Row("b", clip(0.1), "x", breakdown=(None, "pay"))]
    part = Part(of_rows(rows, cache), TextProcessing(), RATE_HZ, breakdown_columns=("speaker", "intent"))
    assert [dict(part.utterance(row).columns) for row in range(2)] == [{"speaker": "s1"}, {"intent": "pay"}]
    plain = Part(of_rows([Row("c", clip(0.1), "x")], cache), TextProcessing(), RATE_HZ)
    assert dict(plain.utterance(0).columns) == {}


def test_further_references_are_processed_as_the_text_is(cache: Path) -> None:
    rows = [
        Row("a", clip(0.1), "x", breakdown=("s1", "One", None)),
        Row("b", clip(0.1), "x", breakdown=(None, "A", "B")),
    ]
    text = TextProcessing(lowercase=True)
    part = Part(of_rows(rows, cache), text, RATE_HZ, breakdown_columns=("speaker",), reference_columns=("t1", "t2"))
    assert [part.utterance(row).references for row in range(2)] == [("one",), ("a", "b")]
    assert [dict(part.utterance(row).columns) for row in range(2)] == [{"speaker": "s1"}, {}]


def test_rows_beyond_the_first_batch_are_found(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (index_building, sys.modules[Index.__module__]):
        monkeypatch.setattr(module, "BATCH_ROWS", 3)
    rows = [Row(f"r{row}", clip(0.01 * (row + 1)), f"text {row}", prompt="p" if row == 7 else None) for row in range(8)]
    index = of_rows(rows, cache)
    assert [index[row].utterance_id for row in range(8)] == [f"r{row}" for row in range(8)]
    assert index.durations_s == pytest.approx([0.01 * (row + 1) for row in range(8)])
    assert index.texts_of("text", np.array([7, 3, 0])) == ["text 7", "text 3", "text 0"]
    assert index.has_any("prompt")
    assert [index[row].audio.read() for row in range(8)] == [row.audio for row in rows]  # type: ignore[union-attr]


def test_small_sources_are_decoded_and_of_large_ones_only_headers_are_read(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = ("audio_hash", "peak", "rms", "clipped")
    torn = (folder / "3.wav").read_bytes()[:-1000]
    (folder / "3.wav").write_bytes(torn)
    small = opened(folder, cache)
    assert small.facts["decoded"] is True
    assert small.numbers("peak")[:2].tolist() == [0.25, 0.25]
    assert small.numbers("rms")[:2].tolist() == [0.25, 0.25]
    assert small.numbers("clipped")[:2].tolist() == [0, 0]
    hashes = small.numbers("audio_hash")[:2].tolist()
    assert len(set(hashes)) == 2  # they differ in length

    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.29)
    monkeypatch.setattr(survey, "decode_native", lambda *_, **__: pytest.fail("decoded"))
    large = opened(folder, cache.parent / "other")
    assert large.facts["decoded"] is False
    assert large.durations_s[:2].tolist() == [0.1, 0.2]
    assert all(np.isnan(large.numbers(name)).all() for name in heard)

    monkeypatch.undo()
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.29)
    everything = opened(folder, cache.parent / "other", decode_all=True)  # by a command that listens to all
    assert everything.facts["decoded"] is True
    assert everything.numbers("peak")[:2].tolist() == [0.25, 0.25]
    assert everything.facts["checksum"] == large.facts["checksum"]  # so a run can be gone on with
    assert opened(folder, cache.parent / "other").folder == everything.folder


def test_of_small_sources_the_samples_are_kept_as_a_batch_wants_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    stereo = 0.3 * generator.standard_normal((4_000, 2)).clip(-3, 3)
    (tmp_path / "b.wav").write_bytes(wav_bytes(stereo, sampling_rate_hz=8_000))
    rows = [Row("a", clip(0.1), "x"), Row("b.wav", tmp_path / "b.wav", "x"), Row("c", b"no audio", "x")]
    rows.append(Row("d", clip(0.2, loudness=0.4), "x"))
    utterances = utterances_of(rows, tmp_path, channel=None)
    kept = [utterance.recording.kept for utterance in utterances]
    assert [one is None for one in kept] == [False, False, True, False]
    for row in (0, 1, 3):
        recording = utterances[row].recording
        decoded = dataclasses.replace(recording, kept=None).samples()
        np.testing.assert_array_equal(kept[row].read(), decoded)
        np.testing.assert_array_equal(recording.samples(), decoded)
    assert len(utterances[1].samples()) == 8_000
    (tmp_path / "b.wav").unlink()
    assert len(utterances[1].samples()) == 8_000  # the file is not needed any more
    (utterances.parts[0].index.folder / SAMPLES_FILE).unlink()
    assert len(utterances[0].samples()) == 1_600  # nor are they, where the file is there
    with pytest.raises(AudioError, match="the file can't be reached"):
        utterances[1].samples()


@pytest.mark.parametrize("how", ["zeroed", "overwritten", "cut"])
def test_damaged_samples_are_decoded_again(tmp_path: Path, how: str) -> None:
    utterances = utterances_of([Row("a", clip(0.1), "x"), Row("b", clip(0.2, loudness=0.4), "x")], tmp_path)
    expected = [utterance.samples().tolist() for utterance in utterances]
    path = utterances.parts[0].index.folder / SAMPLES_FILE
    size = path.stat().st_size
    damaged = {"zeroed": bytes(size), "overwritten": np.random.default_rng(0).bytes(size), "cut": bytes(100)}
    path.write_bytes(damaged[how])
    assert [utterance.recording.kept.read() for utterance in utterances] == [None, None]
    assert [utterance.samples().tolist() for utterance in utterances] == expected


def test_audio_that_an_index_holds_is_looked_at_when_it_is_read(tmp_path: Path) -> None:
    utterances = utterances_of([Row("a", clip(0.1), "x"), Row("b", clip(0.2, loudness=0.4), "x")], tmp_path)
    folder = utterances.parts[0].index.folder
    (folder / SAMPLES_FILE).unlink()
    content = bytearray((folder / AUDIO_FILE).read_bytes())
    content[1_000] ^= 1
    (folder / AUDIO_FILE).write_bytes(content)
    with pytest.raises(AudioError, match=r"not those that were indexed.*data\.cache_dir"):
        utterances[0].samples()
    assert len(utterances[1].samples()) == 3_200


def test_of_large_sources_no_samples_are_kept_even_where_all_are_decoded(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.29)
    for index in (opened(folder, cache), opened(folder, cache, decode_all=True)):
        assert [index[row].kept for row in range(3)] == [None] * 3
        assert not (index.folder / SAMPLES_FILE).exists() or (index.folder / SAMPLES_FILE).stat().st_size == 0


def test_what_can_not_be_read_has_no_duration_and_a_reason(folder: Path, cache: Path) -> None:
    (folder / "2.wav").unlink()
    (folder / "3.wav").write_bytes(b"no audio")
    index = opened(folder, cache)
    assert np.isnan(index.durations_s).tolist() == [False, True, True]
    assert index.text_of("problem", 0) is None
    assert index.text_of("problem", 1) == "the file does not exist"
    assert index.text_of("problem", 2)


# -- warm


def test_a_warm_index_is_opened_without_reading_the_manifest_or_the_audio_again(
    folder: Path, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "forgotten.wav").write_bytes(b"")
    first, notices = open_index(SourceName(str(folder)), cache_dir=cache, sampling_rate_hz=RATE_HZ)
    assert len(reads) == 1
    monkeypatch.setattr(survey, "probe", lambda *_, **__: pytest.fail("probed"))
    again, same_notices = open_index(SourceName(str(folder)), cache_dir=cache, sampling_rate_hz=RATE_HZ)
    assert (len(reads), again.folder) == (1, first.folder)
    assert notices == same_notices == ["1 of 4 audio files in the folder are not listed in metadata.csv: forgotten.wav"]
    assert texts(again) == texts(first)


def test_a_warm_index_is_found_from_another_folder_and_by_another_spelling(
    folder: Path, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(folder, cache)
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    for spelling in ("clips", "./clips/", "link"):
        assert opened(spelling, cache).folder == first.folder
    assert len(reads) == 1


def test_rows_that_no_file_can_hold_are_warm_too(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a-folder.wav").mkdir()
    rows = [Row("a", tmp_path / "a\0b.wav", "x"), Row("b", tmp_path / "a-folder.wav", "x"), Row("c", None, "x")]
    rows.append(Row("d", clip(0.1), "x"))
    name = SourceName("made-up")
    first, _ = open_index(name, cache_dir=cache, sampling_rate_hz=RATE_HZ, read=lambda: Source(rows))
    assert np.isnan(first.durations_s).tolist() == [True, True, True, False]
    again, _ = open_index(name, cache_dir=cache, sampling_rate_hz=RATE_HZ, read=lambda: pytest.fail("read again"))
    assert again.folder == first.folder


def test_other_questions_have_indexes_of_their_own(folder: Path, cache: Path) -> None:
    folders = {
        opened(folder, cache).folder.parent,
        opened(folder, cache, channel=0).folder.parent,
        opened(folder / "metadata.csv", cache).folder.parent,
        opened(folder, cache, sampling_rate_hz=8_000).folder.parent,
        opened(folder, cache, purpose="the first 2 rows").folder.parent,
    }
    for other in ({"split": "test"}, {"text_column": "file_name"}, {"allow_outside_paths": True}):
        name = SourceName(str(folder), **other)
        folders.add(open_index(name, cache_dir=cache, sampling_rate_hz=RATE_HZ)[0].folder.parent)
    assert len(folders) == 8


# -- changed


def change_manifest(folder: Path) -> None:
    (folder / "metadata.csv").write_text((folder / "metadata.csv").read_text().replace("text 1", "text X"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "manifest": change_manifest,
    "time of the manifest": lambda folder: touch(folder / "metadata.csv"),
    "audio": lambda folder: (folder / "1.wav").write_bytes(clip(0.15)),
    "time of audio": lambda folder: touch(folder / "1.wav"),
    "audio removed": lambda folder: (folder / "1.wav").unlink(),
    "file added": lambda folder: (folder / "4.wav").write_bytes(clip(0.4)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_index_is_rebuilt_after_a_change_and_warm_again(
    folder: Path, cache: Path, reads: list[str], change: str
) -> None:
    first = opened(folder, cache)
    CHANGES[change](folder)
    second = opened(folder, cache)
    assert (len(reads), second.folder != first.folder) == (2, True)
    assert opened(folder, cache).folder == second.folder
    assert len(reads) == 2
    if change == "manifest":
        assert texts(second) == ["text X", "text 2", "text 3"]
    if change == "audio":
        assert second.durations_s.tolist() == [0.15, 0.2, 0.3]


def test_a_recording_that_came_back_is_noticed(folder: Path, cache: Path, reads: list[str]) -> None:
    kept = (folder / "2.wav").read_bytes()
    (folder / "2.wav").unlink()
    manifest = folder / "metadata.csv"
    assert np.isnan(opened(manifest, cache).durations_s[1])
    (folder / "2.wav").write_bytes(kept)
    assert opened(manifest, cache).durations_s[1] == 0.2  # the manifest's own folder is not watched
    assert len(reads) == 2


def test_a_text_beside_a_recording_that_changes_is_noticed(tmp_path: Path, cache: Path, reads: list[str]) -> None:
    folder = tmp_path / "beside"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.wav").write_bytes(clip(0.1))
    (folder / "sub" / "a.txt").write_text("one")
    assert texts(opened(folder, cache)) == ["one"]
    assert texts(opened(folder, cache)) == ["one"]
    assert len(reads) == 1
    (folder / "sub" / "a.txt").write_text("two")
    touch(folder / "sub" / "a.txt")
    assert texts(opened(folder, cache)) == ["two"]
    (folder / "sub" / "b.wav").write_bytes(clip(0.1))
    (folder / "sub" / "b.txt").write_text("three")
    assert texts(opened(folder, cache)) == ["two", "three"]


def test_a_manifest_that_changes_while_it_is_indexed_is_read_again_the_next_time(
    folder: Path, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows = index_building._write_rows

    def changing(*arguments: Any) -> int:
        change_manifest(folder)
        touch(folder / "metadata.csv")
        return write_rows(*arguments)

    monkeypatch.setattr(index_building, "_write_rows", changing)
    assert texts(opened(folder, cache))[0] == "text 1"
    monkeypatch.undo()
    assert texts(opened(folder, cache))[0] == "text X"


def test_only_the_newest_two_are_kept(folder: Path, cache: Path) -> None:
    built = []
    for _ in range(4):
        touch(folder / "metadata.csv")
        built.append(opened(folder, cache).folder)
    assert sorted(path for path in built[0].parent.iterdir() if path.is_dir()) == built[-2:]
    assert texts(Index(built[-2])) == ["text 1", "text 2", "text 3"]  # for a run that still reads it


# -- other audio in the place of audio


def replace_as_it_was(path: Path, content: bytes) -> None:
    """Other content of the same length, with the same time of the last change: as `cp -p` and `touch -r` leave it."""
    found = path.stat()
    assert len(content) == found.st_size
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize("decoded_up_front_s", [7200.0, 0.0], ids=["small", "large"])
def test_other_audio_of_the_same_length_and_time_is_indexed_anew_with_another_checksum(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, decoded_up_front_s: float
) -> None:
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", decoded_up_front_s)
    first = opened(folder, cache)
    original = (folder / "2.wav").read_bytes()
    replace_as_it_was(folder / "2.wav", clip(0.2, loudness=0.125))
    second = opened(folder, cache)
    assert second.folder != first.folder
    assert second.facts["checksum"] != first.facts["checksum"]
    replace_as_it_was(folder / "2.wav", original)
    assert opened(folder, cache).facts["checksum"] == first.facts["checksum"]  # by its content alone
    elsewhere = shutil.copytree(folder, folder.parent / "elsewhere")
    assert opened(elsewhere, cache).facts["checksum"] == first.facts["checksum"]


def test_other_audio_in_a_file_of_a_dataset_or_a_manifest_is_in_the_checksum(cache: Path) -> None:
    checksums = {
        of_rows([Row("a", clip(0.1, loudness=loudness), "x")], cache / f"{number}").facts["checksum"]
        for number, loudness in enumerate((0.25, 0.125))
        if (cache / f"{number}").mkdir(parents=True) is None
    }
    assert len(checksums) == 2


def test_a_recording_that_changes_after_it_was_indexed_is_refused_when_it_is_read(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.0)
    part = Part(opened(folder, cache), TextProcessing(), RATE_HZ)
    touch(folder / "1.wav")
    assert len(part.utterance(0).samples()) == 1_600  # the same content
    replace_as_it_was(folder / "2.wav", clip(0.2, loudness=0.125))
    with pytest.raises(AudioError, match="has changed since it was indexed"):
        part.utterance(1).samples()
    (folder / "3.wav").write_bytes(clip(0.4))
    with pytest.raises(AudioError, match=r"has changed since it was indexed \(from 9,644 to 12,844 bytes\)"):
        part.utterance(2).samples()


def test_many_segments_of_one_long_recording_read_it_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.wav").write_bytes(clip(2.0))
    read: list[Path] = []
    original = survey.hash_of_file
    monkeypatch.setattr(survey, "hash_of_file", lambda path, **options: read.append(path) or original(path, **options))
    cache.mkdir()
    rows = [Row(f"s{row}", tmp_path / "long.wav", "x", start_s=row / 10, end_s=(row + 1) / 10) for row in range(20)]
    of_rows(rows, cache)
    assert 1 <= len(read) < 2 * len(rows) / 2  # threads may begin on it at once


# -- torn


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (FACTS_FILE, b""),
        (FACTS_FILE, b"{}"),
        (FACTS_FILE, b"[]"),
        (FACTS_FILE, b"{not json"),
        (INDEX_FILE, b""),
        (INDEX_FILE, b"junk"),
        (INDEX_FILE, 0),
        (INDEX_FILE, 1),
        (INDEX_FILE, None),
        (FACTS_FILE, b"[" * 100_000),
        (AUDIO_FILE, b""),
        (AUDIO_FILE, 0),
        (AUDIO_FILE, 1),
        (SAMPLES_FILE, b""),
        (SAMPLES_FILE, 0),
        (SAMPLES_FILE, 1),
        (SAMPLES_FILE, None),
        (AUDIO_FILE, None),
    ],
)
def test_a_torn_index_is_built_anew(
    tmp_path: Path, cache: Path, reads: list[str], name: str, content: bytes | int | None
) -> None:
    path = write_rows([Row("a", clip(0.1), "one"), Row("b", clip(0.2), "two")], tmp_path / "clips.parquet")
    index = opened(path, cache)
    assert opened(path, cache).folder == index.folder
    file = index.folder / name
    if content is None:
        file.unlink()
    elif isinstance(content, int):  # all but the last bytes; or zeros, as after a power cut
        whole = file.read_bytes()
        file.write_bytes(whole[:-8] if content else bytes(len(whole)))
    else:
        file.write_bytes(content)
    rebuilt, notices = open_index(SourceName(str(path)), cache_dir=cache, sampling_rate_hz=RATE_HZ)
    assert (len(reads), rebuilt.folder != index.folder) == (2, True)
    assert notices == [f"the index in {str(index.folder)!r} is damaged, and is built anew"]
    assert texts(rebuilt) == ["one", "two"]
    assert [len(rebuilt[row].audio.read()) for row in range(2)] == [len(clip(0.1)), len(clip(0.2))]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["rows", "checksum", "keeps_samples", "notices"])
def test_facts_that_were_changed_are_noticed(folder: Path, cache: Path, reads: list[str], name: str) -> None:
    first = opened(folder, cache)
    facts = json.loads((first.folder / FACTS_FILE).read_text())
    facts[name] = {"rows": 2, "checksum": 5, "keeps_samples": False, "notices": ["x"]}[name]
    (first.folder / FACTS_FILE).write_text(json.dumps(facts))
    assert opened(folder, cache).folder != first.folder


def test_one_changed_number_in_the_rows_is_noticed(folder: Path, cache: Path) -> None:
    first = opened(folder, cache)
    content = (first.folder / INDEX_FILE).read_bytes()
    duration = np.float64(0.2).tobytes()
    assert content.count(duration) == 1
    (first.folder / INDEX_FILE).write_bytes(content.replace(duration, np.float64(0.3).tobytes()))
    assert opened(folder, cache).durations_s.tolist() == [0.1, 0.2, 0.3]


def test_an_index_of_another_format_is_built_anew(
    folder: Path, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(folder, cache)
    monkeypatch.setattr(index_building, "FORMAT", index_building.FORMAT + 1)
    assert opened(folder, cache).folder != first.folder
    assert len(reads) == 2


def test_what_a_killed_process_left_is_taken_away_and_never_read(folder: Path, cache: Path) -> None:
    first = opened(folder, cache)
    left = first.folder.parent / ".1.writing"
    shutil.copytree(first.folder, left)
    touch(folder / "metadata.csv")
    second = opened(folder, cache)
    assert sorted(path.name for path in first.folder.parent.iterdir() if path.is_dir()) == [
        first.folder.name,
        second.folder.name,
    ]


def test_a_build_that_fails_leaves_nothing(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("made to fail by the test")

    monkeypatch.setattr(index_building, "_write_rows", fail)
    with pytest.raises(RuntimeError, match="made to fail"):
        opened(folder, cache)
    monkeypatch.undo()
    assert [path.name for path in cache.glob("index/*/*")] == ["lock"]
    assert len(opened(folder, cache)) == 3


# -- several processes

BUILDER = """
import sys, time
from pathlib import Path
from accel_asr.data.indexing import index_building
from accel_asr.data.reading.sources import SourceName

write_rows = index_building._write_rows

def slowly(*arguments):
    print("built", flush=True)
    time.sleep(1)
    return write_rows(*arguments)

index_building._write_rows = slowly
index, _ = index_building.open_index(SourceName(sys.argv[1]), cache_dir=Path(sys.argv[2]), sampling_rate_hz=16_000)
print(index.folder, len(index))
"""


def test_of_two_processes_at_once_one_builds_and_the_other_waits_for_it(folder: Path, cache: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(folder), str(cache)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].split("\n") for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(lines.count("built") for lines in outputs) == 1
    assert outputs[0][-2] == outputs[1][-2]
    assert outputs[0][-2].endswith(" 3")


def describe(index: Index) -> tuple[int, list[str | None], list[float], list[int]]:
    """What another process finds in an index."""
    audio = [index[row].audio for row in range(len(index))]
    sizes = []
    for one in audio:
        if isinstance(one, DatasetCell):
            assert index.dataset_audio is not None
            sizes.append(len(index.dataset_audio.get(one.row)))
        else:
            sizes.append(len(one.read_bytes() if isinstance(one, Path) else one.read()))  # type: ignore[union-attr]
    return len(index), texts(index), index.durations_s.tolist(), sizes


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Four clips as `save_to_disk` writes them."""
    parquet = make_minds14_like(tmp_path / "hub", rows=4) / "en-US" / "train-00000-of-00001.parquet"
    table = pq.read_table(parquet).select(["audio", "transcription"]).rename_columns(["audio", "text"])
    features = {"audio": {"_type": "Audio"}, "text": {"dtype": "string", "_type": "Value"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    datasets.Dataset(table.replace_schema_metadata(metadata)).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_pickled_index_is_its_folder_and_another_process_maps_the_same_file(
    folder: Path, cache: Path, saved: Path, tmp_path: Path
) -> None:
    indexes = [
        opened(folder, cache),
        part_of([Row(f"r{row}", clip(0.1), "x" * 1_000) for row in range(50)], tmp_path / "embedded").index,
        opened(saved, cache),
    ]
    assert [len(pickle.dumps(index)) < 500 for index in indexes[:2]] == [True, True]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.map(describe, indexes) == [describe(index) for index in indexes]


# -- audio in the source itself


def test_embedded_audio_is_read_by_its_byte_range_alone(tmp_path: Path) -> None:
    clips = [clip(0.1, loudness=0.1), clip(0.3, loudness=0.2), clip(0.2, loudness=0.3)]
    utterances = utterances_of([Row(f"r{row}", content, "x") for row, content in enumerate(clips)], tmp_path)
    index = utterances.parts[0].index
    (tmp_path / "clips.parquet").unlink()  # not needed any more
    starts = np.cumsum([0, *map(len, clips)]).tolist()
    for row, content in enumerate(clips):
        assert index[row].audio == ByteRange(index.folder / AUDIO_FILE, starts[row], len(content))
        assert index[row].audio.read() == content  # type: ignore[union-attr]
        assert (index[row].signature, index[row].content) == (None, hash_of(content))
        loudness = round(0.1 * (row + 1) * 32768)
        assert set(utterances[row].samples().tolist()) <= {loudness - 1, loudness, loudness + 1}
    assert (index.folder / AUDIO_FILE).stat().st_size == sum(map(len, clips))


def test_audio_of_a_saved_dataset_stays_there_and_is_read_by_row(saved: Path, cache: Path) -> None:
    index = opened(saved, cache)
    raw = datasets.load_from_disk(str(saved)).cast_column("audio", datasets.Audio(decode=False))["audio"][:]
    assert [index[row].audio for row in range(4)] == [DatasetCell(row) for row in range(4)]
    assert index.dataset_audio is not None
    assert [index.dataset_audio.get(row) for row in range(4)] == [cell["bytes"] for cell in raw]
    assert (index.folder / AUDIO_FILE).stat().st_size == 0
    assert opened(saved, cache).folder == index.folder


def save_dataset(folder: Path, content: bytes, text: str) -> Path:
    features = {"audio": {"_type": "Audio"}, "text": {"dtype": "string", "_type": "Value"}}
    table = pa.table({"audio": pa.array([{"bytes": content, "path": "a.wav"}], AUDIO_TYPE), "text": [text]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    shutil.rmtree(folder, ignore_errors=True)
    datasets.Dataset(table).save_to_disk(folder)
    return folder


def test_a_dataset_that_is_saved_again_is_indexed_again_and_its_audio_is_in_the_checksum(
    tmp_path: Path, cache: Path
) -> None:
    first, again, other = (
        opened(save_dataset(tmp_path / "saved", clip(0.1, loudness=loudness), "one"), cache)
        for loudness in (0.1, 0.1, 0.2)
    )
    assert len({index.folder for index in (first, again, other)}) == 3
    assert first.facts["checksum"] == again.facts["checksum"] != other.facts["checksum"]


def test_a_hub_dataset_that_has_changed_is_indexed_anew_though_its_old_files_are_still_there(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = {text: save_dataset(tmp_path / text, clip(0.1), text) for text in ("one", "two")}

    def now_on_the_hub(text: str) -> Index:
        dataset = datasets.load_from_disk(str(saved[text]))
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: dataset)
        return opened("lab/speech", cache)

    first = now_on_the_hub("one")
    assert now_on_the_hub("one").folder == first.folder
    assert texts(now_on_the_hub("two")) == ["two"]


# -- what can not be written


@pytest.mark.parametrize("name", ["text", "group", "prompt", "breakdown"])
def test_half_of_a_surrogate_pair_is_refused_by_row(cache: Path, tmp_path: Path, name: str) -> None:
    good, bad = {"text": "fine"}, {"text": "fine", name: ("half \ud83d",) if name == "breakdown" else "half \ud83d"}
    rows = [Row("a", clip(0.1), **good), Row("b", clip(0.1), **bad)]
    with refused("--data.name_or_path", f"the {name} of row 'b' is not Unicode text ('half \\ud83d')"):
        of_rows(rows, cache)


def test_a_file_name_that_is_not_unicode_is_refused_by_row(cache: Path, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfc.wav"))
    path.write_bytes(clip(0.1))
    with refused("--data.name_or_path", "is not Unicode text"):
        of_rows([Row(path.name, path, "x")], cache)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EDQUOT, "no space is left"),
        (errno.EROFS, "can't be written (Read-only file system)"),
        (errno.EACCES, "can't be written (Permission denied)"),
    ],
)
@pytest.mark.parametrize("where", ["lock", "rows"])
def test_a_full_or_read_only_cache_is_explained(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str, where: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    module, name = (cache_folder, "FileLock") if where == "lock" else (index_building, "_write_rows")
    monkeypatch.setattr(module, name, refuse)
    with refused(
        "--data.cache_dir", message, value=cache, remedy="give another folder by --data.cache_dir or $ACCEL_ASR_CACHE"
    ):
        opened(folder, cache)


def test_a_file_in_the_place_of_the_cache_is_explained(folder: Path, cache: Path) -> None:
    cache.write_text("")
    with refused("--data.cache_dir", "can't be written (Not a directory)", value=cache):
        opened(folder, cache)


def test_the_cache_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_cache_dir() == Path(os.environ["ACCEL_ASR_CACHE"])
    monkeypatch.delenv("ACCEL_ASR_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "accel_asr"


def test_the_columns_of_an_index_are_those_of_its_schema(folder: Path, cache: Path) -> None:
    with pa.ipc.open_file(str(opened(folder, cache).folder / INDEX_FILE)) as file:
        assert file.schema == SCHEMA


def test_a_cache_that_can_not_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "cache", Path("/proc/nothing/cache")):
        with refused("--data.cache_dir", "can't be written", value=place, remedy="give another folder"):
            make_cache_folder(place / "index", cache_dir=place)
