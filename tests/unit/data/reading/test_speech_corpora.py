"""Kaldi data folders, LibriSpeech and LJSpeech, as they are distributed."""

from pathlib import Path

import pytest

from accel_asr.data.reading.rows import RowColumns
from tests.unit.data.local_sources import load, refused

BY_SPEAKER = {"columns": RowColumns(group="speaker")}

# -- Kaldi

KALDI = {
    "data/train/wav.scp": "ada-1 wavs/a 1.wav\nbo-1\twavs/b.wav\n",
    "data/train/text": "ada-1 GO ON\nbo-1\tSTOP\nlost-1 NEVER\n",
    "data/train/utt2spk": "ada-1 ada\nbo-1 bo\n",
    "data/train/split2/1/wav.scp": "ada-1 wavs/a 1.wav\n",
    "data/valid/wav.scp": "cy-1 wavs/c.wav\n",
    "data/valid/text": "cy-1\n",
    "wavs/a 1.wav": "",
    "wavs/b.wav": "",
    "wavs/c.wav": "",
}


def test_a_kaldi_recipe_is_read_by_split_and_by_folder(folder) -> None:
    there = folder(KALDI)
    for source in (load(there, **BY_SPEAKER), load(there / "data" / "train", **BY_SPEAKER)):
        assert [(row.utterance_id, row.text, row.group) for row in source.rows] == [
            ("ada-1", "GO ON", "ada"),
            ("bo-1", "STOP", "bo"),
        ]
        assert [row.audio for row in source.rows] == [there / "wavs" / "a 1.wav", there / "wavs" / "b.wav"]
        assert any("1 of 3 lines of text have no recording: lost-1" in notice for notice in source.notices)
    (row,) = load(there, split="dev").rows
    assert (row.utterance_id, row.text) == ("cy-1", "")
    assert load(there / "data" / "valid" / "wav.scp").rows == [row]


def test_segments_select_their_times(folder) -> None:
    there = folder(
        {
            "wav.scp": "call a.wav\n",
            "segments": "u1 call 0.5 2.25\nu2 call 3 -1\n",
            "text": "u1 one\nu2 two\n",
            "utt2lang": "u1 en\nu2 de\n",
            "a.wav": "",
        }
    )
    source = load(there, columns=RowColumns(language="language"))
    assert [(row.utterance_id, row.start_s, row.end_s, row.text, row.language) for row in source.rows] == [
        ("u1", 0.5, 2.25, "one", "en"),
        ("u2", 3.0, None, "two", "de"),
    ]
    assert {row.audio for row in source.rows} == {there / "a.wav"}


def test_a_line_that_is_no_segment_is_named(folder) -> None:
    there = folder({"wav.scp": "call a.wav\n", "text": "u1 x\n", "segments": "u1 call 1 2\nu2 other 1 2\nu3 call x\n"})
    refused(there, "--data.name_or_path", "2 of 3 lines", "'u2 other 1 2', 'u3 call x'")


@pytest.mark.parametrize("command", ["sph2pipe -f wav a.sph |", "touch {}/ran |", "| touch {}/ran", "cat a.wav|"])
def test_a_command_is_refused_and_never_run(folder, tmp_path: Path, command: str) -> None:
    there = folder({"wav.scp": f"u1 {command.format(tmp_path)}\nu2 a.wav\n", "text": "u1 x\nu2 y\n"})
    words = ("1 of 2 recordings", "commands, which are never run", command.format(tmp_path))
    refused(there, "--data.name_or_path", *words)
    assert not (tmp_path / "ran").exists()


def test_archives_a_missing_text_and_an_id_that_comes_twice_are_refused(folder) -> None:
    there = folder({"wav.scp": "u1 raw.ark:12\n"})
    refused(there, "--data.name_or_path", "no file text")
    (there / "text").write_text("u1 x\n")
    refused(there, "--data.name_or_path", "not audio files (u1: raw.ark:12)")
    (there / "wav.scp").write_text("u1 a.wav\nu1 b.wav\n")
    refused(there, "--data.name_or_path", "'u1' twice, again on line 2")


def test_two_kaldi_folders_of_one_name_are_asked_about(folder) -> None:
    files = {f"{home}/train/{name}": "u1 a.wav\n" for home in ("data", "dump/raw") for name in ("wav.scp", "text")}
    refused(folder(files), "--data.name_or_path", "data/train, dump/raw/train")


def test_a_kaldi_folder_names_nothing_outside(folder) -> None:
    there = folder({"data/train/wav.scp": "u1 ../../../a.wav\n", "data/train/text": "u1 x\n"})
    refused(there / "data" / "train", "--data.allow_outside_paths")


@pytest.mark.realdata
def test_an_espnet_recipe_as_it_is(realdata: Path) -> None:
    recipe = realdata / "layouts" / "kaldi-an4"
    train = load(recipe, **BY_SPEAKER).rows
    assert [(row.utterance_id, row.text, row.group) for row in train][:2] == [
        ("fash-an253-b", "GO", "fash"),
        ("fbbh-cen8-b", "MARCH THIRD NINETEEN TWENTY EIGHT", "fbbh"),
    ]
    assert len(train) == 4
    assert [row.text for row in load(recipe, split="validation").rows] == ["YES"]
    assert len(load(recipe, split="test").rows) == 2
    assert all(isinstance(row.audio, Path) and row.audio.is_file() for row in train)


@pytest.mark.realdata
def test_common_voice_as_it_is(realdata: Path) -> None:
    source = load(realdata / "layouts" / "common-voice-ta", columns=RowColumns(group="client_id"))
    assert len(source.rows) == 13
    assert all(isinstance(row.audio, Path) and row.audio.is_file() for row in source.rows)
    assert source.rows[0].group == "speaker-01"
    assert any("validated" in notice for notice in source.notices)


# -- LibriSpeech

LIBRISPEECH = {
    "train-clean-100/84/121123/84-121123.trans.txt": "84-121123-0000 GO AND SEE\n84-121123-0001 OH NO\n",
    "train-clean-100/84/121123/84-121123-0000.flac": "",
    "train-clean-100/84/121123/84-121123-0001.flac": "",
    "train-clean-360/7/1/7-1.trans.txt": "7-1-0000 MORE\n",
    "train-clean-360/7/1/7-1-0000.flac": "",
    "dev-clean/9/2/9-2.trans.txt": "9-2-0000 YES\n9-2-0001 LOST\n",
    "dev-clean/9/2/9-2-0000.flac": "",
    "SPEAKERS.TXT": "84 | F | train-clean-100 | 25 | X\n",
}


@pytest.mark.parametrize("root", ["", "LibriSpeech/"])
def test_librispeech(folder, root: str) -> None:
    there = folder({root + name: content for name, content in LIBRISPEECH.items()})
    source = load(there, **BY_SPEAKER)
    assert [(row.utterance_id, row.text, row.group) for row in source.rows] == [
        ("84-121123-0000", "GO AND SEE", "84"),
        ("84-121123-0001", "OH NO", "84"),
        ("7-1-0000", "MORE", "7"),
    ]
    first = there / root / "train-clean-100" / "84" / "121123" / "84-121123-0000.flac"
    assert source.rows[0].audio == first
    assert [row.text for row in load(there, split="train-clean-360").rows] == ["MORE"]
    dev = load(there, split="validation")
    assert [row.text for row in dev.rows] == ["YES"]
    assert any("9-2-0001" in notice for notice in dev.notices)  # it has no audio
    assert [row.text for row in load(there / root / "dev-clean").rows] == ["YES"]


# -- LJSpeech

LJSPEECH = 'LJ001-0001|The "year" 1455,|The "year" fourteen fifty-five,\nLJ001-0002|Mr. X|\n'


def test_ljspeech(folder) -> None:
    there = folder({"metadata.csv": LJSPEECH, "wavs/LJ001-0001.wav": "", "wavs/LJ001-0002.wav": ""})
    for source in (load(there), load(there / "metadata.csv")):
        assert [(row.text, row.audio) for row in source.rows] == [
            ('The "year" fourteen fifty-five,', there / "wavs" / "LJ001-0001.wav"),
            ("Mr. X", there / "wavs" / "LJ001-0002.wav"),
        ]
        assert not any("not listed" in notice for notice in source.notices)
    assert load(there, text_column="raw_text").rows[0].text == 'The "year" 1455,'


def test_a_line_of_ljspeech_with_other_fields_is_named(folder) -> None:
    there = folder({"metadata.csv": LJSPEECH + "LJ001-0003|one\n", "wavs/LJ001-0001.wav": ""})
    refused(there, "--data.name_or_path", "1 of 3 lines do not have 3 fields", "line 3")


def test_lists_made_after_ljspeech_are_told_apart_by_split(folder) -> None:
    there = folder(
        {
            "metadata_train.csv": "clips/a.flac|one\n",
            "metadata_val.csv": "b|two\n",
            "clips/a.flac": "",
            "wavs/b.wav": "",
        }
    )
    assert [(row.text, row.audio) for row in load(there).rows] == [("one", there / "clips" / "a.flac")]
    assert [row.text for row in load(there, split="validation").rows] == ["two"]
