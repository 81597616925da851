"""From words with times to rows, and what is left out of them."""

import numpy as np
import pytest

from accel_asr.alignment import aligning
from accel_asr.alignment.aligned import AlignedRecording
from accel_asr.alignment.script import ScriptWord
from accel_asr.transcription.segments import Segment, TimedText, Word

RATE = 16_000
WORD_S, PAUSE_S = 0.5, 0.6


class Listener:
    """Stands in for a transcriber: it hears these segments."""

    sampling_rate_hz = RATE

    def __init__(self, segments: list[Segment], duration_s: float) -> None:
        self.heard = TimedText(" ".join(part.text for part in segments), tuple(segments), duration_s, language="en")

    def is_long(self, samples: np.ndarray) -> bool:
        return True

    def transcribe_long(self, samples: np.ndarray, **_: object) -> TimedText:
        return self.heard


def aligned(
    monkeypatch: pytest.MonkeyPatch, text: str, spoken: list[str], *, unlikely: str = "", longest_s: float = 30.0
) -> AlignedRecording:
    """Align with a recording of these sentences; forcing finds their true times, and doubts words in `unlikely`."""
    random = np.random.default_rng(0)
    pieces, segments, times = [], [], []
    now_s = 0.0
    for sentence in spoken:
        words = sentence.split()
        times += [(now_s + number * WORD_S, word) for number, word in enumerate(words)]
        segments.append(Segment(now_s, now_s + len(words) * WORD_S, sentence))
        pieces += [random.normal(0, 0.1, int(len(words) * WORD_S * RATE)), np.zeros(int(PAUSE_S * RATE))]
        now_s += len(words) * WORD_S + PAUSE_S
    samples = np.concatenate(pieces).astype(np.float32)

    def forced(_: object, __: object, script: list[ScriptWord], **___: object) -> list[Word]:
        found, place = [], 0
        for wanted in script:
            while place < len(times) - 1 and times[place][1] != wanted.text:
                place += 1
            probability = 0.001 if wanted.text in unlikely.split() else 0.8
            found.append(Word(times[place][0], times[place][0] + WORD_S, wanted.text, probability))
            place = min(place + 1, len(times) - 1)
        return found

    monkeypatch.setattr(aligning, "force", forced)
    listener = Listener(segments, duration_s=len(samples) / RATE)
    return aligning.align_recording(listener, samples, text, longest_s=longest_s)  # type: ignore[arg-type]


FIRST = "The harbour was quiet that morning."
SECOND = "A single boat lay at the pier."
THIRD = "Later the fishermen came with baskets."
EXTRA = "Please hold on for one moment everybody."


def test_sentences_become_rows_with_the_text_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    result = aligned(monkeypatch, f"{FIRST} {SECOND} {THIRD}", [FIRST, SECOND, THIRD])
    assert [row.text for row in result.rows] == [FIRST, SECOND, THIRD]
    assert [row.previous_text for row in result.rows] == [None, FIRST, SECOND]
    assert [row.score for row in result.rows] == pytest.approx([0.8] * 3)
    assert result.left_out == ()
    assert (result.words_in_rows, result.words_in_text, result.language) == (19, 19, "en")
    second = result.rows[1]
    assert second.start_s == pytest.approx(6 * WORD_S + PAUSE_S - 0.1, abs=0.03)
    assert second.end_s == pytest.approx(13 * WORD_S + PAUSE_S + 0.1, abs=0.03)


def test_speech_that_the_text_lacks_is_left_out_with_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    result = aligned(monkeypatch, f"{FIRST} {SECOND}", [FIRST, EXTRA, SECOND])
    assert [row.text for row in result.rows] == [FIRST, SECOND]
    assert [row.previous_text for row in result.rows] == [None, None]
    (left_out,) = result.left_out
    assert (left_out.kind, left_out.text) == ("speech", EXTRA)
    assert (left_out.start_s, left_out.end_s) == pytest.approx((6 * WORD_S + PAUSE_S, 13 * WORD_S + PAUSE_S))


def test_text_that_nobody_says_is_left_out_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    result = aligned(monkeypatch, f"{FIRST} {SECOND} {THIRD}", [FIRST, THIRD])
    assert [row.text for row in result.rows] == [FIRST, THIRD]
    (left_out,) = result.left_out
    assert (left_out.kind, left_out.text) == ("text", SECOND)
    assert left_out.start_s == left_out.end_s == pytest.approx(6 * WORD_S)
    assert (result.words_in_rows, result.words_in_text) == (12, 19)


def test_words_that_the_model_finds_impossible_are_left_out_and_what_it_heard_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = aligned(monkeypatch, f"{FIRST} {SECOND}", [FIRST, SECOND], unlikely=f"{FIRST} {SECOND}")
    assert result.rows == ()
    assert [(part.kind, part.text) for part in result.left_out] == [
        ("text", f"{FIRST} {SECOND}"),
        ("speech", f"{FIRST} {SECOND}"),
    ]


def test_no_row_is_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = aligned(monkeypatch, f"{FIRST} {SECOND} {THIRD}", [FIRST, SECOND, THIRD], longest_s=2.0)
    assert max(row.end_s - row.start_s for row in result.rows) <= 2.0
    assert result.words_in_rows == 19
