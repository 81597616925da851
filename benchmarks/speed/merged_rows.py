"""Rows about `training.audio_context: merged`, where the encoder gets a window whose padding is merged.

Evaluations with it stand beside exact ones, in `run_rows`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from accel_asr.data.loading.collator import Collator
from benchmarks.speed import seq2seq_trainer
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row
from benchmarks.speed.run_rows import epochs

FULL = "ours, full context"


def merged_step_rows(bench: Bench) -> list[Row]:
    """A training step on one batch in memory."""
    items = bench.material.items(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    batch = bench.material.collator(items).to(bench.device)
    merged = _collator(own)(items).to(bench.device)
    trainer = seq2seq_trainer.StepsOfTrainer(bench.material, items, mixed_precision=bench.mixed_precision)
    # in a thread, as the trainer has to be: there, a step was 6% slower than in the main thread
    thread = ThreadPoolExecutor(1)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: thread.submit(own.next_step, [merged]).result(),
        FULL: lambda: thread.submit(own.next_step, [batch]).result(),
        "trainer": trainer.step,
    }
    try:
        return _noted(bench, bench.timed("train step, merged", ways, unit=bench.unit), own)
    finally:
        trainer.close()
        thread.shutdown()


def merged_epoch_rows(bench: Bench) -> list[Row]:
    """Fetching, two train steps, and an evaluation of half of a batch, all with merged padding."""
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    ours, of_trainer = epochs(bench, own)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(_collator(own)),
        FULL: lambda: ours(bench.material.collator),
        "trainer": of_trainer,
    }
    return _noted(bench, bench.timed("mini-epoch, merged", ways, unit=bench.unit), own)


def _collator(own: Own) -> Collator:
    return replace(own.material.collator, merging=own.silence_merging())


def _noted(bench: Bench, rows: list[Row], own: Own) -> list[Row]:
    kept = _collator(own)(bench.material.items(bench.batch_size)).kept
    window = own.unwrapped.config.max_source_positions
    count = window if kept is None else kept.positions.shape[1]
    note = f"batches of {bench.batch_size}; {count:,} of {window:,} positions kept; not the same bit for bit"
    return [replace(row, note=note) for row in rows]
