"""Times that stand in texts, read; and other control tokens, named."""

import pytest

from accel_asr.model.written_tokens import TimedWords, timed_words, without_times, written_control_token, written_time


@pytest.mark.parametrize(
    ("text", "words", "parts"),
    [
        ("five", "five", []),
        ("<|0.00|> five<|0.50|>", " five", [("five", 0.0, 0.5)]),
        ("<|0.00|> five<|0.50|><|0.50|> six<|1.02|>", " five six", [("five", 0.0, 0.5), (" six", 0.5, 1.02)]),
        ("<|0.00|>five<|0.50|>six<|1.02|>", "five six", [("five", 0.0, 0.5), (" six", 0.5, 1.02)]),
        ("<|0|>你好<|1.00|><|1.00|>世界<|2.0|>", "你好世界", [("你好", 0.0, 1.0), ("世界", 1.0, 2.0)]),
        ("<|0.00|>five<|1.00|><|1.50|>你好<|2.0|>", "five 你好", [("five", 0.0, 1.0), (" 你好", 1.5, 2.0)]),
        ("<|0.00|> <|1.00|>", " ", []),
    ],
)
def test_times_are_read(text: str, words: str, parts: list[tuple[str, float, float]]) -> None:
    assert without_times(text) == words
    assert timed_words(text) == tuple(TimedWords(*part) for part in parts)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<|0.00|> five", "after the last time: 'five'"),
        ("five<|0.50|> six<|1.00|>", "before the first time: 'five'"),
        ("<|1.00|> five<|0.50|>", "<|0.50|> after <|1.00|>"),
    ],
)
def test_times_that_do_not_hold_the_words_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        timed_words(text)
    assert why in str(caught.value)


def test_times_and_other_control_tokens_are_told_apart() -> None:
    text = "<|0.00|> a <b> |c| < |d|> <|endoftext|>"
    assert (written_time(text), written_control_token(text)) == ("<|0.00|>", "<|endoftext|>")
    assert (written_time("a < b |> c <||> <| x |>"), written_control_token("a < b |> c <||> <| x |>")) == (None, None)
    assert (written_time("<|12|>"), written_control_token("<|12|>")) == ("<|12|>", None)
    assert written_control_token("<|nospeech|>") == "<|nospeech|>"
