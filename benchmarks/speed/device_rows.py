"""Rows about what our training step makes of the device: its share of the ceiling, and for how long it is at work.

They need the model only, and no opponent beside it: a large one has room here.
"""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.speed.busy import measure_busy
from benchmarks.speed.flops import WhisperShape, product_flops, train_step_flops
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.own_loop import Own
from benchmarks.speed.results import Row
from benchmarks.speed.timing import clock_of, in_turns, ratio

CEILING_SHARE = "train step, share of matrix-multiply ceiling"
BUSY_SHARE = "train step, GPU busy share"
SIDES = {"cpu": 2_048, "cuda": 8_192}  # of the square matrices: more does not multiply faster
BUSY_STEPS = 10


def ceiling_rows(bench: Bench) -> list[Row]:
    """Useful FLOPs of a step for each second of it, over what one large matrix product reaches beside it.

    The product is measured before and after the step in each round, in the run's precision; the faster one counts.
    """
    batch = bench.material.batch(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    clips, tokens = batch.labels.shape
    config = own.unwrapped.config
    step_flops = train_step_flops(
        WhisperShape.of(config),
        clips=clips,
        positions=config.max_source_positions,
        tokens=tokens,
        targets=len(batch.target_positions),
    )
    side = SIDES[bench.device.type]
    product = matrix_product(side, device=bench.device, mixed_precision=bench.mixed_precision)
    ways: dict[str, Callable[[], object]] = {
        "product": product,
        "ours": lambda: own.next_step([batch]),
        "product again": product,
    }
    times = in_turns(ways, rounds=bench.rounds, clock=clock_of(bench.device), calls=bench.calls)
    bench.warmups[CEILING_SHARE] = {name: times.warmup_s[name] for name in ("product", "ours")}
    reached = step_flops / np.array(times.rounds_s["ours"])
    products_s = np.minimum(times.rounds_s["product"], times.rounds_s["product again"])
    ceiling = product_flops(side, side, side) / products_s
    share = ratio(reached.tolist(), ceiling.tolist())
    precision = "bf16" if bench.mixed_precision == "bf16" else "fp32"
    return [
        Row(
            CEILING_SHARE,
            "ceiling",
            "TFLOP/s",
            float(np.median(reached)) / 1e12,
            float(np.median(ceiling)) / 1e12,
            share.median,
            share.low,
            share.high,
            bench.rounds,
            note=f"{step_flops / 1e12:.3g} TFLOP of {clips} clips; ceiling: {side:,} squared, {precision}",
        )
    ]


def busy_rows(bench: Bench) -> list[Row]:
    """The share of its steps in which a CUDA device is busy; a slow host shows here."""
    if bench.device.type != "cuda":
        return [Row(BUSY_SHARE, "wall time", "s", note="needs a CUDA device")]
    return [busy_row(bench)]


def busy_row(bench: Bench) -> Row:
    """For any device; on the CPU the share is always near one and says nothing."""
    batch = bench.material.batch(bench.batch_size)
    own = Own(bench.material, mixed_precision=bench.mixed_precision)

    def steps() -> None:
        for _ in range(BUSY_STEPS):
            own.next_step([batch])

    warmup = measure_busy(steps, bench.device)  # the profiler's own start is in it too
    bench.warmups[BUSY_SHARE] = {"ours": warmup.wall_s}
    measured = [measure_busy(steps, bench.device) for _ in range(bench.rounds)]
    busy_s, wall_s = [busy.busy_s for busy in measured], [busy.wall_s for busy in measured]
    share = ratio(busy_s, wall_s)
    typical_s = [float(np.median(values)) / BUSY_STEPS for values in (busy_s, wall_s)]
    return Row(
        BUSY_SHARE,
        "wall time",
        "s",
        *typical_s,
        share.median,
        share.low,
        share.high,
        bench.rounds,
        note=f"kernels and copies of a step of {bench.batch_size} clips, in a profiler, whose cost counts as idle",
    )


def matrix_product(side: int, *, device: torch.device, mixed_precision: str) -> Callable[[], torch.Tensor]:
    """A function that multiplies two square matrices of random numbers into a third."""
    dtype = torch.bfloat16 if mixed_precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    into = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=into)
