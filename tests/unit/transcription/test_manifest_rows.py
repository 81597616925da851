"""Transcripts as rows to train on: where long recordings are cut, what each filter leaves out, how it is counted."""

import pytest

from accel_asr.transcription.manifest_rows import (
    RowFilters,
    RowScores,
    TranscribedRow,
    compression_ratio,
    disagreement,
    rows_of_transcript,
    summary,
)
from accel_asr.transcription.segments import Segment, TimedText

GOOD = RowScores(avg_logprob=-0.2, no_speech_prob=0.01, compression_ratio=1.1, disagreement=0.0)


def spoken(*segments: tuple[float, float, str], duration_s: float) -> TimedText:
    timed = tuple(Segment(*segment) for segment in segments)
    return TimedText(" ".join(segment.text for segment in timed), timed, duration_s, "en")


def test_a_short_recording_is_one_row_whatever_its_segments() -> None:
    short = spoken((0.5, 2.0, "one two"), (2.5, 3.0, "three"), duration_s=3.3337)
    assert rows_of_transcript(short, longest_s=30.0) == [TranscribedRow(0.0, 3.333, "one two three", "en")]


def test_a_long_recording_is_cut_between_segments_before_the_window_is_full_and_at_pauses() -> None:
    long = spoken(
        (0.0, 12.0, "a"), (12.0, 24.0, "b"), (24.5, 30.0, "c"), (30.5, 33.0, "d"), (35.5, 40.0, "e"), duration_s=40.0
    )
    assert rows_of_transcript(long, longest_s=30.0) == [
        TranscribedRow(0.0, 30.0, "a b c", "en"),
        TranscribedRow(30.5, 33.0, "d", "en", "a b c"),
        TranscribedRow(35.5, 40.0, "e", "en", "d"),
    ]


def test_no_row_is_longer_than_the_window_unless_its_only_segment_is() -> None:
    long = spoken(*((2.9 * number, 2.9 * number + 2.9, "word") for number in range(100)), duration_s=290.0)
    rows = rows_of_transcript(long, longest_s=30.0)
    assert [round(row.end_s - row.start_s, 2) for row in rows] == [29.0] * 10
    assert sum(len(row.text.split()) for row in rows) == 100
    too_long = spoken((0.0, 31.0, "a"), (31.0, 33.0, "b"), duration_s=33.0)
    assert [row.text for row in rows_of_transcript(too_long, longest_s=30.0)] == ["a", "b"]


def test_disagreement_is_the_word_error_rate_without_case_and_punctuation() -> None:
    assert disagreement("Yes, it is so.", "yes it is so") == 0.0
    assert disagreement("one two three four", "one too three four five") == pytest.approx(2 / 4)
    assert disagreement("one two", "") == 1.0
    assert disagreement("", "one") == 1.0
    assert disagreement("今天好", "今天不好") == pytest.approx(1 / 3)  # by characters


def test_the_compression_ratio_is_that_of_whisper() -> None:
    assert compression_ratio("on and on " * 40) > 2.4
    assert compression_ratio("My fellow Americans, this week prosecutors joined me.") < 1.1
    assert compression_ratio("") == 0.0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("avg_logprob", -1.01, "improbable"),
        ("no_speech_prob", 0.61, "no speech"),
        ("compression_ratio", 2.41, "repeats"),
        ("disagreement", 0.31, "disagree"),
    ],
)
def test_each_filter_has_its_own_reason_and_can_be_switched_off(name: str, value: float, words: str) -> None:
    assert RowFilters().why_left_out(GOOD) is None
    bad = RowScores(**vars(GOOD) | {name: value})
    assert words in (RowFilters().why_left_out(bad) or "")
    limit = f"min_{name}" if name == "avg_logprob" else f"max_{name}"
    assert RowFilters(**{limit: value}).why_left_out(bad) is None
    assert RowFilters(**{limit: None}).why_left_out(bad) is None


def test_what_is_not_known_is_no_reason() -> None:
    assert RowFilters().why_left_out(RowScores(avg_logprob=-0.5, compression_ratio=1.0)) is None


def test_the_summary_counts_rows_minutes_and_reasons() -> None:
    row = {"start": 0.0, "end": 30.0}
    left_out = [row | {"reason": reason} for reason in ("no text", "an improbable text", "an improbable text")]
    assert summary([row] * 5, left_out) == (
        "kept 5 of 8 rows, 2.5 of 4.0 minutes; left out 2 (an improbable text), 1 (no text)"
    )
    assert summary([row], []).endswith("left out none")
