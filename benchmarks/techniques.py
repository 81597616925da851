"""What each way of training gives and costs on real weights: `python -m benchmarks.techniques MODEL DATA [SETTINGS]`.

Each row is a run of `accel-asr train` from the same model on the same data, with the same steps, order and evaluation;
SETTINGS are those of all rows, such as `--config learner_english`. Prints the word error rate on the validation set
with its interval, its paired difference from full fine-tuning, the same on that set with noise (`evaluate --snr 5`),
trained parameters, bytes of a checkpoint, and processor seconds of an optimizer step as a ratio to full fine-tuning.

Noise to train with and noise to test with are different files of different kinds, made here: hiss and a babble of
training clips against pink noise.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import safe_open

from accel_asr.evaluation.intervals import Difference, Interval, paired_difference, rate_intervals
from accel_asr.evaluation.scoring import ScoredUtterance

LORA = ("--lora.enabled", "true", "--training.learning_rate", "null")  # adapters have rates of their own
SPEC_AUGMENT = ("--spec_augment.enabled", "true")
SPEED = ("--augment.speed_prob", "0.5")
NOISE = ("--augment.noise_prob", "0.5", "--augment.noise_dir", "TRAIN_NOISE")
ROWS: dict[str, tuple[str, ...]] = {
    "full": (),
    "merged": ("--training.audio_context", "merged"),
    "encoder only": ("--model.freeze", "[decoder]"),
    "decoder only": ("--model.freeze", "[encoder]"),
    "LoRA": LORA,
    "DoRA": (*LORA, "--lora.use_dora", "true"),
    "full, SpecAugment": SPEC_AUGMENT,
    "full, speed": SPEED,
    "full, noise": NOISE,
    "LoRA, all three": (*LORA, *SPEC_AUGMENT, *SPEED, *NOISE),
}
NOISY_ROWS = ["full", "LoRA", "full, noise"]
RATE_HZ = 16_000
NOISE_S = 60
BABBLE_CLIPS = 200
CLEAN, NOISY = "evaluations/step-*.jsonl", "*dB.jsonl"
TIMED_STEPS = 3


class Row(NamedTuple):
    """One run: its scores, clean and with noise, and what it cost. The differences are paired."""

    name: str
    wer: float
    interval: Interval
    against_full: Difference
    noisy_wer: float | None
    noisy_against_full: Difference | None
    trained_parameters: int
    checkpoint_bytes: int
    step_s: float


def write_noises(folder: Path, clips: Sequence[np.ndarray]) -> tuple[Path, Path]:
    """Folders of noise to train and to test with, a minute of each kind, 16 kHz.

    Args:
        clips: Speech for the babble, int16, (samples,).
    """
    import soundfile

    generator = np.random.default_rng(0)
    samples = NOISE_S * RATE_HZ
    white = generator.normal(size=samples)
    spectrum = np.fft.rfft(generator.normal(size=samples))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n=samples)
    babble = np.zeros(samples)
    for clip in clips:
        at = int(generator.integers(0, samples - len(clip)))
        babble[at : at + len(clip)] += clip
    train, test = folder / "train_noise", folder / "test_noise"
    for directory, noises in ((train, {"white": white, "babble": babble}), (test, {"pink": pink})):
        directory.mkdir(parents=True, exist_ok=True)
        for name, noise in noises.items():
            if not (path := directory / f"{name}.flac").exists():  # a run may be reading it
                soundfile.write(path, 0.1 * noise / noise.std(), RATE_HZ)
    return train, test


def train(name: str, settings: Sequence[str], run_dir: Path) -> None:
    """Train a row, unless its folder says that it is done."""
    if (run_dir / "summary.json").is_file() and (run_dir / "last").is_dir():
        return
    log = run_dir.with_suffix(".log")
    with log.open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "accel_asr", "train", *settings, "--output_dir", str(run_dir)]
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise SystemExit(f"{name}: exit code {code}\n{log.read_text(encoding='utf-8')[-3000:]}")
    _say(f"{name}: trained")


def score_noisy(run_dir: Path, settings: Sequence[str], noise_dir: Path, scored: Path) -> None:
    """Score the last model with noise at 5 dB into the folder `scored`, unless that is done."""
    if scored.is_dir():
        return
    command = [sys.executable, "-m", "accel_asr", "evaluate", "--model", str(run_dir / "last"), *settings]
    command += ["--noise_dir", str(noise_dir), "--snr", "5", "--output_dir", str(scored)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def step_seconds(settings: Sequence[str]) -> float:
    """Median processor seconds of an optimizer step of these settings, loading included, in this process."""
    from accel_asr.config.command_line import parse_config
    from accel_asr.run.display import Display
    from accel_asr.run.job import load_job
    from accel_asr.run.prepared_model import prepare_model
    from accel_asr.run.training_plan import plan_run
    from accel_asr.training.launch.topology import accelerator_of_run
    from accel_asr.training.schedule import set_learning_rate
    from accel_asr.training.step import train_step

    config = parse_config([*settings, "--training.dataloader_num_workers", "0"])
    accelerator = accelerator_of_run(config.training, frozen_dtype=config.model.frozen_dtype)
    display = Display(accelerator)
    job = load_job(config, accelerator.device)
    plan = plan_run(job, config, accelerator=accelerator, display=display)
    rate = plan.schedule.peak
    model, optimizer = prepare_model(job, config, learning_rate=rate, accelerator=accelerator, display=display)
    windows = job.windows(
        plan.order, rank=0, first_step=1, last_step=TIMED_STEPS + 1, place=None, num_workers=0, pin_memory=False
    )
    seconds: list[float] = []
    with closing(windows):
        model.train()
        set_learning_rate(optimizer, rate)
        for _ in range(TIMED_STEPS + 1):
            began = time.process_time()
            train_step(model, optimizer, next(windows), accelerator=accelerator, max_grad_norm=1.0)
            seconds.append(time.process_time() - began)
    return statistics.median(seconds[1:])  # the first makes the optimizer's state


def trained_parameters(checkpoint: Path) -> int:
    """How many weights the optimizer of a checkpoint trains."""
    groups = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))["trained_parameters"]
    with safe_open(checkpoint / "model.safetensors", "np") as file:
        sizes = {name: int(np.prod(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
    return sum(sizes[name] for group in groups for name in group)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown lines."""
    yield "| way | WER (95% interval) | against full | WER at 5 dB | against full | trained | checkpoint | step |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        is_full = row.name == "full"
        low, high = map(_percent, row.interval)
        cells = [row.name, f"{_percent(row.wer)} ({low} to {high})", "" if is_full else _points(row.against_full)]
        cells.append("" if row.noisy_wer is None else _percent(row.noisy_wer))
        cells.append("" if is_full or row.noisy_against_full is None else _points(row.noisy_against_full))
        cells += [f"{row.trained_parameters / 1e6:.2f} M", f"{row.checkpoint_bytes / 1e6:.1f} MB"]
        yield f"| {' | '.join(cells)} | {row.step_s / rows[0].step_s:.2f}x |"


def main() -> None:
    """Train what is asked for, score it, print the table and a JSON line of what it was made with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.techniques", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument(
        "--noisy", nargs="+", choices=list(ROWS), default=NOISY_ROWS, metavar="ROW", help="with noise too"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/techniques"), help="runs that are there are not repeated"
    )
    options, given = parser.parse_known_args()
    settings = [*given, "--model.name_or_path", options.model, "--data.name_or_path", options.data]
    settings += ["--tracking.report_to", "[]"]
    names = list(dict.fromkeys(["full", *options.only]))
    train_noise, test_noise = write_noises(options.folder, _training_clips(settings))
    own = {name: [str(train_noise) if value == "TRAIN_NOISE" else value for value in ROWS[name]] for name in names}
    folders = {name: options.folder / name.replace(", ", "-").replace(" ", "_") for name in names}
    noisy = {name: folder.with_name(f"{folder.name}-noisy") for name, folder in folders.items()}

    def run(name: str) -> None:
        train(name, [*settings, *own[name]], folders[name])
        if name in options.noisy:
            score_noisy(folders[name], settings, test_noise, noisy[name])

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, names))
    full, full_noisy = _scored(folders["full"], CLEAN), _scored(noisy["full"], NOISY)
    rows = []
    for name in names:
        checkpoint = max((folders[name] / "checkpoints").iterdir())
        rows.append(
            Row(
                name,
                *_compared(_scored(folders[name], CLEAN), full),
                *(_compared(_scored(noisy[name], NOISY), full_noisy)[::2] if name in options.noisy else (None, None)),
                trained_parameters(checkpoint),
                sum(path.stat().st_size for path in checkpoint.iterdir()),
                _step_seconds_in_new_process([*settings, *own[name]]),
            )
        )
    for line in table(rows):
        _say(line)
    libraries = ("torch", "transformers", "peft")
    about = {"python": platform.python_version(), **{name: version(name) for name in libraries}}
    _say(json.dumps({"benchmark": "techniques", "full_step_s": round(rows[0].step_s, 2), "versions": about}))


def _compared(scored: Sequence[ScoredUtterance], full: Sequence[ScoredUtterance]) -> tuple[float, Interval, Difference]:
    """(word error rate, its interval, its difference from full fine-tuning)."""
    counts = [utterance.words for utterance in scored if utterance.words]
    wer = sum(count.errors for count in counts) / sum(count.reference_length for count in counts)
    return wer, rate_intervals(scored)["wer"], paired_difference(scored, full)


def _scored(folder: Path, pattern: str) -> list[ScoredUtterance]:
    """The last of these files, in the order of the utterances' names."""
    lines = max(folder.glob(pattern)).read_text(encoding="utf-8").splitlines()
    scored = [ScoredUtterance.from_json(json.loads(line)) for line in lines]
    return sorted(scored, key=lambda utterance: utterance.transcript.utterance_id)


def _step_seconds_in_new_process(settings: Sequence[str]) -> float:
    code = "import sys; from benchmarks.techniques import step_seconds; print(step_seconds(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *settings], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _training_clips(settings: Sequence[str]) -> list[np.ndarray]:
    """Speech of the training set for the babble, int16, (samples,) each."""
    from accel_asr.config.command_line import parse_config
    from accel_asr.run.job import load_job

    train = load_job(parse_config(list(settings))).data.train
    return [train[row].samples() for row in range(min(BABBLE_CLIPS, len(train)))]


def _points(difference: Difference) -> str:
    low, high = difference.interval
    return f"{100 * difference.difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
