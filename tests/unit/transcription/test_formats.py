"""txt, json, srt, vtt, tsv and ctm, as the readers of these want them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.transcription.cues import LineLimits
from accel_asr.transcription.formats import FORMATS, PLAIN, Style, rendered, timestamp
from accel_asr.transcription.segments import Segment, TimedText, Word
from tests.unit.data.local_sources import load

SPOKEN = TimedText(
    text="Rock & roll <b> is fine",
    segments=(Segment(0.0, 1.5, "Rock & roll"), Segment(1.5, 3661.0004, "<b> --> is fine")),
    duration_s=3662.12345,
    language="en",
)


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (0.0, "00:00:00.000"),
        (1.9996, "00:00:02.000"),
        (59.9999, "00:01:00.000"),
        (3661.042, "01:01:01.042"),
        (360_000.0, "100:00:00.000"),
    ],
)
def test_times_carry_over_when_they_are_rounded(time_s: float, expected: str) -> None:
    assert timestamp(time_s, decimal_mark=".") == expected


def test_srt_numbers_its_cues_and_has_commas() -> None:
    assert rendered(SPOKEN, output_format="srt", name="x").split("\n") == [
        "1",
        "00:00:00,000 --> 00:00:01,500",
        "Rock & roll",
        "",
        "2",
        "00:00:01,500 --> 01:01:01,000",
        "<b> --> is fine",
    ]


def test_vtt_has_its_header_and_escapes_what_would_be_read_as_markup() -> None:
    assert rendered(SPOKEN, output_format="vtt", name="x").split("\n") == [
        "WEBVTT",
        "",
        "00:00:00.000 --> 00:00:01.500",
        "Rock &amp; roll",
        "",
        "00:00:01.500 --> 01:01:01.000",
        "&lt;b&gt; --&gt; is fine",
    ]


def test_json_holds_everything() -> None:
    assert json.loads(rendered(SPOKEN, output_format="json", name="calls/one.wav")) == {
        "file": "calls/one.wav",
        "duration_s": 3662.123,
        "language": "en",
        "text": "Rock & roll <b> is fine",
        "segments": [
            {"start_s": 0.0, "end_s": 1.5, "text": "Rock & roll"},
            {"start_s": 1.5, "end_s": 3661.0004, "text": "<b> --> is fine"},
        ],
    }


def test_json_is_one_line_unless_it_is_indented_and_keeps_letters_as_they_are() -> None:
    spoken = TimedText("grüß dich", (), 1.0)
    assert "\n" not in rendered(spoken, output_format="json", name="x")
    assert "grüß" in rendered(spoken, output_format="json", name="x")
    assert "\n" in rendered(spoken, output_format="json", name="x", indent=2)


def test_where_nothing_was_said_files_are_empty_but_valid() -> None:
    silent = TimedText("", (), 2.0)
    assert rendered(silent, output_format="txt", name="x") == ""
    assert rendered(silent, output_format="srt", name="x") == ""
    assert rendered(silent, output_format="vtt", name="x") == "WEBVTT"


WORDS = (Word(0.5, 0.9, "Rock", 0.91), Word(0.9, 1.0, "&", 0.5), Word(1.0, 1.5, "roll", 0.875))
TIMED = TimedText(
    text="Rock & roll is\tfine",
    segments=(Segment(0.5, 1.5, "Rock & roll", WORDS), Segment(1.5, 2.25, "is\tfine")),
    duration_s=3.0,
    language="en",
    language_probability=0.98765,
)


def test_tsv_has_milliseconds_and_no_tab_in_a_text() -> None:
    assert rendered(TIMED, output_format="tsv", name="x").split("\n") == [
        "start\tend\ttext",
        "500\t1500\tRock & roll",
        "1500\t2250\tis fine",
    ]


def test_ctm_has_a_line_for_each_word_under_the_name_without_its_suffix() -> None:
    assert rendered(TIMED, output_format="ctm", name="calls/my call.1.wav").split("\n") == [
        "my_call.1 1 0.500 0.400 Rock 0.910",
        "my_call.1 1 0.900 0.100 & 0.500",
        "my_call.1 1 1.000 0.500 roll 0.875",
    ]


def test_words_are_in_json_and_karaoke_in_vtt_where_asked_for() -> None:
    style = Style(with_words=True)
    about = json.loads(rendered(TIMED, output_format="json", name="x", style=style))
    assert about["language_probability"] == 0.988
    assert about["segments"][0]["words"][0] == {"start_s": 0.5, "end_s": 0.9, "text": "Rock", "probability": 0.91}
    assert about["segments"][1]["words"] == []
    assert "words" not in json.loads(rendered(TIMED, output_format="json", name="x"))["segments"][0]
    assert rendered(TIMED, output_format="vtt", name="x", style=style).split("\n")[2:4] == [
        "00:00:00.500 --> 00:00:01.500",
        "Rock <00:00:00.900>&amp; <00:00:01.000>roll",
    ]
    assert rendered(TIMED, output_format="vtt", name="x").split("\n")[3] == "Rock &amp; roll"


def test_times_of_karaoke_rise_within_their_cue() -> None:
    # WebVTT: each later than the one before and than the cue's start, and earlier than its end
    words = [Word(0.0, 1.0, "a", 1.0), Word(1.0, 1.0, "b", 1.0), Word(1.0, 2.0, "c", 1.0), Word(2.0, 2.0, "d", 1.0)]
    spoken = TimedText("a b c d", (Segment(0.0, 2.0, "a b c d", tuple(words)),), 2.0)
    cue = rendered(spoken, output_format="vtt", name="x", style=Style(with_words=True)).split("\n")[3]
    assert cue == "a <00:00:01.000>b c d"


def test_words_keep_the_spaces_of_their_text() -> None:
    # a script without spaces beside one with them
    words = [
        Word(0.0, 0.5, "我", 1.0),
        Word(0.5, 1.0, "买", 1.0),
        Word(1.0, 2.0, "iPhone", 1.0),
        Word(2.0, 3.0, "了", 1.0),
    ]
    spoken = TimedText("我买iPhone了", (Segment(0.0, 3.0, "我买iPhone了", tuple(words)),), 3.0, "zh")
    assert rendered(spoken, output_format="srt", name="x").endswith("\n我买iPhone了")
    limits = Style(LineLimits(max_line_width=10))
    assert rendered(spoken, output_format="srt", name="x", style=limits).endswith("\n我买\niPhone了")


@pytest.mark.parametrize("style", [PLAIN, Style(with_words=True)])
@pytest.mark.parametrize("output_format", sorted({*FORMATS} - {"txt"}))
def test_what_is_written_is_a_source_with_the_same_times(tmp_path: Path, output_format: str, style: Style) -> None:
    words = [Word(0.5, 0.9, "Hello", 0.9), Word(0.9, 1.2, "there,", 0.9), Word(1.2, 2.25, "Anna.", 0.9)]
    fine = [Word(3.0, 3.5, "A", 0.9), Word(3.5, 3.75, "&", 0.9), Word(3.75, 4.125, "B?", 0.9)]
    segments = (Segment(0.5, 2.25, "Hello there, Anna.", tuple(words)), Segment(3.0, 4.125, "A & B?", tuple(fine)))
    spoken = TimedText("Hello there, Anna. A & B?", segments, 5.0, "en")
    written = rendered(spoken, output_format=output_format, name="talk.wav", style=style, indent=2)
    (tmp_path / f"talk.{output_format}").write_text(written + "\n")
    soundfile.write(tmp_path / "talk.wav", np.full(5 * 16_000, 0.1), 16_000)
    rows = [(row.text, row.start_s, row.end_s) for row in load(tmp_path).rows]
    assert rows == [("Hello there, Anna.", 0.5, 2.25), ("A & B?", 3.0, 4.125)]
