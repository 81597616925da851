"""One evaluation: transcribe, normalise, score. Training and the commands both call it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.evaluation.blocks import blocks_of
from accel_asr.evaluation.calibration import confidence_record, judged_words
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.evaluation.intervals import rate_intervals
from accel_asr.evaluation.keywords import keyword_record
from accel_asr.evaluation.long_form import LongFormResult
from accel_asr.evaluation.scoring import CorpusScore, ScoredUtterance, corpus_score, grouped, score_utterance
from accel_asr.evaluation.translations import translation_record
from accel_asr.evaluation.word_probabilities import WordProbabilities
from accel_asr.ranks.agreement import Agreement


@dataclass(frozen=True)
class Evaluation:
    """A score and the utterances behind it.

    Args:
        loss: Mean of a target token, in nats.
        seconds: Wall time on this rank.
        is_merged: The padding was merged, which may change a word now and then.
        batch_size, processes, device: What the speed was measured with: utterances in one batch of one process, how
            many processes transcribed, and on what.
        keywords: As `keyword_record` gives it; None where none were given.
        word_confidence: As `confidence_record` gives it; None where it was not asked for.
        long_form: As `LongFormResult.record`, of the rows longer than the window; None where there are none.
    """

    score: CorpusScore
    loss: float
    seconds: float
    scored: list[ScoredUtterance]
    is_merged: bool = False
    batch_size: int = 1
    processes: int = 1
    device: str = "cpu"
    keywords: dict[str, Any] | None = None
    word_confidence: dict[str, Any] | None = None
    long_form: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """The numbers as metrics.jsonl and summary.json hold them; with several languages or sources, also of each.

        `wer_interval` and so on are 95% bootstrap intervals, [low, high]. They resample blocks, such as speakers, where
        those are known; then `blocks` says how many of what, and `wer_interval_by_utterance` is the narrower one.
        """
        record = {**asdict(self.score), "loss": self.loss, **({"audio_context": "merged"} if self.is_merged else {})}
        record |= {f"{name}_interval": list(interval) for name, interval in rate_intervals(self.scored).items()}
        blocks = blocks_of(self.scored)
        if blocks is not None:
            by_utterance = rate_intervals(self.scored, by_utterance=True)["wer"]
            record |= {
                "wer_interval_by_utterance": list(by_utterance),
                "blocks": {"count": blocks.count, "column": blocks.column},
            }
        translation = translation_record(self.scored)
        if translation is not None:
            record["translation"] = translation
        record |= {"keywords": self.keywords} if self.keywords else {}
        record |= {"word_confidence": self.word_confidence} if self.word_confidence else {}
        record |= {"long_form": self.long_form} if self.long_form else {}
        parts_by = {
            "by_language": grouped(self.scored, lambda utterance: utterance.transcript.language or ""),
            "by_source": grouped(self.scored, lambda utterance: utterance.transcript.source or ""),
        }
        for name, parts in parts_by.items():
            if len(parts) > 1:
                record[name] = {value or "unset": asdict(corpus_score(parts[value])) for value in sorted(parts)}
        return record


def with_long_rows(
    evaluation: Evaluation, long_form: LongFormResult, is_long: Sequence[bool], decoding: Decoding
) -> Evaluation:
    """Rows that fit the window and rows that do not in one score, in their order.

    The loss and the confidence of words stay those of the rows that fit.

    Args:
        evaluation: Of the rows that fit.
        is_long: Whether each row does not.
    """
    short, long = iter(evaluation.scored), iter(long_form.scored)
    scored = [next(long if is_row_long else short) for is_row_long in is_long]
    return replace(
        evaluation,
        score=corpus_score(scored),
        seconds=evaluation.seconds + long_form.seconds,
        scored=scored,
        keywords=keyword_record(scored, decoding.keywords, decoding.normalizer),
        long_form=long_form.record(),
    )


def evaluate_model(
    model: WhisperForConditionalGeneration,
    items: ClipItems,
    decoding: Decoding,
    *,
    accelerator: Accelerator,
    collator: Collator,
    agreement: Agreement | None = None,
    on_batch: Callable[[int], object] = lambda utterances: None,
) -> Evaluation:
    """Score `model` on every utterance of `items` exactly once. Every rank must call this, and gets the same result.

    Args:
        agreement: Lets the ranks stop together before the end; without it they only fail together.

    Raises:
        AgreedStopError: a rank was asked to stop; raised on every rank.
        UserError: the decoder can't be compiled here.
    """
    started_s = time.perf_counter()
    transcription = transcribe_utterances(
        model,
        items,
        decoding,
        accelerator=accelerator,
        collator=collator,
        agreement=agreement,
        closer_look=WordProbabilities(items.encoder.spelling) if decoding.word_confidence else None,
        on_batch=on_batch,
    )
    transcripts = transcription.transcripts
    if decoding.word_confidence:
        pairs = zip(transcripts, transcription.details or [None] * len(transcripts), strict=True)
        transcripts = [replace(transcript, word_confidences=words or ()) for transcript, words in pairs]
    scored = [score_utterance(transcript, decoding.normalizer) for transcript in transcripts]
    confidence = None
    if decoding.word_confidence:
        confidence = confidence_record(judged_words(scored, decoding.normalizer))
    return Evaluation(
        score=corpus_score(scored),
        loss=transcription.loss,
        seconds=time.perf_counter() - started_s,
        scored=scored,
        is_merged=collator.merging is not None,
        batch_size=decoding.batch_size,
        processes=accelerator.num_processes,
        device=accelerator.device.type,
        keywords=keyword_record(scored, decoding.keywords, decoding.normalizer),
        word_confidence=confidence,
    )
