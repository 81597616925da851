"""Times of words: which tokens and letters are a word's, and where a path through the attention puts them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.model.spelling import Spelling
from accel_asr.transcription import word_times as module
from accel_asr.transcription.word_times import alignment_heads, word_times
from tests.tiny_models import make_tiny_whisper

STEP = 6  # positions of each token in the planted attention


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[WhisperForConditionalGeneration, Spelling]:
    folder: Path = tmp_path_factory.mktemp("model")
    make_tiny_whisper(folder)
    model, processor = load_model_and_processor(str(folder))
    return model.eval(), Spelling(processor.tokenizer)


def times_of(
    loaded: tuple[WhisperForConditionalGeneration, Spelling],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    *,
    begin_s: float = 0.0,
    audio_s: float = 2.0,
) -> tuple[list[tuple[float, float, str]], list[int]]:
    """The words when token number i is heard at the positions from `i * STEP` on; and the tokens."""
    model, spelling = loaded
    ids = list(spelling.ids(f" {text}"))

    def planted(_: object, positions: int, **__: object) -> np.ndarray:
        picture = np.zeros((1 + len(ids) + 1, positions))
        for row in range(len(ids) + 1):
            picture[row + 1, row * STEP : (row + 1) * STEP] = 1.0
        return picture

    monkeypatch.setattr(module, "_attention_picture", planted)
    start_ids = [model.generation_config.decoder_start_token_id, 5]
    encoded = torch.zeros(1, model.config.max_source_positions, model.config.d_model)
    words = word_times(
        model, spelling, encoded, text, start_ids=start_ids, audio_s=audio_s, position_s=0.02, begin_s=begin_s
    )
    assert all(0.0 <= word.probability <= 1.0 for word in words)
    return [(word.start_s, word.end_s, word.text) for word in words], ids


def test_words_have_the_times_of_their_tokens_and_end_where_their_punctuation_begins(
    loaded: tuple[WhisperForConditionalGeneration, Spelling], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "xq, zz “kw” é!"
    times, ids = times_of(loaded, monkeypatch, text, begin_s=100.0, audio_s=60.0)
    spelling = loaded[1]
    ends = np.cumsum([spelling.byte_length(number) for number in ids])
    assert ends[-1] == len(f" {text}".encode())

    def token_at(characters: str) -> int:
        return int(np.searchsorted(ends, len(characters.encode()), side="right"))

    expected = [
        (token_at(" "), token_at(" xq"), "xq,"),
        (token_at(" xq, "), token_at(" xq, zz"), "zz"),
        (token_at(" xq, zz “"), token_at(" xq, zz “kw"), "“kw”"),
        (token_at(" xq, zz “kw” "), token_at(" xq, zz “kw” é"), "é!"),
    ]
    seconds = STEP * 0.02
    assert [word for _, _, word in times] == [word for _, _, word in expected]
    for (start_s, end_s, _), (first, stop, _) in zip(times, expected, strict=True):
        # a token that holds a space and letters begins before them
        assert start_s == pytest.approx(100.0 + first * seconds, abs=seconds)
        assert end_s == pytest.approx(100.0 + stop * seconds, abs=1e-6)


def test_no_time_is_after_the_audio(
    loaded: tuple[WhisperForConditionalGeneration, Spelling], monkeypatch: pytest.MonkeyPatch
) -> None:
    times, _ = times_of(loaded, monkeypatch, "one two three four", audio_s=0.25)
    assert max(end_s for _, end_s, _ in times) <= 0.25
    assert [start_s for start_s, _, _ in times] == sorted(start_s for start_s, _, _ in times)


def test_characters_of_a_script_without_spaces_are_words(
    loaded: tuple[WhisperForConditionalGeneration, Spelling], monkeypatch: pytest.MonkeyPatch
) -> None:
    times, _ = times_of(loaded, monkeypatch, "日本 x", audio_s=60.0)
    assert [word for _, _, word in times] == ["日", "本", "x"]
    assert [round(end_s - start_s, 3) > 0 for start_s, end_s, _ in times] == [True] * 3


def test_no_words_have_no_times(
    loaded: tuple[WhisperForConditionalGeneration, Spelling], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert times_of(loaded, monkeypatch, " ")[0] == []


def test_heads_that_the_model_lacks_are_left_out(
    loaded: tuple[WhisperForConditionalGeneration, Spelling], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = loaded
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    monkeypatch.setattr(model.generation_config, "alignment_heads", [[layers - 1, 1], [layers + 3, 0]], raising=False)
    assert alignment_heads(model) == {layers - 1: [1]}
    monkeypatch.setattr(model.generation_config, "alignment_heads", [[layers + 3, 0]])
    assert alignment_heads(model) == {layer: list(range(heads)) for layer in range(layers // 2, layers)}
