"""Measure, print the table and, last, one JSON line: `python -m benchmarks.speed`; or write the table of docs/speed.md.

On one CUDA device, all rows of whisper-tiny's size, the reference job's included, and
what a step of large-v3-turbo's size makes of the device:

    python -m benchmarks.speed --device cuda --mixed_precision bf16 --batch_size 15
    python -m benchmarks.speed --device cuda --mixed_precision bf16 --batch_size 16 --size large-v3-turbo \\
        --rows ceiling busy

Times are then those between two CUDA events, of ten calls in a row; what the first call took stands apart
(`first_calls_s`). The rows `step`, `head`, `gradients`, `ceiling` and `busy` need neither datasets nor librosa,
soundfile, jiwer or evaluate. Targets for an H200 are shown on an H200 only.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by libraries when they are imported, and by child processes
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
# one device, the first: with two, Seq2SeqTrainer would make batches of twice the size
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.speed.results import Row, line_of_page, results_page, rows_of_page, table, with_page_table

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "scipy", "soundfile", "safetensors")
# the function of each row, imported when it is needed, so that a missing package costs only its own row
ROWS = {
    "fetch": "data_rows.fetch_rows",
    "mel": "data_rows.mel_rows",
    "batch_mel": "data_rows.batch_mel_rows",
    "step": "model_rows.train_step_rows",
    "cached_step": "frozen_rows.cached_step_rows",
    "ceiling": "device_rows.ceiling_rows",
    "busy": "device_rows.busy_rows",
    "head": "model_rows.head_rows",
    "gradients": "model_rows.gradient_rows",
    "evaluation": "run_rows.evaluation_rows",
    "epoch": "run_rows.epoch_rows",
    "merged_step": "merged_rows.merged_step_rows",
    "merged_epoch": "merged_rows.merged_epoch_rows",
    "packing": "run_rows.packed_epoch_rows",
    "checkpoint": "run_rows.checkpoint_rows",
    "job": "reference_rows.reference_job_rows",
    "communication": "communication.communication_rows",
    "startup": "startup.startup_rows",
    "memory": "startup.memory_rows",
    "compiled_evaluation": "compiled_rows.compiled_evaluation_rows",
}
ON_CUDA_ONLY = ("busy", "job")  # where no rows are asked for
ON_REQUEST = {"compiled_evaluation"}  # it waits for a compiler


def main() -> None:
    """Measure the requested rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        help=f"all, but compiled_evaluation, {' and '.join(ON_CUDA_ONLY)} on cuda only",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=["whisper-tiny", "large-v3-turbo", "tiny"], default="whisper-tiny")
    parser.add_argument("--model_dir", type=Path, help="a Whisper's folder, in place of a random one of --size")
    parser.add_argument("--manifest", type=Path, help="recordings in English for --model_dir: file, text, duration")
    parser.add_argument("--batch_size", type=int, default=4, help="of the step, the evaluation and the epoch")
    parser.add_argument("--fetch_size", type=int, default=15, help="clips of the fetch, labels of the head")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--mixed_precision", choices=["no", "bf16"], default="no")
    parser.add_argument("--output", type=Path, help="also write a page with all of it, such as results/DATE-speed.md")
    parser.add_argument("--add", action="store_true", help="keep what --output has of other rows")
    parser.add_argument("--page", type=Path, help="write the table of --from into this file, and measure nothing")
    parser.add_argument("--from", type=Path, dest="results", help="a file of benchmarks/results")
    options = parser.parse_args()
    if options.page:
        page = with_page_table(options.page.read_text(encoding="utf-8"), options.results)
        options.page.write_text(page, encoding="utf-8")
        return
    if (options.model_dir is None) != (options.manifest is None):
        parser.error("--model_dir and --manifest go together")
    if options.rows is None:
        left_out = ON_REQUEST if options.device == "cuda" else {*ON_REQUEST, *ON_CUDA_ONLY}
        options.rows = [name for name in ROWS if name not in left_out]
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # else Accelerate takes a GPU that is there
    else:
        import torch

        if not torch.cuda.is_available():
            parser.error("--device cuda: torch finds no CUDA device; leave --device out to measure the CPU")
    measure(options)


def measure(options: argparse.Namespace) -> None:
    """Print the table and the JSON line."""
    import torch

    from benchmarks.speed.material import SIZES, Material
    from benchmarks.speed.model_rows import Bench
    from benchmarks.speed.real_material import RealMaterial

    measured_commit = commit()
    quiet()
    torch.set_num_threads(1)
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else ""
    command = "python -m benchmarks.speed " + " ".join(sys.argv[1:])
    earlier = options.output.read_text(encoding="utf-8") if options.add else None
    rows: list[Row] = rows_of_page(earlier) if earlier else []
    warmups: dict[str, dict[str, float]] = line_of_page(earlier)["first_calls_s"] if earlier else {}
    with tempfile.TemporaryDirectory() as folder:
        device = torch.device(options.device)
        material = (
            Material(Path(folder), SIZES[options.size], device=device)
            if options.model_dir is None
            else RealMaterial(Path(folder), options.model_dir, options.manifest, device=device)
        )
        bench = Bench(
            material=material,
            folder=Path(folder),
            rounds=options.rounds,
            batch_size=options.batch_size,
            fetch_size=options.fetch_size,
            mixed_precision=options.mixed_precision,
            warmups=warmups,
        )
        for name in options.rows:
            module, function = ROWS[name].split(".")
            try:
                rows_of: Callable[[Bench], list[Row]] = getattr(import_module(f"benchmarks.speed.{module}"), function)
                new_rows = rows_of(bench)
            except ModuleNotFoundError as error:
                new_rows = [Row(name, "", "", note=f"needs {error.name}, which is not installed")]
            measured = {(row.row, row.against) for row in new_rows}
            rows = [row for row in rows if (row.row, row.against) not in measured]
            rows += [
                replace(row, commit=measured_commit, command=command, model=material.size.name, gpu=gpu)
                for row in new_rows
            ]
            line = rounded(
                {
                    "benchmark": "speed",
                    "date": datetime.now(UTC).date().isoformat(),
                    "model": material.describe(),
                    "hardware": hardware(options.device, gpu),
                    "versions": {"python": platform.python_version()}
                    | {name: installed_version(name) for name in PACKAGES},
                    "rows": [row.record() for row in rows],
                    "first_calls_s": warmups,
                }
            )
            if options.output:  # after each row: the next may take minutes
                options.output.write_text(results_page(line, rows), encoding="utf-8")
            print(f"measured: {name}", file=sys.stderr, flush=True)
    print(table(rows))
    if options.device != "cpu":
        seconds = {name: {way: round(first_s, 3) for way, first_s in ways.items()} for name, ways in warmups.items()}
        print(f"\nseconds of the first call, not measured above: {seconds}")
    print(json.dumps(line))


def quiet() -> None:
    """Silence the progress bars and advice of the libraries."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("datasets").setLevel(logging.ERROR)


def hardware(device: str, gpu: str) -> dict[str, object]:
    """The CPU's model and cores, and the CUDA device where one is measured."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    machine: dict[str, object] = {"cpu": model, "cores": os.cpu_count(), "threads_used": 1, "device": device}
    if gpu:
        machine["gpu"] = gpu
    return machine


def commit() -> str:
    """The measured commit, and whether the package has uncommitted changes; `unknown` outside of git."""
    answers = []
    for question in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "accel_asr", "benchmarks/speed"]):
        try:
            done = subprocess.run(["git", *question], capture_output=True, text=True, check=False, cwd=REPOSITORY)
        except FileNotFoundError:
            return "unknown"
        answers.append(done.stdout.strip())
    return (answers[0] or "unknown") + (" and changes that are not committed" if answers[1] else "")


def installed_version(name: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def rounded(value: Any) -> Any:
    """The same with numbers rounded to five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
