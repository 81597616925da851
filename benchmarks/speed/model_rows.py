"""Rows that need only the model: train step, its memory, the head, the gradients. No audio package."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from accel_asr.data.loading.collator import IGNORED_LABEL, Batch
from benchmarks.speed import seq2seq_trainer
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.material import Material
from benchmarks.speed.own_loop import Own, decoder_says, loss_of_hidden_states
from benchmarks.speed.results import Row, exact, faster
from benchmarks.speed.timing import clock_of, in_turns, peak_mb


@dataclass(frozen=True)
class Bench:
    """How to measure. `batch_size` is of the step and the epoch; `warmups` collects what a row's first calls took."""

    material: Material
    folder: Path
    rounds: int
    batch_size: int
    fetch_size: int
    mixed_precision: str
    warmups: dict[str, dict[str, float]]

    @property
    def device(self) -> torch.device:
        return self.material.device

    @property
    def unit(self) -> str:
        return "s" if self.device.type == "cuda" else "s CPU"

    @property
    def calls(self) -> int:
        """Calls per measurement: on a CUDA device a single call is too short."""
        return 10 if self.device.type == "cuda" else 1

    @property
    def num_workers(self) -> int:
        """Of ours and of `trainer`; `seed` has none. On a CPU with one thread they only cost: a fork, and then the
        copy of each page of weights, gradients and optimizer state that the parent writes."""
        return 1 if self.device.type == "cuda" else 0

    def timed(self, name: str, ways: dict[str, Callable[[], object]], *, unit: str, rounds: int = 0) -> list[Row]:
        """Measure on the device's clock."""
        times = in_turns(ways, rounds=rounds or self.rounds, clock=clock_of(self.device), calls=self.calls)
        self.warmups[name] = times.warmup_s
        return faster(name, times, unit=unit)


def as_labels(batch: Batch) -> dict[str, torch.Tensor]:
    """The batch for the opponents, whose model makes the decoder's input from the labels."""
    return {"input_features": batch.input_features, "labels": batch.labels}


def train_step_rows(bench: Bench) -> list[Row]:
    """Forward, backward, clipping and AdamW on one batch in memory."""
    items = bench.material.items(bench.batch_size)
    batch = bench.material.collator(items).to(bench.device)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    trainer = seq2seq_trainer.StepsOfTrainer(bench.material, items, mixed_precision=bench.mixed_precision)
    # each in a thread of its own, as the trainer has to be: there, a step was 6% slower than in the main thread
    threads = {name: ThreadPoolExecutor(1) for name in ("ours", "seed")}
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: threads["ours"].submit(own.next_step, [batch]).result(),
        "seed": lambda: threads["seed"].submit(seed.train_step, [as_labels(batch)]).result(),
        "trainer": trainer.step,
    }
    try:
        rows = bench.timed("train step", ways, unit=bench.unit)
        taken = {
            "ours": peak_mb(lambda: own.next_step([batch]), bench.device),
            "seed": peak_mb(lambda: seed.train_step([as_labels(batch)]), bench.device),
        }
        taken["trainer"] = trainer.peak_mb_of_step()
    finally:
        trainer.close()
        for thread in threads.values():
            thread.shutdown()
    for name in ("seed", "trainer"):
        rows.append(exact("train step, extra memory", name, "MB", taken["ours"], taken[name]))
    return [replace(row, note=f"batch of {bench.batch_size}") for row in rows]


def head_rows(bench: Bench) -> list[Row]:
    """Vocabulary projection and loss with their backward pass, from the decoder's last states; time and memory."""
    batch = bench.material.batch(bench.fetch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    width = bench.material.size.width
    hidden = torch.randn(*batch.labels.shape, width, generator=torch.Generator().manual_seed(0)).to(bench.device)
    tokens = int((batch.labels != IGNORED_LABEL).sum())

    def given(model: nn.Module) -> torch.Tensor:
        model.zero_grad(set_to_none=True)
        return hidden.clone().requires_grad_()

    def ours() -> tuple[float, torch.Tensor | None]:
        states = given(own.unwrapped)
        loss = loss_of_hidden_states(own, batch, states) / tokens
        own.accelerator.backward(loss)
        return loss.item(), states.grad

    def theirs() -> tuple[float, torch.Tensor | None]:
        states = given(seed.model)
        with decoder_says(seed.model, states), seed.autocast():
            loss = seed.model(**as_labels(batch)).loss
        loss.backward()
        return loss.item(), states.grad

    (our_loss, our_gradient), (their_loss, their_gradient) = ours(), theirs()
    assert our_gradient is not None
    assert their_gradient is not None
    tolerance = 1e-4 if bench.mixed_precision == "no" else 5e-2
    assert abs(our_loss - their_loss) < tolerance * their_loss, (our_loss, their_loss)
    assert (our_gradient - their_gradient).norm() < tolerance * their_gradient.norm()
    ways: dict[str, Callable[[], object]] = {"ours": ours, "seed": theirs}
    rows = bench.timed("head", ways, unit=bench.unit)
    taken = {}
    for name, way in ways.items():
        for model in (own.unwrapped, seed.model):
            model.zero_grad(set_to_none=True)  # a gradient that is freed on the way would be taken off
        taken[name] = peak_mb(way, bench.device)
    rows.append(exact("head, extra memory", "seed", "MB", taken["ours"], taken["seed"]))
    note = f"{len(batch.labels)} labels, {batch.labels.numel()} positions, {tokens} of them targets"
    return [replace(row, note=note) for row in rows]


def gradient_rows(bench: Bench) -> list[Row]:
    """The gradient norm of the same eight clips in one piece, and as two accumulation steps of four."""
    items = bench.material.items(8)
    whole, halves = [items], [items[:4], items[4:]]

    def batches(parts: list[list]) -> list[Batch]:
        return [bench.material.collator(part).to(bench.device) for part in parts]

    def ours(parts: list[list]) -> float:
        return Own(bench.material, mixed_precision=bench.mixed_precision).train_step(batches(parts)).grad_norm

    def seed(parts: list[list]) -> float:
        loop = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
        return loop.train_step([as_labels(batch) for batch in batches(parts)])[1]

    def trainer(parts: list[list]) -> float:
        return seq2seq_trainer.first_gradient_norm(
            bench.material, items, accumulation_steps=len(parts), mixed_precision=bench.mixed_precision
        )

    rows = []
    for name, norm in (("ours", ours), ("seed", seed), ("trainer", trainer)):
        split, one_piece = norm(halves), norm(whole)
        note = "left: 2 accumulation steps of 4; right: the same 8 clips in one batch, by the same loop"
        rows.append(exact(f"gradient norm of 2x4, {name}", f"1x8, {name}", "", split, one_piece, note=note))
    return rows
