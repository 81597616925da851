"""Rows about `audio_context: merged`, where the encoder gets a window whose padding is merged."""

from collections.abc import Callable
from dataclasses import replace

from accel_asr.data.loading.collator import Collator
from benchmarks.speed import hand_written, own_loop
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.model_rows import Bench, as_labels
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row
from benchmarks.speed.run_rows import assert_workers_have_ended

FULL = "ours, full context"


def merged_step_rows(bench: Bench) -> list[Row]:
    """A training step on one batch in memory."""
    batch = bench.material.batch(bench.batch_size).to(bench.device)
    own, seed = _own(bench), HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    merged = _collator(own)(bench.material.items(bench.batch_size)).to(bench.device)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.next_step([merged]),
        FULL: lambda: own.next_step([batch]),
        "seed": lambda: seed.train_step([as_labels(batch)]),
    }
    return _noted(bench, bench.timed("train step, merged", ways, unit=bench.unit), own)


def merged_evaluation_rows(bench: Bench) -> list[Row]:
    """Loss and transcripts of one batch with its features in memory."""
    items = bench.material.items(bench.batch_size)
    batch = as_labels(bench.material.collator(items).to(bench.device))
    own, seed = _own(bench), HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    prepared = own_loop.prepared_items(bench.material, items)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.evaluate(prepared, batch_size=len(items), collator=_collator(own)),
        FULL: lambda: own.evaluate(prepared, batch_size=len(items)),
        "seed": lambda: seed.evaluate([batch]),
    }
    return _noted(bench, bench.timed("evaluation, merged", ways, unit=bench.unit), own)


def merged_epoch_rows(bench: Bench) -> list[Row]:
    """Fetching, two train steps, and an evaluation of half of a batch."""
    material, size = bench.material, bench.batch_size
    train_rows, validation_rows = 2 * size, max(size // 2, 1)
    train, validation = own_loop.indexed_items(material, train_rows, validation_rows=validation_rows)
    own, seed = _own(bench), HandWritten(material, mixed_precision=bench.mixed_precision)
    prepared = hand_written.prepared_dataset(material, train_rows + validation_rows)
    seed_parts = prepared.select(range(train_rows)), prepared.select(range(train_rows, len(prepared)))

    def epoch(collator: Collator) -> None:
        own.epoch(train, validation, batch_size=size, num_workers=bench.num_workers, collator=collator)
        assert_workers_have_ended()

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: epoch(_collator(own)),
        FULL: lambda: epoch(material.collator),
        "seed": lambda: seed.epoch(*seed_parts, batch_size=size),
    }
    return _noted(bench, bench.timed("mini-epoch, merged", ways, unit=bench.unit), own)


def _own(bench: Bench) -> Own:
    return Own(bench.material, mixed_precision=bench.mixed_precision)


def _collator(own: Own) -> Collator:
    return replace(own.material.collator, merging=own.silence_merging())


def _noted(bench: Bench, rows: list[Row], own: Own) -> list[Row]:
    kept = _collator(own)(bench.material.items(bench.batch_size)).kept
    window = own.unwrapped.config.max_source_positions
    count = window if kept is None else kept.positions.shape[1]
    note = f"batches of {bench.batch_size}; {count:,} of {window:,} positions kept; not the same bit for bit"
    return [replace(row, note=note) for row in rows]
