"""Transcribe a set of utterances on all ranks and gather the transcripts: each utterance exactly once, in order."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import DynamicCache, EncoderDecoderCache, GenerationMixin, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.audio.log_mel import is_silent
from accel_asr.data.loading.batches import EvaluationBatch, evaluation_batches, evaluation_loader
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.prefetch import MadeAhead
from accel_asr.data.selection.utterances import Utterance
from accel_asr.evaluation.compiled_decoding import CompiledDecoding, compiled_decoding
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.greedy_decoding import decode_greedily
from accel_asr.evaluation.scoring import TRANSLATE, Transcript
from accel_asr.model.chunked_loss import summed_token_loss
from accel_asr.model.silence_merging import KeyBias, encode_clips
from accel_asr.model.spelling import Spelling
from accel_asr.model.whisper_for_training import CACHE_ARGUMENT
from accel_asr.ranks.agreement import POLL_S, Agreement


@dataclasses.dataclass(frozen=True)
class Transcription:
    """All transcripts, in the order of the utterances, and the mean loss of a target token in nats.

    `details`: what `closer_look` found of each, None where the audio can't be decoded; empty without one.
    """

    transcripts: list[Transcript]
    loss: float
    details: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class HeardBatch:
    """A transcribed batch, for a closer look at its rows. Tensors start with an axis of the rows.

    Args:
        encoded: The encoder's outputs, (rows, positions, width).
        hidden: The decoder's for `batch.decoder_input_ids`, (rows, tokens, width).
        generated: Token ids of the transcripts, padded, (rows, tokens).
        start_tokens: How many tokens came before them, and come before the text in each label.
    """

    batch: Batch
    encoded: torch.Tensor
    hidden: torch.Tensor
    generated: torch.Tensor
    start_tokens: int


CloserLook = Callable[[WhisperForConditionalGeneration, HeardBatch], Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Share:
    """One rank's results: (row, hypothesis, cut off, silent, audio problem) of each utterance, (first row, summed token
    loss, target tokens) of each batch, and (row, detail) of each utterance that was looked at closer."""

    rows: list[tuple[int, str, bool, bool, str | None]]
    losses: list[tuple[int, float, int]]
    details: list[tuple[int, Any]] = dataclasses.field(default_factory=list)


def transcribe_utterances(
    model: WhisperForConditionalGeneration,
    items: ClipItems,
    decoding: Decoding,
    *,
    accelerator: Accelerator,
    collator: Collator,
    agreement: Agreement | None = None,
    closer_look: CloserLook | None = None,
    on_batch: Callable[[int], object] = lambda utterances: None,
) -> Transcription:
    """Generate a transcript for each utterance. Every rank must call this; every rank gets the whole table.

    Args:
        model: Unwrapped. Each row's own language, task and prompt are given to its decoder.
        agreement: Lets the ranks stop together before the end; without it they only fail together.
        closer_look: Called for each batch of this rank; returns a detail of each row, which can be gathered.
        on_batch: Called after each batch of this rank with the number of utterances in it.

    Raises:
        AssertionError: an utterance is missing from the gathered table, or there twice.
        AgreedStopError: a rank was asked to stop; raised on every rank.
        UserError: the decoder can't be compiled here; or a rank can't load its data, raised on every rank.
    """
    agreement = agreement or Agreement(accelerator)
    batches = evaluation_batches(items, decoding.batch_size)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    with compiled_decoding(model, mine, decoding) if decoding.is_compiled and mine else nullcontext() as compiled:
        share = transcribe_batches(
            model,
            items,
            mine,
            decoding,
            accelerator=accelerator,
            collator=collator,
            compiled=compiled,
            agreement=agreement,
            closer_look=closer_look,
            on_batch=on_batch,
        )
    while not agreement.all_done(is_done=True):
        pass
    rows, losses = gather_object(share.rows), gather_object(share.losses)
    details = [] if closer_look is None else gather_object(share.details)
    return whole_table(items.utterances, Share(rows, losses, details), task=decoding.task)


def transcribe_batches(
    model: WhisperForConditionalGeneration,
    items: ClipItems,
    batches: Sequence[EvaluationBatch],
    decoding: Decoding,
    *,
    accelerator: Accelerator,
    collator: Collator,
    compiled: CompiledDecoding | None = None,
    agreement: Agreement | None = None,
    closer_look: CloserLook | None = None,
    on_batch: Callable[[int], object] = lambda utterances: None,
) -> Share:
    """Transcribe these batches of rows of `items` on this rank.

    An utterance whose audio can't be decoded gets an empty hypothesis and the reason.

    Args:
        agreement: With the other ranks, which must make the same call; without it this rank waits for no other.

    Raises:
        AgreedStopError, AgreedDataError: as `Agreement.all_done`.
    """
    was_training = model.training
    model.eval()
    share = Share(rows=[], losses=[])
    with closing(evaluation_loader(items, batches, collator=collator, num_workers=decoding.num_workers)) as loaded:
        for planned, batch_on_cpu in zip(batches, _as_agreed(loaded, agreement), strict=True):
            batch = batch_on_cpu.to(accelerator.device)
            failed = {item.utterance_id: item.reason for item in batch.failed}
            names = {row: items.utterances[row].utterance_id for row in planned.rows} if failed else {}
            share.rows.extend((row, "", False, False, failed[name]) for row, name in names.items() if name in failed)
            rows = [row for row in planned.rows if names.get(row) not in failed]
            if rows:
                with torch.no_grad(), accelerator.autocast():
                    hypotheses, cut_off, loss_sum, details = _transcribe_batch(
                        model,
                        batch,
                        decoding,
                        spelling=items.encoder.spelling,
                        start_tokens=planned.start_tokens,
                        compiled=compiled,
                        closer_look=closer_look,
                    )
                silent = is_silent(batch.input_features).tolist()
                share.rows.extend((*result, None) for result in zip(rows, hypotheses, cut_off, silent, strict=True))
                share.losses.append((rows[0], loss_sum, len(batch.target_positions)))
                share.details.extend(zip(rows, details, strict=closer_look is not None))
            on_batch(len(planned.rows))
    KeyBias.of_model(model).of_batch = None  # whoever generates next hears the whole window
    model.train(was_training)
    return share


def _as_agreed(loaded: MadeAhead[Any, Batch], agreement: Agreement | None) -> Iterator[Batch]:
    """The batches; while it waits for one, and between them, this rank checks whether another failed or must stop."""
    if agreement is None:
        yield from loaded
        return
    while True:
        batch, problem = None, None
        try:
            batch = loaded.ready(POLL_S)
        except StopIteration:
            return
        except Exception as error:
            problem = error
        if problem is not None:
            agreement.all_done(is_done=False, problem=problem)
        agreement.in_time()
        if batch is not None:
            yield batch


def whole_table(utterances: Sequence[Utterance], shares: Share, *, task: str | None = None) -> Transcription:
    """The table of all utterances, in their order, from the results of all ranks.

    Args:
        task: Of rows without their own.

    Raises:
        AssertionError: an utterance is missing, or there twice.
    """
    rows = sorted(shares.rows)
    assert [row for row, *_ in rows] == list(range(len(utterances))), "an utterance is missing or there twice"
    # summed in a fixed order, so that not even the last digit of the loss depends on the number of ranks
    losses = sorted(shares.losses)
    tokens = sum(tokens for _, _, tokens in losses)
    loss = sum(loss_sum for _, loss_sum, _ in losses) / tokens if tokens else float("nan")
    transcripts = [
        Transcript(
            utterance_id=utterance.utterance_id,
            duration_s=round(utterance.duration_s, 3),
            reference=utterance.text,
            hypothesis=hypothesis,
            cut_off=cut_off,
            language=utterance.language,
            source=utterance.source,
            audio_problem=audio_problem,
            silent=silent,
            columns=dict(utterance.columns),
            keywords=utterance.keywords,
            block=utterance.block,
            block_column=utterance.block_column,
            task=TRANSLATE if (utterance.task or task) == TRANSLATE else None,
            references=utterance.references,
        )
        for utterance, (_, hypothesis, cut_off, silent, audio_problem) in zip(utterances, rows, strict=True)
    ]
    by_row = dict(shares.details)
    details = [by_row.get(row) for row in range(len(utterances))] if by_row else []
    return Transcription(transcripts=transcripts, loss=loss, details=details)


def _transcribe_batch(
    model: WhisperForConditionalGeneration,
    batch: Batch,
    decoding: Decoding,
    *,
    spelling: Spelling,
    start_tokens: int,
    compiled: CompiledDecoding | None,
    closer_look: CloserLook | None,
) -> tuple[list[str], list[bool], float, Sequence[Any]]:
    """(hypotheses, cut off, summed token loss, details) of one batch, from one pass of the encoder.

    Args:
        start_tokens: How many tokens of each row's label `generate` is given: previous text, start, language, task.
    """
    encoded = encode_clips(model, batch.input_features, batch.kept)
    is_greedy = decoding.num_beams == 1 and compiled is None
    heard = EncoderDecoderCache(DynamicCache(), DynamicCache())
    hidden = model.model(
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        decoder_input_ids=batch.decoder_input_ids,
        **{CACHE_ARGUMENT: heard if is_greedy else None},
        use_cache=is_greedy,
    ).last_hidden_state
    targets = hidden.flatten(0, 1)[batch.target_positions]
    loss_sum = float(summed_token_loss(targets, model.proj_out.weight, batch.target_labels))
    given = batch.decoder_input_ids[:, :start_tokens]
    options: dict[str, object] = {}
    key_bias = KeyBias.of_model(model)
    whole_bias = None if closer_look is None or key_bias.of_batch is None else key_bias.of_batch.clone()
    encoded_clips = encoded
    if is_greedy:
        # the loss has computed the keys and values of the encoder; those of its labels are forgotten
        cache = EncoderDecoderCache(DynamicCache(), heard.cross_attention_cache)
        options = {"custom_generate": decode_greedily, CACHE_ARGUMENT: cache}
    if compiled:
        encoded, given = compiled.filled(encoded), compiled.filled(given)
        if key_bias.of_batch is not None:
            key_bias.of_batch = compiled.filled(key_bias.of_batch)
        options = compiled.options(encoded.shape[1])
    # not Whisper's own `generate`, which also detects languages, goes from window to window, and copies the key/value
    # caches of every row to the CPU and back
    generated = GenerationMixin.generate(
        model,
        encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
        decoder_input_ids=given,
        max_new_tokens=min(decoding.max_new_tokens, model.config.max_target_positions - start_tokens),
        num_beams=decoding.num_beams,
        **options,
    )[: len(batch.labels), start_tokens:]
    # a row without an end-of-text token was cut off
    cut_off = [model.generation_config.eos_token_id not in row for row in generated.tolist()]
    details: Sequence[Any] = ()
    if closer_look is not None:
        key_bias.of_batch = whole_bias  # greedy decoding has dropped the rows that ended
        details = closer_look(model, HeardBatch(batch, encoded_clips, hidden, generated, start_tokens))
    return [spelling.text(row) for row in generated.tolist()], cut_off, loss_sum, details
