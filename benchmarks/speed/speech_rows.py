"""Rows about `training.audio_context: speech`, where the encoder gets the speech and not the whole window.

A run also has steps that hear more, one in eight, and its last tenth hears all: these rows are about the others.
"""

from collections.abc import Callable
from dataclasses import replace

from accel_asr.model.audio_context import SpeechContext
from benchmarks.speed import hand_written, own_loop
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.model_rows import Bench, as_labels
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row
from benchmarks.speed.run_rows import assert_workers_have_ended

FULL = "ours, full context"


def speech_step_rows(bench: Bench) -> list[Row]:
    """A training step on one batch in memory."""
    batch = bench.material.batch(bench.batch_size).to(bench.device)
    own, seed = _own(bench), HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    context = own.speech_context()
    heard = batch.first_frames(2 * _positions(bench, context))
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.train_step([heard]),
        FULL: lambda: own.train_step([batch]),
        "seed": lambda: seed.train_step([as_labels(batch)]),
    }
    return _noted(bench, bench.timed("train step, speech context", ways, unit=bench.unit), context)


def speech_evaluation_rows(bench: Bench) -> list[Row]:
    """Loss and transcripts of one batch with its features in memory."""
    items = bench.material.items(bench.batch_size)
    batch = as_labels(bench.material.collator(items).to(bench.device))
    own, seed = _own(bench), HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    prepared = own_loop.prepared_items(bench.material, items)
    context = own.speech_context()
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.evaluate(prepared, batch_size=len(items), audio_context=context),
        FULL: lambda: own.evaluate(prepared, batch_size=len(items)),
        "seed": lambda: seed.evaluate([batch]),
    }
    return _noted(bench, bench.timed("evaluation, speech context", ways, unit=bench.unit), context)


def speech_epoch_rows(bench: Bench) -> list[Row]:
    """Fetching, two train steps, and an evaluation of half of a batch."""
    material, size = bench.material, bench.batch_size
    train_rows, validation_rows = 2 * size, max(size // 2, 1)
    train, validation = own_loop.indexed_items(material, train_rows, validation_rows=validation_rows)
    own, seed = _own(bench), HandWritten(material, mixed_precision=bench.mixed_precision)
    prepared = hand_written.prepared_dataset(material, train_rows + validation_rows)
    seed_parts = prepared.select(range(train_rows)), prepared.select(range(train_rows, len(prepared)))
    context = own.speech_context()

    def epoch(audio_context: SpeechContext | None) -> None:
        own.epoch(train, validation, batch_size=size, num_workers=bench.num_workers, audio_context=audio_context)
        assert_workers_have_ended()

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: epoch(context),
        FULL: lambda: epoch(None),
        "seed": lambda: seed.epoch(*seed_parts, batch_size=size),
    }
    return _noted(bench, bench.timed("mini-epoch, speech context", ways, unit=bench.unit), context)


def _own(bench: Bench) -> Own:
    return Own(bench.material, mixed_precision=bench.mixed_precision)


def _positions(bench: Bench, context: SpeechContext) -> int:
    return context.positions_for(max(item.duration_s for item in bench.material.items(bench.batch_size)))


def _noted(bench: Bench, rows: list[Row], context: SpeechContext) -> list[Row]:
    heard = _positions(bench, context)
    note = (
        f"batches of {bench.batch_size}; {heard:,} of {context.full_positions:,} positions heard; not the same result"
    )
    return [replace(row, note=note) for row in rows]
