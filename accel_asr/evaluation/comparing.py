"""Two models on the same utterances: the difference with its interval, and the utterances that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass

from accel_asr.evaluation.intervals import RATES, Difference, paired_difference
from accel_asr.evaluation.scoring import ScoredUtterance


@dataclass(frozen=True)
class Change:
    """One utterance, before and after; `errors` is the change in word errors, below 0 for fewer."""

    before: ScoredUtterance
    after: ScoredUtterance

    @property
    def errors(self) -> int:
        return _word_errors(self.after) - _word_errors(self.before)


@dataclass(frozen=True)
class Comparison:
    """`after` against `before`.

    differences: of each rate in RATES, below 0 where `after` is better. improved, worsened: the largest changes.
    changed_transcripts: how many differ.
    """

    differences: dict[str, Difference]
    improved: list[Change]
    worsened: list[Change]
    changed_transcripts: int


def compare(before: Sequence[ScoredUtterance], after: Sequence[ScoredUtterance], *, most: int = 10) -> Comparison:
    """Compare two models' transcripts of the same utterances, in any order.

    Raises:
        ValueError: not the same utterances, or not the same references.
    """
    earlier = {utterance.transcript.utterance_id: utterance for utterance in before}
    if sorted(earlier) != sorted(utterance.transcript.utterance_id for utterance in after):
        raise ValueError("the utterances are not the same")
    pairs = [Change(earlier[utterance.transcript.utterance_id], utterance) for utterance in after]
    if any(pair.before.transcript.reference != pair.after.transcript.reference for pair in pairs):
        raise ValueError("the references are not the same")
    befores, afters = [pair.before for pair in pairs], [pair.after for pair in pairs]
    by_change = sorted(pairs, key=lambda pair: (pair.errors, pair.after.transcript.utterance_id))
    return Comparison(
        differences={rate: paired_difference(afters, befores, rate=rate) for rate in RATES},
        improved=[pair for pair in by_change if pair.errors < 0][:most],
        worsened=[pair for pair in reversed(by_change) if pair.errors > 0][:most],
        changed_transcripts=sum(
            pair.before.transcript.hypothesis != pair.after.transcript.hypothesis for pair in pairs
        ),
    )


def _word_errors(utterance: ScoredUtterance) -> int:
    """Errors in normalised words; every word for an empty reference is an insertion."""
    return utterance.words.errors if utterance.words else len(utterance.hypothesis_normalized.split())
