"""What is done to texts: nothing by default, and in a fixed order when asked for."""

import pytest

from accel_asr.data.text_processing import TextProcessing, without_punctuation


@pytest.mark.parametrize("text", ["", "It's  OK, Ünal!", "(well-known) 3.5 %", "สวัสดี", "「はい」"])
def test_nothing_is_done_by_default(text: str) -> None:
    assert TextProcessing()(text) == text


def test_replacements_go_first_and_longest_first() -> None:
    process = TextProcessing(lowercase=True, remove_punctuation=True, replacements={"&": " and ", "R&D": "Research"})
    assert process("R&D & Sales!") == "research and sales"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's a well-known trick.", "It's a well-known trick"),
        ("'quoted' - words -", "quoted words"),
        ("«Où?» – là…", "Où là"),  # noqa: RUF001
        ("3.5 is 7/2", "3 5 is 7 2"),
        ("หนึ่ง สอง", "หนึ่ง สอง"),  # vowel signs are marks, not punctuation
        ("ཀ་ཁ", "ཀ ཁ"),
        ("a+b = 5 €", "a+b = 5 €"),  # symbols are said, and stay
        ("...", ""),
        ("-a", "a"),
        ("don’t", "don’t"),  # noqa: RUF001
    ],
)
def test_punctuation_becomes_a_space_but_for_what_holds_words_together(text: str, expected: str) -> None:
    assert without_punctuation(text) == expected


def test_case_alone_leaves_the_rest() -> None:
    assert TextProcessing(lowercase=True)("Straße, ÉTÉ!") == "straße, été!"
