"""Segments: within the recording, in order, longer than nothing; no word is lost."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_asr.transcription.segments import Segment, joined, one_segment, spread, tidied


@pytest.mark.parametrize(
    ("texts", "line"),
    [
        ([" Two", " pounds."], "Two pounds."),
        (["Two", "pounds"], "Two pounds"),
        (["二ポンド", "です。"], "二ポンドです。"),
        (["二ポンド", "two"], "二ポンド two"),
        (["a\n\nb", "", "  "], "a b"),
    ],
)
def test_texts_are_joined_as_their_script_wants(texts: list[str], line: str) -> None:
    assert joined(texts) == line


def test_segments_are_cut_to_the_recording() -> None:
    assert tidied([Segment(0, 2, "a"), Segment(2, 30, "b")], duration_s=2.5) == (
        Segment(0, 2, "a"),
        Segment(2, 2.5, "b"),
    )


def test_text_after_the_end_goes_to_the_segment_before() -> None:
    segments = [Segment(0, 2, "a"), Segment(7, 9, "late"), Segment(1, 1, "none")]
    assert tidied(segments, duration_s=2) == (Segment(0, 2, "a late none"),)


def test_text_before_any_length_goes_to_the_segment_after() -> None:
    assert tidied([Segment(0, 0, "a"), Segment(0, 1, "b")], duration_s=1) == (Segment(0, 1, "a b"),)
    assert tidied([Segment(1, 1, "alone")], duration_s=3) == (Segment(0, 3, "alone"),)


times_s = st.floats(0, 40, allow_nan=False)


@given(
    st.lists(st.builds(Segment, times_s, times_s, st.sampled_from(["", " ", "a", " b c"])), max_size=6),
    st.floats(0.0001, 35),
)
def test_whatever_a_model_says_becomes_valid_segments(segments: list[Segment], duration_s: float) -> None:
    tidy = tidied(segments, duration_s=duration_s)
    assert all(segment.text.strip() and segment.start_s < segment.end_s for segment in tidy)
    assert all(before.end_s <= after.start_s for before, after in pairwise(tidy))
    assert all(segment.end_s <= max(round(duration_s, 3), 0.001) for segment in tidy)
    assert " ".join(segment.text for segment in tidy).split() == " ".join(part.text for part in segments).split()


def test_nothing_said_is_no_segment() -> None:
    assert one_segment("", duration_s=3) == ()
    assert one_segment("a", duration_s=3) == (Segment(0, 3, "a"),)


def test_words_get_the_times_of_their_counterparts() -> None:
    timed = [Segment(0, 2, " hello there general"), Segment(2, 4, " you are a BOLD one")]
    assert spread("Hello there, General. You are the bold one!", timed) == [
        Segment(0, 2, "Hello there, General."),
        Segment(2, 4, "You are the bold one!"),
    ]


def test_words_that_the_other_lacks_stay_with_the_word_before_them() -> None:
    timed = [Segment(0, 2, "a b c d e f"), Segment(2, 4, "g h")]
    placed = spread("a b c d e f new g h end", timed)
    assert placed == [Segment(0, 2, "a b c d e f new"), Segment(2, 4, "g h end")]


def test_a_segment_without_counterparts_is_passed_over() -> None:
    timed = [Segment(0, 1, "noise"), Segment(1, 2, "a b c d e f g h")]
    assert spread("a b c d e f g h end", timed) == [Segment(1, 2, "a b c d e f g h end")]


def test_characters_are_words_where_a_script_has_no_spaces() -> None:
    timed = [Segment(0, 1, "今日は"), Segment(1, 2, "いい天気です")]
    assert spread("今日はいい天気です", timed) == timed


def test_transcripts_that_disagree_have_no_times_to_give() -> None:
    assert spread("one two three four five", [Segment(0, 2, "six seven three eight nine")]) is None
    assert spread("one two", []) is None
    assert spread("", [Segment(0, 2, "one")]) is None


@given(st.lists(st.sampled_from(["a", "b", "c."]), min_size=1, max_size=12), st.data())
def test_spreading_changes_no_word(words: list[str], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12))
    cut = data.draw(st.integers(0, len(other)))
    placed = spread(" ".join(words), [Segment(0, 1, " ".join(other[:cut])), Segment(1, 2, " ".join(other[cut:]))])
    if placed is not None:
        assert re.sub(r"\s+", " ", " ".join(segment.text for segment in placed)) == " ".join(words)
        assert [segment.start_s for segment in placed] == sorted(segment.start_s for segment in placed)
