"""Loops, missing stretches and boundary errors of transcripts that were aligned by hand."""

import pytest

from accel_asr.evaluation.long_form_faults import find_faults, find_loops, placed_words
from accel_asr.model.written_tokens import TimedWords
from accel_asr.transcription.segments import Segment

NUMBERS = [f"n{number}" for number in range(60)]


def text(first: int, stop: int) -> str:
    return " ".join(NUMBERS[first:stop])


def faults(said: list[TimedWords], written: list[Segment], **more):
    return find_faults("call", said, written, str.lower, **more)


def test_words_share_the_time_of_their_segment() -> None:
    first, middle, last = placed_words([Segment(10.0, 13.0, "One two THREE")], str.lower)
    assert (first.word, first.start_s, first.end_s, first.begins, first.ends) == ("one", 10.0, 11.0, True, False)
    assert (middle.start_s, middle.begins, middle.ends) == (11.0, False, False)
    assert (last.word, last.end_s, last.begins, last.ends) == ("three", 13.0, False, True)


def test_a_missing_stretch_has_its_time_and_the_words_around_it() -> None:
    said = [TimedWords(text(0, 20), 0.0, 10.0), TimedWords(text(20, 40), 11.0, 21.0)]
    found = faults(said, [Segment(0.0, 21.0, f"{text(0, 15)} {text(30, 40)}")])
    (stretch,) = found.missing
    assert (stretch.words, stretch.text) == (15, text(15, 30))
    assert (stretch.start_s, stretch.end_s, stretch.seconds) == (7.5, 16.0, 8.5)
    assert (stretch.before, stretch.after) == (text(7, 15), text(30, 38))
    assert found.loops == ()


@pytest.mark.parametrize(("words", "count"), [(9, 0), (10, 1)])
def test_a_few_missing_words_are_no_stretch(words: int, count: int) -> None:
    said = [TimedWords(text(0, 40), 0.0, 40.0)]
    found = faults(said, [Segment(0.0, 40.0, f"{text(0, 5)} {text(5 + words, 40)}")])
    assert len(found.missing) == count


def test_a_word_that_the_alignment_finds_within_a_gap_does_not_cut_it_in_two() -> None:
    said = [TimedWords(f"{text(0, 5)} {text(10, 18)} and {text(20, 28)} {text(30, 40)}", 0.0, 32.0)]
    (stretch,) = faults(said, [Segment(0.0, 32.0, f"{text(0, 5)} and {text(30, 40)}")]).missing
    assert stretch.words == 16
    assert stretch.text == f"{text(10, 18)} and {text(20, 28)}"


def test_substituted_words_are_not_missing() -> None:
    said = [TimedWords(text(0, 30), 0.0, 30.0)]
    others = " ".join(f"x{number}" for number in range(30))
    assert faults(said, [Segment(0.0, 30.0, others)]).missing == ()


def test_nothing_written_is_all_missing_and_nothing_said_is_none() -> None:
    (stretch,) = faults([TimedWords(text(0, 30), 0.0, 30.0)], []).missing
    assert (stretch.words, stretch.seconds, stretch.before, stretch.after) == (30, 30.0, "", "")
    assert faults([], [Segment(0.0, 1.0, "you")]).missing == ()


def test_a_loop_counts_the_words_after_the_first_time() -> None:
    written = [Segment(0.0, 2.0, "so n1"), Segment(2.0, 12.0, "thank you very much " * 5), Segment(12.0, 13.0, "bye")]
    (loop,) = faults([TimedWords("so n1 thank you bye", 0.0, 13.0)], written).loops
    assert (loop.words, loop.start_s, loop.end_s) == (16, 2.0, 12.0)
    assert (loop.before, loop.text, loop.after) == ("so n1", " ".join(["thank you very much"] * 5), "bye")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("thank you " * 3, ""),  # three times
        ("no no no no", ""),  # 11 letters
        ("seven " * 6, "seven " * 6),  # it was said
    ],
)
def test_what_is_no_loop(written: str, said: str) -> None:
    words = placed_words([Segment(0.0, 9.0, written)], str.strip)
    assert find_loops("call", words, said.strip()) == []


def test_scripts_without_spaces_are_compared_in_characters() -> None:
    said, written = "今天天气很好我们去公园散步吧", "今天去公园散步吧"
    (stretch,) = faults([TimedWords(said * 2, 0.0, 28.0)], [Segment(0.0, 22.0, said)]).missing
    assert (stretch.words, stretch.seconds) == (14, 14.0)
    assert faults([TimedWords(said, 0.0, 14.0)], [Segment(0.0, 8.0, written)]).missing == ()
    loops = faults([TimedWords(said, 0.0, 14.0)], [Segment(0.0, 60.0, "好的" * 15)]).loops
    assert [(loop.words, loop.end_s) for loop in loops] == [(28, 60.0)]


def test_boundaries_are_compared_where_both_sides_begin_or_end_with_the_same_word() -> None:
    said = [TimedWords("a b c", 0.5, 3.0), TimedWords("d e f", 4.0, 6.0), TimedWords("g h", 7.0, 8.0)]
    written = [Segment(0.0, 3.25, "a b c"), Segment(4.5, 6.0, "d e"), Segment(6.5, 8.0, "x g h")]
    # starts of a and d, ends of c and h; e is no end of a true segment, and g begins none that was written
    assert faults(said, written).boundary_errors_s == (0.5, 0.25, 0.5, 0.0)
    assert faults(said, written, is_timed=False).boundary_errors_s == ()


def test_a_report_gets_the_beginning_of_a_long_text() -> None:
    said = [TimedWords(" ".join(NUMBERS * 10), 0.0, 600.004)]
    (stretch,) = faults(said, []).missing
    line = stretch.to_json()
    assert len(line["text"]) <= 400
    assert line["text"].endswith(" ...")
    assert (line["recording"], line["words"], line["end_s"]) == ("call", 600, 600.0)
