"""Folders, files and patterns of annotations beside recordings: which is read, and what is said of the rest."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.data.indexing.index_building import open_index
from accel_asr.data.reading.sources import Row, SourceName
from tests.unit.data.local_sources import RATE_HZ, load, refused

SRT = "1\n00:00:00,500 --> 00:00:02,000\nOne\n\n2\n00:00:02,000 --> 00:00:03,250\nTwo\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\nFrom vtt\n"
TSV = "start\tend\ttext\n1500\t2500\tFrom tsv\n"
JSON = '{"text": "x", "segments": [{"start": 1.25, "end": 2, "text": " From json", "speaker": "SPEAKER_00"}]}'


def texts(source) -> list[tuple[str, str | None]]:
    return [(row.utterance_id.partition("[")[0], row.text) for row in source.rows]


def test_one_row_for_each_cue_of_each_recording(folder) -> None:
    there = folder({"b.mp3": "", "b.vtt": VTT, "sub/a.wav": "", "sub/a.srt": SRT})
    source = load(there)
    assert source.rows == [
        Row("b.mp3[1.000-2.000]", there / "b.mp3", "From vtt", 1.0, 2.0),
        Row("sub/a.wav[0.500-2.000]", there / "sub" / "a.wav", "One", 0.5, 2.0),
        Row("sub/a.wav[2.000-3.250]", there / "sub" / "a.wav", "Two", 2.0, 3.25),
    ]
    assert "3 rows with times of 2 recordings (1 WebVTT, 1 SubRip)" in source.notices
    assert {there, there / "b.vtt", there / "sub" / "a.srt"} <= set(source.dependencies)


@pytest.mark.parametrize("name", ["a.srt", "a.wav.srt", "a.en.srt", "a.wav.en.srt", "a.SRT"])
def test_names_that_belong_to_a_recording(folder, name: str) -> None:
    assert texts(load(folder({"a.wav": "", "a.b.wav": "", name: SRT}))) == [("a.wav", "One"), ("a.wav", "Two")]


def test_the_longest_name_wins(folder) -> None:
    assert texts(load(folder({"a.wav": "", "a.b.wav": "", "a.b.srt": SRT})))[0][0] == "a.b.wav"


def test_of_several_one_is_read_and_the_others_are_named(folder) -> None:
    there = folder({"a.wav": "", "a.srt": SRT, "a.vtt": VTT, "a.tsv": TSV, "a.json": JSON, "a.txt": "plain"})
    source = load(there)
    assert texts(source) == [("a.wav", "One"), ("a.wav", "Two")]
    assert any("3 more annotations" in notice and "a.vtt, a.json, a.tsv" in notice for notice in source.notices)
    assert texts(load(there / "a.tsv")) == [("a.wav", "From tsv")]
    assert texts(load(f"{there}/*.vtt")) == [("a.wav", "From vtt")]
    (row,) = load(f"{there}/*.json").rows
    assert (row.text, row.start_s, row.end_s, row.speaker) == ("From json", 1.25, 2.0, "SPEAKER_00")


def test_annotations_in_several_languages_need_a_choice(folder) -> None:
    there = folder({"a.wav": "", "a.en.srt": SRT, "a.fr.vtt": VTT})
    refused(there, "--data.name_or_path", "several languages", "a.en.srt, a.fr.vtt", "*.en.srt")
    assert texts(load(f"{there}/*.fr.vtt")) == [("a.wav", "From vtt")]
    assert texts(load(folder({"a.srt": SRT.replace("One", "Uno")})))[0] == ("a.wav", "Uno")


def test_a_manifest_goes_first_and_a_plain_text_last(folder) -> None:
    files = {"a.wav": "", "a.srt": SRT, "a.txt": "beside"}
    assert texts(load(folder(files)))[0] == ("a.wav", "One")
    assert texts(load(folder({"metadata.csv": "file_name,text\na.wav,listed\n"}))) == [("a.wav", "listed")]


@pytest.mark.parametrize(
    "name",
    ["a.txt", "a.json", "a.tsv"],
)
def test_what_only_looks_like_an_annotation_is_none(folder, name: str) -> None:
    contents = {"a.txt": "plain", "a.json": '{"duration": 3, "segments": 2}', "a.tsv": "word\tcount\none\t1\n"}
    there = folder({"a.wav": "", "a.txt": "plain", name: contents[name]})
    assert texts(load(there)) == [("a.wav", "plain")]


def test_what_has_no_partner_is_counted_and_named(folder) -> None:
    source = load(folder({"a.wav": "", "a.srt": SRT, "b.wav": "", "lost.srt": SRT, "notes.txt": "x"}))
    assert any(
        "1 of 2 audio files have no annotation with times, and are left out" in notice and "b.wav" in notice
        for notice in source.notices
    )
    assert any("1 annotations have no audio file: lost.srt" in notice for notice in source.notices)


def test_a_recording_with_a_plain_text_only_is_one_row(folder) -> None:
    there = folder({"a.wav": "", "a.srt": SRT, "a.txt": "One two", "b.wav": "", "b.txt": "beside\nit\n"})
    source = load(there)
    assert source.rows[2:] == [Row("b.wav", there / "b.wav", "beside it")]
    assert any("1 of 2 audio files" in notice and "a row each" in notice for notice in source.notices)
    assert there / "b.txt" in source.dependencies


def test_recordings_in_another_folder_are_found_by_their_only_name(folder) -> None:
    assert texts(load(folder({"audio/a.wav": "", "subs/a.srt": SRT})))[0] == ("audio/a.wav", "One")


def test_a_file_without_its_recording_is_refused(folder) -> None:
    refused(folder({"talk.srt": SRT, "other.mp3": ""}) / "talk.srt", "--data.name_or_path", "no audio file", "talk.srt")


def test_folders_named_after_splits(folder) -> None:
    there = folder({f"{split}/a.{ending}": SRT for split in ("train", "test") for ending in ("wav", "srt")})
    assert texts(load(there, split="test"))[0] == ("test/a.wav", "One")
    assert len(load(there).rows) == 2


def test_damaged_annotations_are_all_named(folder) -> None:
    there = folder(
        {"a.wav": "", "a.srt": "no times", "b.wav": "", "b.srt": b"1\n\xd2\xee\xf2", "c.wav": "", "c.srt": SRT}
    )
    message = refused(there, "--data.name_or_path", "2 of its annotations", "a.srt", "b.srt", "UTF-8")
    assert "c.srt" not in message


def test_what_was_left_out_is_said_with_a_file(folder) -> None:
    srt = SRT + "\n3\n00:00:04,000 --> 00:00:05,000\n\n\n4\n00:00:06,000 --> 00:00:05,000\nback\n"
    notices = load(folder({"a.wav": "", "a.srt": srt})).notices
    assert "1 of 4 cues are left out: without text of their own (the first in a.srt)" in notices
    assert "1 of 4 cues are left out: end before they begin (the first in a.srt)" in notices


def test_a_link_that_leads_outside_is_refused(folder, tmp_path: Path) -> None:
    (tmp_path / "secret.srt").write_text(SRT)
    there = folder({"a.wav": ""})
    (there / "a.srt").symlink_to(tmp_path / "secret.srt")
    refused(there, "--data.allow_outside_paths", "a.srt")


def test_an_edited_annotation_or_a_new_one_builds_the_index_anew(folder, tmp_path: Path) -> None:
    there = folder({"a.srt": SRT, "b.txt": "plain"})
    for name in ("a.wav", "b.wav"):
        soundfile.write(there / name, np.zeros(RATE_HZ * 4, dtype=np.int16), RATE_HZ)

    def index_texts() -> list[str | None]:
        name = SourceName(str(there))
        index, _ = open_index(name, sampling_rate_hz=RATE_HZ, channel=None, cache_dir=tmp_path / "cache")
        return [index.text_of("text", row) for row in range(len(index))]

    assert index_texts() == ["One", "Two", "plain"]
    (there / "a.srt").write_text(SRT.replace("Two", "Three"))
    assert index_texts() == ["One", "Three", "plain"]
    (there / "b.srt").write_text(SRT)
    assert index_texts() == ["One", "Three", "One", "Two"]


@pytest.mark.realdata
def test_every_file_that_whisper_wrote_of_one_recording(realdata: Path) -> None:
    there = realdata / "layouts" / "whisper-outputs-ca"
    (first, second), (*_, notice, _) = (source := load(there)).rows, source.notices
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0.0, 16.0, 16.0, 32.0)
    assert (first.text or "").startswith("Igual que la majoria de mamíferes de predadors,")
    assert (second.text or "").endswith("atrapar les preses.")
    assert all(name in notice for name in ("gossos.vtt", "gossos.tsv", "gossos.json", "gossos.words.json"))
    for name in ("gossos.srt", "gossos.vtt", "gossos.tsv", "gossos.json"):
        assert load(there / name).rows == [first, second], name
    words = load(there / "gossos.words.json").rows
    assert [(row.start_s, row.end_s) for row in words] == [(pytest.approx(1.18), 16.0), (16.0, pytest.approx(31.24))]
    assert [row.text for row in words] == [first.text, second.text]


@pytest.mark.realdata
def test_subtitles_of_a_torn_recording(realdata: Path, tmp_path: Path) -> None:
    there = realdata / "layouts" / "whisper-outputs-ca"
    (tmp_path / "gossos.srt").write_bytes((there / "gossos.srt").read_bytes())
    (tmp_path / "gossos.mp3").write_bytes((there / "gossos.mp3").read_bytes()[:300_000])  # 18 of 32 s
    source = load(tmp_path)
    assert [(row.start_s, row.end_s) for row in source.rows] == [(0.0, 16.0)]
    assert any(notice.startswith("1 of 2 cues are left out: beyond the end") for notice in source.notices)
