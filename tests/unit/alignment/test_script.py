"""Which words of a text are said, and which are heard that the text lacks."""

import pytest

from accel_asr.alignment.script import Script, letters_of, write_script
from accel_asr.transcription.segments import Segment, split_words

TEXT = (
    "The harbour was quiet that morning. A single boat lay at the pier, and nobody stood beside it. "
    "Later the fishermen came with their nets and baskets. They spoke of the weather and of the price of herring."
)
SENTENCES = [sentence.strip() + "." for sentence in TEXT.split(".") if sentence.strip()]


def heard(*sentences: str, each_s: float = 5.0) -> list[Segment]:
    return [Segment(number * each_s, (number + 1) * each_s, text) for number, text in enumerate(sentences)]


def script_of(text: str, segments: list[Segment]) -> Script:
    return write_script(split_words(text), segments, duration_s=segments[-1].end_s if segments else 60.0)


def only_heard(script: Script) -> str:
    return " ".join(word.text for word in script.words if word.place is None)


def test_every_word_of_a_text_that_was_heard_as_it_stands_is_said_at_its_time() -> None:
    script = script_of(TEXT, heard(*SENTENCES))
    assert [word.text for word in script.words] == split_words(TEXT)
    assert [word.place for word in script.words] == list(range(len(split_words(TEXT))))
    assert script.unsaid == ()
    first_words = [word.about_s for word in script.words if word.text in ("The", "A", "Later", "They")]
    assert first_words == pytest.approx([0.0, 5.0, 10.0, 15.0])


def test_misheard_words_are_said() -> None:
    misheard = TEXT.replace("harbour", "arbor").replace("fishermen", "fissure men").replace("herring", "a ring")
    script = script_of(TEXT, heard(misheard, each_s=20.0))
    assert [word.text for word in script.words] == split_words(TEXT)


def test_a_sentence_that_nobody_says_is_left_out() -> None:
    script = script_of(TEXT, heard(SENTENCES[0], SENTENCES[1], SENTENCES[3]))
    missing = split_words(SENTENCES[2])
    (places,) = script.unsaid
    assert [split_words(TEXT)[place] for place in places] == missing
    assert [word.place for word in script.words if word.place in places] == []
    assert only_heard(script) == ""


def test_an_announcement_that_the_text_lacks_stands_in_the_script_as_heard() -> None:
    announcement = "This recording is in the public domain."
    script = script_of(TEXT, heard(announcement, *SENTENCES))
    assert only_heard(script) == announcement
    assert [word.text for word in script.words if word.place is not None] == split_words(TEXT)
    assert script.words[len(split_words(announcement))].about_s == pytest.approx(5.0)


def test_speech_within_the_text_stands_where_it_is_said() -> None:
    digression = "Excuse me, I have to drink something now."
    script = script_of(TEXT, heard(SENTENCES[0], SENTENCES[1], digression, SENTENCES[2], SENTENCES[3]))
    assert only_heard(script) == digression
    words = [word.text for word in script.words]
    assert words.index("Excuse") == len(split_words(SENTENCES[0] + " " + SENTENCES[1]))


def test_where_nothing_was_heard_the_text_is_still_looked_for() -> None:
    script = script_of(TEXT, [])
    assert [word.text for word in script.words] == split_words(TEXT)
    assert script.words[-1].about_s < 60.0


def test_a_text_too_long_for_its_recording_is_not_said() -> None:
    script = write_script(split_words(TEXT), [], duration_s=1.0)
    assert script.unsaid == (range(len(split_words(TEXT))),)
    assert script.words == ()


def test_scripts_without_spaces_are_matched_by_characters() -> None:
    text = "今日はとても良い天気です。明日は雨が降るそうです。"
    script = script_of(text, heard("今日はとても良い天気です。", "明日は雨が降るそうです。"))
    assert "".join(word.text for word in script.words) == text
    assert next(word.about_s for word in script.words if word.text == "雨") == pytest.approx(5.0 + 3 / 11 * 5.0)


def test_letters_keep_their_marks_and_lose_their_case() -> None:
    assert letters_of("“Ñandú!”") == "ñandú"
    assert letters_of("हिन्दी,") == "हिन्दी"
    assert letters_of("--") == ""
