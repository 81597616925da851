"""From starting Python to the first optimizer step of the quickstart, and to an answer that needs no training."""

import json
import subprocess
import sys
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
TRAINER_OPTIONS = """
from transformers import HfArgumentParser, Seq2SeqTrainer, Seq2SeqTrainingArguments
HfArgumentParser(Seq2SeqTrainingArguments).parse_args_into_dataclasses()
"""


def startup_rows(bench: Bench) -> list[Row]:
    """CPU time of whole processes; memory is their resident set's peak at the first step."""
    peaks_mb: dict[str, float] = {}

    def first_step(name: str, code: str) -> None:
        number[0] += 1
        folder = bench.folder / f"startup-{number[0]}"
        told = run([sys.executable, "-c", code, str(folder)], exit_code=0)
        peaks_mb[name] = json.loads(told.splitlines()[-1])["peak_mb"]

    number = [0]
    scripts = {"ours": OURS, "seed": SEED, "trainer": TRAINER}
    rows = _measured(
        bench,
        "start to first step",
        {name: lambda name=name, code=code: first_step(name, code) for name, code in scripts.items()},
        note=f"quickstart, batch {BATCH_SIZE}, nothing cached; ours without its evaluation of the untouched model",
    )
    for name in ("seed", "trainer"):
        rows.append(
            exact("memory at first step", name, "MB", peaks_mb["ours"], peaks_mb[name], note="peak, whole process")
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


def run(command: list[str], *, exit_code: int) -> str:
    """What it printed; it must end with that exit code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, (done.returncode, done.stderr[-3000:])
    return done.stdout


def _measured(bench: Bench, name: str, ways: dict[str, Any], *, note: str) -> list[Row]:
    times = in_turns(ways, rounds=bench.rounds, clock=cpu_time, warm_up=False)
    bench.warmups[name] = times.warmup_s
    return [replace(row, note=note) for row in faster(name, times, unit="s CPU")]
