"""Prompts and keywords: which tokens the decoder is given, and models that can't be given any."""

from pathlib import Path

import pytest
from transformers import WhisperTokenizer

from accel_asr.model.spelling import Spelling
from accel_asr.transcription.previous_text import (
    PreviousText,
    keywords_prompt,
    listed_keywords,
    previous_text,
    require_previous_text,
)
from tests.refusals import refused


def test_a_file_has_one_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("Anna\n\n credit card \n", encoding="utf-8")
    assert listed_keywords(["IBAN", str(file), "Anna"]) == ("IBAN", "Anna", "credit card")
    assert keywords_prompt(("Anna", "IBAN")) == "Anna, IBAN."
    with refused("--evaluation.keywords", "read", remedy="one keyword on each line"):
        listed_keywords([str(tmp_path / "none.txt")])
    file.write_text("\n")
    with refused("--keywords", "no keyword", value=file):
        listed_keywords([str(file)], setting="--keywords")


def test_keywords_stay_where_there_is_no_room_for_both() -> None:
    previous = PreviousText(initial=(1, 2, 3), keywords=(7, 8))
    assert previous.ids(10) == [7, 8, 1, 2, 3]
    assert previous.ids(4) == [7, 8, 2, 3]
    assert previous.ids(2) == [7, 8]
    assert PreviousText(keywords=(7, 8)).ids(1) == [7]


def test_texts_become_words_and_no_control_tokens(tiny_folder: Path) -> None:
    tokenizer = WhisperTokenizer.from_pretrained(tiny_folder)
    spelling = Spelling(tokenizer)
    previous = previous_text(spelling, initial_prompt=" Hello <|en|> ", keywords=("Anna", "IBAN"))
    assert spelling.text(previous.initial) == "Hello <|en|>"
    assert spelling.text(previous.keywords) == "Anna, IBAN."
    assert not any(map(spelling.is_control, (*previous.initial, *previous.keywords)))
    assert previous_text(spelling) == PreviousText()
    require_previous_text(tokenizer, setting="--keywords", value="Anna")


def test_a_model_without_the_token_is_refused(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> None:
    tokenizer = WhisperTokenizer.from_pretrained(tiny_folder)
    vocabulary = {name: number for name, number in tokenizer.get_vocab().items() if name != "<|startofprev|>"}
    monkeypatch.setattr(tokenizer, "get_vocab", lambda: vocabulary)
    with refused("--initial_prompt", "<|startofprev|>", value="Hello", remedy="leave it out"):
        require_previous_text(tokenizer, setting="--initial_prompt", value="Hello")
