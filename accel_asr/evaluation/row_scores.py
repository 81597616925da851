"""How badly the text of a training row fits its recording, as a model hears it; and why, in words.

    score = 1 - (fit + agreement) / 2, from 0 to 1

`fit` is how probable a token of the text is, relative to a token of the model's own transcript: exp(own_loss -
text_loss), means over tokens, at most 1. A recording that is hard to hear makes both losses high, so its fit stays
high. `agreement` is 1 - edit_rate: the edits between the characters of the text and of the transcript, both normalised,
over the length of the longer one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accel_asr.console.printing import counted
from accel_asr.evaluation.alignments import align_words
from accel_asr.evaluation.hallucinations import is_looping
from accel_asr.evaluation.row_losses import RowLosses
from accel_asr.evaluation.scoring import ScoredUtterance, character_edits

SURE_LANGUAGE = 0.9  # from this probability on, another language is a reason: an accent alone reached 0.87
LONG_STRETCH = 3  # words in a row that only one side has
ANOTHER_TEXT_EDITS, ANOTHER_TEXT_FIT = 0.6, 0.3  # from this edit rate on, and up to this fit
SAME_TEXT_EDITS = 0.35  # up to which a transcript is that of another row's text
NO_REASON = "none of these"
COMMON_WORD_SHARE = 0.2  # of the rows: such a word finds none of them


@dataclass(frozen=True)
class RankedRow:
    """A row with its place in the ranking, 1 for the one that fits worst.

    score, fit, agreement, edit_rate: As the module says; fit and the losses are None where nothing could be heard.
    missing_words, extra_words: The longest run of words that only the text has, and that only the transcript has.
    other_row: The row whose text the transcript is.
    reasons: What is odd, by its kind and in words; empty where nothing is.
    """

    rank: int
    row: int
    score: float
    edit_rate: float
    fit: float | None
    losses: RowLosses | None
    missing_words: int
    extra_words: int
    other_row: str | None
    reasons: dict[str, str]
    scored: ScoredUtterance

    @property
    def why(self) -> str:
        """The reasons in one line; what was measured where there is none."""
        words = self.scored.words
        if self.reasons:
            return "; ".join(self.reasons.values())
        if words is not None and words.errors:
            return f"{words.errors:,} of {counted(words.reference_length, 'word')} heard otherwise"
        return "nothing odd"

    def to_json(self) -> dict[str, Any]:
        transcript = self.scored.transcript
        losses = {name: _rounded(value) for name, value in asdict(self.losses or RowLosses(0.0, 0.0)).items()}
        return {
            "rank": self.rank,
            "id": transcript.utterance_id,
            "score": _rounded(self.score),
            "reasons": self.reasons,
            "fit": _rounded(self.fit),
            "edit_rate": _rounded(self.edit_rate),
            **(losses if self.losses is not None else dict.fromkeys(losses)),
            "missing_words": self.missing_words,
            "extra_words": self.extra_words,
            "other_row": self.other_row,
            "duration_s": transcript.duration_s,
            "text": transcript.reference,
            "transcript": transcript.hypothesis,
        }


@dataclass(frozen=True)
class Ranking:
    """All rows, the worst first, and which of them a clean manifest leaves out."""

    model: str
    audio_context: str
    rows: list[RankedRow]
    left_out: list[RankedRow]

    @staticmethod
    def kinds(rows: Sequence[RankedRow]) -> dict[str, int]:
        """How many rows have each kind of reason as their first, the most frequent kind first."""
        return dict(Counter(next(iter(row.reasons), NO_REASON) for row in rows).most_common())

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "audio_context": self.audio_context,
            "ranked": [row.to_json() for row in self.rows],
            "left_out": [row.scored.transcript.utterance_id for row in self.left_out],
        }


def rank_rows(scored: Sequence[ScoredUtterance], losses: Sequence[RowLosses | None]) -> list[RankedRow]:
    """All rows, those whose text fits worst first; among equals, in the order of the data.

    Args:
        losses: Of each; None where the audio can't be decoded, which scores 1.
    """
    others = TextsByWord(scored)
    measured = [(_score(row, loss), number) for number, (row, loss) in enumerate(zip(scored, losses, strict=True))]
    measured.sort(key=lambda pair: (-pair[0], pair[1]))
    return [
        _ranked(scored[number], losses[number], rank=rank, row=number, others=others)
        for rank, (_, number) in enumerate(measured, start=1)
    ]


def left_out_rows(
    ranked: Sequence[RankedRow], *, worst_share: float | None = None, threshold: float | None = None
) -> list[RankedRow]:
    """The worst rows: a share of all of them, or those with at least this score; none where neither is given."""
    if worst_share is not None:
        return list(ranked[: round(worst_share * len(ranked))])
    return [] if threshold is None else [row for row in ranked if row.score >= threshold]


def edit_rate(text: str, transcript: str) -> float:
    """Edits between the characters over the length of the longer text, 0 to 1; 0 for two empty ones."""
    counts = character_edits(text, transcript)
    if counts is None:
        return float(bool(transcript.strip()))
    return counts.errors / max(counts.reference_length, len(transcript))


def fit_of(losses: RowLosses) -> float:
    """How probable a token of the text is, relative to one of the model's own transcript; at most 1."""
    return math.exp(min(losses.own_loss - losses.text_loss, 0.0))


def longest_stretches(text: str, transcript: str) -> tuple[int, int]:
    """(longest run of words that only the text has, that only the transcript has)."""
    runs = align_words(text, transcript) if text.strip() or transcript.strip() else []
    return (
        max((len(run.reference) for run in runs if run.edit == "delete"), default=0),
        max((len(run.hypothesis) for run in runs if run.edit == "insert"), default=0),
    )


class TextsByWord:
    """Finds the row whose text has most in common with a transcript, by the words that few rows have."""

    def __init__(self, scored: Sequence[ScoredUtterance]) -> None:
        self.scored = scored
        self.rows_with: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(scored):
            for word in set(row.reference_normalized.split()):
                self.rows_with[word].append(number)
        self.most_rows = max(COMMON_WORD_SHARE * len(scored), 2)

    def other_row(self, row: ScoredUtterance, *, better_than: float) -> str | None:
        """The id of another row whose text is about the transcript of this one; None where there is none.

        Args:
            better_than: The edit rate to the row's own text.
        """
        shared: Counter[int] = Counter()
        for word in set(row.hypothesis_normalized.split()):
            rows = self.rows_with.get(word, [])
            if len(rows) <= self.most_rows:
                shared.update(rows)
        for number, _ in shared.most_common(2):  # the first may be the row itself
            other = self.scored[number]
            rate = edit_rate(other.reference_normalized, row.hypothesis_normalized)
            if other is not row and rate <= SAME_TEXT_EDITS and rate < better_than / 2:
                return other.transcript.utterance_id
        return None


def _score(row: ScoredUtterance, losses: RowLosses | None) -> float:
    if losses is None:
        return 1.0
    agreement = 1 - edit_rate(row.reference_normalized, row.hypothesis_normalized)
    return 1 - (fit_of(losses) + agreement) / 2


def _ranked(
    scored: ScoredUtterance, losses: RowLosses | None, *, rank: int, row: int, others: TextsByWord
) -> RankedRow:
    text, transcript = scored.reference_normalized, scored.hypothesis_normalized
    rate = edit_rate(text, transcript)
    missing, extra = longest_stretches(text, transcript)
    other = others.other_row(scored, better_than=rate) if losses is not None else None
    return RankedRow(
        rank=rank,
        row=row,
        score=_score(scored, losses),
        edit_rate=rate,
        fit=None if losses is None else fit_of(losses),
        losses=losses,
        missing_words=missing,
        extra_words=extra,
        other_row=other,
        reasons=dict(_reasons(scored, losses, rate=rate, missing=missing, extra=extra, other=other)),
        scored=scored,
    )


def _reasons(
    scored: ScoredUtterance, losses: RowLosses | None, *, rate: float, missing: int, extra: int, other: str | None
) -> Iterator[tuple[str, str]]:
    transcript = scored.transcript
    if losses is None:
        yield "undecodable audio", f"can't be decoded: {transcript.audio_problem}"
        return
    if transcript.silent:
        yield "silence", "nothing can be heard"
    heard, probability = losses.language, losses.language_probability
    if heard != losses.expected_language and probability is not None and probability >= SURE_LANGUAGE:
        yield "another language", f"another language is spoken: {heard} ({probability:.2f})"
    is_looping_here = is_looping(scored.hypothesis_normalized, scored.reference_normalized)
    if other is not None:
        yield "another text", f"another text: what is heard is the text of {other}"
    elif rate >= ANOTHER_TEXT_EDITS and fit_of(losses) <= ANOTHER_TEXT_FIT and not is_looping_here:
        yield "another text", "another text"
    elif not is_looping_here:
        if missing >= LONG_STRETCH:
            yield "words not heard", f"text has {counted(missing, 'word')} in a row that are not heard"
        if extra >= LONG_STRETCH:
            yield "words not in the text", f"{counted(extra, 'word')} in a row are heard that the text does not have"
    if is_looping_here or transcript.cut_off:
        yield "looping transcript", "the model's transcript loops or does not end, so it tells little"


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
