"""The row about `evaluation.compile_decoding`: not among the rows measured by default, as it waits for a compiler."""

from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.speed import own_loop
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row
from benchmarks.speed.timing import wall_time

NAME = "evaluation, compiled decoding"


def compiled_evaluation_rows(bench: Bench) -> list[Row]:
    """Loss and transcripts of one batch with its features in memory; the first call, in `warmups`, compiles.

    Against the evaluation as it is unless it is asked for, and against the same static cache without the compiler.
    """
    items = bench.material.items(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    prepared = own_loop.prepared_items(bench.material, items)

    def evaluated(*, is_compiled: bool) -> tuple[float, list[str]]:
        return own.evaluate(prepared, batch_size=len(items), is_compiled=is_compiled)

    def not_compiled() -> tuple[float, list[str]]:
        with torch.compiler.set_stance("force_eager"):
            return evaluated(is_compiled=True)

    ways: dict[str, Callable[[], tuple[float, list[str]]]] = {
        "ours": lambda: evaluated(is_compiled=True),
        "ours, as it is": lambda: evaluated(is_compiled=False),
        "ours, static cache alone": not_compiled,
    }
    first_s = wall_time(ways["ours"])  # not by the row's clock: the compiler has processes of its own
    rows = bench.timed(NAME, dict(ways), unit=bench.unit)
    bench.warmups[NAME]["ours"] = first_s
    transcripts = {name: way()[1] for name, way in ways.items()}
    differ = sum(len(set(texts)) > 1 for texts in zip(*transcripts.values(), strict=True))
    if bench.mixed_precision == "no":
        assert differ == 0, transcripts
    made = f"{len(items)} clips in a batch, {bench.material.size.max_new_tokens} tokens made"
    note = f"{made}; first call {first_s:.1f} s of wall time"
    if differ:
        note += f"; {differ} transcripts differ"
    return [replace(row, note=note) for row in rows]
