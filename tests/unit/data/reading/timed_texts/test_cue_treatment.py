"""What becomes of cues that can't be rows as they are: left out, shortened or joined, and always counted."""

import pytest

from accel_asr.data.reading.timed_texts import cue_treatment
from accel_asr.data.reading.timed_texts.cue_treatment import usable_cues
from accel_asr.data.reading.timed_texts.timed_cues import TimedCue

Plain = tuple[float, float | None, str]


def of_cues(*cues: Plain | TimedCue) -> tuple[list[Plain], dict[str, int]]:
    usable, counts = usable_cues([cue if isinstance(cue, TimedCue) else TimedCue(*cue) for cue in cues])
    return [(cue.start_s, cue.end_s, cue.text) for cue in usable], dict(counts)


@pytest.mark.parametrize(
    ("cue", "reason"),
    [
        ((0.0, 1.0, " \n "), cue_treatment.EMPTY),
        ((0.0, 1.0, "♪ ... ♪"), cue_treatment.EMPTY),
        ((0.0, 1.0, "[Music] (applause)"), cue_treatment.SOUNDS),
        ((2.0, 1.0, "backwards"), cue_treatment.IMPOSSIBLE),
        ((-2.0, -1.0, "before"), cue_treatment.IMPOSSIBLE),
        ((1.0, 1.01, "too short"), cue_treatment.SHORT),
        ((1.0, 1.0, "a point"), cue_treatment.SHORT),
    ],
)
def test_what_cannot_be_a_row_is_left_out_and_counted(cue: Plain, reason: str) -> None:
    assert of_cues((3.0, 4.0, "stays"), cue) == ([(3.0, 4.0, "stays")], {reason: 1})


def test_times_before_the_recording_begin_with_it_and_texts_are_one_line() -> None:
    assert of_cues((-0.5, 1.0, " two\n  lines ")) == ([(0.0, 1.0, "two lines")], {})


def test_cues_are_in_the_order_of_their_starts() -> None:
    assert of_cues((2.0, 3.0, "b"), (0.0, 1.0, "a")) == ([(0.0, 1.0, "a"), (2.0, 3.0, "b")], {})


def test_a_cue_without_an_end_lasts_until_the_next_or_to_the_end() -> None:
    assert of_cues((0.0, None, "a"), (2.0, None, " "), (5.0, None, "b")) == (
        [(0.0, 2.0, "a"), (5.0, None, "b")],
        {},
    )


def test_of_a_part_overlap_the_first_ends_where_the_second_begins() -> None:
    assert of_cues((0.0, 3.0, "a"), (2.0, 5.0, "b"), (4.0, 6.0, "c")) == (
        [(0.0, 2.0, "a"), (2.0, 4.0, "b"), (4.0, 6.0, "c")],
        {cue_treatment.SHORTENED: 2},
    )


def test_two_texts_at_the_same_time_are_one_row() -> None:
    assert of_cues((0.0, 2.0, "- Come."), (0.0, 2.0, "- No.")) == (
        [(0.0, 2.0, "- Come. - No.")],
        {cue_treatment.JOINED: 1},
    )
    assert of_cues((0.0, 9.0, "a long one"), (4.0, 5.0, "yes")) == (
        [(0.0, 9.0, "a long one yes")],
        {cue_treatment.JOINED: 1},
    )


def test_the_same_text_again_at_the_same_time_is_left_out() -> None:
    assert of_cues((0.0, 2.0, "once"), (0.0, 2.0, "once"), (2.0, 3.0, "once")) == (
        [(0.0, 2.0, "once"), (2.0, 3.0, "once")],
        {cue_treatment.REPEATED: 1},
    )


def test_two_speakers_keep_their_times_and_are_counted() -> None:
    ada, bo = TimedCue(0.0, 3.0, "a", speaker="ada"), TimedCue(2.0, 4.0, "b", speaker="bo")
    later = TimedCue(4.0, 5.0, "c", speaker="ada")
    assert of_cues(ada, bo, later) == (
        [(0.0, 3.0, "a"), (2.0, 4.0, "b"), (4.0, 5.0, "c")],
        {cue_treatment.TWO_SPEAKERS: 2},
    )
