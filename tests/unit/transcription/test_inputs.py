"""Files, folders, globs and stdin: each recording once, in order, each with a place of its own to write to."""

import os
import sys
from pathlib import Path

import pytest

from accel_asr.errors import UserError
from accel_asr.transcription.inputs import find_recordings, output_names
from tests.refusals import refused


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b/call.wav", "a/call.WAV", "a/deep/call.mp3", "a/notes.txt", "a/.hidden.wav", "a/.cache/x.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("empty").mkdir()


def names(*arguments: str) -> list[str]:
    return [recording.name for recording in find_recordings(arguments)[0]]


def outputs(*arguments: str) -> list[str]:
    return [str(path) for path in output_names(find_recordings(arguments)[0], suffix=".srt")]


def test_a_folder_is_searched_to_its_depths_for_audio() -> None:
    assert names("a") == ["a/call.WAV", "a/deep/call.mp3"]


def test_a_glob_takes_audio_only() -> None:
    assert names("a/*") == ["a/call.WAV"]
    assert names("**/*.*") == ["a/call.WAV", "a/deep/call.mp3", "b/call.wav"]


def test_a_file_is_taken_whatever_its_suffix_and_brackets_in_its_name() -> None:
    Path("a/take[1].raw").touch()
    assert names("a/take[1].raw", "a/notes.txt") == ["a/take[1].raw", "a/notes.txt"]


def test_order_is_that_of_the_arguments_and_each_comes_once() -> None:
    assert names("b/call.wav", "-", "a", "a/call.WAV", "./b/call.wav", "-") == [
        "b/call.wav",
        "stdin",
        "a/call.WAV",
        "a/deep/call.mp3",
    ]


def test_all_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(UserError) as refusal:
        find_recordings(["gone.wav", "empty", "*.flac", "a/*.txt", "b"])
    problems = {error.value: error.problem for error in refusal.value.errors}
    assert problems["gone.wav"] == "does not exist"
    assert "no audio (files that end in .aac" in problems["empty"]
    assert "matches nothing" in problems["*.flac"]
    assert "matches files, but no audio" in problems["a/*.txt"]
    assert len(problems) == 4
    with pytest.raises(UserError) as refusal:
        find_recordings([f"gone-{number}.wav" for number in range(13)])
    assert len(refusal.value.errors) == 11
    assert "and 3 more" in str(refusal.value)


def test_a_link_to_a_folder_is_told_of() -> None:
    os.symlink("../b", "a/linked")
    recordings, notes = find_recordings(["a"])
    assert len(recordings) == 2
    assert notes == ["a/linked is a link to a folder, and not followed; name it too"]


def test_output_keeps_the_folders_below_what_all_have_in_common() -> None:
    assert outputs("a/call.WAV") == ["call.srt"]
    assert outputs("a") == ["call.srt", "deep/call.srt"]
    assert outputs("a/deep") == ["call.srt"]
    assert outputs("a/call.WAV", "b/call.wav") == ["a/call.srt", "b/call.srt"]
    assert outputs("a/**/*.*") == ["call.srt", "deep/call.srt"]
    assert outputs("a/deep", os.path.abspath("b")) == ["a/deep/call.srt", "b/call.srt"]


def test_two_of_one_folder_that_differ_in_suffix_or_case_do_not_meet() -> None:
    for name in ("one.wav", "one.mp3", "Two.wav", "two.wav", "stdin.wav"):
        Path("b", name).touch()
    assert outputs("b", "-") == [
        "Two.wav.srt",
        "call.srt",
        "one.mp3.srt",
        "one.wav.srt",
        "stdin.wav.srt",
        "two.wav.srt",
        "stdin.srt",
    ]


def test_stdin_alone_has_a_name() -> None:
    assert outputs("-") == ["stdin.srt"]


def test_stdin_that_is_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with refused("FILE", "stdin is a terminal", value="-"):
        find_recordings(["-"])
