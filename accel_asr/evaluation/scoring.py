"""Edit counts by jiwer, and corpus error rates: sums over all utterances, then one division."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jiwer


@dataclass(frozen=True)
class Transcript:
    """What the model made of one utterance. `cut_off`: generation stopped at the length limit, not at end-of-text.

    `language` and `source` are the row's own, if it has any. `audio_problem` says why the recording could not be
    decoded: the hypothesis is empty then, and every word counts as missed.
    """

    utterance_id: str
    duration_s: float
    reference: str
    hypothesis: str
    cut_off: bool
    language: str | None = None
    source: str | None = None
    audio_problem: str | None = None


@dataclass(frozen=True)
class EditCounts:
    """Edits that turn the reference into the hypothesis, and the reference's length, in words or characters."""

    substitutions: int
    deletions: int
    insertions: int
    reference_length: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class ScoredUtterance:
    """One line of `evaluations/*.jsonl`. `words` and `characters` are after normalisation, `words_ortho` before.

    None where the reference is empty, so that no rate is defined; such utterances are counted, not scored.
    """

    transcript: Transcript
    words: EditCounts | None
    words_ortho: EditCounts | None
    characters: EditCounts | None

    def to_json(self) -> dict[str, Any]:
        counts = {"words": self.words, "words_ortho": self.words_ortho, "characters": self.characters}
        return asdict(self.transcript) | {name: value and asdict(value) for name, value in counts.items()}


@dataclass(frozen=True)
class CorpusScore:
    """Error rates as fractions (0.05 is 5 errors for 100 reference words).

    wer, cer: normalised texts. wer_ortho: texts as written. utterances: all that were transcribed; empty_references of
    them are empty after normalisation and left out of wer and cer; cut_off stopped at the length limit; unreadable
    could not be decoded, and are scored as empty hypotheses.
    """

    wer: float
    wer_ortho: float
    cer: float
    utterances: int
    empty_references: int
    cut_off: int
    unreadable: int = 0


def word_edits(reference: str, hypothesis: str) -> EditCounts | None:
    """Edits between the words, split at white space; None for a reference without words."""
    reference, hypothesis = (" ".join(text.split()) for text in (reference, hypothesis))  # jiwer splits at spaces only
    return _edits(jiwer.process_words, reference, hypothesis) if reference else None


def character_edits(reference: str, hypothesis: str) -> EditCounts | None:
    """Edits between the characters, spaces included; None for an empty reference."""
    return _edits(jiwer.process_characters, reference, hypothesis) if reference.strip() else None


def _edits(process: Callable[..., Any], reference: str, hypothesis: str) -> EditCounts:
    counted = process(reference, hypothesis)
    length = counted.hits + counted.substitutions + counted.deletions
    return EditCounts(counted.substitutions, counted.deletions, counted.insertions, length)


def score_utterance(transcript: Transcript, normalize: Callable[[str], str]) -> ScoredUtterance:
    """Count the edits of one utterance, as written and normalised."""
    reference, hypothesis = normalize(transcript.reference), normalize(transcript.hypothesis)
    return ScoredUtterance(
        transcript=transcript,
        words=word_edits(reference, hypothesis),
        words_ortho=word_edits(transcript.reference, transcript.hypothesis),
        characters=character_edits(reference, hypothesis),
    )


def corpus_score(scored: Sequence[ScoredUtterance]) -> CorpusScore:
    """Add up, then divide once. A mean of per-utterance or per-batch rates would weigh short references more."""
    return CorpusScore(
        wer=error_rate([utterance.words for utterance in scored]),
        wer_ortho=error_rate([utterance.words_ortho for utterance in scored]),
        cer=error_rate([utterance.characters for utterance in scored]),
        utterances=len(scored),
        empty_references=sum(utterance.words is None for utterance in scored),
        cut_off=sum(utterance.transcript.cut_off for utterance in scored),
        unreadable=sum(utterance.transcript.audio_problem is not None for utterance in scored),
    )


def scores_by(
    scored: Sequence[ScoredUtterance], value_of: Callable[[ScoredUtterance], str | None]
) -> dict[str | None, CorpusScore]:
    """The corpus score of the utterances of each value, in the order of the values."""
    parts: dict[str | None, list[ScoredUtterance]] = {}
    for utterance in scored:
        parts.setdefault(value_of(utterance), []).append(utterance)
    return {value: corpus_score(parts[value]) for value in sorted(parts, key=lambda value: value or "")}


def error_rate(counts: Sequence[EditCounts | None]) -> float:
    """Sum of the errors / sum of the reference lengths; nan when no reference has a length."""
    counted = [count for count in counts if count is not None]
    length = sum(count.reference_length for count in counted)
    return sum(count.errors for count in counted) / length if length else float("nan")
