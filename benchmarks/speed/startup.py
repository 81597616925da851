"""From starting Python to the first optimizer step of the quickstart, and to an answer that needs no training."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from typing import Any

from benchmarks.speed.first_step import BATCH_SIZE
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.results import Row, exact, faster
from benchmarks.speed.timing import cpu_time, in_turns

OURS = """
import sys
from benchmarks.speed.first_step import end_at_first_step
end_at_first_step()
from accel_asr.train import main
folder = sys.argv[1]
options = ["--output_dir", folder, "--data.cache_dir", folder + "-cache", "--tracking.report_to", "[]"]
main([*options, "--evaluation.eval_on_start", "false"])
"""
SEED = "import sys; from benchmarks.speed.first_step import train_quickstart; train_quickstart(sys.argv[1], 'seed')"
TRAINER = (
    "import sys; from benchmarks.speed.first_step import train_quickstart; train_quickstart(sys.argv[1], 'trainer')"
)
SCRIPTS = {"ours": OURS, "seed": SEED, "trainer": TRAINER}
TRAINER_OPTIONS = """
from transformers import HfArgumentParser, Seq2SeqTrainer, Seq2SeqTrainingArguments
HfArgumentParser(Seq2SeqTrainingArguments).parse_args_into_dataclasses()
"""


def startup_rows(bench: Bench) -> list[Row]:
    """CPU time of whole processes."""
    rows = _measured(
        bench,
        "start to first step",
        {name: lambda name=name: first_step(bench, name) for name in SCRIPTS},
        note=f"quickstart, batch {BATCH_SIZE}, nothing cached; ours without its evaluation of the untouched model",
    )
    ours, trainer = [sys.executable, "-m", "accel_asr", "train"], [sys.executable, "-c", TRAINER_OPTIONS]
    rows += _measured(
        bench,
        "--help",
        {
            "ours": lambda: run([*ours, "--help"], exit_code=0),
            "trainer": lambda: run([*trainer, "--help"], exit_code=0),
        },
        note="trainer: HfArgumentParser",
    )
    bad = ["--no_such_setting", "1"]
    rows += _measured(
        bench,
        "a bad flag",
        {"ours": lambda: run([*ours, *bad], exit_code=2), "trainer": lambda: run([*trainer, *bad], exit_code=1)},
        note="ours: a message and exit code 2; trainer: a traceback",
    )
    return rows


def memory_rows(bench: Bench) -> list[Row]:
    """Peak memory of a whole process at the end of its first step."""
    peaks_mb = {name: first_step(bench, name) for name in SCRIPTS}
    note = f"peak resident set of the process, quickstart, batch {BATCH_SIZE}"
    return [
        exact("memory at first step", name, "MB", peaks_mb["ours"], peaks_mb[name], note=note)
        for name in ("seed", "trainer")
    ]


def first_step(bench: Bench, name: str) -> float:
    """Start a process that ends at its first step; returns its memory in MB of 10^6 bytes."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        printed = run([sys.executable, "-c", SCRIPTS[name], f"{folder}/run"], exit_code=0)
    return float(json.loads(printed.splitlines()[-1])["peak_mb"])


def run(command: list[str], *, exit_code: int) -> str:
    """Run a command, which must end with this exit code, and return its output."""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}  # all three are measured on the CPU
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, (done.returncode, done.stderr[-3000:])
    return done.stdout


def _measured(bench: Bench, name: str, ways: dict[str, Any], *, note: str) -> list[Row]:
    times = in_turns(ways, rounds=bench.rounds, clock=cpu_time, warm_up=False)
    bench.warmups[name] = times.warmup_s
    return [replace(row, note=note) for row in faster(name, times, unit="s CPU")]
