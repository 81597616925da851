"""Normalisers by name, with examples by hand."""

import pytest

from accel_asr.evaluation.normalizers import load_normalizer
from tests.refusals import refused


@pytest.fixture
def tokenizer(model_and_processor):
    return model_and_processor[1].tokenizer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("  I'd like   to PAY. ", "i d like to pay"),
        ("well [laughs] yes (um) <noise> done", "well yes done"),
        ("Überweisung", "überweisung"),
        ("...", ""),
        ("", ""),
    ],
)
def test_basic_lowercases_and_turns_punctuation_into_spaces(tokenizer, text: str, expected: str) -> None:
    assert load_normalizer("basic", tokenizer)(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't pay.", "i can not pay"),
        ("Twenty-five dollars", "$25"),
        ("um, the colour of my cheque", "the color of my check"),  # by the table in the model's folder
    ],
)
def test_english_also_spells_out_and_respells(tokenizer, text: str, expected: str) -> None:
    assert load_normalizer("english", tokenizer)(text) == expected


def test_none_only_trims(tokenizer) -> None:
    assert load_normalizer("none", tokenizer)("  Hello, World! ") == "Hello, World!"


def test_english_without_a_spelling_table_is_refused(tokenizer) -> None:
    tokenizer.english_spelling_normalizer = None
    with refused("--evaluation.normalizer", "normalizer.json", value="english", remedy="choose basic"):
        load_normalizer("english", tokenizer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("สวัสดีครับ ผมชื่อ!", "สวัสดีครับ ผมชื่อ"),  # tone marks and vowels above stay in their words
        ("नमस्ते, दुनिया।", "नमस्ते दुनिया"),
        ("Straße (laut) [Husten] §5", "straße 5"),
        ("می‌خواهم", "میخواهم"),  # an invisible joiner goes
        ("１２３ ｶｰﾄﾞ", "123 カード"),  # noqa: RUF001 - full width
        ("don't", "don t"),
        ("", ""),
    ],
)
def test_multilingual_keeps_the_marks_of_letters(tokenizer, text: str, expected: str) -> None:
    assert load_normalizer("multilingual", tokenizer)(text) == expected


def test_basic_breaks_words_at_their_marks(tokenizer) -> None:
    # why there is `multilingual`; a newer transformers may mend it
    assert len(load_normalizer("basic", tokenizer)("สวัสดีครับ").split()) > 1
