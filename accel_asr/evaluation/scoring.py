"""Edit counts by jiwer, and corpus error rates: sums over all utterances, then one division."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any

import jiwer

from accel_asr.evaluation.open_asr import ENGLISH, OpenAsr

TRANSLATE = "translate"


@dataclass(frozen=True)
class Transcript:
    """What the model wrote for one utterance.

    Args:
        cut_off: Generation stopped at the length limit, not at the end-of-text token.
        language, source: The row's own, if it has any.
        audio_problem: Why the recording could not be decoded; the hypothesis is empty, so every word is a deletion.
        silent: Nothing can be heard in the recording.
        columns: The row's cells of `data.breakdown_columns`; keywords: its own of `data.keywords_column`.
        word_confidences: The probability of each word of the hypothesis, split at white space, where it was asked for.
        block: What utterances share whose errors are alike, such as the speaker; intervals resample blocks whole.
        block_column: The column that names the blocks, or `recording`.
        task: `translate` for a translation into English.
        references: What would be right too, besides `reference`: the row's cells of `data.reference_columns`.
    """

    utterance_id: str
    duration_s: float
    reference: str
    hypothesis: str
    cut_off: bool
    language: str | None = None
    source: str | None = None
    audio_problem: str | None = None
    silent: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    word_confidences: tuple[float, ...] = ()
    block: str | None = None
    block_column: str | None = None
    task: str | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditCounts:
    """Edits from the reference to the hypothesis, and the reference's length, in words or characters."""

    substitutions: int
    deletions: int
    insertions: int
    reference_length: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class ScoredUtterance:
    """One line of `evaluations/*.jsonl`.

    `words` and `characters` count edits between the normalised texts, those with `_ortho` between the texts as written.
    None where the reference is empty, so that no rate is defined. Of several references it is the nearest one's, with
    the fewest word errors.
    """

    transcript: Transcript
    reference_normalized: str
    hypothesis_normalized: str
    words: EditCounts | None
    words_ortho: EditCounts | None
    characters: EditCounts | None
    characters_ortho: EditCounts | None

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("reference_normalized", "hypothesis_normalized")}
        counts = {name: getattr(self, name) for name in COUNTS}
        return asdict(self.transcript) | own | {name: value and asdict(value) for name, value in counts.items()}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "ScoredUtterance":
        """The inverse of `to_json`. Fields with a default may be missing, as in files of earlier versions.

        Raises:
            KeyError, TypeError: `line` has another form.
        """
        values = {
            column.name: line[column.name]
            for column in fields(Transcript)
            if column.name in line or _is_required(column)
        }
        return cls(
            transcript=Transcript(
                **values | {name: tuple(line.get(name, ())) for name in ("keywords", "word_confidences", "references")}
            ),
            reference_normalized=line["reference_normalized"],
            hypothesis_normalized=line["hypothesis_normalized"],
            **{name: line[name] and EditCounts(**line[name]) for name in COUNTS},
        )


def _is_required(column: Field[Any]) -> bool:
    return column.default is MISSING and column.default_factory is MISSING


COUNTS = ("words", "words_ortho", "characters", "characters_ortho")


@dataclass(frozen=True)
class CorpusScore:
    """Error rates as fractions: 0.05 is 5 errors in 100 reference words.

    Args:
        wer, cer: Between the normalised texts; wer_ortho, cer_ortho: between the texts as written.
        sentence_error_rate: Share of the references with any word error.
        substitutions, deletions, insertions, reference_words: Of normalised words.
        utterances: All that were transcribed.
        empty_references: Utterances without a reference after normalisation, left out of the normalised rates.
        cut_off: Utterances whose generation stopped at the length limit.
        unreadable: Utterances that could not be decoded, scored as empty hypotheses.
    """

    wer: float
    wer_ortho: float
    cer: float
    cer_ortho: float
    sentence_error_rate: float
    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
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
    """Count the edits of one utterance, as written and normalised.

    Of several references, all counts are of the one with the fewest errors in normalised words; of equal ones, of the
    one with the fewest errors in characters, then of the first. Its length counts, too. One that is empty after
    normalisation is used only if all are.
    """
    scored = [_scored(transcript, text, normalize) for text in (transcript.reference, *transcript.references)]
    with_words = [utterance for utterance in scored if utterance.words is not None]
    return min(with_words, key=_distance) if with_words else scored[0]


def _distance(scored: ScoredUtterance) -> tuple[int, int]:
    assert scored.words is not None
    assert scored.characters is not None
    return scored.words.errors, scored.characters.errors


def _scored(transcript: Transcript, reference: str, normalize: Callable[[str], str]) -> ScoredUtterance:
    if isinstance(normalize, OpenAsr):
        language = ENGLISH if transcript.task == TRANSLATE else transcript.language
        reference_normalized, hypothesis_normalized = normalize.pair(reference, transcript.hypothesis, language)
    else:
        reference_normalized, hypothesis_normalized = normalize(reference), normalize(transcript.hypothesis)
    return ScoredUtterance(
        transcript=transcript,
        reference_normalized=reference_normalized,
        hypothesis_normalized=hypothesis_normalized,
        words=word_edits(reference_normalized, hypothesis_normalized),
        words_ortho=word_edits(reference, transcript.hypothesis),
        characters=character_edits(reference_normalized, hypothesis_normalized),
        characters_ortho=character_edits(reference, transcript.hypothesis),
    )


def corpus_score(scored: Sequence[ScoredUtterance]) -> CorpusScore:
    """Sum, then divide once: a mean of per-utterance or per-batch rates would weigh short references more."""
    words = [utterance.words for utterance in scored if utterance.words is not None]
    return CorpusScore(
        wer=error_rate(words),
        wer_ortho=error_rate([utterance.words_ortho for utterance in scored]),
        cer=error_rate([utterance.characters for utterance in scored]),
        cer_ortho=error_rate([utterance.characters_ortho for utterance in scored]),
        sentence_error_rate=sum(count.errors > 0 for count in words) / len(words) if words else float("nan"),
        substitutions=sum(count.substitutions for count in words),
        deletions=sum(count.deletions for count in words),
        insertions=sum(count.insertions for count in words),
        reference_words=sum(count.reference_length for count in words),
        utterances=len(scored),
        empty_references=len(scored) - len(words),
        cut_off=sum(utterance.transcript.cut_off for utterance in scored),
        unreadable=sum(utterance.transcript.audio_problem is not None for utterance in scored),
    )


def grouped(
    scored: Sequence[ScoredUtterance], value_of: Callable[[ScoredUtterance], str]
) -> dict[str, list[ScoredUtterance]]:
    """The utterances of each value, in the order in which they come."""
    groups: dict[str, list[ScoredUtterance]] = {}
    for utterance in scored:
        groups.setdefault(value_of(utterance), []).append(utterance)
    return groups


def error_rate(counts: Sequence[EditCounts | None]) -> float:
    """Sum of the errors / sum of the reference lengths; nan when no reference has a length."""
    counted = [count for count in counts if count is not None]
    length = sum(count.reference_length for count in counted)
    return sum(count.errors for count in counted) / length if length else float("nan")
