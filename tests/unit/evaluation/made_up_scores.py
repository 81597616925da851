"""Scored utterances for tests, of pairs of texts."""

from collections.abc import Sequence
from typing import Any

from accel_asr.evaluation.scoring import ScoredUtterance, Transcript, score_utterance


def score_pairs(pairs: Sequence[tuple[str, str]], *, normalize: Any = str.lower, **more: Any) -> list[ScoredUtterance]:
    """(reference, hypothesis) as utterances `u0`, `u1` ... of 1.5 s; `more` goes into every transcript."""
    more = {"duration_s": 1.5, "cut_off": False, **more}
    return [
        score_utterance(Transcript(f"u{row}", reference=reference, hypothesis=hypothesis, **more), normalize)
        for row, (reference, hypothesis) in enumerate(pairs)
    ]
