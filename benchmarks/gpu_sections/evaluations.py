"""Loss and transcripts of clips whose features are in memory: whole and merged windows, compiled, by batch size."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu_sections.trial import Trial, heads, line, speed_rows
from benchmarks.speed import own_loop
from benchmarks.speed.own_loop import Own
from benchmarks.speed.timing import wall_time

CLIPS, CLIP_S = 128, 5.0
BATCH_SIZES = (8, 32, 128)
ROUNDS = 2  # after a first call, which is shown apart


def evaluation(trial: Trial) -> Iterator[str]:
    """Seconds of wall time; then beside `generate` and Seq2SeqTrainer, all with the same batch."""
    clips, batch_sizes = (4, (2, 4)) if trial.is_quick else (CLIPS, BATCH_SIZES)
    bench = trial.bench("whisper-tiny", clips, clip_s=CLIP_S)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    prepared = own_loop.prepared_items(bench.material, bench.material.items(clips))
    whole = bench.material.collator
    windows = {"whole": whole, "merged": replace(whole, merging=own.silence_merging())}
    yield f"{clips} clips of {bench.material.size.clip_s:g} s, {bench.material.size.max_new_tokens} tokens each.\n"
    yield heads("window", "compiled", "batch", "first call, s", "seconds", "clips a second", "transcripts that differ")
    if trial.is_quick:
        torch.compiler.set_stance("force_eager")
    cases = [(window, False, batch_size) for window in windows for batch_size in batch_sizes]
    cases += [(window, True, batch_sizes[-1]) for window in windows]  # one size: compiling takes seconds
    exact: list[str] = []
    for window, is_compiled, batch_size in cases:
        ways = {"batch_size": batch_size, "is_compiled": is_compiled, "collator": windows[window]}
        evaluated = partial(own.evaluate, prepared, **ways)
        first_s = wall_time(evaluated)
        seconds = min(wall_time(evaluated) for _ in range(ROUNDS))
        texts = evaluated()[1]
        exact = exact or texts
        differ = sum(text != other for text, other in zip(texts, exact, strict=True))
        yield line([window, is_compiled, batch_size, first_s, seconds, clips / seconds, differ])
    yield ""
    yield from speed_rows(trial.bench("whisper-tiny", 64), "evaluation")
