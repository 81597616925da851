"""A row about a frozen encoder whose outputs are cached (`model.cache_encoder_outputs`)."""

from collections.abc import Callable
from dataclasses import replace

import torch

from accel_asr.model.parts import freeze
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.model_rows import Bench, as_labels
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row


def cached_step_rows(bench: Bench) -> list[Row]:
    """A decoder training step on one batch in memory: features for the others, encoder outputs for ours."""
    batch = bench.material.batch(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision, frozen_encoder=True)
    seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    freeze(seed.model, ["encoder"])
    with torch.no_grad():
        encoded = own.unwrapped.get_encoder()(batch.input_features).last_hidden_state
    cached = replace(batch, input_features=encoded.half(), is_encoded=True)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: own.train_step([cached]),
        "ours, not cached": lambda: own.train_step([batch]),
        "seed": lambda: seed.train_step([as_labels(batch)]),
    }
    rows = bench.timed("cached encoder step", ways, unit=bench.unit)
    return [replace(row, note=f"batch of {bench.batch_size}; the encoder is frozen everywhere") for row in rows]
