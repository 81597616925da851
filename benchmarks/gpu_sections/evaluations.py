"""Loss and transcripts of clips whose features are in memory: whole and merged windows, compiled, by batch size."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from transformers import Seq2SeqTrainer

from benchmarks.gpu_sections.trial import Trial, heads, line
from benchmarks.speed import own_loop, seq2seq_trainer
from benchmarks.speed.own_loop import Own
from benchmarks.speed.timing import wall_time

CLIPS, CLIP_S = 128, 5.0
BATCH_SIZES = (8, 32, 128)
ROUNDS = 2  # after a first call, which is shown apart


def evaluation(trial: Trial) -> Iterator[str]:
    """Wall time by window and batch size, beside Seq2SeqTrainer's; then compiled, whose first call takes longest."""
    clips, batch_sizes = (4, (2, 4)) if trial.is_quick else (CLIPS, BATCH_SIZES)
    bench = trial.bench("whisper-tiny", clips, clip_s=CLIP_S)
    material, largest = bench.material, batch_sizes[-1]
    own, items = Own(material, mixed_precision=bench.mixed_precision), material.items(clips)
    prepared = own_loop.prepared_items(material, items)
    windows = {"whole": material.collator, "merged": replace(material.collator, merging=own.silence_merging())}
    yield f"{clips} clips of {material.size.clip_s:g} s, {material.size.max_new_tokens} tokens each.\n"
    yield heads("who", "batch", "first call, s", "seconds", "clips a second", "transcripts that differ")

    def ours(window: str, batch_size: int, *, is_compiled: bool = False) -> list[str]:
        collator = windows[window]
        return own.evaluate(prepared, batch_size=batch_size, is_compiled=is_compiled, collator=collator)[1]

    exact = ours("whole", largest)

    def measured(who: str, batch_size: int, work: Callable[[], list[str]]) -> str:
        first_s = wall_time(work)
        seconds = min(wall_time(work) for _ in range(ROUNDS))
        differ = sum(text != other for text, other in zip(work(), exact, strict=True))
        return line([who, batch_size, first_s, seconds, clips / seconds, differ])

    for window in windows:
        for batch_size in batch_sizes:
            yield measured(f"ours, {window} window", batch_size, partial(ours, window, batch_size))
    for batch_size in batch_sizes[1:]:
        trainer = seq2seq_trainer.make_trainer(
            material,
            seq2seq_trainer.PreparedRows(items),
            validation=seq2seq_trainer.PreparedRows(items),
            batch_size=batch_size,
            mixed_precision=bench.mixed_precision,
        )
        yield measured("Seq2SeqTrainer", batch_size, partial(transcripts_of, trainer))
    if trial.is_quick:
        torch.compiler.set_stance("force_eager")
    for window in windows:
        yield measured(f"ours, {window} window, compiled", largest, partial(ours, window, largest, is_compiled=True))


def transcripts_of(trainer: Seq2SeqTrainer) -> list[str]:
    """Evaluate."""
    trainer.evaluate()
    return [text.strip() for text in trainer.transcripts]
