"""Hallucinations: words that nobody said, as loops, as pure insertions, or in silence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.evaluation.scoring import ScoredUtterance

_LOOP_REPEATS, _LOOP_CHARACTERS, _LONGEST_PIECE = 4, 12, 80
_LOOP = re.compile(rf"(\S.{{0,{_LONGEST_PIECE - 1}}}?)(?:\s*\1){{{_LOOP_REPEATS - 1},}}")


@dataclass(frozen=True)
class Hallucinations:
    """The utterances of each kind; an utterance may be of several.

    Args:
        insertion_only: Insertions, and no other error.
        looping: A piece of text four times or more in a row, which the reference does not have.
        from_nothing: Words for an empty reference.
        silent: Words for a recording in which nothing can be heard.
    """

    insertion_only: list[ScoredUtterance]
    looping: list[ScoredUtterance]
    from_nothing: list[ScoredUtterance]
    silent: list[ScoredUtterance]


def find_hallucinations(scored: Sequence[ScoredUtterance]) -> Hallucinations:
    """Look at the normalised texts."""
    wordy = [utterance for utterance in scored if utterance.hypothesis_normalized]
    return Hallucinations(
        insertion_only=[utterance for utterance in wordy if _is_insertion_only(utterance)],
        looping=[row for row in wordy if is_looping(row.hypothesis_normalized, row.reference_normalized)],
        from_nothing=[utterance for utterance in wordy if utterance.words is None],
        silent=[utterance for utterance in wordy if utterance.transcript.silent],
    )


def is_looping(hypothesis: str, reference: str) -> bool:
    """Whether the hypothesis repeats a piece of at most 80 characters four times or more in a row, 12 characters or
    more in all, and the reference does not. White space between the pieces does not matter.
    """
    return _loop(hypothesis) and not _loop(reference)


def _loop(text: str) -> bool:
    return any(len(match[0]) >= _LOOP_CHARACTERS for match in _LOOP.finditer(text))


def _is_insertion_only(utterance: ScoredUtterance) -> bool:
    words = utterance.words
    return words is not None and words.insertions > 0 and not words.substitutions and not words.deletions
