"""What is done to texts: nothing by default, and in a fixed order when asked for."""

import pytest

from accel_asr.data.text_processing import CONTROL_TOKENS, TIMES, WRONG_TIMES, TextProcessing, without_punctuation
from accel_asr.model.written_tokens import TimedWords


@pytest.mark.parametrize(
    "text",
    [
        *("", "It's  OK, Ünal!", "(well-known) 3.5 %", "สวัสดี", "「はい」", "...", "?"),
        *("\u200f\u05e9\u05dc", "\u0645\u06cc\u200c\u062e"),  # with characters that can't be seen
    ],
)
def test_nothing_is_done_by_default(text: str) -> None:
    assert TextProcessing()(text) == text


def test_replacements_go_first_and_longest_first() -> None:
    process = TextProcessing(lowercase=True, remove_punctuation=True, replacements={"&": " and ", "R&D": "Research"})
    assert process("R&D & Sales!") == "research and sales"
    assert TextProcessing(lowercase=True)("Straße, ÉTÉ!") == "straße, été!"


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


# -- control tokens and times that stand in texts


@pytest.mark.parametrize(
    ("text", "read", "reason", "particulars"),
    [
        ("a <|endoftext|>", False, CONTROL_TOKENS, "<|endoftext|>"),
        ("<|0.00|> five<|0.50|> <|en|>", True, CONTROL_TOKENS, "<|en|>"),
        ("<|0.00|> five<|0.50|>", False, TIMES, "<|0.00|>"),
        ("<|0.00|> five<|1.20|>", True, WRONG_TIMES, "<|1.20|> in a recording of 1.00 s"),
        ("<|0.00|> five", True, WRONG_TIMES, "'five'"),
    ],
)
def test_what_can_not_be_learnt_is_said(text: str, read: bool, reason: str, particulars: str) -> None:
    process = TextProcessing(written_times="read" if read else "refuse")
    fault = process.fault(text, duration_s=1.0)
    assert fault is not None
    assert fault[0] == reason
    assert particulars in fault[1]


def test_times_are_taken_out_of_a_text_before_its_punctuation() -> None:
    process = TextProcessing(lowercase=True, remove_punctuation=True, replacements={"six": "Six"}, written_times="read")
    text = "<|0.00|> Five.<|0.50|><|0.50|> six!<|1.00|><|1.00|> ...<|1.02|>"
    assert process.fault(text, duration_s=1.0) is None
    assert process(text) == "five six"
    assert process.timed(text) == (TimedWords("five", 0.0, 0.5), TimedWords(" six", 0.5, 1.0))
    assert process.timed(text, duration_s=0.97)[1] == TimedWords(" six", 0.5, 0.97)  # a rounding: no token says 1.00
    assert TextProcessing().timed(text) == ()
    assert process.previous("<|0.00|> Five.<|0.50|>") == " Five."


def test_other_texts_are_no_fault_and_a_replacement_may_take_control_tokens_out() -> None:
    for text in ("a < b |> c", "five", "<b>five</b>"):
        assert TextProcessing().fault(text, duration_s=1.0) is None
    process = TextProcessing(replacements={"<|en|>": "", "<|endoftext|>": " "})
    assert process.fault("<|en|>five<|endoftext|>six") is None
    assert process("<|en|>five<|endoftext|>six") == "five six"


@pytest.mark.parametrize("text", ["\x00", "\ufeff", "\u200b\u200d", "\u202e \n", "\ufffd", "\u00ad"])
def test_a_text_in_which_nothing_can_be_seen_is_empty(text: str) -> None:
    assert TextProcessing()(text) == ""
    assert TextProcessing()(f"a{text}b").startswith("a")
