"""Words to utterances at pauses, and labels that are no words."""

from accel_asr.data.reading.timed_texts.timed_cues import TimedCue
from accel_asr.data.reading.timed_texts.word_joining import has_unknown_words, is_silence, joined_words


def words(*times: tuple[float, float, str], speaker: str | None = None) -> list[TimedCue]:
    return [TimedCue(start_s, end_s, text, speaker, "words") for start_s, end_s, text in times]


def test_an_utterance_ends_at_half_a_second_of_silence() -> None:
    spoken = words((0.5, 0.75, "she "), (1.0, 1.5, "said"), (2.25, 2.5, "yes"), (1.5, 1.75, "so"))
    assert joined_words(spoken) == words((0.5, 1.75, "she said so"), (2.25, 2.5, "yes"))
    assert joined_words(words((0.0, 1.0, "a"), (1.5, 2.0, "b"))) == words((0.0, 1.0, "a"), (1.5, 2.0, "b"))
    assert joined_words(words((0.0, 1.0, "a"), (1.25, 2.0, "b"))) == words((0.0, 2.0, "a b"))


def test_speakers_and_recordings_stay_apart() -> None:
    both = words((0.0, 1.0, "a"), speaker="Ann") + words((1.0, 2.0, "b"), speaker="Ben")
    assert joined_words(both) == both


def test_speech_without_a_pause_is_cut_at_its_longest_gap() -> None:
    gap_after = 40
    spoken = words(
        *((number * 0.5 + (number >= gap_after) * 0.25, number * 0.5 + 0.5, str(number)) for number in range(100))
    )
    first, second = joined_words(spoken)
    assert (first.end_s, second.start_s) == (20.0, 20.25)
    assert f"{first.text} {second.text}".split() == [str(number) for number in range(100)]


def test_one_word_of_a_minute_is_left_to_the_filters() -> None:
    assert joined_words(words((0.0, 60.0, "aaah"))) == words((0.0, 60.0, "aaah"))


def test_labels_that_are_no_speech() -> None:
    labels = words(
        (0, 1, "SIL"), (1, 2, "silly"), (2, 3, " <p> "), (3, 4, "ignore_time_segment_in_scoring"), (4, 5, "")
    )
    assert [is_silence(cue) for cue in labels] == [True, False, True, True, False]
    assert [has_unknown_words(cue) for cue in words((0, 1, "so <UNK> it is"), (1, 2, "so it is"))] == [True, False]
