"""Transcripts, WER and loss of an evaluation by all ranks, against those by one rank alone."""

import math

from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.console.printing import percent
from accel_asr.data.loading.batches import evaluation_batches
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.generation import transcribe_batches, whole_table
from accel_asr.evaluation.scoring import corpus_score, score_utterance
from accel_asr.verification.checks import TOLERANCES, Check, relative_difference, same_ids


def compare_evaluation(
    model: WhisperForConditionalGeneration,
    items: ClipItems,
    decoding: Decoding,
    *,
    accelerator: Accelerator,
    collator: Collator,
) -> list[Check]:
    """Transcribe `items` on this rank alone, then on all ranks together. Every rank must call this.

    Args:
        model: Unwrapped; the weights of this rank.

    Raises:
        AssertionError: an utterance is missing from the gathered table, or there twice; on every rank.
    """
    batches = evaluation_batches(items, decoding.batch_size)
    share = transcribe_batches(model, items, batches, decoding, accelerator=accelerator, collator=collator)
    alone = whole_table(items.utterances, share, task=decoding.task)
    score = corpus_score([score_utterance(transcript, decoding.normalizer) for transcript in alone.transcripts])
    together = evaluate_model(model, items, decoding, accelerator=accelerator, collator=collator)
    transcripts = [row.transcript for row in together.scored]
    expected = [utterance.utterance_id for utterance in items.utterances]
    different = sum(mine != shared for mine, shared in zip(alone.transcripts, transcripts, strict=True))
    wer, other_wer = score.wer, together.score.wer
    both_undefined = math.isnan(wer) and math.isnan(other_wer)
    # same batches, same precision on both sides
    loss_allowed = TOLERANCES["no"].loss
    loss_off = relative_difference(alone.loss, together.loss)
    return [
        same_ids("utterances scored", expected, [row.utterance_id for row in transcripts]),
        Check("transcripts that differ", "0", str(different), different, 0),
        Check("WER", percent(wer), percent(other_wer), 0.0 if both_undefined else abs(other_wer - wer), 0),
        Check("validation loss", f"{alone.loss:.6f}", f"{together.loss:.6f}", loss_off, loss_allowed),
    ]
