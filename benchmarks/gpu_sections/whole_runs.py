"""Whole runs of the product, as a user starts them, in processes of their own: `benchmarks.speed.reference_rows`."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu_sections.trial import Trial, heads, line
from benchmarks.speed import own_loop, seq2seq_trainer
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.reference_rows import REFERENCE, JobShape, run_job
from benchmarks.speed.timing import wall_time

TARGET_S = 15
SHORT = JobShape(train_rows=450, validation_rows=113, batch_size=15, epochs=4)
LARGER = JobShape(train_rows=1_024, validation_rows=16, batch_size=64, epochs=3)
QUICK = JobShape(train_rows=4, validation_rows=2, batch_size=2, epochs=2)
CLIP_S = 5.0


def reference_job(trial: Trial) -> Iterator[str]:
    """Its seconds from its imports to its end; the target on an H200 is TARGET_S."""
    shape = QUICK if trial.is_quick else REFERENCE
    bench = trial.bench("whisper-tiny", shape.batch_size)
    yield f"{describe(shape, bench)}; wall time; at most {TARGET_S} s after imports on an H200.\n"
    yield heads("run", "seconds after imports", "seconds of an epoch with its evaluation", "share waiting for data")
    manifest = own_loop.write_recordings(bench.material, shape.train_rows + shape.validation_rows)
    for number in (1,) if trial.is_quick else (1, 2):
        times = run_job(bench, shape, manifest)
        yield line([number, times["job_s"], times["epoch_s"], times["data_wait_share"]])


def beside_the_trainer(trial: Trial) -> Iterator[str]:
    """An epoch with its evaluation: our run as it is, and Seq2SeqTrainer with workers and pinned memory."""
    shape = QUICK if trial.is_quick else SHORT
    bench = trial.bench("whisper-tiny", shape.batch_size)
    workers = 0 if trial.is_quick else min(8, (os.cpu_count() or 2) - 1)
    yield f"{describe(shape, bench)}; wall time of an epoch and its evaluation.\n"
    yield "Ours reads WAV files and writes a checkpoint; the trainer has samples in memory and writes nothing.\n"
    yield heads("who", "seconds")
    manifest = own_loop.write_recordings(bench.material, shape.train_rows + shape.validation_rows)
    whole_s = run_job(bench, shape, manifest)["epoch_s"]
    yield line(["ours", whole_s])
    merged_s = run_job(bench, shape, manifest, **MERGED)["epoch_s"]
    yield line(["ours, merged", merged_s])
    rows = range(shape.train_rows + shape.validation_rows)
    trainer = seq2seq_trainer.make_trainer(
        bench.material,
        seq2seq_trainer.ComputedRows(bench.material, rows[: shape.train_rows]),
        validation=seq2seq_trainer.ComputedRows(bench.material, rows[shape.train_rows :]),
        batch_size=shape.batch_size,
        eval_batch_size=shape.validation_rows,
        mixed_precision=bench.mixed_precision,
        num_workers=workers,
    )

    def epoch() -> None:
        trainer.train()
        trainer.evaluate()

    epoch()
    trainer_s = float(np.median([wall_time(epoch) for _ in range(1 if trial.is_quick else 3)]))
    yield line([f"Seq2SeqTrainer, {workers} workers, evaluated in one batch", trainer_s])
    yield f"\nOurs is {trainer_s / whole_s:.2f} times as fast, merged {trainer_s / merged_s:.2f} times."


def merged_epochs(trial: Trial) -> Iterator[str]:
    """Epochs of whisper-base's size on short clips, with the whole window and with its padding merged."""
    shape = QUICK if trial.is_quick else LARGER
    bench = trial.bench("whisper-base", shape.batch_size, clip_s=CLIP_S)
    yield f"{describe(shape, bench)}; wall time; merged at least 2.2 times as fast on an H200.\n"
    yield heads("training.audio_context", "seconds of an epoch with its evaluation")
    manifest = own_loop.write_recordings(bench.material, shape.train_rows + shape.validation_rows)
    epochs_s = {}
    for name, settings in {"full": {}, "merged": MERGED}.items():
        epochs_s[name] = run_job(bench, shape, manifest, **settings)["epoch_s"]
        yield line([name, epochs_s[name]])
    yield f"\nmerged is {epochs_s['full'] / epochs_s['merged']:.2f} times as fast."


MERGED: dict[str, Any] = {"training.audio_context": "merged", "evaluation.audio_context": "merged"}


def describe(shape: JobShape, bench: Bench) -> str:
    """What is run."""
    size, epochs = bench.material.size, f"{shape.epochs} epochs of {shape.train_rows} clips"
    clips = f"{epochs} of {size.clip_s:g} s in batches of {shape.batch_size}"
    return f"{size.name}, {bench.mixed_precision}: {clips}, {shape.validation_rows} scored after each"
