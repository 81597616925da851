"""Transcribe a set of utterances on all ranks, and gather the transcripts: each utterance exactly once, in order."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.data.collator import IGNORED_LABEL, Batch, Collator, Item
from accel_asr.data.features import log_mel
from accel_asr.data.loading import evaluation_batches
from accel_asr.data.preparation import Utterance
from accel_asr.evaluation.scoring import Transcript
from accel_asr.modeling import summed_token_loss


@dataclasses.dataclass(frozen=True)
class Transcription:
    """The gathered table, in the order of the utterances given, and the mean loss of a target token in nats."""

    transcripts: list[Transcript]
    loss: float


@dataclasses.dataclass(frozen=True)
class Share:
    """What one rank found: (row, hypothesis, cut off), and (first row, summed token loss, target tokens) by batch."""

    rows: list[tuple[int, str, bool]]
    losses: list[tuple[int, float, int]]


def transcribe_utterances(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    utterances: Sequence[Utterance],
    *,
    accelerator: Accelerator,
    collator: Collator,
    batch_size: int,
    on_batch: Callable[[int], object] = lambda utterances: None,
) -> Transcription:
    """Generate a transcript for each utterance. Every rank must call this; every rank gets the whole table.

    Args:
        model: Unwrapped; how it transcribes stands in its generation settings (`modeling.configure_generation`).
        on_batch: Called after each batch of this rank with the number of utterances in it.

    Raises:
        AssertionError: an utterance is missing from the gathered table, or there twice.
    """
    batches = evaluation_batches([utterance.duration_s for utterance in utterances], batch_size)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    share = transcribe_batches(
        model, processor, utterances, mine, accelerator=accelerator, collator=collator, on_batch=on_batch
    )
    return whole_table(utterances, Share(rows=gather_object(share.rows), losses=gather_object(share.losses)))


def transcribe_batches(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    utterances: Sequence[Utterance],
    batches: Sequence[Sequence[int]],
    *,
    accelerator: Accelerator,
    collator: Collator,
    on_batch: Callable[[int], object] = lambda utterances: None,
) -> Share:
    """Transcribe these batches of rows of `utterances`, on this rank alone: it waits for no other."""
    was_training = model.training
    model.eval()
    share = Share(rows=[], losses=[])
    for batch_rows in batches:
        batch = collator([_item(utterances[row], processor) for row in batch_rows]).to(accelerator.device)
        with torch.no_grad(), accelerator.autocast():
            hypotheses, cut_off, loss_sum = _transcribe_batch(model, processor, batch)
        share.rows.extend(zip(batch_rows, hypotheses, cut_off, strict=True))
        share.losses.append((batch_rows[0], loss_sum, int((batch.labels != IGNORED_LABEL).sum())))
        on_batch(len(batch_rows))
    model.train(was_training)
    return share


def whole_table(utterances: Sequence[Utterance], shares: Share) -> Transcription:
    """The table of all utterances, in their order, from all shares put together.

    Raises:
        AssertionError: an utterance is missing, or there twice.
    """
    rows = sorted(shares.rows)
    assert [row for row, _, _ in rows] == list(range(len(utterances))), "an utterance is missing or there twice"
    # added in a fixed order, so that the loss does not depend on the number of ranks in its last digit
    losses = sorted(shares.losses)
    loss = sum(loss_sum for _, loss_sum, _ in losses) / sum(tokens for _, _, tokens in losses)
    transcripts = [
        Transcript(
            utterance_id=utterance.utterance_id,
            duration_s=round(utterance.duration_s, 3),
            reference=utterance.text,
            hypothesis=hypothesis,
            cut_off=cut_off,
        )
        for utterance, (_, hypothesis, cut_off) in zip(utterances, rows, strict=True)
    ]
    return Transcription(transcripts=transcripts, loss=loss)


def _item(utterance: Utterance, processor: WhisperProcessor) -> Item:
    features = log_mel(utterance.samples, processor.feature_extractor)
    return Item(utterance.utterance_id, utterance.duration_s, features, utterance.token_ids)


def _transcribe_batch(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, batch: Batch
) -> tuple[list[str], list[bool], float]:
    """(hypotheses, cut off, summed token loss) of one batch; one pass of the encoder serves both."""
    encoded = model.get_encoder()(batch.input_features).last_hidden_state
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        decoder_input_ids=batch.decoder_input_ids,
        use_cache=False,
    ).logits
    loss_sum = float(summed_token_loss(logits, batch.labels))
    generated = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        return_dict_in_generate=True,
        force_unique_generate_call=True,
    ).sequences
    # generation ends at the end-of-text token; a row that never made one was cut off
    end_id = model.generation_config.eos_token_id
    start_tokens = len(processor.tokenizer.prefix_tokens)
    cut_off = [end_id not in row[start_tokens:] for row in generated.tolist()]
    hypotheses = processor.batch_decode(generated, skip_special_tokens=True)
    return [hypothesis.strip() for hypothesis in hypotheses], cut_off, loss_sum
