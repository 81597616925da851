"""Rows about the reference job: whisper-tiny, 450 clips in batches of 15, 30 epochs, 113 clips scored after each.

The whole program runs, in a process of its own, from WAV files that it has never seen to `report.html`: random weights
and noises of 10 s stand for the model and the recordings. On a CPU it is cut down to something that ends.
"""

import json
import pkgutil
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.speed import hand_written, own_loop
from benchmarks.speed.hand_written import HandWritten
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.results import Row
from benchmarks.speed.timing import ratio, wall_time


@dataclass(frozen=True)
class JobShape:
    """`epochs` passes over the training clips, each with an evaluation after it, and one evaluation before them."""

    train_rows: int
    validation_rows: int
    batch_size: int
    epochs: int


REFERENCE = JobShape(train_rows=450, validation_rows=113, batch_size=15, epochs=30)


def job_shape(bench: Bench) -> JobShape:
    """The reference job on a CUDA device; on a CPU two steps of each of two epochs."""
    if bench.device.type == "cuda":
        return REFERENCE
    size = bench.batch_size
    return JobShape(train_rows=2 * size, validation_rows=max(size // 2, 1), batch_size=size, epochs=2)


def reference_job_rows(bench: Bench) -> list[Row]:
    """Wall time of the job from its imports to its end, and of one epoch with its evaluation, beside `seed`'s."""
    shape = job_shape(bench)
    manifest = own_loop.write_recordings(bench.material, shape.train_rows + shape.validation_rows)
    seed = HandWritten(bench.material, mixed_precision=bench.mixed_precision)
    rows = hand_written.prepared_dataset(bench.material, shape.train_rows + shape.validation_rows)
    parts = rows.select(range(shape.train_rows)), rows.select(range(shape.train_rows, len(rows)))

    def seed_epoch_s() -> float:
        return wall_time(lambda: seed.epoch(*parts, batch_size=shape.batch_size))

    # the job has no first call: each is a new process, which also starts the device
    bench.warmups["reference epoch"] = {"seed": seed_epoch_s()}
    jobs, seed_s = [], []
    for _ in range(bench.rounds):
        jobs.append(run_job(bench, shape, manifest))
        seed_s.append(seed_epoch_s())
    job_s, epoch_s = ([job[name] for job in jobs] for name in ("job_s", "epoch_s"))
    faster = ratio(seed_s, epoch_s)
    cut_down = "" if shape == REFERENCE else ", cut down"
    note = f"{shape.epochs} epochs of {shape.train_rows} clips in batches of {shape.batch_size}, "
    note += f"{shape.validation_rows} clips scored {shape.epochs + 1} times; wall time"
    return [
        Row(f"reference job{cut_down}", "after imports", "s", float(np.median(job_s)), rounds=bench.rounds, note=note),
        Row(
            f"reference epoch{cut_down}",
            "seed",
            "s",
            float(np.median(epoch_s)),
            float(np.median(seed_s)),
            faster.median,
            faster.low,
            faster.high,
            bench.rounds,
            note="of the same job, but its first: training, scoring, checkpoint; seed writes nothing; wall time",
        ),
    ]


def run_job(bench: Bench, shape: JobShape, manifest: Path, **more: Any) -> dict[str, float]:
    """Train in a new process and a new folder, nothing cached.

    Returns what `main` below prints, and the share of the last steps' time in which they waited for data.

    Args:
        more: Settings beside those of the job, by their names with the dot.
    """
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        settings: dict[str, Any] = {
            "config": "whisper_tiny_minds14",
            "model.name_or_path": bench.material.model_dir,
            "data.name_or_path": manifest,
            "data.subset": "null",
            "data.text_column": "text",
            "data.license": "null",
            "data.train_rows": shape.train_rows,
            "data.cache_dir": f"{folder}/cache",
            "training.num_train_epochs": shape.epochs,
            "training.per_device_train_batch_size": shape.batch_size,
            "training.mixed_precision": bench.mixed_precision,
            # random weights never end a transcript
            "evaluation.generation_max_length": bench.material.size.max_new_tokens,
            "output_dir": f"{folder}/run",
            **more,
        }
        command = [sys.executable, "-m", "benchmarks.speed.reference_rows"]
        command += [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if missing := re.search(r"^ModuleNotFoundError: No module named '([\w.]+)'", done.stderr, re.M):
            raise ModuleNotFoundError(missing[0], name=missing[1])
        if done.returncode != 0:
            raise RuntimeError(f"the reference job failed:\n{done.stderr[-3000:]}")
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    shares = [record["data_wait_share"] for record in map(json.loads, lines) if record["kind"] == "train"]
    return {**times, "data_wait_share": shares[-1]}


def main() -> None:
    """Train as the command line says; the last line printed has `job_s`, and `epoch_s` of the epochs but the first."""
    import_what_the_job_imports()
    from accel_asr.config.command_line import parse_config
    from accel_asr.train import main as train

    epochs = int(parse_config(sys.argv[1:]).training.num_train_epochs)
    stepped_s: list[float] = []

    def note_time(*_: Any) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        stepped_s.append(time.perf_counter())

    register_optimizer_step_post_hook(note_time)
    started_s = time.perf_counter()
    exit_code = train(sys.argv[1:])
    job_s = time.perf_counter() - started_s
    assert exit_code == 0, exit_code
    steps_of_epoch = len(stepped_s) // epochs
    epoch_s = (stepped_s[-1] - stepped_s[steps_of_epoch - 1]) / (epochs - 1)
    print("\n" + json.dumps({"job_s": job_s, "epoch_s": epoch_s}), flush=True)


def import_what_the_job_imports() -> None:
    """Import our packages that the job uses, and what they import late."""
    for name in ("data", "evaluation", "publishing", "reporting", "training"):
        package = import_module(f"accel_asr.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for name in ("accel_asr.run.evaluations", "matplotlib.backends.backend_agg", "PIL.Image"):
        import_module(name)
    import_module("torch.utils.tensorboard.summary")


if __name__ == "__main__":
    main()
