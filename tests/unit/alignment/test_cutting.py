"""Rows are cut in pauses, at ends of sentences where they can be, and never longer than asked."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from accel_asr.alignment.cutting import KEPT_PAUSE_S, cut
from accel_asr.alignment.pauses import Pauses, words_around_pauses
from accel_asr.transcription.segments import Word

RATE = 16_000
WORD_S, PAUSE_S = 0.4, 0.5


def spoken(text: str) -> list[Word]:
    """Words of 0.4 s of noise with a pause of 0.5 s at each `|`."""
    random = np.random.default_rng(0)
    samples = [np.zeros(int(PAUSE_S * RATE))]
    words: list[Word] = []
    now_s = PAUSE_S
    for part in text.split():
        if part == "|":
            samples.append(np.zeros(int(PAUSE_S * RATE)))
            now_s += PAUSE_S
            continue
        samples.append(random.normal(0, 0.1, int(WORD_S * RATE)))
        words.append(Word(now_s, now_s + WORD_S, part, 0.9))
        now_s += WORD_S
    samples.append(np.zeros(int(PAUSE_S * RATE)))
    noise = np.concatenate(samples) + random.normal(0, 1e-4, sum(map(len, samples)))
    pauses = Pauses.of_samples(noise.astype(np.float32), sampling_rate_hz=RATE)
    # as attention gives them: each pause belongs to the word after it
    heard = [replace(word, start_s=before.end_s) for before, word in pairwise([Word(0, 0, "", 0), *words])]
    found = words_around_pauses(heard, pauses, begin_s=0.0, end_s=words[-1].end_s + PAUSE_S)
    assert [time for word in found for time in (word.start_s, word.end_s)] == pytest.approx(
        [time for word in words for time in (word.start_s, word.end_s)], abs=0.15
    )
    return found


def rows(text: str, *, longest_s: float = 30.0) -> list[str]:
    words = spoken(text)
    cuts = cut(words, begin_s=0.0, end_s=words[-1].end_s + PAUSE_S, longest_s=longest_s)
    assert [place for part in cuts for place in part.words] == list(range(len(words)))
    assert all(part.end_s - part.start_s <= longest_s + 1e-9 for part in cuts)
    assert all(before.end_s <= after.start_s for before, after in pairwise(cuts))
    return [" ".join(words[place].text for place in part.words) for part in cuts]


def test_a_row_ends_with_each_sentence_that_a_pause_follows() -> None:
    text = "a b c, d e f. | g h i j k l. m n o p. | q r | s t u?"
    assert rows(text) == ["a b c, d e f.", "g h i j k l. m n o p.", "q r s t u?"]


def test_a_long_sentence_is_cut_at_a_comma_with_a_pause_and_then_at_any_pause() -> None:
    text = "a b c d, e f g | h i j k, | l m n o p q."
    assert rows(text, longest_s=6.0) == ["a b c d, e f g h i j k,", "l m n o p q."]
    assert rows("a b c d e | f g h i j k l m", longest_s=4.0) == ["a b c d e", "f g h i j k l m"]


def test_a_text_without_pauses_is_cut_all_the_same() -> None:
    assert max(len(row.split()) for row in rows("w " * 40, longest_s=3.0)) <= 7


def test_very_short_sentences_go_together() -> None:
    assert rows("Yes. | No. | a b c d e f g h.") == ["Yes. No.", "a b c d e f g h."]


def test_rows_keep_some_of_the_pauses_around_them() -> None:
    words = spoken("a b c d e. | f g h i j.")
    first, second = cut(words, begin_s=0.0, end_s=words[-1].end_s + PAUSE_S, longest_s=30.0)
    assert first.start_s == pytest.approx(PAUSE_S - KEPT_PAUSE_S, abs=0.03)
    assert first.end_s == pytest.approx(words[4].end_s + KEPT_PAUSE_S, abs=0.03)
    assert second.start_s == pytest.approx(words[5].start_s - KEPT_PAUSE_S, abs=0.03)
    assert second.end_s == pytest.approx(words[-1].end_s + KEPT_PAUSE_S, abs=0.03)
