"""No text makes a control token, and no control token makes text, whatever the tokenizer's files say of its tokens."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import WhisperTokenizer

from accel_asr.data.labels import LabelEncoder
from accel_asr.model.spelling import Spelling
from accel_asr.model.written_tokens import TimedWords
from tests.odd_tokenizers import KINDS, with_tokenizer

WRITTEN = [
    "<|0.00|> five<|0.50|>",
    "<|notimestamps|>",
    "a <|startoftranscript|> b <|endoftext|> c",
    "<|startofprev|><|en|><|de|><|transcribe|><|translate|><|nocaptions|>",
    "<|2.00|>",
]
PLAIN = ["my card", "", "Überweisung, bitte!", "well-known  'card'", "a" * 300, "你好", " x\n\ty ", "I'm < 5 |> ok"]


@pytest.fixture(params=["as it is", *KINDS])
def tokenizer(request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path) -> WhisperTokenizer:
    folder = tiny_folder
    if request.param != "as it is":
        folder = with_tokenizer(tiny_folder, tmp_path / "model", request.param)
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    tokenizer.set_prefix_tokens(language="en", task="transcribe", predict_timestamps=False)
    return tokenizer


def control_ids(tokenizer: WhisperTokenizer) -> set[int]:
    return {number for token, number in tokenizer.get_vocab().items() if token.startswith("<|") and len(token) > 2}


def test_plain_text_is_spelt_as_the_tokenizer_spells_it(tokenizer: WhisperTokenizer) -> None:
    spelling = Spelling(tokenizer)
    assert spelling.many_ids(PLAIN) == [spelling.ids(text) for text in PLAIN]
    for text in PLAIN:
        assert spelling.ids(text) == tuple(tokenizer(text, add_special_tokens=False).input_ids)
        assert spelling.text(spelling.ids(text)) == text.strip()


def test_no_text_makes_a_control_token(tokenizer: WhisperTokenizer) -> None:
    encoder = LabelEncoder(tokenizer)
    wrong = control_ids(tokenizer)
    prefix, end = encoder.prefix(), tokenizer.eos_token_id
    assert set(prefix) <= wrong
    shuffled = random.Random(0)
    tokens = [token for token in tokenizer.get_vocab() if token.startswith("<|")]
    mixed = ["".join(shuffled.choices([*tokens, " ", "five", "<", "|>"], k=12)) for _ in range(50)]
    for text in [*WRITTEN, *mixed]:
        label = encoder.encode(text, prompt=text).token_ids
        before = encoder.encode(text, prompt=text).prompt_tokens
        assert label[before : before + len(prefix)] == prefix
        assert label[-1] == end
        assert not wrong & {*label[1:before], *label[before + len(prefix) : -1]}, text
        times = encoder.timed_pack([TimedWords(text, 0.0, 0.5), TimedWords(f" {text}", 0.5, 1.0)]).token_ids
        assert len([number for number in times if number in wrong]) == len(prefix) - 1 + 4 + 1
        assert encoder.lengths([text])[0] == len(encoder.encode(text).token_ids)


def test_no_control_token_is_in_a_transcript(tokenizer: WhisperTokenizer) -> None:
    spelling = Spelling(tokenizer)
    said = spelling.ids(" five six")
    generated = [number for pair in zip(sorted(control_ids(tokenizer)), said * 200, strict=False) for number in pair]
    text = spelling.text(generated)
    assert text.startswith("five six five six")
    assert "<|" not in text
    assert spelling.text([tokenizer.eos_token_id]) == ""


def rebuilt(folder: Path, change: Callable[[dict[str, Any]], None]) -> WhisperTokenizer:
    """One whose insides are changed; `WhisperTokenizer` itself builds them of no more than vocabulary and merges."""
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    change(facts)
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(facts))
    return tokenizer


def test_a_vocabulary_that_has_a_control_token_as_a_word_spells_it_in_letters(tiny_folder: Path) -> None:
    def as_words(facts: dict[str, Any]) -> None:
        facts["model"]["vocab"] |= {token["content"]: token["id"] for token in facts["added_tokens"]}
        facts["model"]["ignore_merges"] = True  # whole words of the vocabulary are taken as they are
        facts["pre_tokenizer"]["use_regex"] = False

    tokenizer = rebuilt(tiny_folder, as_words)
    plain = Tokenizer.from_str(json.dumps(json.loads(tokenizer.backend_tokenizer.to_str()) | {"added_tokens": []}))
    assert set(plain.encode("<|notimestamps|>", add_special_tokens=False).ids) <= control_ids(
        tokenizer
    )  # what this is about
    assert not set(Spelling(tokenizer).ids("<|notimestamps|>")) & control_ids(tokenizer)
    assert Spelling(tokenizer).text(Spelling(tokenizer).ids("<|notimestamps|>")) == "<|notimestamps|>"


def test_what_can_not_be_spelt_is_no_end_of_text(tiny_folder: Path) -> None:
    def without_bytes(facts: dict[str, Any]) -> None:
        facts["model"]["unk_token"] = "<|endoftext|>"
        facts["model"]["vocab"]["<|endoftext|>"] = next(
            token["id"] for token in facts["added_tokens"] if token["content"] == "<|endoftext|>"
        )
        facts["pre_tokenizer"] = {"type": "Whitespace"}

    tokenizer = rebuilt(tiny_folder, without_bytes)
    assert tokenizer.eos_token_id in tokenizer("card 你", add_special_tokens=False).input_ids  # what this is about
    encoder = LabelEncoder(tokenizer)
    label = encoder.encode("card 你 card").token_ids
    assert label.count(tokenizer.eos_token_id) == 1
    assert label[len(encoder.prefix()) : -1] == 2 * encoder.spelling.ids("card")


@pytest.mark.realmodel
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("model", "end", "start", "no_timestamps"),
    [
        ("whisper_base", 50_257, 50_258, 50_363),
        ("whisper_tiny_en", 50_256, 50_257, 50_362),
    ],
)
def test_whispers_own_tokenizers(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, end: int, start: int, no_timestamps: int, kind: str
) -> None:
    whole: Path = request.getfixturevalue(model)
    (tmp_path / "small").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(whole / name, tmp_path / "small" / name)
    folder = with_tokenizer(tmp_path / "small", tmp_path / "odd", kind)
    encoder = LabelEncoder(WhisperTokenizer.from_pretrained(folder))
    as_it_is = WhisperTokenizer.from_pretrained(whole)
    for text in PLAIN:
        assert encoder.spelling.ids(text) == tuple(as_it_is(text, add_special_tokens=False).input_ids)
    for text in WRITTEN:
        label = encoder.encode(text)
        assert label.token_ids[0] == start
        assert label.token_ids[len(encoder.prefix()) - 1] == no_timestamps
        assert label.token_ids[-1] == end
        assert max(label.token_ids[len(encoder.prefix()) : -1]) < end
    timed = encoder.encode("five", timed=[TimedWords("five", 0.0, 0.5)]).token_ids
    assert timed[1:] == (no_timestamps + 1, *encoder.spelling.ids("five"), no_timestamps + 26, end)
    assert encoder.spelling.text([start, *range(end, end + 1600), *timed]) == "five"
