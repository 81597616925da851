"""Where to cut words with times into rows: at pauses, ends of sentences first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from accel_asr.transcription.segments import Word

KEPT_PAUSE_S = 0.1  # of the pause around a row, at most half of it
LONG_ENOUGH_S = 0.2  # a pause between sentences
SHORT_ROW_S = 1.5
_SENTENCE_END = re.compile(r"[.?!\u2026\u3002\uff01\uff1f\u0964\u06d4\u061f][\"'\u201d\u2019\u00bb)\]]*$")
_CLAUSE_END = re.compile(r"[,;:\u2013\u2014\u3001\uff0c\u060c-][\"'\u201d\u2019\u00bb)\]]*$")
# costs of a cut: a row ends with every sentence that has a pause after it, and else only where it must
_AT_SENTENCE, _AT_CLAUSE, _AT_PAUSE, _ELSEWHERE, _WITHOUT_PAUSE = -0.5, 1.0, 1.5, 3.0, 3.0
_PER_ROW, _SHORT = 0.3, 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """The words of a row, and where it is cut out."""

    words: range
    start_s: float
    end_s: float


def cut(words: Sequence[Word], *, begin_s: float, end_s: float, longest_s: float) -> list[Cut]:
    """Words, with the pauses between them, in rows of at most `longest_s`, by the cheapest cuts.

    Args:
        begin_s, end_s: The first row begins and the last ends within these.
    """
    if not words:
        return []
    between = [(word.end_s, following.start_s) for word, following in pairwise(words)]
    starts = [_late(pause) for pause in ((begin_s, words[0].start_s), *between)]
    ends = [_early(pause) for pause in (*between, (words[-1].end_s, end_s))]
    costs = [_cost(word, pause) for word, pause in zip(words, between, strict=False)]
    best: list[tuple[float, int]] = [(0.0, 0)]  # (cost of the words before, where the last row of them begins)
    for stop in range(1, len(words) + 1):
        at_end = costs[stop - 1] if stop < len(words) else 0.0
        choices = []
        for first in range(stop - 1, -1, -1):
            length_s = ends[stop - 1] - starts[first]
            if length_s > longest_s and first < stop - 1:
                break
            short = _SHORT if length_s < SHORT_ROW_S else 0.0
            choices.append((best[first][0] + at_end + _PER_ROW + short, first))
        best.append(min(choices))
    cuts: list[Cut] = []
    stop = len(words)
    while stop:
        first = best[stop][1]
        cuts.append(Cut(range(first, stop), starts[first], min(ends[stop - 1], starts[first] + longest_s)))
        stop = first
    return cuts[::-1]


def _late(pause: tuple[float, float]) -> float:
    """Where a row after a pause begins."""
    return pause[1] - min(KEPT_PAUSE_S, (pause[1] - pause[0]) / 2)


def _early(pause: tuple[float, float]) -> float:
    """Where a row before a pause ends."""
    return pause[0] + min(KEPT_PAUSE_S, (pause[1] - pause[0]) / 2)


def _cost(word: Word, pause: tuple[float, float]) -> float:
    has_pause = pause[1] - pause[0] >= LONG_ENOUGH_S
    without = 0.0 if has_pause else _WITHOUT_PAUSE
    if _SENTENCE_END.search(word.text):
        return _AT_SENTENCE + without
    if _CLAUSE_END.search(word.text):
        return _AT_CLAUSE + without
    return _AT_PAUSE if has_pause else _ELSEWHERE + without
