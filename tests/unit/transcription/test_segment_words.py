"""Words given to the segments that they belong to."""

from accel_asr.transcription.segment_words import shared_out
from accel_asr.transcription.segments import Segment, Word


def words(*timed: tuple[float, float, str]) -> list[Word]:
    return [Word(start_s, end_s, text, 0.9) for start_s, end_s, text in timed]


def test_segments_begin_and_end_with_their_words() -> None:
    said = words((0.2, 0.5, "Hello"), (0.5, 0.9, "there."), (1.4, 1.8, "Good"), (1.8, 2.1, "night."))
    segments = [Segment(0.0, 1.2, "Hello there."), Segment(1.2, 3.0, "Good night.")]
    first, second = shared_out(segments, said)
    assert (first.start_s, first.end_s, first.words) == (0.2, 0.9, tuple(said[:2]))
    assert (second.start_s, second.end_s, second.words) == (1.4, 2.1, tuple(said[2:]))
    assert [first.text, second.text] == ["Hello there.", "Good night."]


def test_a_word_beside_a_pause_does_not_take_the_pause() -> None:
    said = words((0.0, 5.0, "Hello"), (5.0, 5.3, "my"), (5.3, 5.6, "dear"), (5.6, 9.9, "friend."))
    (segment,) = shared_out([Segment(0.0, 10.0, "Hello my dear friend.")], said)
    # the median lasts 2.3 s; Whisper takes at most 0.7 s for it, and twice that for the longest word
    assert (segment.start_s, segment.end_s) == (3.6, 7.0)


def test_where_the_model_places_no_word_the_segment_stays_as_it_was() -> None:
    segments = [Segment(0.0, 1.0, "Hello"), Segment(1.0, 2.0, "there")]
    first, second = shared_out(segments, words((0.3, 0.3, "Hello"), (0.3, 0.8, "there")))
    assert first == segments[0]
    assert (second.start_s, second.end_s) == (0.3, 0.8)


def test_characters_are_the_words_of_scripts_without_spaces() -> None:
    said = words((0.0, 0.4, "你"), (0.4, 0.8, "好"), (1.0, 1.4, "再"), (1.4, 1.9, "见"))
    first, second = shared_out([Segment(0.0, 1.0, "你好"), Segment(1.0, 2.0, "再见")], said)
    assert [word.text for word in second.words] == ["再", "见"]
    assert (first.end_s, second.start_s) == (0.8, 1.0)
