"""Cues within limits of lines: cut where a reader would pause, no line too long, no word lost."""

import random
from itertools import pairwise

import pysubs2
import pytest
from rich.cells import cell_len

from accel_asr.transcription.cues import LineLimits, cheapest_pieces, cues_within
from accel_asr.transcription.formats import Style, rendered
from accel_asr.transcription.segments import Segment, TimedText, Word, split_words

NETFLIX = LineLimits(max_line_width=42)


def spoken(text: str, *, seconds_a_word: float = 0.3, language: str = "en", pauses: dict[int, float] | None = None):
    """One segment, whose words follow each other but for pauses before some of them."""
    words, time_s = [], 0.0
    for number, word in enumerate(split_words(text)):
        time_s += (pauses or {}).get(number, 0.0)
        words.append(Word(round(time_s, 3), round(time_s + seconds_a_word, 3), word, 0.9))
        time_s = words[-1].end_s
    return TimedText(text, (Segment(0.0, time_s, text, tuple(words)),), time_s, language)


def texts(speech: TimedText, limits: LineLimits = NETFLIX) -> list[str]:
    return [cue.text for cue in cues_within(speech, limits)]


def test_a_long_sentence_is_cut_at_commas_and_before_conjunctions() -> None:
    text = "I would like to set up a joint account with my partner, because we have to pay for the new house."
    cues = texts(spoken(text))
    assert cues == [
        "I would like to set up a joint account\nwith my partner,",
        "because we have to pay for the new house.",
    ]
    for line in "\n".join(cues).split("\n"):
        assert line.split()[-1] not in {"a", "the", "and", "my", "with", "that"}


def test_sentences_that_fit_share_a_cue_and_one_that_does_not_begins_the_next() -> None:
    assert texts(spoken("It was not cheap. Yes. I know.")) == ["It was not cheap. Yes. I know."]
    first, second = (
        "This sentence fills nearly all of the first line.",
        "And this one fills the next two, or nearly so.",
    )
    assert texts(spoken(f"{first} {second}"), LineLimits(30)) == [
        "This sentence fills nearly all\nof the first line.",
        "And this one fills\nthe next two, or nearly so.",
    ]


def test_no_word_stands_alone_if_it_need_not() -> None:
    # greedy lines would be 42 columns and one word
    text = "we went to the harbour to look at the old lighthouse"
    assert all(len(line.split()) > 1 for cue in texts(spoken(text)) for line in cue.split("\n"))
    assert texts(spoken("Certainly. " + "we went on and on " * 8))[0].startswith("Certainly. we")


def test_a_pause_ends_a_cue_and_no_cue_is_longer_than_seven_seconds() -> None:
    assert texts(spoken("one two three four", pauses={2: 1.5})) == ["one two", "three four"]
    slow = cues_within(spoken("one two three four five six seven eight nine", seconds_a_word=1.5), NETFLIX)
    assert all(cue.end_s - cue.start_s <= 7 for cue in slow)
    assert " ".join(cue.text for cue in slow) == "one two three four five six seven eight nine"


def test_a_short_cue_is_shown_as_long_as_it_takes_to_read_if_there_is_time() -> None:
    speech = spoken("Yes. Extraordinarily uncharacteristically", seconds_a_word=0.2, pauses={1: 2.0})
    first, second = cues_within(speech, NETFLIX)
    assert (first.start_s, first.end_s) == (0.0, round(5 / 6, 3))
    assert (second.start_s, second.end_s) == (2.2, 2.6)  # the recording ends
    late = cues_within(spoken("Yes. No", seconds_a_word=0.2, pauses={1: 0.5}), LineLimits(4, max_line_count=1))
    assert [(cue.start_s, cue.end_s) for cue in late] == [(0.0, 0.7), (0.7, 0.9)]


def test_scripts_without_spaces_are_cut_between_characters_and_measured_in_columns() -> None:
    text = "私は昨日、東京の大学で新しい研究について話をしました。とても面白かったです。"
    cues = texts(spoken(text, language="ja", seconds_a_word=0.15), LineLimits(26))
    lines = [line for cue in cues for line in cue.split("\n")]
    assert "".join(lines) == text
    assert max(map(cell_len, lines)) <= 26
    assert not {line[0] for line in lines} & set("、。っーを")
    assert cues[0].startswith("私は昨日、")


def test_thai_marks_stay_with_their_letters() -> None:
    text = "ที่นี่มีน้ำดื่มเย็นๆ"
    lines = [line for cue in texts(spoken(text, language="th"), LineLimits(6)) for line in cue.split("\n")]
    assert "".join(lines) == text
    assert max(map(cell_len, lines)) <= 6
    assert not [line for line in lines if line[0] in "\u0e31\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e47\u0e48\u0e49"]


def test_a_word_longer_than_a_line_is_cut() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    lines = [
        line for cue in texts(spoken(f"der {word} kam", language="de"), LineLimits(20)) for line in cue.split("\n")
    ]
    assert max(map(len, lines)) <= 20
    assert "".join(lines).replace(" ", "") == f"der{word}kam"


def test_segments_without_words_share_their_time_by_length() -> None:
    text = "aaaa bbbb cccc dddd"
    speech = TimedText(text, (Segment(10.0, 18.0, text),), 20.0, "en")
    cues = cues_within(speech, LineLimits(9, max_line_count=1))
    assert [(cue.start_s, cue.end_s, cue.text) for cue in cues] == [
        (10.0, 14.0, "aaaa bbbb"),
        (14.0, 18.0, "cccc dddd"),
    ]


@pytest.mark.parametrize(("width", "count"), [(10, 1), (20, 2), (32, 3), (42, 2), (80, 1)])
def test_any_text_keeps_its_words_and_the_limits(width: int, count: int) -> None:
    chance = random.Random(width)
    vocabulary = [
        "a",
        "the",
        "Yes.",
        "and",
        "so,",
        "harbour",
        "extraordinary",
        "in",
        "Zürich",
        "why?",
        "你",
        "好",
        "。",
    ]
    for _ in range(20):
        text = " ".join(chance.choices(vocabulary, k=chance.randint(1, 60)))
        speech = spoken(text, seconds_a_word=chance.choice([0.1, 0.4, 1.0]))
        cues = cues_within(speech, LineLimits(width, count))
        lines = [line for cue in cues for line in cue.text.split("\n")]
        assert max(map(cell_len, lines)) <= max(width, 2)
        assert all(len(cue.lines) <= count for cue in cues)
        assert "".join("".join(lines).split()) == "".join(text.split())
        starts = [cue.start_s for cue in cues]
        assert starts == sorted(starts)
        assert all(before.end_s <= after.start_s for before, after in pairwise(cues))
        assert all(cue.end_s > cue.start_s for cue in cues)


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
def test_another_reader_of_subtitles_reads_them_back(output_format: str) -> None:
    text = "Rock & roll is fine, and so it goes on for quite a while; --> or so they say."
    speech = spoken(text)
    cues = cues_within(speech, LineLimits(24))
    written = rendered(speech, output_format=output_format, name="x", style=Style(LineLimits(24)))
    read = pysubs2.SSAFile.from_string(written + "\n", format_=output_format)
    assert [(line.start, line.end) for line in read] == [
        (round(1000 * cue.start_s), round(1000 * cue.end_s)) for cue in cues
    ]
    if output_format == "srt":
        assert [line.text.replace("\\N", "\n") for line in read][:1] == [cues[0].text]


def test_pieces_have_the_smallest_sum_of_costs() -> None:
    assert cheapest_pieces(0, lambda begin, end: 1.0) == []
    # at most three together, and the middle of five is a bad place to end
    cost = {2: 5.0, 3: 1.0, 5: 0.0}
    pieces = cheapest_pieces(5, lambda begin, end: None if end - begin > 3 else 1 + cost.get(end, 2.0))
    assert pieces == [(0, 3), (3, 5)]
