"""Start-up time and memory of the data layer at 10^4, 10^5 and 10^6 rows: `python -m benchmarks.data_startup`.

Each size is a manifest of segments of a few hundred short recordings. The index is built once (cold), and opened again
in new processes (warm), up to the first batch of a run that resumes in the middle of its second epoch; then one worker
makes batch after batch. Prints a table and, last, one JSON line.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np

RECORDINGS, RECORDING_S, RATE_HZ = 200, 20, 8_000
WORDS = ("my", "card", "was", "swallowed", "by", "the", "machine", "what", "now", "please", "help", "me")


def write_manifest(folder: Path, rows: int) -> Path:
    """Write the recordings, once, and a manifest of `rows` segments of them."""
    import soundfile

    generator = np.random.default_rng(0)
    for number in range(RECORDINGS):
        path = folder / f"call-{number:03d}.wav"
        if not path.exists():
            noise = generator.normal(scale=2_000, size=RECORDING_S * RATE_HZ).astype(np.int16)
            soundfile.write(path, noise, RATE_HZ)
    manifest = folder / f"manifest-{rows}.jsonl"
    starts = generator.uniform(0, RECORDING_S - 8, size=rows).round(2)
    lengths = generator.uniform(0.5, 4.9, size=rows).round(2)
    with manifest.open("w", encoding="utf-8") as file:
        for row in range(rows):
            text = " ".join(generator.choice(WORDS, size=4)) if row < 10_000 else f"my card {row} was swallowed"
            start = float(starts[row])
            record = {"audio": f"call-{row % RECORDINGS:03d}.wav", "text": text, "start": start}
            file.write(json.dumps(record | {"end": round(start + float(lengths[row]), 2)}) + "\n")
    return manifest


def start(manifest: Path, cache_dir: Path, *, batches: int = 1) -> dict[str, float]:
    """Run in a new process: from the settings to the first batch of a resumed epoch; seconds and MB.

    Args:
        batches: So many more are then taken from one worker, whose private memory is looked at a tenth of the way in,
            half of the way, and at the end.
    """
    from accel_asr.config.settings import DataConfig
    from accel_asr.config.training_settings import TrainingConfig
    from accel_asr.data.labels import LabelEncoder
    from accel_asr.data.loading.batches import TrainingWindows
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.data.loading.collator import Collator
    from accel_asr.data.order.epoch_order import WindowPlan
    from accel_asr.data.selection.preparation import fingerprint
    from accel_asr.data.splits import load_train_and_validation
    from accel_asr.model import pretrained as modeling
    from accel_asr.run.training_plan import plan_windows

    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor("quickstart")
    modeling.configure_generation(model, processor, language="en", task="transcribe", max_new_tokens=48, num_beams=1)
    memory_before_mb = peak_mb()
    started_s = time.perf_counter()
    encoder = LabelEncoder(processor.tokenizer, max_label_tokens=model.config.max_target_positions)
    data = load_train_and_validation(
        DataConfig(str(manifest), eval_rows=100, overlap="allow", cache_dir=str(cache_dir)),
        encoder=encoder,
        sampling_rate_hz=processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(processor),
        seed=1,
    )
    loaded_s = time.perf_counter()
    fingerprint(data.train)
    plan, _ = plan_windows(TrainingConfig(), data, num_processes=1)
    assert isinstance(plan, WindowPlan)
    items = ClipItems(data.train, feature_extractor=processor.feature_extractor, encoder=encoder)
    extractor = processor.feature_extractor
    collator = Collator(
        feature_extractor=extractor,
        start_token_id=model.config.decoder_start_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    step = plan.steps_per_epoch + plan.steps_per_epoch // 2
    windows = TrainingWindows(items, plan, collator=collator, rank=0, first_step=step, last_step=step)
    assert len(next(windows)[0].utterance_ids) == plan.window_size
    ended_s = time.perf_counter()
    measured = {
        "rows": len(data.train) + len(data.validation),
        "load_s": loaded_s - started_s,
        "first_batch_s": ended_s - started_s,
        "before_mb": memory_before_mb,
        "peak_mb": peak_mb(),
    }
    if batches > 1:
        last_step = step + batches - 1
        with closing(
            TrainingWindows(items, plan, collator=collator, rank=0, first_step=step, last_step=last_step, num_workers=1)
        ) as windows:
            [worker] = multiprocessing.active_children()
            for number, _ in enumerate(windows, start=1):
                for name, share in (("early", 0.1), ("middle", 0.5), ("late", 1.0)):
                    if number == round(batches * share):
                        measured[f"worker_{name}_mb"] = private_mb(worker.pid)
    return measured


def private_mb(pid: int | None) -> float:
    """Private memory of a process in MB, without mapped files and pages shared with its parent."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024 / 1e6


def peak_mb() -> float:
    """The peak memory of this process, in MB of 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def in_new_process(manifest: Path, cache_dir: Path, *, batches: int = 1) -> dict[str, float]:
    """`start` in a new process."""
    code = "import json, sys; from pathlib import Path; from benchmarks.data_startup import start; "
    code += "print(json.dumps(start(Path(sys.argv[1]), Path(sys.argv[2]), batches=int(sys.argv[3]))))"
    command = [sys.executable, "-c", code, str(manifest), str(cache_dir), str(batches)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Measure every size, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3, help="warm starts of each size; the median counts")
    parser.add_argument("--batches", type=int, default=1_000, help="of the worker whose memory is looked at")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            manifest = write_manifest(Path(folder), rows)
            cold = in_new_process(manifest, Path(folder) / "cache")
            warm = [in_new_process(manifest, Path(folder) / "cache") for _ in range(options.rounds)]
            worker = in_new_process(manifest, Path(folder) / "cache", batches=options.batches)
            results.append(
                {
                    "rows": rows,
                    "cold_s": round(cold["first_batch_s"], 2),
                    "warm_load_s": round(float(np.median([start["load_s"] for start in warm])), 3),
                    "warm_first_batch_s": round(float(np.median([start["first_batch_s"] for start in warm])), 3),
                    "imports_mb": round(float(np.median([start["before_mb"] for start in warm]))),
                    "warm_peak_mb": round(max(start["peak_mb"] for start in warm)),
                    "rows_take_mb": round(max(start["peak_mb"] - start["before_mb"] for start in warm)),
                    **{f"worker_{at}_mb": round(worker[f"worker_{at}_mb"], 1) for at in ("early", "middle", "late")},
                }
            )
            assert all(start["rows"] == rows for start in warm)
    names = list(results[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for result in results:
        print("| " + " | ".join(f"{result[name]:,}" for name in names) + " |")
    about = {"python": platform.python_version(), "pyarrow": version("pyarrow"), "torch": version("torch")}
    print(json.dumps({"benchmark": "data_startup", "results": results, "versions": about}))


if __name__ == "__main__":
    main()
