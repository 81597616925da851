"""txt, json, srt and vtt, as the readers of these want them."""

import json

import pytest

from accel_asr.transcription.formats import rendered, timestamp
from accel_asr.transcription.segments import Segment, TimedText

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
