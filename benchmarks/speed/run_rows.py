"""Rows about whole pieces of a run: an evaluation, a small epoch, the stall of a checkpoint."""

import gc
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace

from accel_asr.data.loading.collator import Collator
from benchmarks.speed import hand_written, own_loop, seq2seq_trainer
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.material import Material
from benchmarks.speed.model_rows import Bench, as_labels
from benchmarks.speed.own_loop import Own
from benchmarks.speed.real_material import RealMaterial
from benchmarks.speed.results import Row, faster
from benchmarks.speed.timing import Times, clock_of, in_turns, wall_time

MERGED = "ours, merged"
EVALUATION = {"ours": "evaluation", MERGED: "evaluation, merged"}


def evaluation_rows(bench: Bench) -> list[Row]:
    """Loss and transcripts of one batch with its features in memory, exact and with merged padding."""
    items = bench.material.items(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    prepared = own_loop.prepared_items(bench.material, items)
    merging = replace(bench.material.collator, merging=own.silence_merging())
    rows = seq2seq_trainer.PreparedRows(items)
    trainer = seq2seq_trainer.make_trainer(
        bench.material, rows, validation=rows, batch_size=len(items), mixed_precision=bench.mixed_precision
    )
    ours = own.evaluate(prepared, batch_size=len(items))
    reported = trainer.evaluate()
    theirs = reported["eval_loss"], [text.strip() for text in trainer.transcripts]
    tolerance = 1e-3 if bench.mixed_precision == "no" else 5e-2
    assert abs(ours[0] - theirs[0]) < tolerance * theirs[0], (ours[0], theirs[0])
    if bench.mixed_precision == "no":
        assert ours[1] == theirs[1], "the transcripts differ"
    merged = own.evaluate(prepared, batch_size=len(items), collator=merging)[1]
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.evaluate(prepared, batch_size=len(items)),
        MERGED: lambda: own.evaluate(prepared, batch_size=len(items), collator=merging),
        "trainer": trainer.evaluate,
    }
    if not isinstance(bench.material, RealMaterial):
        batch = as_labels(bench.material.collator(items).to(bench.device))
        seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
        ways["seed"] = lambda: seed.evaluate([batch])
    times = in_turns(ways, rounds=bench.rounds, clock=clock_of(bench.device), calls=bench.calls)
    bench.warmups["evaluation"] = times.warmup_s
    same = sum(exact == other for exact, other in zip(ours[1], merged, strict=True))
    notes = {
        "ours": "the same transcripts as trainer's",
        MERGED: f"{same} of {len(items)} transcripts as with the whole window",
    }
    new_rows = []
    for way, note in notes.items():
        others = {name: seconds for name, seconds in times.rounds_s.items() if name not in notes}
        compared = Times({}, {"ours": times.rounds_s[way], **others})
        new_rows += faster(EVALUATION[way], compared, unit=bench.unit, note=f"{len(items)} clips in a batch; {note}")
    return new_rows


def epoch_rows(bench: Bench) -> list[Row]:
    """Fetching, two train steps, and an evaluation of half of a batch: 4 to 1, as in the reference job."""
    material, size = bench.material, bench.batch_size
    train_rows, validation_rows = epoch_size(bench)
    own = Own(material, mixed_precision=bench.mixed_precision)
    ours, of_trainer = epochs(bench, own)
    seed = HandWritten(material, mixed_precision=bench.mixed_precision)
    prepared = hand_written.prepared_dataset(material, train_rows + validation_rows)
    seed_parts = prepared.select(range(train_rows)), prepared.select(range(train_rows, len(prepared)))
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(material.collator),
        "seed": lambda: seed.epoch(*seed_parts, batch_size=size),
        "trainer": of_trainer,
    }
    times = in_turns(ways, rounds=bench.rounds, clock=clock_of(bench.device))
    bench.warmups["mini-epoch"] = times.warmup_s
    workers = f"{bench.num_workers} workers for ours and trainer, none for seed"
    note = f"2 steps of {size} clips, {validation_rows} evaluated; {workers}"
    return [replace(row, note=note) for row in faster("mini-epoch", times, unit=bench.unit)]


def epoch_size(bench: Bench) -> tuple[int, int]:
    """(training rows, validation rows) of a small epoch: two steps, and an evaluation of half of a batch."""
    return 2 * bench.batch_size, max(bench.batch_size // 2, 1)


def epochs(bench: Bench, own: Own) -> tuple[Callable[[Collator], None], Callable[[], None]]:
    """A small epoch of ours, whose batches a collator makes, and one of the trainer's."""
    material, size = bench.material, bench.batch_size
    train_rows, validation_rows = epoch_size(bench)
    train, validation = own_loop.indexed_items(material, train_rows, validation_rows=validation_rows)
    trainer = seq2seq_trainer.make_trainer(
        material,
        seq2seq_trainer.ComputedRows(material, range(train_rows)),
        validation=seq2seq_trainer.ComputedRows(material, range(train_rows, train_rows + validation_rows)),
        batch_size=size,
        mixed_precision=bench.mixed_precision,
        num_workers=bench.num_workers,
    )

    def ours(collator: Collator) -> None:
        own.epoch(train, validation, batch_size=size, num_workers=bench.num_workers, collator=collator)
        assert_workers_have_ended()

    def of_trainer() -> None:
        trainer.train()
        trainer.evaluate()
        assert_workers_have_ended()

    return ours, of_trainer


def packed_epoch_rows(bench: Bench) -> list[Row]:
    """Clips of a tenth of the model's window: fetching and training on each of them once, packed and not."""
    from accel_asr.data.order.packing import GAP_S

    size = bench.material.size
    short = replace(size, clip_s=size.window_s / 10, label_tokens=(10, 16))
    material = Material(bench.folder / "short", short, device=bench.device)
    windows = 2
    clips = windows * int((size.window_s + GAP_S) / (short.clip_s + GAP_S))
    items, _ = own_loop.indexed_items(material, clips, validation_rows=1)
    own = Own(material, mixed_precision=bench.mixed_precision)

    def trained(*, pack: bool) -> tuple[int, int]:
        """(windows computed, clips trained on) of one epoch."""
        computed = heard = 0
        for window in own.windows(items, batch_size=windows, num_workers=0, pack=pack):
            own.train_step(window)
            computed += sum(len(batch.input_features) for batch in window)
            heard += sum(len(batch.utterance_ids) for batch in window)
        return computed, heard

    assert trained(pack=True) == (windows, clips)
    assert trained(pack=False) == (clips, clips)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: trained(pack=True),
        "unpacked": lambda: trained(pack=False),
    }
    note = f"{clips} clips of {short.clip_s:g} s in {windows} windows of {size.window_s} s, in place of {clips}"
    return [replace(row, note=note) for row in bench.timed("packed epoch", ways, unit=bench.unit)]


def checkpoint_rows(bench: Bench) -> list[Row]:
    """How long training waits for a checkpoint of model and optimizer: wall time, since most of it is the disk's.

    Ours also against itself with the wait for what it writes behind. Nothing is in flight when a measurement begins.
    """
    items = bench.material.items(1)
    batch = bench.material.collator(items).to(bench.device)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    own.train_step([batch])
    seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    seed.train_step([as_labels(batch)])
    trainer = seq2seq_trainer.make_trainer(
        bench.material, seq2seq_trainer.PreparedRows(items), batch_size=1, mixed_precision=bench.mixed_precision
    )
    trainer.train()
    folders = {name: bench.folder / f"checkpoints-{name}" for name in ("ours", "seed", "trainer")}
    checkpoints = own_loop.Checkpoints(own, folders["ours"])

    def cleared() -> None:
        checkpoints.wait()
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        gc.collect()

    cleared()
    ways: dict[str, Callable[[], object]] = {
        "ours": checkpoints.save,
        "ours, waiting": checkpoints.save_and_wait,
        "seed": lambda: seed.save(folders["seed"] / "checkpoint.pt"),
        "trainer": lambda: seq2seq_trainer.save(trainer, folders["trainer"]),
    }
    times = in_turns(ways, rounds=2 * bench.rounds, clock=wall_time, prepare=cleared)
    bench.warmups["checkpoint stall"] = times.warmup_s
    checkpoints.wait()
    stalls = faster("checkpoint stall", times, unit="s", share=True, note="ours divided by theirs; wall time")
    note = "ours, waiting: until it is on disk; else a thread writes behind"
    return [replace(row, note=note) if row.against == "ours, waiting" else row for row in stalls]


def assert_workers_have_ended() -> None:
    """Or their CPU time would not be counted."""
    gc.collect()
    assert multiprocessing.active_children() == []
