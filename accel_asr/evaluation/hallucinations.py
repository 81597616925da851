"""Words that nobody said: loops, transcripts of which only insertions are wrong, and speech heard in silence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.evaluation.scoring import ScoredUtterance

_LOOP_REPEATS, _LOOP_CHARACTERS, _LONGEST_PIECE = 4, 12, 80
_LOOP = re.compile(rf"(\S.{{0,{_LONGEST_PIECE - 1}}}?)(?:\s*\1){{{_LOOP_REPEATS - 1},}}")


@dataclass(frozen=True)
class Hallucinations:
    """The utterances concerned; one may be in several.

    insertion_only: all that was said is there, and more. looping: a piece of text four times or more in a row that the
    reference does not have so. from_nothing: words for a reference without any. silent: words for a recording in which
    nothing can be heard.
    """

    insertion_only: list[ScoredUtterance]
    looping: list[ScoredUtterance]
    from_nothing: list[ScoredUtterance]
    silent: list[ScoredUtterance]

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {name: len(found) for name, found in vars(self).items()}


def find_hallucinations(scored: Sequence[ScoredUtterance]) -> Hallucinations:
    """Look at the normalised texts."""
    with_words = [one for one in scored if one.hypothesis_normalized]
    return Hallucinations(
        insertion_only=[one for one in with_words if _is_insertion_only(one)],
        looping=[one for one in with_words if is_looping(one.hypothesis_normalized, one.reference_normalized)],
        from_nothing=[one for one in with_words if one.words is None],
        silent=[one for one in with_words if one.transcript.silent],
    )


def is_looping(hypothesis: str, reference: str) -> bool:
    """Whether a piece of text of at most 80 characters stands there four times or more in a row, over 12 characters or
    more in all, in the hypothesis and not in the reference. White space between the pieces does not matter.
    """
    return _loop(hypothesis) and not _loop(reference)


def _loop(text: str) -> bool:
    if len(text) < _LOOP_CHARACTERS:
        return False
    return any(len(found[0]) >= _LOOP_CHARACTERS for found in _LOOP.finditer(text))


def _is_insertion_only(utterance: ScoredUtterance) -> bool:
    words = utterance.words
    return words is not None and words.insertions > 0 and not words.substitutions and not words.deletions
